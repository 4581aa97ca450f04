-- The report of `wane run --profile`: where the time of a script went. By line of the script, by call and program, and
-- why pending operations were computed when they were; beside it profile.jsonl (a row per stack) and profile.svg (a
-- flame chart) in the run folder. Seconds are those of the work itself, without what ran inside it.
--
-- A share is that of a floor measured just before: the time that the bytes take at the speed of a loop that only reads,
-- or the flops of a product at the speed of one large product, whichever is longer, over the time it took. Above 1
-- means that the data stayed in the CPU's caches.
local core = require "wane.core"
local flame = require "wane.profile_chart"
local format = require "wane.format"
local tables = require "wane.table"

local M = {}

local RIGHT = { [2] = true, [3] = true, [4] = true, [5] = true, [6] = true, [7] = true, [8] = true }
local MOST_LINES = 20

local function share_of(report, row)
  if row.seconds <= 0 then return 0 end
  local floor = row.bytes / report.read_floor
  if row.product then floor = math.max(floor, row.flops / report.product_floor) end
  return floor / row.seconds
end

-- Sums rows that agree in `key(row)`; the most seconds first, ties by name.
local function grouped(report, key)
  local groups, order = {}, {}
  for _, row in ipairs(report.work) do
    local name = key(row)
    if name then
      local group = groups[name]
      if not group then
        group = { name = name, programs = 0, calls = 0, count = 0, ops = 0, seconds = 0, bytes = 0, flops = 0, floor = 0 }
        groups[name], order[#order + 1] = group, group
      end
      local kind = row.cause == "" and "calls" or "programs"
      group[kind] = group[kind] + row.count
      for _, field in ipairs { "count", "ops", "seconds", "bytes", "flops" } do group[field] = group[field] + row[field] end
      group.floor = group.floor + share_of(report, row) * row.seconds
    end
  end
  table.sort(order, function(a, b)
    if a.seconds ~= b.seconds then return a.seconds > b.seconds end
    return a.name < b.name
  end)
  return order
end

local function size(bytes)
  local units, unit = { "B", "KiB", "MiB", "GiB", "TiB" }, 1
  while bytes >= 1024 and unit < #units do bytes, unit = bytes / 1024, unit + 1 end
  return (unit == 1 and "%.0f %s" or "%.1f %s"):format(bytes, units[unit])
end

local function percent(x) return ("%.1f %%"):format(100 * x) end
local function ratio(group) return group.seconds > 0 and ("%.2f"):format(group.floor / group.seconds) or "" end

local function cut(groups, words)
  local lines = {}
  for i, group in ipairs(groups) do
    if i > MOST_LINES then
      lines[#lines + 1] = { ("... %d more"):format(#groups - MOST_LINES) }
      break
    end
    lines[#lines + 1] = words(group)
  end
  return lines
end

local function section(head, lines)
  return format.columns({ head, table.unpack(lines) }, RIGHT)
end

local function kind_of(row) return row.cause == "" and row.name or row.name .. "  (program)" end

local function busy(report)
  local seconds = 0
  for _, row in ipairs(report.work) do seconds = seconds + row.seconds end
  return seconds
end

function M.text(report)
  local whole, use = report.seconds, core.memory()
  local work = busy(report)
  local parts = {
    ("profile: %s, of it %s in programs and calls, %s in Lua and between"):format(format.seconds(whole),
      percent(work / whole), percent(math.max(0, 1 - work / whole))),
    section({ "line", "seconds", "share", "programs", "calls", "moved", "GiB/s", "of floor" },
      cut(grouped(report, function(row) return row.line ~= "" and row.line or "(no line)" end), function(group)
        return { group.name, ("%.4f"):format(group.seconds), percent(group.seconds / whole), tostring(group.programs),
                 tostring(group.calls), size(group.bytes), ("%.1f"):format(group.bytes / group.seconds / 2 ^ 30), ratio(group) }
      end)),
    section({ "work", "seconds", "share", "count", "moved", "GFLOP/s", "of floor" },
      cut(grouped(report, kind_of), function(group)
        return { group.name, ("%.4f"):format(group.seconds), percent(group.seconds / whole), tostring(group.count),
                 size(group.bytes), group.flops > 0 and ("%.1f"):format(group.flops / group.seconds / 1e9) or "", ratio(group) }
      end)),
  }
  local causes = grouped(report, function(row) return row.cause ~= "" and row.cause or nil end)
  if #causes > 0 then
    parts[#parts + 1] = section({ "computed because of", "programs", "ops", "seconds" }, cut(causes, function(group)
      return { group.name, tostring(group.count), tostring(group.ops), ("%.4f"):format(group.seconds) }
    end))
  end
  parts[#parts + 1] = ("floors: read loop %.1f GiB/s, %s %.1f GFLOP/s, %d thread%s"):format(report.read_floor / 2 ^ 30,
    report.product, report.product_floor / 1e9, core.options.threads, core.options.threads == 1 and "" or "s")
  parts[#parts + 1] = ("memory: live %s, cached %s, peak %s of a ceiling of %s; resident %s, at most %s"):format(
    size(use.live), size(use.cached), size(use.peak), size(use.ceiling), size(use.resident), size(use.resident_peak))
  return table.concat(parts, "\n\n")
end

local function json_lines(report)
  local lines = {}
  for i, row in ipairs(report.work) do
    lines[i] = core.json {
      stack = table.concat(row.stack, ";"), line = row.line, name = row.name, cause = row.cause ~= "" and row.cause or nil,
      count = row.count, ops = row.ops, seconds = row.seconds, bytes = row.bytes, flops = row.flops,
      floor = share_of(report, row),
    } .. "\n"
  end
  return lines
end

-- Writes the two files into a run folder and shows the tables.
return function(folder)
  local report = core.profile_report()
  local lines = json_lines(report)
  core.publish(folder .. "/profile.jsonl", table.concat(lines))
  core.publish(folder .. "/profile.svg", flame.draw(report))
  for _, line in ipairs(lines) do tables.emit("profile", line) end
  print(M.text(report))
end
