-- The flame chart of a profile as an SVG file: the script's line on top, below it the functions of the standard library
-- and the layers it went through, at the bottom the programs and calls. Widths are seconds; a box names itself under
-- the pointer. Plain shapes and text, no script, readable in light and dark.
local format = require "wane.format"

local chart = {}

local WIDTH, ROW, MARGIN, LETTER = 1200, 18, 10, 6.6
local LEAST = 0.4 -- pixels; what is narrower is left out

local COLOURS = { line = "#9fb8e0", library = "#c9ced6", layer = "#a7d3a6", program = "#f2c879", call = "#e9a08f",
                  rest = "#e4e4e4" }

local function escaped(text)
  return (text:gsub("[&<>\"]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }))
end

local function kind_of(name)
  if name:find ":%d+$" then return name:find "%.lua:%d+$" and "line" or "library" end
  return name:find "%(.*%.lua%)$" and "library" or "layer"
end

local function child(node, name, kind)
  local found = node.children[name]
  if not found then
    found = { name = name, kind = kind, seconds = 0, count = 0, children = {} }
    node.children[name] = found
  end
  return found
end

local function tree_of(report)
  local root = { name = "all", kind = "rest", seconds = 0, count = 0, children = {} }
  for _, row in ipairs(report.work) do
    local node = root
    for _, name in ipairs(row.stack) do
      node.seconds = node.seconds + row.seconds
      node = child(node, name, kind_of(name))
    end
    node.seconds = node.seconds + row.seconds
    local leaf = child(node, row.name, row.cause == "" and "call" or "program")
    leaf.seconds, leaf.count = leaf.seconds + row.seconds, leaf.count + row.count
  end
  root.seconds = math.max(root.seconds, report.seconds) -- what no work took is Lua's
  return root
end

local function sorted(children)
  local list = {}
  for _, node in pairs(children) do list[#list + 1] = node end
  table.sort(list, function(a, b)
    if a.seconds ~= b.seconds then return a.seconds > b.seconds end
    return a.name < b.name
  end)
  return list
end

local function clipped(text, width)
  local room = math.floor((width - 6) / LETTER)
  if room < 3 then return "" end
  if format.width(text) <= room then return text end
  return text:sub(1, math.max(1, room - 2)) .. ".."
end

local function draw(out, node, x, depth, scale, whole)
  local width = node.seconds * scale
  if width < LEAST then return depth end
  local y = MARGIN + depth * ROW
  local words = ("%s: %s, %.1f %%"):format(node.name, format.seconds(node.seconds), 100 * node.seconds / whole)
  if node.count > 0 then words = ("%s, %d times"):format(words, node.count) end
  out[#out + 1] = ('  <g><title>%s</title><rect x="%.1f" y="%d" width="%.1f" height="%d" rx="2" fill="%s"/>'
    .. '<text x="%.1f" y="%d">%s</text></g>'):format(escaped(words), x, y, math.max(width - 0.5, LEAST), ROW - 1,
    COLOURS[node.kind], x + 3, y + 13, escaped(clipped(node.name, width)))
  local deepest = depth
  for _, below in ipairs(sorted(node.children)) do
    deepest = math.max(deepest, draw(out, below, x, depth + 1, scale, whole))
    x = x + below.seconds * scale
  end
  return deepest
end

function chart.draw(report)
  local root = tree_of(report)
  local out = {}
  local scale = root.seconds > 0 and (WIDTH - 2 * MARGIN) / root.seconds or 0
  local deepest = draw(out, root, MARGIN, 0, scale, math.max(root.seconds, 1e-12))
  local height = 2 * MARGIN + (deepest + 2) * ROW
  local legend, x = {}, MARGIN
  for _, kind in ipairs { "line", "library", "layer", "program", "call" } do
    legend[#legend + 1] = ('  <rect x="%d" y="%d" width="12" height="12" fill="%s"/><text class="key" x="%d" y="%d">%s</text>')
      :format(x, height - MARGIN - 12, COLOURS[kind], x + 16, height - MARGIN - 2, kind)
    x = x + 90
  end
  local head = ('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" '
    .. 'font-family="monospace" font-size="11">'):format(WIDTH, height, WIDTH, height)
  local style = "  <style>text{fill:#222} .key{fill:#666} @media(prefers-color-scheme:dark){.key{fill:#bbb}}</style>"
  return table.concat({ head, style, table.concat(out, "\n"), table.concat(legend, "\n"), "</svg>", "" }, "\n")
end

return chart
