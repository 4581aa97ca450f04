-- A model as a folded tree: what stands in a row and is alike becomes one line.
local modules = require "wane.module"
local storage = require "wane.storage"

local M = {}

local function short(number)
  for _, unit in ipairs { { 1e12, " T" }, { 1e9, " B" }, { 1e6, " M" }, { 1e3, " k" } } do
    if number >= unit[1] then return ("%.3g%s"):format(number / unit[1], unit[2]) end
  end
  return ("%d"):format(number)
end

-- 288358400 as "275 MiB".
function M.size(bytes)
  for _, unit in ipairs { { 2 ^ 40, "TiB" }, { 2 ^ 30, "GiB" }, { 2 ^ 20, "MiB" }, { 2 ^ 10, "KiB" } } do
    local size = bytes / unit[1]
    if size >= 1 then return (size < 999.5 and "%.3g %s" or "%.0f %s"):format(size, unit[2]) end
  end
  return ("%d B"):format(bytes)
end

-- The numbers in all weights and biases, those shared by tied layers once.
function M.weights(model)
  local total = 0
  for _, layer in ipairs(model:_leaves()) do
    for part, shape in pairs(layer._shapes) do
      local count = 1
      for _, size in ipairs(shape) do count = count * size end
      if part ~= "weight" or not layer._tied then total = total + count end
    end
  end
  return total
end

-- What is special about a layer, after its shape.
local function remarks(layer)
  local state, words = layer._state, {}
  local tied = layer._tied
  if tied then words[#words + 1] = "tied to " .. tied.name end
  local quantizer = not tied and state.weight and storage.quantizer(state.weight)
  if quantizer then words[#words + 1] = tostring(quantizer) end
  if layer._shapes.bias then words[#words + 1] = "bias" end
  if state.input then words[#words + 1] = "input " .. (state.input.label or "rounded") end
  if state.transform then words[#words + 1] = "reads " .. state.transform.label end
  if state.after then words[#words + 1] = "gives " .. state.after.label end
  if state.forward then words[#words + 1] = "forward replaced" end
  return table.concat(words, ", ")
end

-- The place where two names part, at word borders: head, middle of a, middle of b, tail; nil when more than a
-- word does.
local function parting(a, b)
  local first = 1
  while a:sub(first, first) == b:sub(first, first) and first <= #a do first = first + 1 end
  while first > 1 and not a:sub(first - 1, first - 1):find "[%._]" do first = first - 1 end
  local tail = 0
  local most = math.min(#a, #b) - first + 1
  while tail < most and a:sub(-tail - 1, -tail - 1) == b:sub(-tail - 1, -tail - 1) do tail = tail + 1 end
  while tail > 0 and not a:sub(-tail, -tail):find "[%._]" do tail = tail - 1 end
  local middle_a, middle_b = a:sub(first, #a - tail), b:sub(first, #b - tail)
  if not middle_a:find "^%w+$" or not middle_b:find "^%w+$" then return nil end
  return a:sub(1, first - 1), middle_a, middle_b, tail > 0 and a:sub(-tail) or ""
end

-- Joins rows { name, class, shape, remark } that follow each other and differ in one word of their names.
local function fold_rows(rows)
  local folded = {}
  for _, row in ipairs(rows) do
    local last = folded[#folded]
    local alike = last and not last.children and not row.children and last.class == row.class
      and last.shape == row.shape and last.remark == row.remark
    if alike then
      local head, first, second, tail = parting(last.first, row.name)
      if head and (not last.words or (last.head == head and last.tail == tail)) then
        last.words = last.words or { first }
        last.words[#last.words + 1] = second
        last.head, last.tail = head, tail
        last.name = ("%s{%s}%s"):format(head, table.concat(last.words, ","), tail)
        goto next
      end
    end
    folded[#folded + 1] = { name = row.name, first = row.name, class = row.class, shape = row.shape,
                            remark = row.remark, children = row.children }
    ::next::
  end
  return folded
end

local function signature(row)
  local parts = { row.name or "", row.class, row.shape, row.remark }
  for _, child in ipairs(row.children or {}) do parts[#parts + 1] = signature(child) end
  return table.concat(parts, "|")
end

local rows_below

-- The items of a stack, equal neighbours as one row "layers.{0..29}".
local function stack_rows(node, name, rows)
  local last, first_number, last_signature
  for i, item in ipairs(node.items) do
    local child = modules.node(item)
    local row = { class = child.class, shape = "", remark = "", children = fold_rows(rows_below(item, "")) }
    local this = signature(row)
    if this == last_signature then
      last.name = ("%s.{%d..%d}"):format(name, first_number, i - 1)
    else
      first_number, last_signature, last = i - 1, this, row
      row.name = ("%s.%d"):format(name, i - 1)
      rows[#rows + 1] = row
    end
  end
end

-- The rows of what an instance holds; modules that are not in a stack are part of their layers' names.
function rows_below(instance, prefix, rows)
  rows = rows or {}
  local node = modules.node(instance)
  for _, name in ipairs(node.order or {}) do
    local child = node.fields[name]
    local child_node = modules.node(child)
    local path = prefix .. name
    if child_node.stack then stack_rows(child_node, path, rows)
    elseif child_node.shapes then
      local shape = modules.shape_text(child_node.shapes.weight)
      rows[#rows + 1] = { name = path, class = child_node.class, shape = shape, remark = remarks(child) }
    else rows_below(child, path .. ".", rows) end
  end
  return rows
end

local function flatten(rows, indent, out)
  for _, row in ipairs(rows) do
    out[#out + 1] = { indent .. row.name, row.class, row.shape, row.remark }
    if row.children then flatten(row.children, indent .. "  ", out) end
  end
  return out
end

-- Columns with three spaces between; trailing spaces go.
function M.align(lines, columns)
  local widths, out = {}, {}
  for _, line in ipairs(lines) do
    for i = 1, columns do widths[i] = math.max(widths[i] or 0, utf8.len(line[i]) or #line[i]) end
  end
  for at, line in ipairs(lines) do
    local cells = {}
    for i = 1, columns do
      cells[i] = line[i] .. (" "):rep(widths[i] - (utf8.len(line[i]) or #line[i]))
    end
    out[at] = (table.concat(cells, "   "):gsub("%s+$", ""))
  end
  return out
end

-- The lines of the tree without its title.
function M.lines(model)
  local parts = require "wane.model".parts(model)
  return M.align(flatten(fold_rows(rows_below(parts.root, "")), "", {}), 4)
end

function M.title(model)
  local title = ("%s   %s   %s weights   %s   %s"):format(model.name, model.architecture,
    short(M.weights(model)), model.dtype, M.size(model.bytes))
  local basis = require "wane.basis".describe(model)
  return basis and title .. "   " .. basis or title
end

function M.print(model)
  return M.title(model) .. "\n" .. table.concat(M.lines(model), "\n")
end

return M
