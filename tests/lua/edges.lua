-- What the texts of help() say about NaN, infinities, -0, empty tensors, dims of size 0, tensors without dims, integer
-- overflow, shifts and division by zero, case by case.
local core = require "wane.core"

local inf, nan = math.huge, 0 / 0
local floats = { "f64", "f32", "bf16", "f16", "e5m2" } -- e4m3 has no infinity
local whole = { i64 = { math.mininteger, math.maxinteger }, i32 = { -2147483648, 2147483647 }, i8 = { -128, 127 }, u8 = { 0, 255 } }

local function one(value, dtype) return core.full({}, value, { dtype = dtype }) end
local function is(t, want, label)
  local got = t:item()
  local alike = got == want and (want ~= 0 or math.type(want) == "integer" or 1 / got == 1 / want) or got ~= got and want ~= want
  if not alike then check(false, ("%s: expected %s, got %s"):format(label, want, got)) end
end

case("division, modulo and powers at zero and infinity", function()
  for _, dtype in ipairs(floats) do
    local function x(v) return one(v, dtype) end
    is(x(1) / 0, inf, "1 / 0") is(x(-1) / 0, -inf, "-1 / 0") is(x(1) / x(-0.0), -inf, "1 / -0") is(x(0) / 0, nan, "0 / 0")
    is(x(inf) / inf, nan, "inf / inf") is(x(inf) - inf, nan, "inf - inf") is(x(0) * inf, nan, "0 * inf")
    is(x(5) % 0, nan, "5 % 0") is(x(inf) % 2, nan, "inf % 2") is(x(-7) % 3, 2.0, "-7 % 3") is(x(7) % -3, -2.0, "7 % -3")
    is(x(nan) ^ 0, 1.0, "nan ^ 0") is(x(1) ^ nan, 1.0, "1 ^ nan") is(x(-2) ^ 0.5, nan, "-2 ^ 0.5") is(x(0) ^ -1, inf, "0 ^ -1")
    is(x(-0.0):reciprocal(), -inf, "1 / -0") is(x(0):rsqrt(), inf, "rsqrt 0") is(x(-1):sqrt(), nan, "sqrt -1") is(x(-0.0):sqrt(), -0.0, "sqrt -0")
    is(x(0):log(), -inf, "log 0") is(x(-1):log2(), nan, "log2 -1") is(x(-1):log1p(), -inf, "log1p -1")
    is(x(-inf):exp(), 0.0, "exp -inf") is(x(inf):sin(), nan, "sin inf")
    for _, name in ipairs { "silu", "gelu", "gelu_tanh" } do
      is(x(-inf)[name](x(-inf)), -0.0, name .. " of -inf") is(x(inf)[name](x(inf)), inf, name .. " of inf")
    end
    is(x(nan):relu(), nan, "relu nan") is(x(-0.0):relu(), 0.0, "relu -0") is(x(-0.0):sign(), -0.0, "sign -0") is(x(nan):sign(), nan, "sign nan")
    is(x(-0.5):round(), -0.0, "round -0.5") is(x(2.5):round(), 2.0, "round 2.5") is(x(-0.5):ceil(), -0.0, "ceil -0.5")
    is(x(-0.5):trunc(), -0.0, "trunc -0.5") is(x(-0.0):floor(), -0.0, "floor -0") is(x(inf):floor(), inf, "floor inf")
    is(x(nan):maximum(1), nan, "max nan") is(x(1):minimum(nan), nan, "min nan") is(x(0):maximum(-0.0), -0.0, "max 0, -0")
    is(x(nan):clamp(0, 1), nan, "clamp nan") is(x(5):clamp(nan, nil), nan, "clamp to nan") is(x(5):clamp(nan, 9), nan, "clamp to nan")
    for _, name in ipairs { "lt", "le", "gt", "ge", "eq" } do is(x(nan)[name](x(nan), nan), false, name .. " nan") end
    is(x(nan):ne(nan), true, "ne nan") is(x(0):eq(-0.0), true, "0 eq -0") is(x(nan):logical_not(), false, "not nan")
    is(core.where(x(nan), 1, 2), 1.0, "where nan") is(x(nan):to "bool", true, "nan to bool")
  end
end)

case("whole numbers wrap in their own width and are divided in f32", function()
  for dtype, ends in pairs(whole) do
    local low, high = one(ends[1], dtype), one(ends[2], dtype)
    is(high + 1, ends[1], dtype .. " overflow") is(low - 1, ends[2], dtype .. " underflow")
    equal((high / 2).dtype, "f32")
    is(one(7, dtype) / 0, inf, dtype .. " / 0") is(one(7, dtype) % 0, 0, dtype .. " % 0")
    if dtype ~= "u8" then
      is(one(3, dtype):shl(-1), 0, "shl -1") is(low:shr(-1), -1, "shr -1")
      is(-low, ends[1], "-low") is(low:abs(), ends[1], "abs low") is(low % -1, 0, "low % -1") is(one(-7, dtype) % 3, 2, "-7 % 3")
      is(one(2, dtype) ^ -1, 0, "2 ^ -1") is(one(-1, dtype) ^ -3, -1, "-1 ^ -3")
    end
    local width = ({ i64 = 64, i32 = 32, i8 = 8, u8 = 8 })[dtype]
    is(one(1, dtype):shl(width), 0, dtype .. " shl width")
    is(low:shr(width), ends[1] < 0 and -1 or 0, dtype .. " shr width")
    is(high:shl(1), dtype == "u8" and 254 or -2, dtype .. " shl 1")
  end
  local yes = core.tensor { true, false }
  equal((yes + yes):totable(), { 2, 0 })
  equal((yes + yes).dtype, "i32")
  equal((-yes):totable(), { -1, 0 })
end)

