-- wane.sweep: against one loop over columns in plain Lua, identity, orders, groups fitted on the way, a second triangle,
-- f64, threads, wrong use.
local wane = require "wane"
local core = require "wane.core"

local function draw(shape, dtype) return core.flush(wane.randn(shape, { stream = "sweep", dtype = dtype or "f32" })) end

-- Whole numbers in `places` that change the order of 1 .. n.
local function mixed(n)
  return core.flush(wane.uniform({ n }, { stream = "sweep" })):argsort(1)
end

-- An upper triangle as solvers have it, of correlated inputs.
local function triangle(n, dtype)
  local x = draw({ 2 * n + 3, n }, "f64"):matmul(draw({ n, n }, "f64") + 3 * wane.eye(n):to "f64")
  local h = x:t():matmul(x) / x.shape[1]
  local damp = 0.01 * core.flush(h:diag()):mean()
  return core.flush((h + damp * wane.eye(n):to "f64"):inverse_upper():to(dtype or "f32"))
end

local Pow2 = dofile(source "tests/oracles/pow2.lua")()

-- Two columns of one parameter, and a table.
local Steps = wane.quantizer("steps", { bits = 3 })
function Steps:fit(w) return { ends = wane.concat({ w:min(2), w:max(2) }, 2) } end
function Steps:encode(w, p)
  local lo, hi = p.ends[{ {}, { 1, 1 } }], p.ends[{ {}, { 2, 2 } }]
  return ((w - lo) / (hi - lo):clamp(1e-6) * 7):round():clamp(0, 7)
end
local SHARES = wane.tensor { 0, 1 / 7, 2 / 7, 3 / 7, 4 / 7, 5 / 7, 6 / 7, 1 }
function Steps:decode(codes, p)
  local lo, hi = p.ends[{ {}, { 1, 1 } }], p.ends[{ {}, { 2, 2 } }]
  return lo + (hi - lo) * codes:lookup(SHARES)
end

local function kinds(group)
  return {
    wane.int { bits = 4 }, wane.int { bits = 2, convention = "qmax" }, wane.int { bits = 3, convention = "full" },
    wane.int { bits = 4, symmetric = false }, wane.int { bits = 3, symmetric = false, group_size = group },
    wane.int { bits = 4, group_size = group, observer = wane.mse }, wane.int { bits = 5, per = "tensor" },
    wane.int { bits = 8, scale_dtype = "f32" }, wane.fp8, wane.fp8 { format = "e5m2", group_size = group },
    wane.nf4 { group_size = group }, Pow2, Pow2 { group_size = group }, Pow2 { bits = 3, per = "tensor" },
    Steps { group_size = group }, Steps { observer = wane.mse, group_size = group },
  }
end

-- -- the loop in plain Lua --------------------------------------------------------------------------------------

local function f32(x) return (string.unpack("f", string.pack("f", x))) end
local FUSED = not core.machine():find("x86-64-v2", 1, true)

-- w - e u as the engine has it: rounded once where the machine multiplies and adds in one step. The product of two f32
-- is exact in a double.
local function repaid(w, e, u)
  if FUSED then return f32(w - e * u) end
  return f32(w - f32(e * u))
end

-- The parameters of row group `g` (of `groups` a row), [rows, k].
local function params_of(params, rows, groups, g)
  local cut = {}
  for name, p in pairs(params) do
    cut[name] = p.shape[1] == 1 and p or core.flush(p:reshape { rows, groups, -1 }[{ {}, g, {} }] + 0)
  end
  return cut
end

