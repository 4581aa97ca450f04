-- Tables: rows with named columns. In a run every added row goes to NAME.jsonl at once, so a killed run keeps them.
-- Cells are strings, numbers, booleans, scores, timings, tensors and values such as quantizers.
local core = require "wane.core"
local format = require "wane.format"
local list = require "wane.list"
local options = require "wane.options"
local score = require "wane.score"
local time = require "wane.time"

local M = {}

local HIDDEN = {}
local Table, Row = { __name = "wane.table" }, { __name = "wane.row" }

local function inside(t) return rawget(t, HIDDEN) end
local is_tensor = core.is_tensor

function M.is(x) return type(x) == "table" and getmetatable(x) == Table end

-- -- rows -------------------------------------------------------------------------------------------------------

local function no_column(t, key)
  local names = inside(t).columns
  local near = core.nearest(tostring(key), names)
  core.fail(("table '%s': no column '%s'%s"):format(inside(t).name, tostring(key),
    near and ("; did you mean '%s'?"):format(near) or ""), { notes = { { "it has", table.concat(names, ", ") } } })
end

function Row.__index(row, key)
  local r = inside(row)
  if r.cells[key] ~= nil or inside(r.table).known[key] then return r.cells[key] end
  no_column(r.table, key)
end

function Row.__newindex(row)
  core.fail(("table '%s': a row cannot be assigned to; add another one"):format(inside(inside(row).table).name))
end

function Row.__pairs(row)
  local r, i = inside(row), 0
  local columns = inside(r.table).columns
  return function()
    repeat i = i + 1 until columns[i] == nil or r.cells[columns[i]] ~= nil
    if columns[i] then return columns[i], r.cells[columns[i]] end
  end
end

