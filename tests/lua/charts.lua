-- Charts in the terminal and as SVG.
local wane = require "wane"
local core = require "wane.core"

local function scales()
  local t = wane.table("scales-" .. tostring(core.next_draw "charts"), { "layer", "absmax", "n", "kind" })
  for i = 0, 4 do
    t:add { layer = "layers." .. i, absmax = i == 3 and 50000 or 5 + i, n = i, kind = i % 2 == 0 and "a" or "b" }
  end
  return t
end

case("a line per row where y is text", function()
  local t = scales()
  local text = tostring(t:chart { x = "absmax", y = "layer", log = "x", mark = { "layers.3" } })
  local lines = {}
  for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line end
  equal(#lines, 6)
  check(lines[1]:find("^layers%.0 +5  [─]+●$"), lines[1])
  check(lines[4]:find("^layers%.3 +50000  [─]+●  <$"), lines[4])
  check(lines[6]:find "1 +10 +100 +1000 +10000 +100000 +absmax$", lines[6])
  check(utf8.len(lines[4]) > utf8.len(lines[1]) + 20, "the longest line is the largest value")
end)

case("points where both are numbers, with a legend", function()
  local text = tostring(scales():chart { x = "n", y = "absmax", log = "y", label = "kind" })
  check(text:find("● a   ○ b", 1, true), text)
  local dots = select(2, text:gsub("●", ""))
  equal(dots, 4) -- three points of a, one in the legend
end)

case("svg", function()
  local path = (core.options.run or ".") .. "/wane-charts-test.svg"
  local lines = scales():chart { x = "absmax", y = "layer", log = "x", mark = { "layers.3" }, label = "kind" }
  for _, chart in ipairs { lines, scales():chart { x = "n", y = "absmax" }, wane.tensor { 1, 2, 3, 3 }:hist() } do
    chart:save(path)
    local text = core.read(path)
    check(text:find "^<svg xmlns" and text:find "</svg>\n$", "an svg document")
    equal(select(2, text:gsub("<svg", "")), select(2, text:gsub("</svg>", "")))
  end
  os.remove(path)
  fails(function() scales():chart { x = "n", y = "absmax" }:save "x.png" end, "'x.png' does not end in .svg")
end)

case("histograms: one bar per whole value, else equal ranges", function()
  equal(tostring(wane.tensor({ 0, 1, 1, 3, 3, 3, 3 }, { dtype = "i32" }):hist()),
    "0  1  " .. ("█"):rep(13) .. "\n1  2  " .. ("█"):rep(25) .. "\n2  0\n3  4  " .. ("█"):rep(50))
  local text = tostring(wane.randn({ 1000 }, { stream = "hist" }):hist())
  local total = 0
  for line in text:gmatch "[^\n]+" do total = total + tonumber(line:match "^ *%S+ +(%d+)") end
  equal(total, 1000)
  fails(function() wane.tensor({ 0 / 0, 1 }):hist() end, "hist: the tensor has NaN or Inf")
end)

case("what a chart refuses", function()
  local t = scales()
  fails(function() t:chart { x = "absmac", y = "layer" } end, "no column 'absmac'; did you mean 'absmax'?")
  fails(function() t:chart { x = "layer", y = "n" } end, "column 'layer' has layers.0, not a finite number")
  fails(function() t:chart { x = "n", y = "layer", log = "x" } end, "log = 'x' of column 'n', which has 0")
  fails(function() t:chart { x = "n", y = "layer", log = "y" } end, "log = 'y' of column 'layer', which is text")
  fails(function() t:chart { x = "n", y = "layer", lable = "kind" } end, "lable")
  fails(function() wane.table("nothing", { "x", "y" }):chart { x = "x", y = "y" } end, "the table has no rows")
end)
