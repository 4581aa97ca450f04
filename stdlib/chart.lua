-- Charts: of a table (text on y: a line per row; numbers on both: points) and of a tensor's values (x:hist()).
-- print(chart) draws it with text, chart:save "x.svg" as an SVG file.
local core = require "wane.core"
local draw = require "wane.chart_text"
local list = require "wane.list"
local options = require "wane.options"
local svg = require "wane.chart_svg"
local tables = require "wane.table"

local chart = {}

local HIDDEN = {}
local Chart = { __name = "wane.chart" }
local methods = options.methods("chart", function(c) return type(c) == "table" and getmetatable(c) == Chart end)

local function make(spec) return setmetatable({ [HIDDEN] = spec }, Chart) end

function methods.save(c, path)
  options.arg("chart:save", 1, "path", path, "string")
  if not path:match "%.svg$" then core.fail(("chart:save: '%s' does not end in .svg"):format(path)) end
  core.publish(path, svg.draw(rawget(c, HIDDEN)))
end

function Chart.__index(c, key)
  if methods[key] then return methods[key] end
  options.unknown("chart", "field", key, { "save" }, "it has")
end

function Chart.__newindex() core.fail("chart: a chart is a value and cannot be assigned to") end
function Chart.__tostring(c) return draw.draw(rawget(c, HIDDEN)) end

local function finite(x) return x and x == x and math.abs(x) ~= math.huge end

local function point_of(row, o)
  local x, y = tables.number(row[o.x]), tables.number(row[o.y])
  if not finite(x) then
    core.fail(("chart: column '%s' has %s, not a finite number"):format(o.x, tables.shown(row[o.x])))
  end
  if o.log and (o.log == "x" and x or y or 1) <= 0 then
    core.fail(("chart: log = '%s' of column '%s', which has %g"):format(o.log, o.log == "x" and o.x or o.y,
                                                                      o.log == "x" and x or y))
  end
  return x, y
end

-- table:chart { x, y, log = "x" or "y", label, mark }
function chart.of_table(t, given)
  local o = options.check("chart", given, {}, { "x", "y", "log", "label", "mark" })
  for _, key in ipairs { "x", "y" } do
    options.arg("chart", nil, key, o[key], "string")
    tables.check_column(t, o[key])
  end
  if o.label then tables.check_column(t, options.arg("chart", nil, "label", o.label, "string")) end
  if o.log ~= nil then options.choice("chart", "log", o.log, { "x", "y" }) end
  if #t == 0 then core.fail("chart: the table has no rows") end
  local marked = {}
  if o.mark ~= nil then options.arg("chart", nil, "mark", o.mark, "list|table") end
  for _, name in ipairs(list.items(o.mark) or {}) do marked[name] = true end
  local lines = tables.number(t[1][o.y]) == nil
  if lines and o.log == "y" then core.fail(("chart: log = 'y' of column '%s', which is text"):format(o.y)) end
  local points = {}
  for row in t do
    local x, y = point_of(row, o)
    if not lines and not finite(y) then
      core.fail(("chart: column '%s' has %s, not a finite number"):format(o.y, tables.shown(row[o.y])))
    end
    points[#points + 1] = {
      x = x, y = lines and tables.shown(row[o.y]) or y, label = o.label and tables.shown(row[o.label]) or nil,
      mark = marked[tables.shown(row[t.columns[1]])] or false,
    }
  end
  return make { kind = lines and "lines" or "points", x = o.x, y = o.y, log = o.log, points = points, title = t.name }
end

local MOST_BARS = 24

-- Edges of the bars: one for each whole number where there are few, else equal widths.
local function bars_of(x, low, high)
  local whole = not (x.dtype:find "^f" or x.dtype:find "^bf" or x.dtype:find "^e")
  if whole and high - low < 2 * MOST_BARS then return math.tointeger(high - low + 1), low - 0.5, high + 0.5, true end
  if low == high then return 1, low - 0.5, high + 0.5, false end
  return MOST_BARS, low, high, false
end

-- x:hist(): how often each value, or each range of values, stands in a tensor.
function chart.histogram(x)
  if not core.is_tensor(x) then
    core.fail(("hist: expected tensor, got %s"):format(options.describe(x)), { hint = "methods take a colon: x:hist(...)" })
  end
  local total = 1
  for _, n in ipairs(x.shape) do total = total * n end
  if total == 0 then core.fail("hist: the tensor has no elements") end
  local low, high = x:min(), x:max()
  if not finite(low) or not finite(high) then core.fail("hist: the tensor has NaN or Inf") end
  local bars, first, last, whole = bars_of(x, low, high)
  return make { kind = "bars", counts = core.histogram(x, first, last, bars), low = first, high = last, whole = whole,
                total = total, title = "hist" }
end

return chart
