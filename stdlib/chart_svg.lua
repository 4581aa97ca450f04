-- Charts as SVG files: plain shapes and text, no script, readable in light and dark.
local draw = require "wane.chart_text"
local format = require "wane.format"

local svg = {}

local COLOURS = { "#2a6fdb", "#d1495b", "#2e933c", "#edae49", "#7d4e9f", "#00798c", "#8d6a4f", "#5c677d" }
local LINE, PLOT, MARGIN = 18, 480, 24

local function escaped(text)
  return (tostring(text):gsub("[&<>\"]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;" }))
end

local Page = {}
Page.__index = Page

function Page:add(shape, ...) self[#self + 1] = "  " .. shape:format(...) end

function Page:text(x, y, text, anchor)
  self:add('<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>', x, y, anchor or "start", escaped(text))
end

function Page:line(x1, y1, x2, y2, class)
  self:add('<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" class="%s"/>', x1, y1, x2, y2, class)
end

local function page() return setmetatable({}, Page) end

local function document(p, width, height)
  local head = ('<svg xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f" viewBox="0 0 %.0f %.0f" '
    .. 'font-family="sans-serif" font-size="12" fill="#444">'):format(width, height, width, height)
  local style = "  <style>.grid{stroke:#ccc} .stem{stroke:#9ab;stroke-width:2} "
    .. "text{fill:#444} @media(prefers-color-scheme:dark){text{fill:#ccc} .grid{stroke:#555}}</style>"
  return head .. "\n" .. style .. "\n" .. table.concat(p, "\n") .. "\n</svg>\n"
end

local function colours_of(points)
  local colours, order = {}, {}
  for _, point in ipairs(points) do
    local label = point.label or ""
    if not colours[label] then
      order[#order + 1] = label
      colours[label] = COLOURS[(#order - 1) % #COLOURS + 1]
    end
  end
  return colours, order
end

local function legend(p, x, y, colours, order)
  if #order < 2 then return 0 end
  for i, label in ipairs(order) do
    p:add('<circle cx="%.1f" cy="%.1f" r="4" fill="%s"/>', x, y + (i - 1) * LINE - 4, colours[label])
    p:text(x + 10, y + (i - 1) * LINE, label)
  end
  return #order * LINE
end

local function dot(p, x, y, colour, mark)
  p:add('<circle cx="%.1f" cy="%.1f" r="4" fill="%s"%s/>', x, y, colour,
        mark and ' stroke="#d1495b" stroke-width="3"' or "")
end

local function draw_lines(spec)
  local low, high = draw.extent(spec.points, "x")
  local place, ticks = draw.axis(low, high, spec.log == "x")
  local colours, order = colours_of(spec.points)
  local names = 0
  for _, point in ipairs(spec.points) do names = math.max(names, format.width(point.y)) end
  local left, top = MARGIN + names * 7 + 60, MARGIN + LINE
  local bottom = top + #spec.points * LINE
  local p = page()
  for _, tick in ipairs(ticks) do
    local x = left + place(tick) * PLOT
    p:line(x, top - 6, x, bottom, "grid")
    p:text(x, bottom + LINE, format.short(tick), "middle")
  end
  p:text(left + PLOT / 2, bottom + 2 * LINE, spec.x, "middle")
  for i, point in ipairs(spec.points) do
    local x, y = left + place(point.x) * PLOT, top + (i - 0.5) * LINE
    p:text(MARGIN, y + 4, point.y)
    p:text(left - 8, y + 4, format.short(point.x), "end")
    p:line(left, y, x, y, "stem")
    dot(p, x, y, colours[point.label or ""], point.mark)
  end
  local more = legend(p, left, bottom + 3 * LINE + 4, colours, order)
  return document(p, left + PLOT + 2 * MARGIN, bottom + 2 * LINE + more + MARGIN)
end

local function draw_points(spec)
  local low, high = draw.extent(spec.points, "x")
  local place_x, ticks_x = draw.axis(low, high, spec.log == "x")
  low, high = draw.extent(spec.points, "y")
  local place_y, ticks_y = draw.axis(low, high, spec.log == "y")
  local colours, order = colours_of(spec.points)
  local left, top, tall = MARGIN + 60, MARGIN + LINE, 320
  local p = page()
  for _, tick in ipairs(ticks_x) do
    local x = left + place_x(tick) * PLOT
    p:line(x, top, x, top + tall, "grid")
    p:text(x, top + tall + LINE, format.short(tick), "middle")
  end
  for _, tick in ipairs(ticks_y) do
    local y = top + (1 - place_y(tick)) * tall
    p:line(left, y, left + PLOT, y, "grid")
    p:text(left - 8, y + 4, format.short(tick), "end")
  end
  p:text(left + PLOT / 2, top + tall + 2 * LINE, spec.x, "middle")
  p:text(left - 8, top - 8, spec.y, "end")
  for _, point in ipairs(spec.points) do
    dot(p, left + place_x(point.x) * PLOT, top + (1 - place_y(point.y)) * tall, colours[point.label or ""], point.mark)
  end
  local more = legend(p, left, top + tall + 3 * LINE + 4, colours, order)
  return document(p, left + PLOT + 2 * MARGIN, top + tall + 2 * LINE + more + MARGIN)
end

local function draw_bars(spec)
  local most, names = 1, 0
  for i, count in ipairs(spec.counts) do
    most, names = math.max(most, count), math.max(names, #draw.bar_label(spec, i))
  end
  local left = MARGIN + names * 8 + 8
  local p = page()
  for i, count in ipairs(spec.counts) do
    local y = MARGIN + (i - 1) * LINE
    p:text(left - 8, y + 13, draw.bar_label(spec, i), "end")
    p:add('<rect x="%.1f" y="%.1f" width="%.1f" height="%d" fill="%s"/>', left, y + 2, count / most * PLOT, LINE - 4,
          COLOURS[1])
    p:text(left + count / most * PLOT + 6, y + 13, tostring(count))
  end
  return document(p, left + PLOT + 100, 2 * MARGIN + #spec.counts * LINE)
end

function svg.draw(spec)
  if spec.kind == "lines" then return draw_lines(spec) end
  if spec.kind == "points" then return draw_points(spec) end
  return draw_bars(spec)
end

return svg
