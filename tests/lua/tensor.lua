-- Tensors as Lua sees them, against plain Lua numbers.
local core = require "wane.core"
local wane = require "wane"

local function matrix(rows, cols, f)
  local list = {}
  for i = 1, rows do
    list[i] = {}
    for j = 1, cols do list[i][j] = f(i, j) end
  end
  return list
end

local values = matrix(5, 7, function(i, j) return ((i * 31 + j * 17) % 23 - 11) / 4 end)
local x = core.tensor(values)

local function mapped(list, f)
  local out = {}
  for i, row in ipairs(list) do
    out[i] = {}
    for j, value in ipairs(row) do out[i][j] = f(value, i, j) end
  end
  return out
end

case("fields", function()
  equal(x.shape, { 5, 7 })
  equal(x.dtype, "f32")
  equal(x.device, "cpu")
  equal(x.bytes, 140)
  equal(#x, 5)
  equal(tostring(x), "[5 x 7] f32")
  equal(core.full({}, 3):item(), 3.0)
  equal(core.zeros({ 2, 0 }).shape, { 2, 0 })
end)

case("numbers at one line are each the number that is meant", function()
  local operands = { core.tensor({ 1, 0.5 }), core.tensor({ 1, 0.5 }, { dtype = "bf16" }),
    core.tensor({ 1, 3 }, { dtype = "i32" }) }
  local numbers = { 1, 2, 0.0, -0.0, 0, 1.0, 257, 0x1p-1074, 1 / 3 }
  local got, want = {}, {}
  for round = 1, 3 do -- met again in every round
    for i, y in ipairs(operands) do
      for _, number in ipairs(numbers) do
        if i < 3 or number == math.floor(number) then
          got[#got + 1] = y * number -- pending, so that its number is still there
          want[#want + 1] = y * core.full({}, number, { dtype = y.dtype })
        end
      end
    end
    if round == 2 then
      for _, y in ipairs(got) do core.flush(y) end
      collectgarbage()
    end
  end
  for i, y in ipairs(got) do
    equal(y.dtype, want[i].dtype)
    equal(y:totable(), want[i]:totable())
    equal((1 / y:to "f64"):totable(), (1 / want[i]:to "f64"):totable()) -- the sign of 0 too
  end
end)

case("making", function()
  equal(core.zeros { 2, 2 }:totable(), { { 0.0, 0.0 }, { 0.0, 0.0 } })
  equal(core.ones(3, { dtype = "i32" }):totable(), { 1, 1, 1 })
  equal(core.eye(2):totable(), { { 1.0, 0.0 }, { 0.0, 1.0 } })
  equal(core.full({ 2 }, 7, { dtype = "u8" }):totable(), { 7, 7 })
  equal(core.arange(4):totable(), { 1, 2, 3, 4 })
  equal(core.arange(3, 9, 3):totable(), { 3, 6, 9 })
  equal(core.arange(5, 1, -2):totable(), { 5, 3, 1 })
  equal(core.arange(2, { dtype = "f32" }):totable(), { 1.0, 2.0 })
  equal(core.tensor({ true, false }).dtype, "bool")
  equal(core.tensor({ true, false }):totable(), { true, false })
  equal(core.tensor({ 2^53 + 1 | 0, -1 }, { dtype = "i64" }):totable(), { 2^53 + 1 | 0, -1 })
  equal(core.tensor({}).shape, { 0 })
  equal(core.tensor(5).shape, {})
  equal(core.tensor({ 1.0009765625 }, { dtype = "bf16" }):totable(), { 1.0 })
  local u = core.uniform({ 1000 }, "f32", core.next_draw "test")
  check(u:min() >= 0 and u:max() < 1 and math.abs(u:mean() - 0.5) < 0.05)
  check(not u:same(core.uniform({ 1000 }, "f32", core.next_draw "test")), "a stream goes on")
end)

case("arithmetic with numbers and broadcasting", function()
  near(x + 1, mapped(values, function(v) return v + 1 end))
  near(2 - x, mapped(values, function(v) return 2 - v end))
  near(x * x, mapped(values, function(v) return v * v end))
  near(x / 4, mapped(values, function(v) return v / 4 end))
  near(1 / (x + 10), mapped(values, function(v) return 1 / (v + 10) end))
  near(x % 3, mapped(values, function(v) return v % 3 end))
  near(x ^ 2, mapped(values, function(v) return v ^ 2 end))
  near(-x, mapped(values, function(v) return -v end))
  local row = core.tensor { { 1, 2, 3, 4, 5, 6, 7 } }
  near(x + row, mapped(values, function(v, _, j) return v + j end))
  near(x - x[{ {}, { 1, 1 } }], mapped(values, function(v, i) return v - values[i][1] end))
  local i = core.tensor({ 7, -7 }, { dtype = "i32" })
  equal((i * 2):totable(), { 14, -14 })
  equal((i % 4):totable(), { 3, 1 })
  equal((i / 2):totable(), { 3.5, -3.5 })
  equal((i + core.tensor { 0.5 }).dtype, "f32")
  equal((x:to "bf16" + x:to "f16").dtype, "f32")
  equal((x:to "bf16" + x).dtype, "f32")
  equal((x:to "bf16" * 2).dtype, "bf16")
  equal((x:gt(0) * 2).dtype, "i32")
end)

case("maps and comparisons", function()
  near(x:abs(), mapped(values, math.abs))
  near(x:exp(), mapped(values, math.exp), 1e-6)
  near(x:clamp(-1, 1), mapped(values, function(v) return math.max(-1, math.min(1, v)) end))
  near(x:clamp(0), mapped(values, function(v) return math.max(0, v) end))
  near(x:clamp(nil, 0), mapped(values, function(v) return math.min(0, v) end))
  near(x:maximum(0.25), mapped(values, function(v) return math.max(v, 0.25) end))
  equal(x:lt(0):totable(), mapped(values, function(v) return v < 0 end))
  equal(x:eq(x):all(), true)
  equal(x:ne(x):any(), false)
  near(core.where(x:lt(0), -1, x), mapped(values, function(v) return v < 0 and -1 or v end))
  near(core.where(x:lt(0), 1, -1), mapped(values, function(v) return v < 0 and 1 or -1 end))
  equal(core.tensor({ 0, 2, 1, 9 }):lookup { 10, 20, 30 }:totable(), { 10.0, 30.0, 20.0, 30.0 })
  equal(core.tensor({ 5, 6 }, { dtype = "i32" }):band(4):totable(), { 4, 4 })
  equal(core.tensor({ 1, 3 }, { dtype = "u8" }):shl(2):totable(), { 4, 12 })
  equal(x:isnan():any(), false)
  equal((x / 0):isfinite():any(), false)
end)

case("reductions over a dim, a list of dims, everything", function()
  local function over_rows(f) return mapped(values, function(_, i) return f(values[i]) end) end
  local function sum(list) local s = 0 for _, v in ipairs(list) do s = s + v end return s end
  local rows = over_rows(sum)
  local sums = x:sum(2)
  equal(sums.shape, { 5, 1 })
  for i = 1, 5 do near(sums[{ i, 1 }]:item(), rows[i][1]) end
  local total = 0
  for i = 1, 5 do total = total + rows[i][1] end
  near(x:sum(), total)
  near(x:sum { 1, 2 }:item(), total)
  equal(x:sum { 1, 2 }.shape, { 1, 1 })
  near(x:mean(), total / 35)
  near(x:mean(-1)[{ 2, 1 }]:item(), rows[2][1] / 7)
  local flat = {}
  for _, row in ipairs(values) do for _, v in ipairs(row) do flat[#flat + 1] = v end end
  table.sort(flat)
  near(x:min(), flat[1])
  near(x:max(), flat[#flat])
  near(x:absmax(), math.max(-flat[1], flat[#flat]))
  near(x:quantile(0.5), flat[18])
  near(x:quantile(0.5, { 1, 2 }):item(), flat[18])
  local square = 0
  for _, v in ipairs(flat) do square = square + v * v end
  near(x:norm(), math.sqrt(square))
  local var = 0
  for _, v in ipairs(flat) do var = var + (v - total / 35) ^ 2 / 35 end
  near(x:var(), var)
  near(x:std(), math.sqrt(var))
  near(x:std { 1, 2 }:item(), math.sqrt(var))
  near(x:var(2)[{ 1, 1 }]:item(), core.tensor(values[1]):var())
  local logs = 0
  for _, v in ipairs(flat) do logs = logs + math.exp(v) end
  near(x:logsumexp(), math.log(logs))
  near(x:logsumexp { 1, 2 }:item(), math.log(logs))
  equal(core.tensor({ 3, 4 }, { dtype = "i32" }):sum(), 7)
  equal(math.type(core.tensor({ 3, 4 }, { dtype = "i32" }):prod()), "integer")
end)

case("positions of extremes count from 1", function()
  local t = core.tensor { { 1, 9, 3 }, { 9, 2, 4 } }
  equal({ t:argmax() }, { 1, 2 })
  equal({ t:argmin() }, { 1, 1 })
  equal(t:argmax(2):totable(), { { 2 }, { 1 } })
  equal(t:argmin(1):totable(), { { 1, 2, 1 } })
  local top, at = t:topk(2, 2)
  equal(top:totable(), { { 9.0, 3.0 }, { 9.0, 4.0 } })
  equal(at:totable(), { { 2, 3 }, { 1, 3 } })
end)

case("slices are views with 1-based, inclusive positions", function()
  equal(x[2].shape, { 7 })
  equal(x[2]:totable(), values[2])
  equal(x[-1]:totable(), values[5])
  equal(x[{ 3, 4 }]:item(), values[3][4])
  equal(x[{ {}, 4 }].shape, { 5 })
  equal(x[{ { 2, 3 } }].shape, { 2, 7 })
  equal(x[{ { 2, 3 }, { -2, -1 } }]:totable(), { { values[2][6], values[2][7] }, { values[3][6], values[3][7] } })
  equal(x[{ { 5, 4 } }].shape, { 0, 7 })
  equal(x[{}].shape, { 5, 7 })
  equal(x:t()[4]:totable(), x[{ {}, 4 }]:totable())
end)

case("with gives a new value", function()
  local y = x:with({ { 1, 2 }, 3 }, 100)
  equal(x[{ 1, 3 }]:item(), values[1][3])
  equal(y[{ { 1, 2 }, 3 }]:totable(), { 100.0, 100.0 })
  equal(y[{ 3, 3 }]:item(), values[3][3])
  local z = x:with({ 2 }, core.arange(7):to "f32")
  equal(z[2]:totable(), { 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0 })
  equal(x:with({ {}, { 1, 2 } }, core.zeros { 5, 2 })[{ {}, 1 }]:absmax(), 0.0)
end)

case("layout", function()
  equal(x:reshape { 7, -1 }.shape, { 7, 5 })
  equal(x:reshape(35).shape, { 35 })
  equal(x:t().shape, { 7, 5 })
  near(x:t():t(), values)
  equal(x:reshape { 5, 7, 1 }:transpose(1, 3).shape, { 1, 7, 5 })
  equal(core.ones { 3, 1 }:expand { -1, 4 }.shape, { 3, 4 })
  equal(core.tensor { { 1, 2 } }:tile { 2, 2 }:totable(), { { 1.0, 2.0, 1.0, 2.0 }, { 1.0, 2.0, 1.0, 2.0 } })
  local parts = core.arange(6):split(3)
  equal(#parts, 3)
  equal(parts[2]:totable(), { 3, 4 })
  equal(core.concat({ x, x }, 1).shape, { 10, 7 })
  equal(core.concat({ x, x }, -1).shape, { 5, 14 })
  equal(x:gather(1, { 2, 2, 5 })[3]:totable(), values[5])
  equal(core.arange(5):flip():totable(), { 5, 4, 3, 2, 1 })
  equal(core.arange(4):cumsum():totable(), { 1, 3, 6, 10 })
  equal(core.tensor { 3, 1, 2 }:sort():totable(), { 1.0, 2.0, 3.0 })
  equal(core.tensor { 3, 1, 2 }:sort(1, "falling"):totable(), { 3.0, 2.0, 1.0 })
  equal(core.tensor { 3, 1, 2 }:argsort():totable(), { 2, 3, 1 })
  fails(function() x:split(2, 1) end, "split: dim 1 of size 5 has no 2 equal parts")
  fails(function() x:reshape { 4, -1 } end, "reshape: 35 elements do not divide by 4")
  fails(function() x:reshape { -1, -1 } end, "reshape: more than one size is -1")
end)

case("linear algebra", function()
  local a = core.tensor({ { 4, 1 }, { 1, 3 } }, { dtype = "f64" })
  near(a:matmul(a), { { 17, 7 }, { 7, 10 } })
  near(a:diag(), { 4, 3 })
  equal(a:trace(), 7.0)
  near(core.tensor { 1, 2 }:diag(), { { 1, 0 }, { 0, 2 } })
  near(core.tensor { 1, 2 }:outer(core.tensor { 3, 4 }), { { 3, 4 }, { 6, 8 } })
  local l = a:cholesky()
  near(l:matmul(l:t()), a, 1e-12)
  near(a:inverse():matmul(a), core.eye(2), 1e-12)
  local u = a:inverse_upper()
  near(u:t():matmul(u):matmul(a), core.eye(2), 1e-12)
  equal(u[{ 2, 1 }]:item(), 0.0)
  near(a:matmul(a:solve(core.ones({ 2, 1 }, { dtype = "f64" }))), { { 1 }, { 1 } }, 1e-12)
  near(core.linear(x, core.eye(7)), values)
end)

case("linear algebra: views, batches and narrow floats are as their dense copies", function()
  local wane = require "wane"
  local z = wane.randn { 150, 70 }
  local a = z:t():matmul(z) / 150 + core.eye(70) * 0.1
  local b = wane.randn { 70, 9 }
  local l, u, inverse = a:cholesky(), a:inverse_upper(), a:inverse()
  near(l:matmul(l:t()), a, 1e-5)
  near(u:t():matmul(u), inverse, 1e-4)
  equal(inverse:t(), inverse)
  near(a:matmul(a:solve(b)), b, 1e-4)
  near(l:matmul(l:solve_lower(b)), b, 1e-4)
  near(l:t():matmul(l:t():solve_upper(b)), b, 1e-4)

  local wide = core.full({ 140, 140 }, 9):with({ { 1, 70 }, { 1, 70 } }, a)
  local view = wide[{ { 1, 70 }, { 1, 70 } }]
  equal(view:cholesky(), l)
  equal(view:t():inverse_upper(), u) -- symmetric to the bit
  equal(view:solve(b:t():t()), a:solve(b))

  local batch = wane.concat({ a:reshape { 1, 70, 70 }, (a * 2):reshape { 1, 70, 70 } }, 1)
  equal(batch:cholesky().shape, { 2, 70, 70 })
  equal(batch:cholesky()[{ 1 }]:reshape { 70, 70 }, l)
  equal(batch:inverse_upper()[{ 2 }]:reshape { 70, 70 }, (a * 2):inverse_upper())
  local sides = wane.concat({ b:reshape { 1, 70, 9 }, b:reshape { 1, 70, 9 } }, 1)
  equal(batch:solve(sides)[{ 2 }]:reshape { 70, 9 }, (a * 2):solve(b))
  equal(core.zeros({ 0, 3, 3 }):cholesky().shape, { 0, 3, 3 })
  equal(core.zeros({ 0, 0 }):inverse().shape, { 0, 0 })
  equal(core.eye(3):solve(core.zeros { 3, 0 }).shape, { 3, 0 })

  local narrow = a:to "bf16"
  equal(narrow:cholesky().dtype, "f32")
  equal(narrow:cholesky(), narrow:to "f32":cholesky())
  equal(a:solve(b:to "f64").dtype, "f64")
end)

case("linear algebra: what cannot be done", function()
  local a = core.eye(4)
  fails(function() core.zeros { 3, 4 }:cholesky() end, "cholesky: a square matrix expected")
  fails(function() core.zeros { 3 }:inverse() end, "inverse: a square matrix expected")
  fails(function() core.zeros({ 3, 3 }, { dtype = "i32" }):inverse_upper() end,
    "inverse_upper: floats expected, got i32")
  fails(function() a:solve(core.zeros { 3, 1 }) end, "solve: a right side of [3 x 1] for a matrix of [4 x 4]")
  fails(function() a:solve_upper(core.zeros { 2, 4, 1 }) end,
    "solve_upper: a right side of [2 x 4 x 1] for a matrix of [4 x 4]")
  local bad = core.tensor { { 4, 2 }, { 2, 0.25 } }
  fails(function() bad:cholesky() end, "cholesky: the matrix is not positive definite: pivot 2 of 2 is -0.75")
  fails(function() bad:inverse_upper() end,
    "inverse_upper: the matrix is not positive definite: pivot 1 of 2 is -12")
  local batch = require "wane".concat({ core.eye(2):reshape { 1, 2, 2 }, bad:reshape { 1, 2, 2 } }, 1)
  fails(function() batch:inverse() end, "matrix   2 of 2")
  fails(function() core.tensor { { 0 / 0 } }:cholesky() end,
    "cholesky: the matrix is not positive definite: pivot 1 of 1 is ")
  fails(function() core.tensor { { 1, 0 }, { 0, 0 } }:solve_lower(core.zeros { 2, 1 }) end,
    "solve_lower: the diagonal of the triangle is zero at 2 of 2")
end)

case("values freeze, buffers do not", function()
  local b = core.buffer(x)
  b[{ { 1, 2 }, {} }] = 0
  b[{ 3, 1 }] = 8.5
  local y = b:freeze()
  equal(y[{ { 1, 2 } }]:absmax(), 0.0)
  equal(y[{ 3, 1 }]:item(), 8.5)
  equal(x[{ 3, 1 }]:item(), values[3][1])
  equal(tostring(b), "buffer [5 x 7] f32 frozen")
end)

case("same compares bits", function()
  check(x:same(core.tensor(values)))
  check(not x:same(x:to "f64"))
  check(not x:same(x + 1))
  check(core.same_node(x, x) and not core.same_node(x, x + 0))
end)

case("the picture of a tensor", function()
  equal(core.describe(core.tensor { 1, 2.5, -3 }), "[3]   f32   cpu   1   2.5   -3")
  local text = core.describe(core.arange(100):reshape { 10, 10 })
  equal(text, table.concat({
    "[10 x 10]   i32   cpu   400 B",
    "      1   2   3  ...   8   9   10",
    "  1   1   2   3  ...   8   9   10",
    "  2  11  12  13  ...  18  19   20",
    "  3  21  22  23  ...  28  29   30",
    "...",
    "  8  71  72  73  ...  78  79   80",
    "  9  81  82  83  ...  88  89   90",
    " 10  91  92  93  ...  98  99  100",
    "min 1   max 100   mean 50.5   std 28.87   nan 0" }, "\n"))
  local holes = core.tensor { { 1, 0 / 0, 3 }, { 4, 5, 6 }, { 7, 8, 9 } }
  check(core.describe(holes):find("min 1   max 9   mean 5.375   std 2.497   nan 1", 1, true), core.describe(holes))
end)

case("values on demand are not kept", function()
  local codes = core.tensor({ { 1, 2 }, { 3, 4 } }, { dtype = "i8" })
  local scale = core.tensor { { 0.5 }, { 2 } }
  local q = core.quantized(codes:to "f32" * scale, { fields = { codes = codes }, methods = { twice = function(t) return t * 2 end } })
  near(q, { { 0.5, 1 }, { 6, 8 } })
  equal(q.codes:totable(), { { 1, 2 }, { 3, 4 } })
  near(q:twice(), { { 1, 2 }, { 12, 16 } })
  near(core.embedding(core.tensor({ 1, 0, 1 }, { dtype = "i32" }), q), { { 6, 8 }, { 0.5, 1 }, { 6, 8 } })
  local wide = core.quantized(codes:to "f32" * scale, { shape = { 1, 4 } })
  near(wide, { { 0.5, 1, 6, 8 } })
  fails(function() return q.nothing end, "tensor: no field or method 'nothing'")
end)

case("models' calls", function()
  local logits = core.tensor { { 0, math.log(3) }, { 1, 1 } }
  near(core.cross_entropy(logits, { 1, 0 }), { math.log(4 / 3), math.log(2) })
  local scores = core.compare_logits(logits, logits, { 0, 1 })
  near(scores.kl, { 0, 0 })
  equal(scores.top1:totable(), { 1, 0 })
  equal(core.sample(logits, 1, 0, 0, 1, 0.5), 1)
  near(core.rms_norm(core.tensor { { 3, 4 } }, core.ones { 2 }, 0), { { 3 / math.sqrt(12.5), 4 / math.sqrt(12.5) } })
  local q = core.uniform({ 1, 3, 2, 4 }, "f32", 5)
  local cache <close> = core.cache(1)
  local whole = core.attend(nil, "a", q, q, q, 0, 0.5)
  local first = core.attend(cache, "a", q[{ {}, { 1, 2 } }], q[{ {}, { 1, 2 } }], q[{ {}, { 1, 2 } }], 0, 0.5)
  cache:advance(2)
  local last = core.attend(cache, "a", q[{ {}, { 3, 3 } }], q[{ {}, { 3, 3 } }], q[{ {}, { 3, 3 } }], 0, 0.5)
  check(core.concat({ first, last }, 2):same(whole), "a cached decode has the bits of the full pass")
  equal(cache:positions(), { 2 })
  near(q:rope(0, 10000), core.rope(q, core.tensor({ { 0, 1, 2 } }, { dtype = "i32" }), core.rope_frequencies(4, 10000)))
end)

case("calls that join others give their bits", function()
  for _, dtype in ipairs { "bf16", "f32", "f64" } do
    for _, rows in ipairs { 1, 2, 5, 33, 70 } do
      local x = core.randn({ rows, 100 }, dtype, 3)
      local w, bias = core.randn({ 70, 100 }, dtype, 4), core.randn({ 70 }, "f32", 5)
      local before = core.randn({ rows, 70 }, dtype, 6)
      for _, b in ipairs { false, bias } do
        local joint = core.linear(x, w, b or nil, nil, before)
        check(joint:same(before + core.linear(x, w, b or nil)), ("%s, %d rows: the sum of a product"):format(dtype, rows))
      end
      for _, kind in ipairs { "f32", "bf16", "f16", "f64" } do
        local scale = core.randn({ 100 }, kind, 7)
        check(core.quick_rms_norm(x, scale, 1e-5):same(core.rms_norm(x, scale, 1e-5)), dtype .. ": a norm, " .. kind)
        check(core.quick_rms_norm(x + x, scale, 1e-5):same(core.rms_norm(x + x, scale, 1e-5)), dtype .. ": of what is pending")
      end
    end
  end
  local ones = core.ones { 100 }
  local x = core.randn({ 3, 100 }, "bf16", 8)
  check(core.quick_rms_norm(x, ones, 0):same(core.rms_norm(x, core.ones { 100 }, 0)), "a constant weight")
  check(core.quick_rms_norm(x, ones, 1):same(core.rms_norm(x, ones, 1)), "another eps")
  fails(function() return core.quick_rms_norm(x, core.ones { 9 }, 0) end, "rms_norm: a weight [9] for rows of 100")
  fails(function() return core.linear(x, core.ones({ 4, 100 }, { dtype = "bf16" }), nil, nil, core.ones { 5 }) end, "add: ")
end)

case("attention with rope is rope, then attention", function()
  local q, k, v = core.randn({ 2, 5, 24 }, "bf16", 1), core.randn({ 2, 5, 12 }, "bf16", 2), core.randn({ 2, 5, 12 }, "bf16", 3)
  local freqs = core.rope_frequencies(6, 100)
  local one <close> = core.cache(2)
  local two <close> = core.cache(2)
  for step = 0, 2 do
    local joint = core.attend_turned(one, "a", q, k, v, freqs, 3, 0.4)
    local heads = { 2, 5, -1, 6 }
    local single = core.attend(two, "a", q:reshape(heads):rope(5 * step, freqs), k:reshape(heads):rope(5 * step, freqs),
      v:reshape(heads), 3, 0.4)
    check(joint:same(single:reshape { 2, 5, 24 }), "step " .. step)
    one:advance(5)
    two:advance(5)
  end
  check(core.attend_turned(nil, "a", q, k, v, freqs, 0, 1).shape[3] == 24, "without a cache")
  fails(function() return core.attend_turned(nil, "a", q, k[{ {}, {}, { 1, 11 } }], v, freqs, 0, 1) end,
    "attend: expected [batch, tokens, heads * 6]")
  fails(function() return core.attend_turned(core.cache(1), "a", q, k, v, freqs, 0, 1) end,
    "attend: 2 samples for a cache of 1")
end)

case("json", function()
  equal(core.json { b = 1, a = { 1, 2.5, "x\n" }, c = { d = true } },
        [[{"a": [1, 2.5, "x\n"], "b": 1, "c": {"d": true}}]])
  equal(core.json(2.0), "2.0")
  equal(core.json(0.1), "0.1")
  equal(core.json(0 / 0), "null")
  equal(core.json({ a = {} }, { indent = 2 }), "{\n  \"a\": {}\n}")
  local value = core.parse_json [[{"a": [], "n": null, "l": [1, 2.0, "\u00e9"], "big": 9007199254740993}]]
  equal(core.json(value), [[{"a": [], "big": 9007199254740993, "l": [1, 2.0, "é"]}]])
  equal(value.n, nil)
  fails(function() core.json { [1.5] = 1 } end, "json: the key 1.5 of an object is no string")
  local loop = {}
  loop.loop = loop
  fails(function() core.json(loop) end, "does one hold itself?")
end)

case("regular expressions match whole names", function()
  local r = core.regex "layers\\.[0-9]+\\.mlp\\..*"
  check(r:match "layers.12.mlp.down_proj")
  check(not r:match "xlayers.12.mlp.down_proj")
  check(not r:match "layers.mlp.")
  fails(function() core.regex "(a+)+b":match(("a"):rep(60) .. "bc") end, "regex: match limit exceeded on a text of 62 bytes")
end)

case("matmul takes views whose rows lie anywhere: transposed, expanded, single", function()
  local column = wane.tensor { { 1 }, { 2 }, { 3 } }
  equal(column:t():matmul(column):totable(), { { 14 } })
  equal(wane.linear(column:t(), wane.tensor { { 1, 1, 1 } }):totable(), { { 6 } })
  local row = wane.tensor { { 1, 2, 3 } }
  equal(row:expand { 4, 3 }:matmul(column):totable(), { { 14 }, { 14 }, { 14 }, { 14 } })
  equal(wane.linear(row:expand { 2, 3 }, wane.tensor { { 1, 1, 1 }, { 0, 0, 1 } }):totable(), { { 6, 3 }, { 6, 3 } })
  equal(row:to "f64":expand { 2, 3 }:matmul(column:to "f64"):totable(), { { 14 }, { 14 } })
end)
