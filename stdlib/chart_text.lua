-- Charts as text, for a terminal: lines of ─ with a ● at the value, points on a grid, bars of █.
local format = require "wane.format"

local draw = {}

local WIDTH, HEIGHT = 50, 16
local LETTERS = { "●", "○", "+", "x", "*", "#", "@", "%", "&", "=" }

-- -- axes -------------------------------------------------------------------------------------------------------

-- An axis from low to high: place(x) is 0 .. 1; ticks are { value, ... }.
function draw.axis(low, high, log)
  if log then
    local first, last = math.floor(math.log(low, 10) + 1e-9), math.ceil(math.log(high, 10) - 1e-9)
    if first == last then last = last + 1 end
    local ticks, step = {}, math.max(1, (last - first) // 6)
    for e = first, last, step do ticks[#ticks + 1] = 10.0 ^ e end
    return function(x) return (math.log(x, 10) - first) / (last - first) end, ticks
  end
  if low > 0 and low < high / 2 then low = 0 end
  if high < 0 and high > low / 2 then high = 0 end
  if low == high then low, high = low - 0.5 * math.abs(low) - 0.5, high + 0.5 * math.abs(high) + 0.5 end
  local raw = (high - low) / 4
  local unit = 10.0 ^ math.floor(math.log(raw, 10))
  local step = unit * (raw / unit > 5 and 10 or raw / unit > 2 and 5 or raw / unit > 1 and 2 or 1)
  local first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
  local ticks = {}
  for i = first, last do ticks[#ticks + 1] = i * step end
  return function(x) return (x - first * step) / ((last - first) * step) end, ticks
end

local function extent(points, key)
  local low, high = math.huge, -math.huge
  for _, point in ipairs(points) do low, high = math.min(low, point[key]), math.max(high, point[key]) end
  return low, high
end
draw.extent = extent

local function cell(place, size) return math.floor(place * (size - 1) + 0.5) end

-- Tick labels under an axis of WIDTH cells, and its name after them.
local function tick_line(place, ticks, name)
  local line, used = {}, 0
  for _, tick in ipairs(ticks) do
    local text, at = format.short(tick), cell(place(tick), WIDTH)
    if at >= used then
      line[#line + 1] = (" "):rep(at - used) .. text
      used = at + #text
      line[#line + 1], used = " ", used + 1
    end
  end
  return table.concat(line) .. "  " .. name
end

-- -- kinds ------------------------------------------------------------------------------------------------------

local function draw_lines(spec)
  local low, high = extent(spec.points, "x")
  local place, ticks = draw.axis(low, high, spec.log == "x")
  local names, values, labels = 0, 0, 0
  for _, point in ipairs(spec.points) do
    names = math.max(names, format.width(point.y))
    values = math.max(values, #format.short(point.x))
    labels = math.max(labels, format.width(point.label or ""))
  end
  names = names + 4
  local lines = {}
  for i, point in ipairs(spec.points) do
    local label = labels > 0 and format.left(point.label or "", labels) .. "  " or ""
    lines[i] = format.left(point.y, names) .. label .. format.right(format.short(point.x), values + 2) .. "  "
      .. ("─"):rep(cell(place(point.x), WIDTH)) .. "●" .. (point.mark and "  <" or "")
  end
  local indent = names + (labels > 0 and labels + 2 or 0) + values + 4
  lines[#lines + 1] = (" "):rep(indent) .. tick_line(place, ticks, spec.x)
  return table.concat(lines, "\n")
end

-- Label -> the character that stands for it, in order of appearance.
local function letters_of(points)
  local letters, order = {}, {}
  for _, point in ipairs(points) do
    local label = point.label or ""
    if not letters[label] then
      order[#order + 1] = label
      letters[label] = LETTERS[(#order - 1) % #LETTERS + 1]
    end
  end
  return letters, order
end

local function grid_of(spec, place_x, place_y, letters)
  local grid = {}
  for row = 1, HEIGHT do
    grid[row] = {}
    for column = 1, WIDTH do grid[row][column] = " " end
  end
  for _, point in ipairs(spec.points) do
    local column, row = cell(place_x(point.x), WIDTH) + 1, HEIGHT - cell(place_y(point.y), HEIGHT)
    grid[row][column] = letters[point.label or ""]
    if point.mark and column < WIDTH then grid[row][column + 1] = "<" end
  end
  return grid
end

local function draw_points(spec)
  local low, high = extent(spec.points, "x")
  local place_x, ticks_x = draw.axis(low, high, spec.log == "x")
  low, high = extent(spec.points, "y")
  local place_y, ticks_y = draw.axis(low, high, spec.log == "y")
  local letters, order = letters_of(spec.points)
  local grid, at, width = grid_of(spec, place_x, place_y, letters), {}, #spec.y
  for _, tick in ipairs(ticks_y) do
    at[HEIGHT - cell(place_y(tick), HEIGHT)] = format.short(tick)
    width = math.max(width, #format.short(tick))
  end
  local lines = { format.right(spec.y, width) }
  for row = 1, HEIGHT do
    lines[row + 1] = (format.right(at[row] or "", width) .. " │" .. table.concat(grid[row])):gsub("%s+$", "")
  end
  lines[#lines + 1] = (" "):rep(width) .. " └" .. ("─"):rep(WIDTH)
  lines[#lines + 1] = (" "):rep(width + 2) .. tick_line(place_x, ticks_x, spec.x)
  if #order > 1 then
    local words = {}
    for i, label in ipairs(order) do words[i] = letters[label] .. " " .. label end
    lines[#lines + 1] = (" "):rep(width + 2) .. table.concat(words, "   ")
  end
  return table.concat(lines, "\n")
end

-- What stands before bar i: the value itself, or where its range begins.
function draw.bar_label(spec, i)
  local step = (spec.high - spec.low) / #spec.counts
  return format.short(spec.whole and spec.low + 0.5 + (i - 1) or spec.low + (i - 1) * step)
end

local function draw_bars(spec)
  local most, names, counts = 1, 0, 0
  for i, count in ipairs(spec.counts) do
    most, names = math.max(most, count), math.max(names, #draw.bar_label(spec, i))
    counts = math.max(counts, #tostring(count))
  end
  local lines = {}
  for i, count in ipairs(spec.counts) do
    local bar = ("█"):rep(math.floor(count / most * WIDTH + 0.5))
    local label = format.right(draw.bar_label(spec, i), names)
    lines[i] = (label .. "  " .. format.right(tostring(count), counts) .. "  " .. bar):gsub("%s+$", "")
  end
  return table.concat(lines, "\n")
end

function draw.draw(spec)
  if spec.kind == "lines" then return draw_lines(spec) end
  if spec.kind == "points" then return draw_points(spec) end
  return draw_bars(spec)
end

return draw
