-- The deterministic prelude: what a script may not reach, and what answers the same in every process.
local core = require "wane.core"

case("pairs walks numbers, then strings, then false and true", function()
  local keys = {}
  for key in pairs { z = 1, b = 1, [3] = 1, [1] = 1, [2.5] = 1, [-7] = 1, a = 1, [true] = 1, [false] = 1, [1e300] = 1 } do
    keys[#keys + 1] = tostring(key)
  end
  equal(table.concat(keys, " "), "-7 1 2.5 3 1e+300 a b z false true")
end)

case("pairs walks a snapshot of the keys", function()
  local t, seen = { a = 1, b = 2, c = 3 }, {}
  for key in pairs(t) do
    seen[#seen + 1] = key
    t.b, t.z = nil, 1
  end
  equal(table.concat(seen), "ac")
end)

case("pairs obeys __pairs and names what it cannot order", function()
  local list = setmetatable({}, { __pairs = function() return function(_, i) if i < 2 then return i + 1 end end, nil, 0 end })
  local count = 0
  for _ in pairs(list) do count = count + 1 end
  equal(count, 2)
  fails(function() pairs { [{}] = 1 } end, "pairs: a table as key has no order")
  fails(function() pairs { [print] = 1 } end, "pairs: a function as key has no order")
  fails(function() pairs(nil) end, "pairs: argument 1 (table): expected a table, got nil")
end)

case("next tells whether there is a pair, in order", function()
  equal({ next {} }, {})
  equal({ next { b = 2, a = 1 } }, { "a", 1 })
  fails(function() next({ 1, 2 }, 1) end, "use pairs, which is ordered")
end)

case("texts hold no addresses", function()
  equal(tostring {}, "table")
  equal(tostring(print), "function")
  equal(tostring(coroutine.create(print)), "thread")
  equal(("%s %s"):format({}, nil), "table nil")
  equal(("%5.1f|%d|%q|%%"):format(1.25, 3, "a"), "  1.2|3|\"a\"|%")
  equal(tostring(0 / 0), "nan")
  equal(tostring(-(0 / 0)), "nan")
  equal(tostring(setmetatable({}, { __tostring = function() return "mine" end })), "mine")
  fails(function() return ("%p"):format({}) end, "format: %p would print an address")
  fails(function() return ("%d"):format("x") end, "format: argument 2: number expected, got string")
end)

case("random numbers repeat from process to process", function()
  local first = { math.random(), math.random(1000), math.random(-5, 5) }
  check(first[1] >= 0 and first[1] < 1)
  check(math.type(first[2]) == "integer" and first[2] >= 1 and first[2] <= 1000)
  for _ = 1, 200 do
    local r = math.random(3, 5)
    check(r >= 3 and r <= 5)
  end
  check(math.type(math.random(math.mininteger, math.maxinteger)) == "integer")
  fails(function() math.random(2, 1) end, "random: the interval 2 to 1 is empty")
  fails(function() math.randomseed(1) end, "runs must repeat")
end)

case("clock, environment and programs are out of reach", function()
  for _, f in ipairs { os.time, os.clock, os.date, os.getenv, os.tmpname, os.execute, os.exit, io.popen, io.tmpfile } do
    fails(f, "is not there: runs must repeat")
  end
  equal(rawget(os, "setlocale"), nil)
  equal(rawget(string, "dump"), nil)
  equal(rawget(debug, "sethook"), nil)
  equal(package.cpath, "")
  equal(rawget(package, "loadlib"), nil)
end)

case("chunks are text", function()
  equal(load "return 1 + 1" (), 2)
  equal(load("return x", "name", "t", { x = 5 })(), 5)
  local chunk, problem = load "\27Lua"
  check(chunk == nil and problem:find "binary")
  fails(function() load("return 1", "x", "b") end, "compiled chunks are not read")
  local _, message = load("return +", "=mine")
  check(message:find "mine:1:", message)
end)

case("finalizers and weak tables are refused", function()
  fails(function() setmetatable({}, { __gc = function() end }) end, "__gc runs at times that differ from run to run")
  fails(function() setmetatable({}, { __mode = "k" }) end, "weak tables lose entries")
  fails(function() setmetatable("x", {}) end, "setmetatable: argument 1 (table): expected a table, got 'x'")
  fails(function() collectgarbage "step" end, "only \"collect\" and \"count\" are there")
  check(collectgarbage "count" > 0)
end)

case("globals that were never set are errors", function()
  fails(function() return undefined_name end, "unknown global 'undefined_name'")
  fails(function() return tostrin(1) end, "did you mean 'tostring'?")
end)

case("table.sort is stable and takes any order function", function()
  local list = {}
  for i = 1, 300 do list[i] = { key = i % 7, at = i } end
  table.sort(list, function(a, b) return a.key < b.key end)
  for i = 2, #list do
    check(list[i - 1].key < list[i].key or (list[i - 1].key == list[i].key and list[i - 1].at < list[i].at))
  end
  local words = { "b", "a", "B", "A" }
  table.sort(words)
  equal(table.concat(words), "ABab")
  table.sort(words, function() return true end)
  equal(#words, 4)
  fails(function() table.sort { 1, "x" } end, "attempt to compare")
  fails(function() table.sort({ 2, 1 }, 3) end, "sort: argument 2 (less): expected a function, got 3")
end)

case("string patterns work as the manual says", function()
  equal({ ("key = value"):match "^(%w+)%s*=%s*(%w+)$" }, { "key", "value" })
  equal({ ("hello world"):find "o w" }, { 5, 7 })
  equal({ ("a.b"):find(".", 1, true) }, { 2, 2 })
  equal({ ("THE (quick) fox"):find "%((%a+)%)" }, { 5, 11, "quick" })
  equal({ ("abc"):gsub("%w", "%0%0") }, { "aabbcc", 3 })
  equal({ ("hello"):gsub("", "-") }, { "-h-e-l-l-o-", 6 })
  equal({ ("$name is $age"):gsub("%$(%w+)", { name = "x", age = 3 }) }, { "x is 3", 2 })
  equal({ ("abc"):gsub("b", function() return nil end) }, { "abc", 1 })
  local words = {}
  for word, at in ("one two  three"):gmatch "(%a+)()" do words[#words + 1] = word .. at end
  equal(words, { "one4", "two8", "three15" })
  fails(function() return ("x"):find "[a" end, "malformed pattern: ']' is missing")
  fails(function() return ("x"):gsub("x", "%2") end, "gsub: no capture %2 in the replacement")
  fails(function() return ("x"):rep(1 << 40) end, "too large")
end)

case("a hostile pattern ends by itself", function()
  fails(function() return ("a"):rep(3000):find(("a-"):rep(7) .. "b") end, "steps on this text")
end)

case("coroutines behave as Lua's", function()
  local co = coroutine.create(function(a, b)
    local c = coroutine.yield(a + b)
    error("end " .. c, 0)
  end)
  equal({ coroutine.resume(co, 1, 2) }, { true, 3 })
  equal({ coroutine.resume(co, "x") }, { false, "end x" })
  equal({ coroutine.resume(co) }, { false, "cannot resume dead coroutine" })
  local gen = coroutine.wrap(function() for i = 1, 2 do coroutine.yield(i) end end)
  equal({ gen(), gen() }, { 1, 2 })
  local closed = false
  local bad = coroutine.wrap(function()
    local x <close> = setmetatable({}, { __close = function() closed = true end })
    error("inside", 0)
  end)
  fails(bad, "inside")
  check(closed, "a wrapped coroutine that fails closes its variables")
  fails(function() coroutine.resume(3) end, "coroutine expected")
end)

case("xpcall calls its handler", function()
  local ok, text = xpcall(function() error("oh", 0) end, function(e) return "handled " .. e end)
  equal({ ok, text }, { false, "handled oh" })
  equal({ xpcall(function(...) return ... end, print, 1, 2) }, { true, 1, 2 })
end)

case("modules come from the standard library and from files", function()
  equal(require "wane.core", core)
  fails(function() require "wane.nothing" end, "no file 'nothing.lua' in the standard library")
  fails(function() require "no_such_module" end, "module 'no_such_module' not found")
end)
