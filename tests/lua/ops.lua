-- Every map, in every dtype, over contiguous, strided, broadcast, empty and 0-d operands, against plain Lua numbers;
-- then the same trees fused, run op by op and flushed at random nodes, which must give the same bits.
--
-- A float result must lie between the roundings of (reference -+ the op's ulps); 0 ulps asks for the very bits of one
-- correct rounding. Whole numbers must be equal.
local core = require "wane.core"

local inf, nan = math.huge, 0 / 0

-- -- dtypes in Lua --------------------------------------------------------------------------------------------------
-- Digits of the significand, exponent of the least number, largest number.
local formats = {
  f64 = { 53, -1074, 1.7976931348623157e308 }, f32 = { 24, -149, 0x1.fffffep127 }, bf16 = { 8, -133, 0x1.fep127 },
  f16 = { 11, -24, 65504 }, e4m3 = { 4, -9, 448 }, e5m2 = { 3, -16, 57344 },
}
local widths = { i64 = 64, i32 = 32, i8 = 8, u8 = 8 }

local function step_of(v, format)
  local exponent = v == 0 and -1100 or tonumber(("%a"):format(v):match "p([+-]?%d+)")
  return 2.0 ^ math.max(exponent - format[1] + 1, format[2])
end

local function special(v) return v ~= v or v == inf or v == -inf or v == 0 end

-- v rounded to nearest even; e4m3 has no infinity.
local function rounded(dtype, v)
  if v ~= v then return nan end
  local format = formats[dtype]
  if not special(v) and dtype ~= "f64" then
    local step = step_of(v, format)
    local n = v / step
    if math.abs(n) < 2.0 ^ 52 then
      local low = n - n % 1
      local rest = n - low
      n = (rest > 0.5 or rest == 0.5 and low % 2 == 1) and low + 1 or low
    end
    v = n * step
    if math.abs(v) > format[3] then v = v > 0 and inf or -inf end
  end
  if dtype == "e4m3" and (v == inf or v == -inf) then return nan end
  return v
end

local function wrapped(dtype, v)
  local bits = widths[dtype]
  if bits == 64 then return v end
  v = v & ((1 << bits) - 1)
  return dtype ~= "u8" and v >= 1 << (bits - 1) and v - (1 << bits) or v
end

local function alike(a, b) return a == b or a ~= a and b ~= b end

-- Whether `got` is the reference, known to `ulps` of the lane or to `absolute`, rounded to the dtype.
local function fits(got, want, dtype, ulps, absolute)
  if type(want) == "boolean" or math.type(want) == "integer" then return got == want end
  if ulps == 0 or want ~= 0 and special(want) then return alike(got, rounded(dtype, want)) end
  local lane = dtype == "f64" and "f64" or "f32"
  local tolerance = math.max(ulps * step_of(want, formats[lane]), absolute or 0)
  local low, high = rounded(dtype, want - tolerance), rounded(dtype, want + tolerance)
  return alike(got, low) or alike(got, high) or got >= low and got <= high
end

-- -- the reference of every map -------------------------------------------------------------------------------------
-- r rounds to the lane the op computes in (f32 or f64), for ops that are defined by more than one rounding.
local function floor(v) return special(v) and v or v - v % 1 end
local function round(v)
  if special(v) or math.abs(v) >= 2.0 ^ 52 then return v end
  local low, rest = v - v % 1, v % 1
  return (rest > 0.5 or rest == 0.5 and low % 2 == 1) and low + 1 or low
end
local function expm1(v)
  local u = math.exp(v)
  if u == 1 then return v end
  if special(u) or u - 1 == -1 then return u - 1 end
  return math.abs(v) < 1e-5 and v + v * v / 2 + v * v * v / 6 or (u - 1) * v / math.log(u)
end
local function log1p(v)
  local u = 1 + v
  if u == 1 then return v end
  return special(u) and math.log(u) or math.log(u) * v / (u - 1)
end
local function tanh(v)
  if math.abs(v) > 20 then return v > 0 and 1.0 or -1.0 end
  local e = expm1(2 * v)
  return e / (e + 2)
end
-- The error function by its series of positive terms, beyond 3 by the continued fraction of its complement.
local function erfc(v)
  if v == inf then return 0.0 end
  local f = v
  for k = 120, 1, -1 do f = v + k / 2 / f end
  return math.exp(-v * v) / math.sqrt(math.pi) / f
end
local function erf(v)
  if v ~= v then return v end
  if math.abs(v) > 3 then return v > 0 and 1 - erfc(v) or erfc(-v) - 1 end
  local term, sum = v, v
  for k = 1, 100 do
    term = term * 2 * v * v / (2 * k + 1)
    sum = sum + term
  end
  return sum * math.exp(-v * v) * 2 / math.sqrt(math.pi)
end
local function normal_below(v) return v < -3 and erfc(-v / math.sqrt(2)) / 2 or (1 + erf(v / math.sqrt(2))) / 2 end
local function sigmoid(v) return v < 0 and math.exp(v) / (1 + math.exp(v)) or 1 / (1 + math.exp(-v)) end
local function times(a, b) return a == 0 and 0.0 or a * b end -- 0 * infinity where the limit is 0
local function log(v) return v < 0 and nan or math.log(v) end
local function log2(v) return v < 0 and nan or math.log(v, 2) end
local function sqrt(v) return v < 0 and nan or math.sqrt(v) end
local function within(limit) return function(v) return v ~= v or math.abs(v) <= limit end end

local function integer_power(a, b)
  if b < 0 then return a == 1 and 1 or a == -1 and (b % 2 == 0 and 1 or -1) or 0 end
  local y = 1
  while b > 0 do
    if b & 1 == 1 then y = y * a end
    a, b = a * a, b >> 1
  end
  return y
end
local function shift_left(a, b) return b > 63 and 0 or a << b end
local function shift_right(a, b) return a // (1 << math.min(b, 62)) end
local function same(v) return v end
local function sign(v) return v > 0 and 1 or v < 0 and -1 or v end

-- name -> { arity, real = f(a, b), ulps, near = bound by |a| where a factor cancels, whole = f(a, b), result = "same" | "real" | "bool", where = domain of a }
local maps = {
  add = { 2, real = function(a, b) return a + b end },
  sub = { 2, real = function(a, b) return a - b end },
  mul = { 2, real = function(a, b) return a * b end },
  div = { 2, real = function(a, b) return a / b end, result = "real" },
  mod = { 2, real = function(a, b, r) return a - r(b * floor(r(a / b))) end,
          whole = function(a, b) return b == 0 and 0 or a % b end },
  pow = { 2, real = function(a, b) return a ^ b end, ulps = 8, whole = integer_power,
          where = function(a, b) return a > 0 and a < 1e6 and math.abs(b) < 20 end },
  neg = { 1, real = function(a) return -a end },
  abs = { 1, real = math.abs, whole = function(a) return a < 0 and -a or a end },
  sign = { 1, real = function(a) return sign(a) * 1.0 end, whole = sign },
  square = { 1, real = function(a) return a * a end },
  maximum = { 2, real = function(a, b) return (a ~= a or b ~= b) and nan or math.max(a, b) end, whole = math.max },
  minimum = { 2, real = function(a, b) return (a ~= a or b ~= b) and nan or math.min(a, b) end, whole = math.min },
  sqrt = { 1, real = sqrt, result = "real" },
  rsqrt = { 1, real = function(a, _, r) return 1 / r(sqrt(a)) end, result = "real" },
  reciprocal = { 1, real = function(a) return 1 / a end, result = "real" },
  exp = { 1, real = math.exp, ulps = 2, result = "real" },
  exp2 = { 1, real = function(a) return 2.0 ^ a end, ulps = 2, result = "real" },
  expm1 = { 1, real = expm1, ulps = 4, result = "real" },
  log = { 1, real = log, ulps = 2, result = "real" },
  log2 = { 1, real = log2, ulps = 2, result = "real" },
  log1p = { 1, real = log1p, ulps = 4, result = "real", where = function(a) return a >= -1 end },
  sin = { 1, real = math.sin, ulps = 2, result = "real", where = within(1e4) },
  cos = { 1, real = math.cos, ulps = 2, result = "real", where = within(1e4) },
  tanh = { 1, real = tanh, ulps = 2, near = 2.0 ^ -50, result = "real" },
  erf = { 1, real = erf, ulps = 4, near = 2.0 ^ -50, result = "real" },
  sigmoid = { 1, real = sigmoid, ulps = 2, result = "real" },
  silu = { 1, real = function(a) return a == -inf and 0.0 or a * sigmoid(a) end, ulps = 4, near = 2.0 ^ -148, result = "real" },
  softplus = { 1, real = function(a) return math.max(a, 0) + log1p(math.exp(-math.abs(a))) end, ulps = 8, result = "real" },
  relu = { 1, real = function(a) return a ~= a and a or math.max(a, 0.0) end, whole = function(a) return math.max(a, 0) end },
  gelu = { 1, real = function(a) return times(normal_below(a), a) end, ulps = 16, near = 2.0 ^ -23, result = "real", where = within(5) },
  gelu_tanh = { 1, real = function(a) return a / 2 * (1 + tanh(math.sqrt(2 / math.pi) * (a + 0.044715 * a * a * a))) end,
                ulps = 16, near = 2.0 ^ -23, result = "real", where = function(a) return a > -20 and a < 1e4 end },
  round = { 1, real = round, whole = same },
  floor = { 1, real = floor, whole = same },
  ceil = { 1, real = function(a) return -floor(-a) end, whole = same },
  trunc = { 1, real = function(a) return a < 0 and -floor(-a) or floor(a) end, whole = same },
  isnan = { 1, real = function(a) return a ~= a end, whole = function() return false end, result = "bool" },
  isfinite = { 1, real = function(a) return a - a == 0 end, whole = function() return true end, result = "bool" },
  lt = { 2, real = function(a, b) return a < b end, result = "bool" },
  le = { 2, real = function(a, b) return a <= b end, result = "bool" },
  gt = { 2, real = function(a, b) return a > b end, result = "bool" },
  ge = { 2, real = function(a, b) return a >= b end, result = "bool" },
  eq = { 2, real = function(a, b) return a == b end, result = "bool" },
  ne = { 2, real = function(a, b) return a ~= b end, result = "bool" },
  band = { 2, whole = function(a, b) return a & b end },
  bor = { 2, whole = function(a, b) return a | b end },
  bxor = { 2, whole = function(a, b) return a ~ b end },
  bnot = { 1, whole = function(a) return ~a end },
  shl = { 2, whole = shift_left, shifts = true },
  shr = { 2, whole = shift_right, shifts = true },
  logical_and = { 2, real = function(a, b) return a ~= 0 and b ~= 0 end, result = "bool" },
  logical_or = { 2, real = function(a, b) return a ~= 0 or b ~= 0 end, result = "bool" },
  logical_not = { 1, real = function(a) return a == 0 end, result = "bool" },
}

local operators = {
  add = function(a, b) return a + b end, sub = function(a, b) return a - b end, mul = function(a, b) return a * b end,
  div = function(a, b) return a / b end, mod = function(a, b) return a % b end, pow = function(a, b) return a ^ b end,
}
local function apply(name, a, b)
  if operators[name] then return operators[name](a, b) end
  if b == nil then return a[name](a) end
  return a[name](a, b)
end

local names = {}
for name in pairs(maps) do names[#names + 1] = name end -- in the order of the names

-- -- operands -------------------------------------------------------------------------------------------------------
local rows, columns = 5, 9
local reals = {
  0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, -2.5, 3.7, -3.2, 1e-3, -1e-3, 100.25, -77.7, 1e-8, 10.0, -12.5, 0.1, inf, -inf,
  nan, 1e30, 1e-40, -0.0, 4.0, 6.75, -0.3, 2.0, 3.0, 0.25, -5.5, 7.0, 0.9, -0.9, 1.1, 42.0, -31.0, 1e-20, 0.7, -1.75,
  5.0, -6.0, 8.0, 0.125, 12.0,
}
local wholes = {}
for i = 1, rows * columns do wholes[i] = (i * 37 + i * i * 11) % 256 - 128 end
wholes[1], wholes[2], wholes[3], wholes[4] = 0, 1, -1, 2

local function matrix(list, dtype)
  local nested = {}
  for i = 1, rows do nested[i] = table.move(list, (i - 1) * columns + 1, i * columns, 1, {}) end
  return core.tensor(nested, { dtype = dtype })
end

-- Two operands of a dtype; the second is the first in another order.
local function operands(dtype, shifts)
  local list, other = {}, {}
  for i = 1, rows * columns do
    local v = formats[dtype] and reals[i] or wholes[i]
    if dtype == "u8" then v = v + 128 end
    if dtype == "i32" then v = v * 1000 end
    if dtype == "i64" then v = v * 100003 end
    if dtype == "bool" then v = v % 3 == 0 end
    list[i] = v
  end
  for i = 1, rows * columns do
    other[i] = list[(i * 7 + 3) % (rows * columns) + 1]
    if shifts then other[i] = i % 70 end
    if shifts and dtype == "bool" then other[i] = i % 2 == 0 end
  end
  return matrix(list, dtype), matrix(other, dtype)
end

local function flat(t)
  local list = {}
  for _, row in ipairs(t:totable()) do for _, v in ipairs(row) do list[#list + 1] = v end end
  return list
end

local keeps_bool = { maximum = true, minimum = true, band = true, bor = true, bxor = true }
local function result_dtype(name, dtype)
  local rule = maps[name].result
  if rule == "bool" then return "bool" end
  if rule == "real" then return formats[dtype] and dtype or "f32" end
  return dtype == "bool" and not keeps_bool[name] and "i32" or dtype
end

-- The reference of one element, or nil outside of the op's domain.
local function reference(name, dtype, a, b)
  local map = maps[name]
  if map.where and formats[dtype] and not map.where(a, b) then return nil end
  local function number(v) return v == true and 1 or v == false and 0 or v end
  a, b = number(a), number(b)
  if formats[dtype] or map.result == "real" then
    local lane = dtype == "f64" and "f64" or "f32"
    local function r(v) return rounded(lane, v) end
    if not formats[dtype] then
      a, b = r(a * 1.0), b and r(b * 1.0)
      if map.where and not map.where(a, b) then return nil end
    end
    local y = map.real(a, b, r)
    if type(y) == "number" and (map.ulps or 0) == 0 then y = r(y * 1.0) end -- the lane rounds before the dtype does
    return y
  end
  if map.shifts and dtype == "i64" and b > 63 and name == "shr" then b = 63 end
  if map.shifts and b > 62 then return name == "shl" and (b > 63 and 0 or wrapped(dtype == "bool" and "i32" or dtype, a << b)) or (a < 0 and -1 or 0) end
  local y = (map.whole or map.real)(a, b)
  if type(y) == "boolean" then return y end
  local result = result_dtype(name, dtype)
  if result == "bool" then return y ~= 0 end
  return wrapped(result, y)
end

local function same_values(got, want, label)
  check(got:same(want), label)
end

local all_dtypes = { "f64", "f32", "bf16", "f16", "e4m3", "e5m2", "i64", "i32", "i8", "u8", "bool" }

for _, dtype in ipairs(all_dtypes) do
  case("maps in " .. dtype, function()
    local checked = 0
    for _, name in ipairs(names) do
      local map = maps[name]
      local a, b = operands(dtype, map.shifts)
      if map[1] == 1 then b = nil end
      if not map.real and formats[dtype] then
        fails(function() apply(name, a, b) end, name .. ": integers expected, got " .. dtype)
      else
        local label = name .. " in " .. dtype
        local y = apply(name, a, b)
        local result = result_dtype(name, dtype)
        equal(y.dtype, result, label)
        equal(y.shape, { rows, columns }, label)
        local got, x, z = flat(y), flat(a), b and flat(b) or {}
        for i = 1, rows * columns do
          local want = reference(name, dtype, x[i], z[i])
          if want ~= nil then
            checked = checked + 1
            local bound = map.near and math.abs(x[i] == true and 1 or x[i] or 0) * map.near
            if not fits(got[i], want, result, map.ulps or 0, bound) then
              check(false, ("%s of %s and %s: expected %s, got %s"):format(label, x[i], z[i], want, got[i]))
            end
          end
        end
        -- strided, sliced, 0-d and empty operands give the same bits
        same_values(apply(name, a:t(), b and b:t()), y:t(), label .. ", transposed")
        local cut = { { 2, 4 }, { 3, 8 } }
        same_values(apply(name, a[cut], b and b[cut]), y[cut], label .. ", of a slice")
        same_values(apply(name, a[{ 2, 3 }], b and b[{ 2, 3 }]), y[{ 2, 3 }], label .. ", 0-d")
        equal(apply(name, core.zeros({ 0, 3 }, { dtype = dtype }), b and core.zeros({ 1, 3 }, { dtype = dtype })).shape,
              { 0, 3 }, label .. ", empty")
      end
    end
    check(checked > 30 * rows * columns / 2, "too few elements were checked: " .. checked)
  end)
end

case("every map of the engine is here", function()
  local special_forms = { lookup = true, clamp = true, to = true, cast = true, where = true }
  local missing = {}
  for name, method in pairs(core.tensor_methods()) do
    local elementwise = method.signature == "(y) -> tensor" or method.signature == "() -> tensor"
    if elementwise and not maps[name] and not special_forms[name] then missing[#missing + 1] = name end
  end
  local calls = "bnot cholesky diag expand flip freeze inverse inverse_upper matmul outer t transpose"
  for _, name in ipairs(missing) do
    check((" " .. calls .. " "):find(" " .. name .. " ", 1, true), "no reference for the map " .. name)
  end
end)

case("broadcast operands are read as if written out", function()
  for _, dtype in ipairs { "f32", "bf16", "i32", "f64" } do
    for _, name in ipairs(names) do
      local map = maps[name]
      if map[1] == 2 and (map.real or not formats[dtype]) then
        local a, b = operands(dtype, map.shifts)
        for _, part in ipairs { { 1, {} }, { {}, { 1, 1 } }, { { 3, 3 }, { 4, 4 } }, { { 2, 2 }, {} } } do
          local narrow = b[part]
          local wide = narrow:expand { rows, columns }:reshape { rows * columns }:reshape { rows, columns }
          local label = ("%s in %s by %s"):format(name, dtype, core.json(narrow.shape))
          same_values(apply(name, a, narrow), apply(name, a, wide), label)
          if not map.shifts then same_values(apply(name, narrow, a), apply(name, wide, a), label .. ", left") end
        end
      end
    end
  end
end)

case("where, clamp and lookup", function()
  for _, dtype in ipairs(all_dtypes) do
    local a, b = operands(dtype)
    local mask = core.arange(rows * columns):reshape { rows, columns } % 3
    local got, x, y = flat(core.where(mask:eq(1), a, b)), flat(a), flat(b)
    for i = 1, rows * columns do check(alike(got[i], i % 3 == 1 and x[i] or i % 3 ~= 1 and y[i]), "where in " .. dtype) end
    got = flat(core.where(mask, a, b)) -- any number that is not 0 holds
    for i = 1, rows * columns do check(alike(got[i], i % 3 ~= 0 and x[i] or i % 3 == 0 and y[i]), "where in " .. dtype) end
    if dtype ~= "bool" then
      local low, high = dtype == "u8" and 3 or -3, 5
      got = flat(a:clamp(low, high))
      for i, v in ipairs(x) do
        check(alike(got[i], v ~= v and v or math.max(low, math.min(high, v))), "clamp in " .. dtype)
      end
      local at = flat(a:lookup { 10, 20, 30 })
      for i, v in ipairs(x) do
        local index = v ~= v and 0 or math.max(0, math.min(2, v < 0 and 0 or v))
        equal(at[i], 10.0 * (index // 1 + 1), "lookup in " .. dtype .. " at " .. v)
      end
    end
  end
end)

-- -- casts ----------------------------------------------------------------------------------------------------------
local limits = { i64 = { math.mininteger, math.maxinteger }, i32 = { -2 ^ 31 | 0, 2 ^ 31 - 1 | 0 }, i8 = { -128, 127 }, u8 = { 0, 255 } }

local function cast_to(dtype, v, from)
  if v == true then v = 1 elseif v == false then v = 0 end
  if dtype == "bool" then return v ~= 0 end
  if formats[dtype] then return rounded(dtype, v * 1.0) end
  if not formats[from] then return wrapped(dtype, v) end
  if v ~= v then return 0 end -- towards zero, held at the ends
  v = v < 0 and -floor(-v) or floor(v)
  local ends = limits[dtype]
  return v <= ends[1] and ends[1] or v >= ends[2] and ends[2] or math.tointeger(v)
end

case("casts between all dtypes", function()
  for _, from in ipairs(all_dtypes) do
    local a = operands(from)
    local x = flat(a)
    for _, dtype in ipairs(all_dtypes) do
      local got = flat(a:to(dtype))
      for i, v in ipairs(x) do
        local want = cast_to(dtype, v, from)
        if not alike(got[i], want) then
          check(false, ("%s %s to %s: expected %s, got %s"):format(from, v, dtype, want, got[i]))
        end
      end
    end
  end
end)

-- -- trees ----------------------------------------------------------------------------------------------------------
-- A random tree of maps and reductions of rows; `flush(i)` says whether node i is computed at once.
local function tree(seed, leaves, flush)
  local state = seed
  local function pick(n)
    state = (state * 6364136223846793005 + 1442695040888963407)
    return (state >> 33) % n + 1
  end
  local unary = { "exp", "tanh", "neg", "abs", "sqrt", "sigmoid", "silu", "round", "square", "relu", "log1p", "gelu", "erf" }
  local binary = { "add", "sub", "mul", "div", "maximum", "minimum", "mod" }
  local reductions = { "sum", "absmax", "max", "min", "mean", "norm" }
  local dtypes = { "bf16", "f16", "f32", "f64", "e4m3", "i32" }
  local pool = table.move(leaves, 1, #leaves, 1, {})
  for i = 1, 24 do
    local a, b = pool[pick(#pool)], pool[pick(#pool)]
    local kind = pick(10)
    local y
    if kind <= 3 then y = apply(unary[pick(#unary)], a)
    elseif kind <= 6 then y = apply(binary[pick(#binary)], a, b)
    elseif kind == 7 then y = core.where(a:lt(b), b, a)
    elseif kind == 8 then y = a:to(dtypes[pick(#dtypes)])
    elseif kind == 9 then y = a[reductions[pick(#reductions)]](a, -1)
    else y = a:lookup { 3, -1, 0.5, 2, 8 } end
    if flush(i) then core.flush(y) end
    pool[#pool + 1] = y
  end
  return pool
end

case("trees fused, op by op, and flushed at random nodes have the same bits", function()
  for _, n in ipairs { 1, 2, 31, 257, 2100 } do
    for seed = 1, 3 do
      local x = core.uniform({ 4, n }, "f32", seed * 1000 + n) * 6 - 3
      local leaves = { core.flush(x), core.flush(x[{ 1 }]:to "bf16"), core.flush(x[{ {}, { 1, 1 } }] + 1),
                       core.flush(x:flip(1) * 2), core.flush((x * 3):to "i32") }
      local fused = tree(seed, leaves, function() return false end)
      local alone = tree(seed, leaves, function() return true end)
      local some = tree(seed, leaves, function(i) return (i * 7 + seed) % 4 == 0 end)
      for i = #leaves + 1, #fused do
        local place = ("node %d of tree %d over rows of %d"):format(i, seed, n)
        local a, b, c = fused[#fused + #leaves + 1 - i], alone[#fused + #leaves + 1 - i], some[#fused + #leaves + 1 - i]
        -- a NaN keeps no payload: which operand's it is follows the order a compiler gives them
        local function marked(t) return formats[t.dtype] and core.where(t:isnan(), 0, t) or t end
        check(marked(a):same(marked(b)), place .. ": fused and op by op")
        check(marked(c):same(marked(b)), place .. ": flushed at random and op by op")
        if formats[a.dtype] then check(a:isnan():same(b:isnan()), place .. ": NaN") end
      end
    end
  end
end)