-- Codes and errors of the recurrence, column by column over the whole matrix, without blocks.
local function by_loop(w, u, q, given)
  local rows, columns = w.shape[1], w.shape[2]
  local size = q.group_size or columns
  local groups, left, upper = columns // size, w:totable(), u:totable()
  local second, order = given.second and given.second:totable(), given.order and given.order:totable()
  local one = q.per == "tensor" and q or q { per = "channel" }
  local fixed = given.params or groups == 1 and q:fit(w) or nil
  local fitted, codes, errors = {}, {}, {}
  for r = 1, rows do codes[r], errors[r] = {}, {} end
  local function column(c)
    local x = {}
    for r = 1, rows do x[r] = { left[r][c] } end
    return wane.tensor(x)
  end
  for j = 1, columns do
    local c = order and order[j] or j
    local g = (c - 1) // size + 1
    if not fitted[g] then
      if fixed then
        fitted[g] = params_of(fixed, rows, groups, g)
      else
        local met = {}
        for k = 1, size do met[k] = column(order and order[j + k - 1] or j + k - 1) end
        fitted[g] = one:fit(core.flush(wane.concat(met, 2)))
      end
    end
    local x = column(c)
    local coded = one:encode(x, fitted[g])
    local value = one:decode(coded, fitted[g])
    for r = 1, rows do
      local was, e = left[r][c], nil
      codes[r][c] = coded[{ r, 1 }]:item()
      e = f32(f32(was - value[{ r, 1 }]:item()) / upper[j][j])
      errors[r][c] = e
      for k = j + 1, columns do
        local other = order and order[k] or k
        left[r][other] = repaid(left[r][other], e, upper[j][k])
        if second then left[r][other] = repaid(left[r][other], -was, second[j][k]) end
      end
    end
  end
  return codes, errors
end

local function check_loop(w, u, q, given, about)
  local packed, errors = wane.sweep(w, u, q, given)
  local codes, by_hand = by_loop(w, u, q, given)
  equal(packed.codes:totable(), codes, about .. ": codes")
  equal(errors:totable(), by_hand, about .. ": errors")
  return packed
end

case("the loop over columns gives the same codes and errors, bit for bit", function()
  for _, shape in ipairs { { 1, 1 }, { 1, 9 }, { 17, 1 }, { 3, 2 }, { 5, 34 }, { 17, 33 }, { 2, 130 } } do
    local rows, columns = shape[1], shape[2]
    local about = ("[%d x %d]"):format(rows, columns)
    local w, u = draw(shape), triangle(columns)
    check_loop(w, u, wane.int { bits = 3 }, {}, about)
    check_loop(w, u, Pow2, { order = mixed(columns) }, about .. " ordered")
    local second = core.flush(triangle(columns) * 0.1)
    check_loop(w, u, wane.int { bits = 4, symmetric = false }, { second = second, order = mixed(columns) },
               about .. " second")
  end
end)

case("every quantizer, with parameters of its own, given ones, and groups fitted on the way", function()
  local w, u = draw { 6, 24 }, triangle(24)
  for _, q in ipairs(kinds(8)) do
    local about = tostring(q)
    check_loop(w, u, q, {}, about)
    check_loop(w, u, q, { params = q:fit(w), order = mixed(24) }, about .. " given params, ordered")
    if q.group_size then
      local order = wane.tensor { 24, 18, 20, 22, 17, 19, 21, 23, 1, 2, 3, 8, 7, 6, 5, 4, 9, 16, 10, 15, 11, 14, 12, 13 }
      check_loop(w, u, q, { order = order:to "i32" }, about .. " whole groups in another order")
    end
  end
end)

case("blocks of 128 columns and more rows than a tile: codes of the loop at its seams", function()
  local w, u = draw { 3, 300 }, triangle(300)
  check_loop(w, u, wane.int { bits = 4 }, { order = mixed(300) }, "300 columns")
  check_loop(w, u, wane.int { bits = 4, group_size = 100 }, {}, "groups across the seam")
  check_loop(w, u, wane.int { bits = 4, group_size = 150 }, { second = core.flush(triangle(300) * 0.02) },
             "groups across the seam, second")
end)

-- -- against rounding -------------------------------------------------------------------------------------------