-- A cell as text.
local function shown(cell)
  if cell == nil then return "" end
  if type(cell) == "number" then return format.number(cell) end
  if is_tensor(cell) then
    local count = 1
    for _, n in ipairs(cell.shape) do count = count * n end
    if count > 4 then return ("[%s]"):format(table.concat(cell.shape, " x ")) end
    local words = {}
    for i, x in ipairs(cell:reshape { count }:totable()) do words[i] = format.number(x) end
    return table.concat(words, " ")
  end
  if M.is(cell) or list.is(cell) then return ("(%d rows)"):format(#cell) end
  return tostring(cell)
end
M.shown = shown

function Row.__tostring(row)
  local words = {}
  for column, cell in pairs(row) do words[#words + 1] = ("%s = %s"):format(column, shown(cell)) end
  return table.concat(words, "   ")
end

-- A cell as a number, or nil.
local function number(cell)
  if type(cell) == "number" then return cell end
  if score.is(cell) then return cell.value end
  if time.is(cell) then return time.number(cell) end
  if is_tensor(cell) then
    for _, n in ipairs(cell.shape) do
      if n ~= 1 then return nil end
    end
    return cell:item()
  end
end
M.number = number

-- A cell as JSON can hold it.
local function plain(cell)
  if score.is(cell) then
    return { value = cell.value, error = cell.error == cell.error and cell.error or nil, items = cell.items,
             protocol = cell.protocol, version = cell.version, hash = cell.hash }
  end
  if time.is(cell) then return time.number(cell) end
  if type(cell) == "number" and (cell ~= cell or math.abs(cell) == math.huge) then return tostring(cell) end
  if is_tensor(cell) then return cell:totable() end
  if type(cell) == "table" or type(cell) == "userdata" then return tostring(cell) end
  return cell
end

local function json_line(t, cells)
  local words = {}
  for _, column in ipairs(inside(t).columns) do
    if cells[column] ~= nil then
      words[#words + 1] = core.json(column) .. ":" .. core.json(plain(cells[column]))
    end
  end
  return "{" .. table.concat(words, ",") .. "}\n"
end

-- `wane run --json`: one line per row on stdout, {"table":NAME,"row":{...}}.
function M.emit(name, line)
  if not core.options.json then return end
  io.stdout:write('{"table":', core.json(name), ',"row":', (line:gsub("\n$", "")), "}\n")
end

-- -- making -----------------------------------------------------------------------------------------------------

local taken = {} -- names of this run's files
local OWN = { metrics = "a row for each layer that wane.quantize solved", profile = "what --profile saw" }

local function checked_columns(where, columns)
  columns = list.items(columns)
  if type(columns) ~= "table" or #columns == 0 then core.fail(where .. ": columns is a list of names") end
  local known, names = {}, {}
  for i, column in ipairs(columns) do
    if type(column) ~= "string" or column == "" then core.fail(("%s: column %d is not a name"):format(where, i)) end
    if known[column] then core.fail(("%s: column '%s' stands there twice"):format(where, column)) end
    known[column], names[i] = true, column
  end
  return names, known
end

-- A table that is not a script's own; fields: further things that it answers, `print` its own text. file: where
-- added rows go, or nil.
function M.make(name, columns, fields, file)
  local names, known = checked_columns("table " .. name, columns)
  return setmetatable({ [HIDDEN] = { name = name, columns = names, known = known, rows = {}, places = {},
                                     fields = fields or {}, file = file } }, Table)
end

-- wane.table(name, columns)
function M.new(name, columns)
  if type(name) ~= "string" then
    core.fail(("wane.table: argument 1 (name) is a %s; expected a string"):format(type(name)))
  end
  if name == "" or name:find "[/%c]" then core.fail(("wane.table: name '%s' is no file name"):format(name)) end
  if OWN[name] then
    core.fail(("wane.table: '%s' is a table of the run itself: %s"):format(name, OWN[name]), {
      hint = "give it another name" })
  end
  if taken[name] then
    core.fail(("wane.table: '%s' is used twice"):format(name), { notes = { { "first", taken[name] } } })
  end
  local names, known = checked_columns("wane.table", columns)
  taken[name] = core.options.run and core.origin() or nil
  return setmetatable({ [HIDDEN] = { name = name, columns = names, known = known, rows = {}, places = {}, fields = {},
    file = core.options.run and core.options.run .. "/" .. name .. ".jsonl" } }, Table)
end

-- -- methods ----------------------------------------------------------------------------------------------------

local methods = options.methods("table", M.is)

local KINDS = { string = true, number = true, boolean = true }

local function append(t, cells)
  local self = inside(t)
  local row = setmetatable({ [HIDDEN] = { table = t, cells = cells } }, Row)
  self.rows[#self.rows + 1] = row
  self.places[row] = #self.rows
  return row
end

function methods.add(t, cells)
  local self = inside(t)
  if type(cells) ~= "table" then core.fail(("table '%s': add takes { column = value, ... }"):format(self.name)) end
  local kept = {}
  for column, cell in pairs(cells) do
    if not self.known[column] then no_column(t, column) end
    local fits = KINDS[type(cell)] or type(cell) == "userdata" or type(cell) == "table" and getmetatable(cell)
    if not fits then
      core.fail(("table '%s': column '%s': a %s is no cell"):format(self.name, column, type(cell)))
    end
    kept[column] = cell
  end
  append(t, kept)
  if self.file then
    local line = json_line(t, kept)
    core.append(self.file, line)
    M.emit(self.name, line)
  end
  return t
end

local function median(values)
  table.sort(values)
  local n = #values
  if n % 2 == 1 then return values[(n + 1) // 2] end
  return (values[n // 2] + values[n // 2 + 1]) / 2
end

-- The `among` rows around row i, itself in: as many on each side, shifted inwards at the ends.
local function neighbours(i, among, count)
  local first = math.max(1, math.min(i - (among - 1) // 2, count - among + 1))
  return first, math.min(count, first + among - 1)
end

function methods.outliers(t, column, given)
  local self = inside(t)
  local set = options.check("outliers", given, { over = 20, among = math.max(1, #self.rows) })
  options.arg("outliers", nil, "over", set.over, "number")
  options.count("outliers", "among", set.among, 1)
  if not self.known[column] then no_column(t, column) end
  local among = math.min(set.among, #self.rows)
  local numbers, found = {}, {}
  for i, row in ipairs(self.rows) do
    numbers[i] = number(row[column])
    if not numbers[i] then
      core.fail(("outliers: row %d, column '%s' is %s, not a number"):format(i, column, shown(row[column])))
    end
  end
  for i, x in ipairs(numbers) do
    local around = {}
    local first, last = neighbours(i, among, #numbers)
    for k = first, last do around[#around + 1] = numbers[k] end
    if x > set.over * median(around) then found[#found + 1] = self.rows[i][self.columns[1]] end
  end
  return list.new(found)
end

local function combination(row, columns)
  local words = {}
  for i, column in ipairs(columns) do words[i] = shown(row[column]) end
  return table.concat(words, "\0")
end

local function average(numbers, name)
  local sum, influence = 0, {}
  for _, x in ipairs(numbers) do sum = sum + x end
  local mean = sum / #numbers
  for i, x in ipairs(numbers) do influence[i] = x - mean end
  return score.new(mean, influence, { protocol = name .. " mean", version = 1, hash = core.sha256(name .. #numbers) })
end

-- One row per combination of these columns, in order of first appearance; other numbers averaged into scores.
function methods.mean(t, columns)
  local self = inside(t)
  columns = checked_columns("mean", columns)
  local chosen = {}
  for _, column in ipairs(columns) do
    if not self.known[column] then no_column(t, column) end
    chosen[column] = true
  end
  local groups, order = {}, {}
  for _, row in ipairs(self.rows) do
    local key = combination(row, columns)
    if not groups[key] then
      groups[key] = { first = row, rows = {} }
      order[#order + 1] = groups[key]
    end
    table.insert(groups[key].rows, row)
  end
  local result = M.make(self.name .. " mean", self.columns)
  for _, group in ipairs(order) do
    local cells = {}
    for _, column in ipairs(self.columns) do
      local numbers = {}
      for _, row in ipairs(group.rows) do numbers[#numbers + 1] = number(row[column]) end
      if chosen[column] then cells[column] = group.first[column]
      elseif #numbers == #group.rows then cells[column] = average(numbers, self.name .. " " .. column) end
    end
    append(result, cells)
  end
  return result
end

local function csv_cell(text)
  if text:find '[",\n]' then return '"' .. text:gsub('"', '""') .. '"' end
  return text
end

-- A score takes two columns, the second its error.
local function csv(t)
  local self, two, lines, head = inside(t), {}, {}, {}
  for _, row in ipairs(self.rows) do
    for _, column in ipairs(self.columns) do two[column] = two[column] or score.is(row[column]) end
  end
  for _, column in ipairs(self.columns) do
    head[#head + 1] = csv_cell(column)
    if two[column] then head[#head + 1] = csv_cell(column .. "_error") end
  end
  lines[1] = table.concat(head, ",")
  for _, row in ipairs(self.rows) do
    local cells = {}
    for _, column in ipairs(self.columns) do
      local cell = row[column]
      local x = number(cell)
      local text = math.type(x) == "integer" and tostring(x) or x and ("%.9g"):format(x) or shown(cell)
      cells[#cells + 1] = csv_cell(text)
      if two[column] then cells[#cells + 1] = score.is(cell) and ("%.9g"):format(cell.error) or "" end
    end
    lines[#lines + 1] = table.concat(cells, ",")
  end
  return table.concat(lines, "\n") .. "\n"
end

function methods.save(t, path)
  if type(path) ~= "string" then core.fail(("save: path is a %s; expected a string"):format(type(path))) end
  if path:match "%.csv$" then
    core.publish(path, csv(t))
  elseif path:match "%.jsonl$" then
    local lines = {}
    for i, row in ipairs(inside(t).rows) do lines[i] = json_line(t, inside(row).cells) end
    core.publish(path, table.concat(lines))
  else
    core.fail(("save: '%s' ends neither in .csv nor in .jsonl"):format(path))
  end
end

function methods.chart(t, given) return require("wane.chart").of_table(t, given) end

-- Used by charts: does the table have this column?
function M.check_column(t, column)
  if not inside(t).known[column] then no_column(t, column) end
end

-- -- metatable --------------------------------------------------------------------------------------------------

function Table.__index(t, key)
  local self = inside(t)
  if math.type(key) == "integer" then return self.rows[key < 0 and #self.rows + 1 + key or key] end
  if key == "name" then return self.name end
  if key == "columns" then return list.new({ table.unpack(self.columns) }) end
  if methods[key] then return methods[key] end
  if self.fields[key] ~= nil then return self.fields[key] end
  local names = { "name", "columns" }
  for name in pairs(methods) do names[#names + 1] = name end
  for name in pairs(self.fields) do names[#names + 1] = name end
  local near = core.nearest(tostring(key), names)
  core.fail(("table '%s': no field '%s'%s"):format(self.name, tostring(key),
    near and ("; did you mean '%s'?"):format(near) or ""), { hint = "a column is a field of a row: for row in t do" })
end

function Table.__newindex(t) core.fail(("table '%s': rows are added with t:add { ... }"):format(inside(t).name)) end
function Table.__len(t) return #inside(t).rows end

-- What `for` yields carries its place, so nested loops and breaks are independent.
function Table.__call(t, _, row)
  local self = inside(t)
  return self.rows[row == nil and 1 or self.places[row] + 1]
end

function Table.__pairs(t)
  return ipairs(inside(t).rows)
end

function Table.__tostring(t)
  local self = inside(t)
  if self.fields.print then return self.fields.print(t) end
  local used, lines = {}, {}
  for _, column in ipairs(self.columns) do
    for _, row in ipairs(self.rows) do used[column] = used[column] or row[column] ~= nil end
  end
  lines[1] = {}
  for _, column in ipairs(self.columns) do
    if used[column] or #self.rows == 0 then table.insert(lines[1], column) end
  end
  for i, row in ipairs(self.rows) do
    lines[i + 1] = {}
    for _, column in ipairs(lines[1]) do table.insert(lines[i + 1], shown(row[column])) end
  end
  return format.columns(lines)
end

return M
