-- The words of errors: what is wrong, with the values; then the operands and where they came from; at most one hint.
local core = require "wane.core"

local x = core.tensor { { 1, 2, 3 }, { 4, 5, 6 } }

-- The text of an error without its place, which is checked apart.
local function text_of(fn)
  local ok, problem = pcall(fn)
  check(not ok, "no error")
  return (tostring(problem):gsub("^[^:]+:%d+: ", ""))
end

case("arguments are named", function()
  equal(text_of(function() x:matmul(nil) end), "matmul: argument 1 (y): expected tensor, got nil")
  equal(text_of(function() x:matmul() end), "matmul: argument 1 (y): expected tensor, got nil")
  equal(text_of(function() x:matmul "y" end), "matmul: argument 1 (y): expected tensor, got 'y'")
  equal(text_of(function() core.matmul(x, 3) end), "matmul: argument 2 (y): expected tensor, got 3")
  equal(text_of(function() core.eye(2.5) end), "eye: argument 1 (n): expected an integer, got 2.5")
  equal(text_of(function() core.zeros { 2, "3" } end), "zeros: argument 1 (shape): entry 2: expected an integer, got '3'")
  equal(text_of(function() core.zeros(print) end), "zeros: argument 1 (shape): expected a list of sizes, got function")
  equal(text_of(function() x:sum(3) end), "sum: argument 1 (dim): dim 3 of a tensor with 2 dims")
  equal(text_of(function() x:sum(0) end), "sum: argument 1 (dim): dim 0 of a tensor with 2 dims")
  equal(text_of(function() x:sum { 1, 1 } end), "sum: argument 1 (dim): a dim given twice")
  equal(text_of(function() x:sum(1, 2) end),
        "sum: takes 1 argument, got 2\n  it is   sum([dim or list of dims]) -> tensor, or a number over all")
  equal(text_of(function() x:maximum {} end), "maximum: argument 1 (y): expected tensor or number, got table")
  equal(text_of(function() x.matmul(nil, x) end),
        "matmul: expected tensor, got nil\n  hint   methods take a colon: x:matmul(...)")
  equal(text_of(function() core.concat { x, 1 } end), "concat: argument 1 (list): entry 2: expected tensor, got 1")
end)

case("options and closed words list the valid ones and the nearest", function()
  equal(text_of(function() core.zeros({ 2 }, { dtpe = "f32" }) end),
        "zeros: no option 'dtpe'; did you mean 'dtype'?\n  it has   dtype")
  equal(text_of(function() core.zeros({ 2 }, { dtype = 3 }) end), "zeros: option 'dtype': expected a string, got 3")
  equal(text_of(function() x:to "bf17" end),
        "to: no dtype 'bf17'; did you mean 'bf16'?\n  it is one of   f64, f32, bf16, f16, e4m3, e5m2, i64, i32, i8, u8, bool")
  equal(text_of(function() x:sort(1, "up") end), "sort: no order 'up'\n  it is one of   rising, falling")
end)

case("fields name the nearest", function()
  equal(text_of(function() return x.shap end), "tensor: no field or method 'shap'; did you mean 'shape'?")
  equal(text_of(function() return x:absmx() end), "tensor: no field or method 'absmx'; did you mean 'absmax'?")
  equal(text_of(function() return x.qqqqqq end), "tensor: no field or method 'qqqqqq'")
end)