case("with the identity it rounds to nearest: codes, parameters and values", function()
  for _, shape in ipairs { { 1, 8 }, { 17, 24 }, { 300, 16 }, { 5, 264 } } do
    local w, eye = draw(shape), wane.eye(shape[2])
    for _, q in ipairs(kinds(8)) do
      local about = ("%s of [%d x %d]"):format(tostring(q), shape[1], shape[2])
      local packed, errors = wane.sweep(w, eye, q)
      local nearest = q:quantize(w)
      equal(packed.codes:totable(), nearest.codes:totable(), about)
      for name, p in pairs(nearest.params) do check(packed.params[name]:same(p), about .. ": " .. name) end
      check(packed:same(nearest), about .. ": values")
      check(errors:same(w - nearest), about .. ": errors")
      local ordered = wane.sweep(w, eye, q, { order = mixed(shape[2]), params = q:fit(w) })
      check(ordered:same(nearest), about .. ": ordered")
    end
  end
end)

case("a triangle of any scale with nothing beside its diagonal rounds too", function()
  local w = draw { 9, 20 }
  local q = wane.int { bits = 3 }
  local scales = core.flush(draw { 20 }:abs() + 0.1)
  check(wane.sweep(w, core.flush(scales:diag()), q):same(q:quantize(w)), "codes changed")
end)

-- -- f64 --------------------------------------------------------------------------------------------------------

case("f64 weights are swept in f64", function()
  local w, u = draw({ 7, 40 }, "f64"), triangle(40, "f64")
  for _, q in ipairs { wane.int { bits = 4 }, wane.int { bits = 3, group_size = 8 }, wane.nf4 { group_size = 8 }, Pow2 } do
    local packed, errors = wane.sweep(w, u, q)
    equal(errors.dtype, "f64")
    equal(packed.dtype, "f64")
    -- The recurrence as one equation: w - values = e u on all columns, whatever the codes are.
    near(core.flush(w - packed:dequantize()), core.flush(errors:matmul(u)), 1e-13, tostring(q))
    local rough = wane.sweep(w:to "f32", u:to "f32", q)
    local same = packed.codes:eq(rough.codes):to "f32":mean()
    check(same > 0.97, ("%s: %.3f of the codes are f32's"):format(tostring(q), same))
  end
end)

case("f32: w - values = e u within rounding", function()
  local w, u = draw { 40, 200 }, triangle(200)
  local packed, errors = wane.sweep(w, u, wane.int { bits = 4, group_size = 40 })
  near(core.flush((w - packed):to "f64"), core.flush(errors:to "f64":matmul(u:to "f64")), 1e-5)
end)

case("bf16 weights are swept in f32", function()
  local w, u = draw { 5, 16 }, triangle(16)
  local short = w:to "bf16"
  local packed, errors = wane.sweep(short, u, wane.int { bits = 4 })
  equal(errors.dtype, "f32")
  equal(packed.codes:totable(), wane.sweep(core.flush(short:to "f32"), u, wane.int { bits = 4 }).codes:totable())
end)

-- -- what cannot be seen ----------------------------------------------------------------------------------------

local function all_bits(w, u, q, given)
  local packed, errors = wane.sweep(w, u, q, given)
  return { packed.codes, errors, packed:dequantize() }
end

case("threads and fusing cannot be seen in the bits", function()
  for _, shape in ipairs { { 1, 40 }, { 17, 130 }, { 129, 64 }, { 400, 40 } } do
    local w, u = draw(shape), triangle(shape[2])
    for _, q in ipairs { wane.int { bits = 4 }, wane.int { bits = 4, per = "tensor" }, Pow2, Steps } do
      for _, given in ipairs { {}, { order = mixed(shape[2]) }, { second = core.flush(triangle(shape[2]) * 0.05) } } do
        local expected = threads(1, function() return all_bits(w, u, q, given) end)
        for _, count in ipairs { 2, 3, 7 } do
          equal(threads(count, function() return all_bits(w, u, q, given) end), expected,
                ("%s, %d x %d, %d threads"):format(tostring(q), shape[1], shape[2], count))
        end
        equal(unfused(function() return all_bits(w, u, q, given) end), expected, tostring(q) .. " unfused")
      end
    end
  end
  local w, u = draw { 65, 96 }, triangle(96)
  local q = wane.int { bits = 3, symmetric = false, group_size = 24, observer = wane.mse }
  local expected = threads(1, function() return all_bits(w, u, q) end)
  for _, count in ipairs { 2, 3, 7 } do
    equal(threads(count, function() return all_bits(w, u, q) end), expected, "groups, " .. count .. " threads")
  end
  equal(unfused(function() return all_bits(w, u, q) end), expected, "groups, unfused")
end)

