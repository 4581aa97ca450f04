-- Tables, scores and timings.
local wane = require "wane"
local core = require "wane.core"
local format = require "wane.format"
local score = require "wane.score"

local function about(hash) return { protocol = "p", version = 1, hash = hash } end

local function layers()
  local t = wane.table("down-" .. tostring(core.next_draw "tables"), { "layer", "scale", "kind" })
  for i = 0, 9 do
    t:add { layer = "layers." .. i, scale = i == 6 and 1000 or 8 + i / 10, kind = i % 2 == 0 and "even" or "odd" }
  end
  return t
end

case("rows, columns, walking", function()
  local t = layers()
  equal(#t, 10)
  equal(t[1].layer, "layers.0")
  equal(t[-1].layer, "layers.9")
  equal(t[11], nil)
  local seen = 0
  for row in t do
    for inner in t do
      if inner.layer == "layers.2" then break end
    end
    seen = seen + 1
    equal(row.layer, "layers." .. seen - 1)
  end
  equal(seen, 10)
end)

case("equal rows are walked one by one", function()
  local t = wane.table("equal", { "a" })
  for _ = 1, 3 do t:add { a = 1 } end
  local n = 0
  for _ in t do n = n + 1 end
  equal(n, 3)
end)

case("what a table refuses", function()
  local t = layers()
  fails(function() t:add { lay = 1 } end, "no column 'lay'; did you mean 'layer'?")
  fails(function() return t[1].lay end, "no column 'lay'")
  fails(function() t[1].layer = 3 end, "a row cannot be assigned to")
  fails(function() t.layer = 3 end, "rows are added with t:add")
  fails(function() t:add { layer = {} } end, "column 'layer': a table is no cell")
  fails(function() t:outliers("kind", {}) end, "row 1, column 'kind' is even, not a number")
  fails(function() t:outliers("scale", { ovr = 1 }) end, "ovr")
  fails(function() t:save "t.txt" end, "'t.txt' ends neither in .csv nor in .jsonl")
  fails(function() wane.table("x", { "a", "a" }) end, "column 'a' stands there twice")
  fails(function() wane.table("a/b", { "a" }) end, "name 'a/b' is no file name")
end)

case("outliers by neighbours, by the whole", function()
  local t = layers()
  local found = t:outliers("scale", { over = 20, among = 7 })
  equal(#found, 1)
  equal(found[1], "layers.6")
  equal(#t:outliers("scale", { over = 200 }), 0)
  equal(#t:outliers("scale", { over = 100 }), 1)
  local step = wane.table("step", { "layer", "x" })
  for i = 1, 9 do step:add { layer = "l" .. i, x = i > 6 and 10 or 1 } end
  equal(tostring(step:outliers("x", { over = 5 })), "l7 l8 l9")
  equal(#step:outliers("x", { over = 5, among = 3 }), 0)
end)

case("mean: one row per combination, numbers become scores", function()
  local t = layers():mean { "kind" }
  equal(#t, 2)
  equal(t[1].kind, "even")
  near(t[2].scale.value, 8.5, 1e-9)
  equal(t[2].scale.items, 5)
  equal(t[1].layer, nil)
end)

case("a run's own tables keep their names", function()
  fails(function() wane.table("metrics", { "x" }) end,
        "wane.table: 'metrics' is a table of the run itself: a row for each layer that wane.quantize solved")
  fails(function() wane.table("profile", { "x" }) end, "'profile' is a table of the run itself: what --profile saw")
end)

case("saved as csv and jsonl", function()
  local t = wane.table("saved", { "name", "x", "s" })
  t:add { name = 'a "b", c', x = 1.5, s = score.new(2, { -1, 1 }, about "h") }
  t:add { name = "d", x = 3 }
  local folder = core.options.run or "."
  local path = folder .. "/wane-tables-test"
  t:save(path .. ".csv")
  equal(core.read(path .. ".csv"), 'name,x,s,s_error\n"a ""b"", c",1.5,2,1\nd,3,,\n')
  t:save(path .. ".jsonl")
  local line = core.read(path .. ".jsonl"):match "^[^\n]*"
  local row = core.parse_json(line, "line")
  equal(row.x, 1.5)
  equal(row.s.error, 1)
  equal(row.s.protocol, "p")
  os.remove(path .. ".csv")
  os.remove(path .. ".jsonl")
end)

case("printed in columns", function()
  local t = wane.table("printed", { "scheme", "ppl", "empty" })
  t:add { scheme = wane.int { bits = 4 }, ppl = score.new(9.92, { 0.6, -0.6 }, about "h") }
  t:add { scheme = "base", ppl = 12.5 }
  equal(tostring(t), "scheme  ppl\nint4    9.9 ± 0.6\nbase    12.5")
end)

case("scores: errors of sums, paired differences, other items", function()
  local a = score.new(3, { 1, -1, 2, -2 }, about "h")
  local b = score.new(2, { 1, -1, 2, -2.2 }, about "h")
  near(a.error, math.sqrt(10 / 12), 1e-12)
  near((a - b).error, math.sqrt(0.04 / 12), 1e-12)
  equal((a - b).value, 1)
  near((a + a).error, 2 * a.error, 1e-12)
  near((a / 2).error, a.error / 2, 1e-12)
  near((3 * a).value, 9, 0)
  local c = score.new(1, { 1, -1 }, about "other")
  near((a + c).error, math.sqrt(a.error ^ 2 + c.error ^ 2), 1e-12)
  fails(function() return a - c end, "score: a difference of scores on other items says nothing")
  fails(function() return a * b end, "a product of two scores has no paired error")
  fails(function() return a + "x" end, "the sum of a score and a string")
  fails(function() a.value = 3 end, "a score is a value")
  fails(function() return a.valu end, "score: no field 'valu'")
  check(b < a and a < 3.5 and not (a < 3), "comparison by value")
  equal(((a + c) / 2 - (a + c) / 2).value, 0)
end)

case("the weighted mean and its error", function()
  local mean, influence = score.weighted_mean({ 1, 2, 4 }, { 10, 10, 20 })
  equal(mean, 2.75)
  local sum = 0
  for _, v in ipairs(influence) do sum = sum + v end
  near(sum, 0, 1e-12)
end)

case("how numbers with errors read", function()
  equal(format.measured(9.923, 0.312), "9.92 ± 0.31")
  equal(format.measured(1844.3, 212), "1844 ± 210")
  equal(format.measured(0.02312, 0.00061), "0.0231 ± 0.0006")
  equal(format.measured(0.8768, 0.0097), "0.877 ± 0.010")
  equal(format.measured(0.21, 0.04, true), "+0.21 ± 0.04")
  equal(format.measured(-0.21, 0.04, true), "-0.21 ± 0.04")
  equal(format.number(73728.4), "73728")
  equal(format.number(0.00001234), "1.23e-5")
  equal(format.number(3.0), "3")
end)

case("timings", function()
  local seconds, a, b = wane.time(function(x) return x, x + 1 end, 3)
  equal(a, 3)
  equal(b, 4)
  check(seconds.seconds >= 0 and seconds < 60, "seconds")
  check(100 / (seconds + 1) > 0, "usable as a number")
  fails(function() return (100 / (seconds + 1)).seconds end, "timing: no field 'seconds'")
  fails(function() wane.time(3) end, "wane.time: argument 1 (f) is a number")
  check(tostring(seconds):find "s$", "printed with its unit")
end)