case("casts", function()
  for dtype, ends in pairs(whole) do
    is(one(1e30, "f32"):to(dtype), ends[2], "1e30 to " .. dtype) is(one(-1e30, "f32"):to(dtype), ends[1], "-1e30 to " .. dtype)
    is(one(nan, "f32"):to(dtype), 0, "nan to " .. dtype) is(one(2.9, "f32"):to(dtype), 2, "2.9 to " .. dtype)
  end
  is(one(-2.9, "f32"):to "i8", -2, "-2.9 to i8")
  is(one(300, "i32"):to "i8", 44, "300 to i8") is(one(-1, "i32"):to "u8", 255, "-1 to u8")
  is(one(464, "f32"):to "e4m3", 448.0, "464 to e4m3") is(one(480, "f32"):to "e4m3", nan, "480 to e4m3")
  is(one(inf, "f32"):to "e4m3", nan, "inf to e4m3") is(one(1e30, "f32"):to "e5m2", inf, "1e30 to e5m2") is(one(70000, "f32"):to "f16", inf, "70000 to f16")
end)

case("numbers that a dtype does not hold are refused", function()
  fails(function() core.arange(300, { dtype = "i8" }) end, "arange: 1 to 300 does not fit in i8: 300 is outside of -128 to 127")
  fails(function() core.arange(-1, 3, { dtype = "u8" }) end, "arange: -1 to 3 does not fit in u8: -1 is outside of 0 to 255")
  fails(function() core.full({ 2 }, 256, { dtype = "u8" }) end, "the number 256 does not fit in u8: 0 to 255")
  fails(function() core.full({ 2 }, 2.5, { dtype = "i32" }) end, "the number 2.5 is not whole and the tensor holds i32")
  equal(core.arange(127, { dtype = "i8" })[{ { 127, 127 } }]:item(), 127)
end)

case("nothing: empty tensors, dims of size 0", function()
  for _, dtype in ipairs { "f32", "bf16", "f64", "i32", "bool" } do
    local none = core.zeros({ 3, 0 }, { dtype = dtype })
    for _, name in ipairs { "sum", "prod", "any", "all", "absmax" } do
      local want = ({ sum = 0, prod = 1, any = false, all = true, absmax = 0 })[name]
      equal(none[name](none, 2).shape, { 3, 1 }, name)
      check(none[name](none, 2)[{ 2, 1 }]:item() == want, name .. " of nothing in " .. dtype)
      check(none[name](none) == want, name .. " of nothing at all in " .. dtype)
      equal(none[name](none, 1).shape, { 1, 0 }, name)
    end
    for _, name in ipairs { "min", "max", "argmax", "argmin" } do
      fails(function() none[name](none, 2) end, name .. ": nothing to reduce")
      fails(function() none[name](none) end, name .. ": nothing to reduce")
      equal(none[name](none, 1).shape, { 1, 0 }, name)
    end
    is(none:mean(2)[{ 1, 1 }], nan, "mean of nothing")
    equal(none:t().shape, { 0, 3 })
    equal(core.concat({ none, none }, 1).shape, { 6, 0 })
    equal(none:sort(2).shape, { 3, 0 })
    equal(none:cumsum(2).shape, { 3, 0 })
    equal(none:reshape({ 0, 7 }).shape, { 0, 7 })
    equal(#none:totable(), 3)
  end
  local none = core.zeros { 0, 5 }
  equal(none:softmax(2).shape, { 0, 5 })
  equal(core.zeros({ 4, 0 }):matmul(none):sum(), 0.0) -- a sum over nothing is 0
  equal(core.zeros({ 4, 0 }):matmul(none).shape, { 4, 5 })
end)

case("tensors without dims", function()
  local x = one(2.5, "f32")
  equal(x.shape, {})
  is(x + x, 5.0, "sum") equal((x + core.ones { 2, 3 }).shape, { 2, 3 }) equal(x:sum(), 2.5) equal(x:max(), 2.5)
  equal(x:reshape({ 1, 1 }).shape, { 1, 1 })
  fails(function() x:sum(1) end, "sum: argument 1 (dim): dim 1 of a tensor with 0 dims")
  fails(function() x:matmul(x) end, "matmul: matrices expected")
end)