case("rows are independent", function()
  local w, u = draw { 150, 40 }, triangle(40)
  local q = wane.int { bits = 3, group_size = 8 }
  local all = wane.sweep(w, u, q).codes
  for _, r in ipairs { 1, 16, 17, 128, 129, 150 } do
    local one = wane.sweep(core.flush(w[{ { r, r }, {} }] + 0), u, q).codes
    check(one:same(core.flush(all[{ { r, r }, {} }] + 0)), "row " .. r)
  end
end)

-- -- wrong use --------------------------------------------------------------------------------------------------

case("orders that are none", function()
  local w, u, q = draw { 2, 4 }, wane.eye(4), wane.int { bits = 4 }
  local function order(list) return function() wane.sweep(w, u, q, { order = list }) end end
  fails(order { 1, 2, 2, 4 }, "sweep: order holds 2 twice")
  fails(order { 0, 1, 2, 3 }, "sweep: order holds 0, expected 1 to 4")
  fails(order { 1, 2, 3, 5 }, "sweep: order holds 5, expected 1 to 4")
  fails(order { 1, 2, 3 }, "wane.sweep: order is [3], expected one position for each of 4 columns")
  fails(order(wane.tensor { { 1, 2, 3, 4 } }), "wane.sweep: order is [1 x 4], expected one position for each of 4 columns")
  fails(order "falling", "wane.sweep: option 'order' is a string 'falling'; expected a tensor or a table")
  fails(order { 1.5, 2, 3, 4 }, "the number 1.5 is not whole")
  fails(function() wane.sweep(w, u, wane.int { bits = 4, group_size = 2 }, { order = { 1, 3, 2, 4 } }) end,
        "wane.sweep: the order mixes the columns of different groups, and no params are given")
end)

case("matrices that do not fit", function()
  local w, u, q = draw { 2, 4 }, wane.eye(4), wane.int { bits = 4 }
  fails(function() wane.sweep() end, "argument 1 (w) is missing")
  fails(function() wane.sweep(w, u) end, "argument 3 (quantizer) is missing")
  fails(function() wane.sweep(w, u, wane.mse) end, "argument 3 (quantizer) is an observer")
  fails(function() wane.sweep(w, u, q, { ordr = { 1 } }) end, "no option 'ordr'; did you mean 'order'?")
  fails(function() wane.sweep(w[{ 1, {} }], u, q) end, "wane.sweep: w is [4], expected a matrix")
  fails(function() wane.sweep(w, wane.eye(3), q) end, "sweep: u is [3 x 3], expected [4 x 4] for w's 4 columns")
  fails(function() wane.sweep(w, wane.zeros { 4, 5 }, q) end, "sweep: u is [4 x 5], expected [4 x 4] for w's 4 columns")
  fails(function() wane.sweep(w, u, q, { second = wane.eye(2) }) end,
        "sweep: second is [2 x 2], expected [4 x 4] for w's 4 columns")
  fails(function() wane.sweep(w, u:with({ 3, 3 }, 0), q) end, "sweep: u[3, 3] is 0; every pivot divides an error")
  fails(function() wane.sweep(w, u:with({ 2, 2 }, 0 / 0), q) end, "; every pivot divides an error")
  fails(function() wane.sweep(w, u:with({ 4, 4 }, math.huge), q) end, "sweep: u[4, 4] is inf; every pivot divides an error")
  fails(function() wane.sweep(w, u, q { group_size = 3 }) end, "wane.sweep: group_size 3 does not divide the 4 columns")
  fails(function() wane.sweep(w:to "i32", u, q) end, "wane.sweep: w is i32, expected floats")
  fails(function() wane.sweep(w, u:to "i32", q) end, "wane.sweep: u is i32, expected floats")
  fails(function() wane.sweep(w, triangle(4):t(), q) end, ", expected an upper triangle")
  fails(function() wane.sweep(w, u, q, { second = u:with({ 3, 1 }, 2) }) end,
        "sweep: second[3, 1] is 2, expected an upper triangle")
  fails(function() wane.sweep(w, u, wane.mxfp4) end, "not supported yet: wane.mxfp4")
end)