case("what Lua cannot say about tensors has a hint", function()
  equal(text_of(function() return x < x end),
        "tensors have no order that is true or false\n  hint   use a:lt(b), or b:gt(a)")
  equal(text_of(function() return x >= 1 end),
        "tensors have no order that is true or false\n  hint   use a:le(b), or b:ge(a)")
  equal(text_of(function() x[1] = 2 end),
        "a tensor is a value; it cannot be assigned to\n  hint   use x:with({ rows, cols }, v), or wane.buffer(x)")
  equal(text_of(function() x.name = 2 end),
        "a tensor is a value; it cannot be assigned to\n  hint   use x:with({ rows, cols }, v), or wane.buffer(x)")
  equal(text_of(function() return x // 2 end), "tensors have no //\n  hint   use (a / b):floor()")
  equal(text_of(function() return x + nil end), "add: expected tensor or number on the right, got nil")
  equal(text_of(function() return {} - x end), "sub: expected tensor or number on the left, got table")
  fails(function() return x .. "text" end, "attempt to concatenate a tensor value")
  equal(getmetatable(x), "tensor")
end)

case("operands show shape, dtype and the line that made them", function()
  local a = core.flush(x + 1)
  local text = text_of(function() return a:matmul(x) end)
  check(text:find("matmul: inner sizes differ: 3 and 2\n", 1, true), text)
  check(text:find("left    [2 x 3]   f32  made by add at ", 1, true), text)
  check(text:find "right +%[2 x 3%]   f32  made by tensor at [%w_/.]+errors.lua:4", text)
end)

case("positions are checked", function()
  equal(text_of(function() return x[3] end), "index: position 3 in dim 1 of size 2")
  equal(text_of(function() return x[{ 1, 0 }] end), "index: position 0 in dim 2; positions count from 1")
  equal(text_of(function() return x[{ 1, 2, 3 }] end),
        "index: 3 positions for 2 dims\n  hint   a range stands in braces of its own: x[{ {1, 4} }]")
  equal(text_of(function() return x[{ {}, { 2, 4 } }] end), "index: range {2, 4} in dim 2 of size 3")
  equal(text_of(function() return x[{ {}, { 1, 2, 3 } }] end),
        "index: dim 2 has a range of 3 numbers, expected {first, last} or {}")
  equal(text_of(function() return x[1.5] end), "index: expected a position or a list of positions, got 1.5")
  equal(text_of(function() return x:with({ 1 }, core.zeros { 2 }) end):match "^[^\n]+",
        "with: a value of [2] for a place of [3]")
end)

case("numbers that integers cannot hold are errors", function()
  local i = core.tensor({ 1, 2 }, { dtype = "i32" })
  fails(function() return i + 0.5 end, "the number 0.5 is not whole and the tensor holds i32")
  fails(function() return i:to "i8" + 300 end, "the number 300 does not fit in i8: -128 to 127")
  fails(function() return core.tensor({ 0.5 }, { dtype = "u8" }) end, "the number 0.5 is not whole and the tensor holds u8")
  fails(function() return core.tensor { 1, true } end, "tensor: numbers and true or false in one tensor")
  fails(function() return core.tensor { { 1, 2 }, { 3 } } end, "tensor: 1 entries at [2], the first list has 2")
  fails(function() return core.tensor { { 1, 2 }, { 3, "a" } } end, "tensor: expected a number in the list at [2], got 'a'")
end)

case("a freed tensor names the line that freed it", function()
  local t = core.ones { 2 }
  t:free()
  local text = text_of(function() return t + 1 end)
  check(text:find "^add: tensor was freed at [%w_/.]*errors.lua:%d+$", text)
  check(tostring(t):find "^tensor freed at ", tostring(t))
  local kept
  do
    local scoped <close> = core.ones { 2 }
    kept = scoped
  end
  fails(function() return kept:sum() end, "sum: tensor was freed at")
end)

case("a stale view of a buffer names the line of the write", function()
  local b = core.buffer(core.zeros { 2, 2 })
  local view = b[{ 1, {} }]
  b[{ 1, 1 }] = 5
  local text = text_of(function() return view:sum() end)
  check(text:find "the buffer was written at [%w_/.]*errors.lua:%d+", text)
  equal(b[{ 1, {} }]:totable(), { 5, 0 })
  local value = b:freeze()
  equal(value:totable(), { { 5, 0 }, { 0, 0 } })
  fails(function() b[{ 1, 1 }] = 6 end, "fr")
end)

case("the place is the script's line, also through the standard library", function()
  local problem = select(2, pcall(function()
    return core.matmul(x, nil)
  end))
  check(problem.place:find "errors.lua:%d+$", problem.place)
  equal(problem.fault, 1)
  equal(problem.message, "matmul: argument 2 (y): expected tensor, got nil")
  check(("%s"):format(problem):find "errors.lua", "format shows the text")
  check((problem .. "!"):sub(-1) == "!")
end)

case("core.fail makes errors of the same form", function()
  equal(text_of(function()
    core.fail("thing: wrong", { notes = { { "left", "1" }, { "longer", "2" } }, hint = "do this" })
  end), "thing: wrong\n  left     1\n  longer   2\n  hint     do this")
  local problem = fails(function() core.fail("gone", { fault = 66, at = { "other.lua", 7 } }) end, "other.lua:7: gone")
  equal(problem.fault, 66)
  fails(function() core.fail("x", { hnt = "y" }) end, "fail: no option 'hnt'; did you mean 'hint'?")
end)

case("values asked for while tracing", function()
  local pending = x + 1
  local asking = { function(t) return t:item() end, function(t) return t:absmax(2) end, function(t) return t:sum() end,
                   function(t) return t:totable() end, function(t) return t:matmul(t) end }
  if core.environment "WANE_FUSE" ~= "0" then -- views compute only what is pending, and unfused nothing is
    asking[#asking + 1] = function(t) return t:reshape { 6 } end
    asking[#asking + 1] = function(t) return t[1] end
  end
  for _, f in ipairs(asking) do
    fails(function() core.trace(f, pending) end, "a value is asked for while tracing")
  end
  local y = core.trace(function(t) return core.where(t:lt(3), t:abs(), t * 2):lookup { 1, 2, 3 } end, pending)
  equal(y.shape, { 2, 3 })
  pending:sum()
end)

case("files tell what is missing", function()
  local problem = fails(function() core.read "no/such/file" end, "no/such/file")
  equal(problem.fault, 66)
  equal(fails(function() core.publish("no/such/folder/file", "x") end, "no/such/folder").fault, 73)
  equal(fails(function() core.parse_json("{\"a\": 1,}", "t.json") end, "t.json").fault, 65)
  fails(function() core.regex "(" end, "regex: '('")
  equal(fails(function() core.checkpoint "no/such/model" end, "no/such/model").fault, 66)
end)

case("wrong use of any function is an error of ours, never a crash", function()
  local left_out = { publish = true, append = true, mkdir = true, writer = true, model_fetch = true, progress = true,
                     note = true, deviation = true, method = true, document = true, trace = true, rivals = true,
                     set_threads = true, set_fusing = true }
  local functions = {}
  for name, f in pairs(core) do
    if type(f) == "function" and not left_out[name] then functions[#functions + 1] = name end
  end
  local tensors = { x, core.zeros { 0 }, core.zeros { 3, 0, 2 }, core.full({}, 3), core.arange(4), x + 1, x:to "bf16",
                    core.tensor { true, false }, core.ones { 1, 2, 2, 4 }, core.ones { 5, 3 }[{ { 2, 4 }, 2 }] }
  local freed = core.ones { 2 }
  freed:free()
  local others = { 0, 1, -1, 2, 1.5, 0 / 0, math.mininteger, math.maxinteger, "", "f32", "falling", {}, { 1 }, { 2, -1 },
                   { { 1 }, {} }, { "x" }, { dtype = "i32" }, true, print, freed, core.cache(2), core.buffer(x), "[a", { x, 1 } }
  local function any() return math.random(2) == 1 and tensors[math.random(#tensors)] or others[math.random(#others)] end
  local methods, raised, rounds = core.tensor_fields(), 0, 3000
  for _ = 1, rounds do
    local arguments = { any(), any(), any() }
    local name, f = functions[math.random(#functions)], nil
    f = core[name]
    if math.random(2) == 1 then
      name = methods[math.random(#methods)]
      arguments[1] = tensors[math.random(#tensors)]
      if name ~= "free" then f = function(t, ...) return t[name](t, ...) end end
    end
    local ok, problem = pcall(f, table.unpack(arguments, 1, math.random(0, 3)))
    if not ok then
      raised = raised + 1
      check(not tostring(problem):find("internal", 1, true), name .. ": " .. tostring(problem))
    end
  end
  check(raised > rounds / 2 and raised < rounds, raised .. " of " .. rounds .. " calls raised")
end)