case("parameters that do not fit", function()
  local w, u = draw { 2, 4 }, wane.eye(4)
  local q = wane.int { bits = 4, group_size = 2 }
  fails(function() wane.sweep(w, u, q, { params = { scale = wane.ones { 2, 1 } } }) end,
        "wane.sweep: params: 'scale' is [2 x 1], expected [4 x k] as int:fit(w) gives")
  fails(function() wane.sweep(w, u, q, { params = { scale = 1 } }) end,
        "wane.sweep: params: 'scale' is a number, expected [4 x k] as int:fit(w) gives")
  fails(function() wane.sweep(w, u, q, { params = {} }) end,
        "wane.sweep: params: 'scale' is missing; expected what int:fit(w) gives")
  fails(function() wane.sweep(w, u, q { symmetric = false }, { params = q:fit(w) }) end,
        "wane.sweep: params: 'zero' is missing; expected what int:fit(w) gives")
  fails(function() wane.sweep(w, u, q, { params = 3 }) end, "option 'params' is an integer 3; expected a table")
end)

-- A quantizer with this encode; decode gives the codes.
local function with_encode(encode, fit)
  local Q = wane.quantizer("odd", { bits = 2 })
  function Q:fit(w) return fit and fit(w) or { scale = w:absmax(2) } end
  Q.encode = encode
  function Q:decode(codes, p) return codes * p.scale end
  return Q
end

case("what encode may not give or read", function()
  local w, u = draw { 3, 4 }, wane.eye(4)
  local Half = with_encode(function(_, x) return x * 0 + 0.5 end)
  fails(function() wane.sweep(w, u, Half) end,
        "sweep: encode gave 0.5 for row 1, column 1; expected whole numbers 0 to 3")
  local High = with_encode(function(_, x) return x * 0 + 4 end)
  fails(function() wane.sweep(w, u, High, { order = { 2, 1, 3, 4 } }) end,
        "sweep: encode gave 4 for row 1, column 2; expected whole numbers 0 to 3")
  local Low = with_encode(function(_, x) return x * 0 - 1 end)
  fails(function() wane.sweep(w, u, Low) end, "sweep: encode gave -1 for row 1, column 1; expected whole numbers 0 to 3")
  local foreign = draw { 3, 1 }
  local Foreign = with_encode(function(_, x) return (x * foreign):clamp(0, 3):round() end)
  fails(function() wane.sweep(w, u, Foreign) end, "mul: shapes do not fit: [16 x 1] and [3 x 1]")
  foreign = draw { 16, 1 }
  fails(function() wane.sweep(w, u, Foreign) end,
        "sweep: encode or decode reads a tensor of shape [16 x 1] that is neither w, a parameter nor a table")
  foreign = draw { 1, 1 }
  check(wane.sweep(w, u, Foreign), "a single number is none")
  local Long = with_encode(function(_, x)
    local y = x
    for _ = 1, 64 do y = y:sin() + 0.5 end
    return y:clamp(0, 3):round()
  end)
  fails(function() wane.sweep(w, u, Long) end, "operations together, at most 64 are built in")
  local Wide = with_encode(function(_, x, p) return (x * p.ends):clamp(0, 3):round() end,
                           function(x) return { ends = wane.concat({ x:min(2), x:max(2) }, 2), scale = x:max(2) } end)
  fails(function() wane.sweep(w, u, Wide) end, "odd: encode gave [16 x 2] for [16 x 1]")
end)

case("weights that are not finite are named", function()
  local w, u = draw { 3, 4 }, wane.eye(4)
  fails(function() wane.sweep(w:with({ 2, 3 }, 0 / 0), u, wane.int { bits = 4 }) end,
        "wane.sweep: w has NaN or Inf, the first at row 2, column 3")
  fails(function() wane.sweep(w:with({ 3, 1 }, -math.huge), u, wane.int { bits = 4 }) end,
        "wane.sweep: w has NaN or Inf, the first at row 3, column 1")
end)
