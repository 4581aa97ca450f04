-- wane.gptq on bare matrices: the float64 twin of tests/oracles/gptq_twin.py, what must hold for any input, wrong use.
local wane = require "wane"
local core = require "wane.core"
local observers = require "wane.observers"

local function draw(shape, dtype) return core.flush(wane.randn(shape, { stream = "gptq", dtype = dtype or "f64" })) end

-- Tokens of n correlated channels of unequal size, [tokens, n] in f64: of one kind for one `mix`.
local function mixing(n)
  return core.flush((draw { n, n } * 0.5 + 2 * wane.eye(n):to "f64") * (draw { 1, n }:abs() + 0.3))
end
local function tokens(count, mix) return core.flush(draw { count, mix.shape[1] }:matmul(mix)) end

local function hessian(x, y) return core.flush((y or x):t():matmul(x) / x.shape[1]) end

-- sum of d h d^T's diagonal, in f64.
local function loss(d, h)
  d, h = d:to "f64", h:to "f64"
  return (d:matmul(h) * d):sum()
end

local PLAIN = wane.gptq { precorrect = 0 }

local function codes_of(solver, w, q, seen) return (solver:solve(w, q, seen)).codes end

-- -- the twin ---------------------------------------------------------------------------------------------------

local golden = core.parse_json(core.read(source "tests/golden/gptq.json"), "gptq.json")

-- Digits of base 36 as numbers.
local function read(text, columns)
  local values = {}
  for i = 1, #text do values[i] = tonumber(text:sub(i, i), 36) end
  return wane.tensor(values):reshape { -1, columns }
end

local function twin_inputs(dtype)
  local n = golden.columns
  local x, x0 = read(golden.x, n):to "f64" - 18, read(golden.x0, n):to "f64" - 18
  local w = (read(golden.w, n):to "f64" - 18) / 64
  return core.flush(w:to(dtype)), core.flush(hessian(x):to(dtype)), core.flush(hessian(x, x0):to(dtype))
end

local function twin_case(c)
  local q = wane.int { bits = c.bits, group_size = c.group_size, symmetric = c.symmetric, convention = c.convention,
                       observer = c.observer and wane[c.observer] }
  local solver = wane.gptq { act_order = c.act_order, damp = c.damp, precorrect = c.precorrect or 0 }
  return solver, q
end

case("codes of the float64 twin, in f64 and f32", function()
  check(#golden.cases >= 6, "the golden file has lost cases")
  for _, dtype in ipairs { "f64", "f32" } do
    local w, h, c = twin_inputs(dtype)
    equal(w.shape, { golden.rows, golden.columns })
    local differ, all = 0, 0
    for i, expected in ipairs(golden.cases) do
      local solver, q = twin_case(expected)
      local about = ("case %d, %s, %s"):format(i, dtype, tostring(solver))
      local packed, info = solver:solve(w, q, { hessian = h, cross = c })
      local codes = read(expected.codes, golden.columns):to "u8"
      differ = differ + packed.codes:ne(codes):to "f32":sum()
      all = all + #expected.codes
      near(info.loss / expected.loss, 1, dtype == "f64" and 1e-9 or 1e-3, about)
      equal(info.dead, 1, about)
    end
    check(differ <= 0.001 * all, ("%s: %d of %d codes differ"):format(dtype, differ, all))
  end
end)

case("the dead column of the twin's inputs has the codes of rounding", function()
  local w, h = twin_inputs "f32"
  local q = wane.int { bits = 4, group_size = 16 }
  local at = { {}, { golden.dead, golden.dead } }
  for _, order in ipairs { "static", "none" } do
    local packed = PLAIN { act_order = order }:solve(w, q { per = "channel" }, { hessian = h })
    check(core.flush(packed.codes[at] + 0):same(q { per = "channel" }:quantize(w).codes[at] + 0), order)
  end
end)

-- -- what must hold ---------------------------------------------------------------------------------------------

case("u^T u (h + d I) = I, whatever the order of the columns", function()
  for _, n in ipairs { 1, 7, 64, 130 } do
    local h = hessian(tokens(3 * n, mixing(n)))
    h = core.flush(h + 0.01 * core.flush(h:diag()):mean() * wane.eye(n):to "f64")
    local order = core.flush(h:diag()):argsort(1, "falling")
    for _, a in ipairs { h, core.flush(h:gather(1, order):gather(2, order)) } do
      local function off(dtype)
        local u = core.flush(a:to(dtype):inverse_upper()):to "f64"
        return core.flush(u:t():matmul(u):matmul(a) - wane.eye(n):to "f64"):absmax()
      end
      check(off "f64" < 1e-10, n .. " columns, f64")
      check(off "f32" < 1e-4 * n, n .. " columns, f32")
    end
  end
end)

case("a Hessian with nothing beside its diagonal, or damped beyond reason, gives the codes of rounding", function()
  for _, q in ipairs { wane.int { bits = 4 }, wane.int { bits = 3, group_size = 32 }, wane.int { bits = 4, group_size = 128 },
                       wane.int { bits = 4, symmetric = false, group_size = 32, observer = wane.mse } } do
    local w = draw({ 9, 128 }, "f32")
    local nearest = q:quantize(w)
    local h = hessian(tokens(300, mixing(128))):to "f32"
    local diagonal = core.flush(draw({ 128 }, "f32"):square() + 0.01)
    for _, order in ipairs { "static", "group", "none" } do
      local solver, about = PLAIN { act_order = order }, ("%s, %s"):format(tostring(q), order)
      check(codes_of(solver, w, q, { hessian = wane.eye(128) * 3 }):same(nearest.codes), about .. ": 3 I")
      check(codes_of(solver, w, q, { hessian = core.flush(diagonal:diag()) }):same(nearest.codes), about .. ": diagonal")
      check(codes_of(solver { damp = 1e6 }, w, q, { hessian = h }):same(nearest.codes), about .. ": damp 1e6")
      check(not codes_of(solver, w, q, { hessian = h }):same(nearest.codes), about .. ": a full Hessian changes codes")
    end
  end
end)

case("less loss than rounding has: 100 random layers", function()
  local better, ratios = 0, 0
  for i = 1, 100 do
    local n = 16 * (1 + i % 4)
    local h = hessian(tokens(4 * n, mixing(n)))
    local w = draw({ 8 + i % 7, n }, "f32")
    local group = i % 3 == 0 and 8 or nil
    local q = wane.int { bits = 2 + i % 3, group_size = group, symmetric = i % 2 == 0, observer = i % 4 == 0 and wane.mse or nil }
    local solver = PLAIN { act_order = ({ "static", "group", "none" })[i % 3 + 1] }
    local ours = loss(solver:solve(w, q, { hessian = h:to "f32" }):dequantize() - w, h)
    local nearest = loss(q:quantize(w) - w, h)
    if ours < nearest then better = better + 1 end
    ratios = ratios + ours / nearest / 100
  end
  check(better >= 99, ("%d of 100"):format(better))
  check(ratios < 0.6, ("mean ratio %.3f"):format(ratios))
end)

case("the sum of e^2 is the loss under the damped Hessian, from the weights that were solved", function()
  for _, n in ipairs { 16, 72 } do
    local mix = mixing(n)
    local x0 = tokens(4 * n, mix)
    local x = core.flush(x0 + draw(x0.shape) * 0.3)
    for _, dtype in ipairs { "f64", "f32" } do
      local w = draw({ 11, n }, dtype)
      local h, c = core.flush(hessian(x):to(dtype)), core.flush(hessian(x, x0):to(dtype))
      local lam = 0.01 * core.flush(h:diag()):mean()
      local damped = h:to "f64" + lam * wane.eye(n):to "f64"
      local aim = w:to "f64":matmul(c:to "f64" + lam * wane.eye(n):to "f64"):matmul(core.flush(damped):inverse())
      for _, order in ipairs { "static", "group", "none" } do
        local q = wane.int { bits = 3, group_size = 8, symmetric = order == "group" }
        local tolerance = dtype == "f64" and 1e-10 or 1e-3
        local packed, info = PLAIN { act_order = order }:solve(w, q, { hessian = h, cross = c })
        near(info.loss / loss(packed:dequantize() - w, damped), 1, tolerance, dtype .. " " .. order)
        packed, info = wane.gptq { act_order = order, precorrect = 1 }:solve(w, q, { hessian = h, cross = c })
        near(info.loss / loss(packed:dequantize() - aim, damped), 1, tolerance, dtype .. " " .. order .. " corrected")
      end
    end
  end
end)

case("in another order of columns: the same codes in that order", function()
  local n = 48
  local h, w = hessian(tokens(200, mixing(n))):to "f32", draw({ 6, n }, "f32")
  local order = core.flush(wane.uniform({ n }, { stream = "gptq" })):argsort(1)
  local moved = core.flush(h:gather(1, order):gather(2, order))
  local q = wane.int { bits = 3 }
  local codes = codes_of(PLAIN, w, q, { hessian = h })
  local there = codes_of(PLAIN, core.flush(w:gather(2, order)), q, { hessian = moved })
  check(there:same(core.flush(codes:gather(2, order))), "static")
  local plain = PLAIN { act_order = "none" }
  there = codes_of(plain, core.flush(w:gather(2, order)), q, { hessian = moved })
  check(not there:same(core.flush(codes_of(plain, w, q, { hessian = h }):gather(2, order))), "none: an order shows")
end)

case("signs and places of the inputs change signs and places of the codes, and nothing else", function()
  local Wide = wane.observer("wide", {}) -- no weight is clipped: the codes have one more below zero than above
  function Wide:see(x) self.top = x:absmax(2) * 3 end
  function Wide:result() return self.top end
  local n = 40
  local h, w = hessian(tokens(200, mixing(n))):to "f32", draw({ 6, n }, "f32")
  local order = core.flush(wane.uniform({ n }, { stream = "gptq" })):argsort(1)
  local signs = core.flush(wane.where(draw({ 1, n }, "f32"):lt(0), -1, 1))
  local function rotated(x) return core.flush(x:gather(2, order) * signs) end
  local q = wane.int { bits = 5, convention = "qmax", observer = Wide }
  local codes = codes_of(PLAIN, w, q, { hessian = h }):to "f32" - 16
  local turned = core.flush(rotated(h):t())
  turned = core.flush((turned:gather(2, order) * signs):t())
  local there = codes_of(PLAIN, rotated(w), q, { hessian = turned }):to "f32" - 16
  check(core.flush(there + 0):same(core.flush(rotated(codes) + 0)), "codes")
  check(codes:absmax() < 16, "a clipped code")
end)

case("unchanged inputs need no correction; changed ones are better off with it on tokens not seen", function()
  local n, sums = 48, { 0, 0, 0 }
  for _ = 1, 12 do
    local mix, w = mixing(n), draw({ 8, n }, "f32")
    local q = wane.int { bits = 4, group_size = 16 }
    local x0, fresh0 = tokens(16 * n, mix), tokens(400, mix)
    local turn = core.flush(wane.eye(n):to "f64" + draw { n, n } * 0.03)
    local function later(x) return core.flush(x:matmul(turn) + draw(x.shape) * 0.2) end
    local x, fresh = later(x0), later(fresh0)
    local h, c = hessian(x):to "f32", hessian(x, x0):to "f32"
    local same = codes_of(wane.gptq { precorrect = 1 }, w, q, { hessian = h, cross = h })
    check(same:same(codes_of(PLAIN, w, q, { hessian = h })), "cross = hessian changes codes")
    for i, share in ipairs { 0, 0.5, 1 } do
      local packed = wane.gptq { precorrect = share }:solve(w, q, { hessian = h, cross = c })
      local off = fresh0:matmul(w:to "f64":t()) - fresh:matmul(packed:dequantize():to "f64":t())
      sums[i] = sums[i] + off:square():sum()
    end
  end
  check(sums[2] < sums[1] and sums[3] < sums[2], ("losses %.4g %.4g %.4g"):format(table.unpack(sums)))
end)

-- The mean square of each channel as wane.quantize learns it from these samples.
local function calm_of(samples, spikes)
  local calm = observers.calm { spikes = spikes }
  local self = observers.start(calm, "tensor", {})
  for _, x in ipairs(samples) do observers.see(self, calm, x) end
  return observers.finish(self, calm)
end

case("the mean square without spikes", function()
  local x = core.flush(draw { 50, 6 }:to "f32")
  local all = core.flush(wane.concat({ x, x[{ { 1, 1 }, {} }] * 1e4, x[{ { 2, 2 }, {} }] * 3 }, 1))
  near(calm_of({ x }, 64), x:square():mean(1):t(), 1e-6)
  near(calm_of({ all }, 64), wane.concat({ x, x[{ { 2, 2 }, {} }] * 3 }, 1):square():mean(1):t(), 1e-5)
  near(calm_of({ all }, 1e6), all:square():mean(1):t(), 1)
  local parts = { core.flush(all[{ { 1, 7 }, {} }] + 0), core.flush(all[{ { 8, 51 }, {} }] + 0), core.flush(all[{ { 52, 52 }, {} }] + 0) }
  near(calm_of(parts, 64), calm_of({ all }, 64), 1e-6)
  equal(calm_of({ wane.zeros { 5, 3 } }, 64):totable(), { { 0 }, { 0 }, { 0 } })
end)

case("a massive token sets neither the damping nor the order of all others, unless spikes = false", function()
  local n = 192
  local mix = mixing(n)
  local x, w, q = tokens(8 * n, mix), draw({ 16, n }, "f32"), wane.int { bits = 4 }
  local clean = hessian(x)
  local function with_token(t) -- a thousand times the energy of all others
    return core.flush(wane.concat({ x, t * (1000 * x:square():sum() / t:square():sum()) ^ 0.5 }, 1))
  end
  local spike = draw { 1, n }
  local all = with_token(spike)
  local function solved(solver, given)
    local seen = { hessian = hessian(given):to "f32", calm = solver.spikes and calm_of({ given }, 64) }
    return loss(solver:solve(w, q, seen):dequantize() - w, clean)
  end
  for _, order in ipairs { "static", "group", "none" } do
    local solver = PLAIN { act_order = order }
    local before, with = solved(solver, x), solved(solver, all)
    check(with < 1.1 * before, ("%s: %.3f times the loss without the spike"):format(order, with / before))
    local without = solved(solver { spikes = false }, all)
    check(without > 1.4 * before, ("%s, spikes = false: %.3f times the loss"):format(order, without / before))
  end
  -- Of a few channels, as models have them before a rotation: these come first, and the others repay them.
  local front = with_token(core.flush(wane.where(wane.arange(1, n):reshape { 1, n }:le(3), spike, 0)))
  local with, without = solved(PLAIN, front), solved(PLAIN { spikes = false }, front)
  check(with < without, ("a spike of three channels: %.3f, with spikes = false %.3f"):format(with, without))
end)

case("without spikes nothing is left out", function()
  local x, w = tokens(100, mixing(16)), draw({ 3, 16 }, "f32")
  local h, q = hessian(x):to "f32", wane.int { bits = 3 }
  local packed, info = PLAIN:solve(w, q, { hessian = h, calm = calm_of({ x }, 64) })
  local plain, known = PLAIN:solve(w, q, { hessian = h })
  check(packed.codes:same(plain.codes), "codes")
  near(info.loss / known.loss, 1, 1e-5)
end)

-- -- damping ----------------------------------------------------------------------------------------------------

-- A Hessian that a small damping cannot save: three directions of 24, and numbers as large as they are.
local function singular()
  return hessian(core.flush(draw { 3, 24 } * 100)):to "f32"
end

case("damp is raised where it must be, and that is told", function()
  local w, h, q = draw({ 4, 24 }, "f32"), singular(), wane.int { bits = 4 }
  for _, damp in ipairs { 1e-9, 0 } do
    local packed, info = PLAIN { damp = damp }:solve(w, q, { hessian = h })
    check(info.damp > damp, "damp " .. damp)
    check(info.deviation:find("positive definite", 1, true), info.deviation)
    check(packed:dequantize():isfinite():all(), "values")
  end
  local _, info = PLAIN:solve(w, q, { hessian = h })
  equal(info.damp, 0.01)
  equal(info.deviation, nil)
  fails(function() PLAIN:solve(w, q, { hessian = core.flush(h - 1e6 * wane.eye(24)) }) end,
        "wane.gptq: the Hessian is not positive definite, also with damp raised 4 times to")
end)

case("all columns dead: the codes of rounding", function()
  local w, q = draw({ 4, 8 }, "f32"), wane.int { bits = 4 }
  local packed, info = PLAIN:solve(w, q, { hessian = wane.zeros { 8, 8 } })
  equal(info.dead, 8)
  check(packed.codes:same(q:quantize(w).codes), "codes")
end)

-- -- a solve is shared, and cannot be told from one alone -------------------------------------------------------

case("rows stacked and rows alone, one factorisation and two: the same bits", function()
  local h, w = hessian(tokens(200, mixing(40))):to "f32", draw({ 30, 40 }, "f32")
  local q = wane.int { bits = 3, group_size = 8, observer = wane.mse }
  for _, order in ipairs { "static", "group", "none" } do
    local solver, seen = PLAIN { act_order = order }, { hessian = h }
    local all = codes_of(solver, w, q, seen)
    for _, rows in ipairs { { 1, 7 }, { 8, 8 }, { 9, 30 } } do
      local part = core.flush(w[{ rows, {} }] + 0)
      check(codes_of(solver, part, q, seen):same(core.flush(all[{ rows, {} }] + 0)), order)
      check(codes_of(solver, part, q, { hessian = h }):same(core.flush(all[{ rows, {} }] + 0)), order .. ", factored anew")
    end
  end
end)

case("threads and fusing cannot be seen", function()
  local mix = mixing(136)
  local x0 = tokens(400, mix)
  local x = core.flush(x0 + draw(x0.shape) * 0.2)
  local h, c, w = hessian(x):to "f32", hessian(x, x0):to "f32", draw({ 150, 136 }, "f32")
  for _, order in ipairs { "static", "group", "none" } do
    local q = wane.int { bits = 4, group_size = 8, observer = order ~= "none" and wane.mse or nil }
    local function solve()
      local packed = wane.gptq { act_order = order }:solve(w, q, { hessian = h, cross = c })
      return { packed.codes, packed.params.scale }
    end
    local expected = threads(1, solve)
    for _, count in ipairs { 2, 3, 7 } do equal(threads(count, solve), expected, order .. ", " .. count .. " threads") end
    equal(unfused(solve), expected, order .. ", unfused")
  end
end)

case("every quantizer, a user's too, loses less than by rounding", function()
  local Pow2 = dofile(source "tests/oracles/pow2.lua")()
  local h, w = hessian(tokens(300, mixing(64))), draw({ 24, 64 }, "f32")
  for _, q in ipairs { Pow2, Pow2 { group_size = 16, observer = wane.mse }, wane.nf4 { group_size = 16 }, wane.fp8,
                       wane.fp8 { format = "e5m2" }, wane.int { bits = 4, per = "tensor" },
                       wane.int { bits = 4, group_size = 16, observer = wane.imatrix } } do
    for _, order in ipairs { "static", "group", "none" } do
      local seen = { hessian = h:to "f32" }
      local packed = PLAIN { act_order = order }:solve(w, q, seen)
      local nearest = q:quantize(w, { mean_square = h:diag():to "f32" })
      local ratio = loss(packed:dequantize() - w, h) / loss(nearest - w, h)
      check(ratio < 0.9, ("%s, %s: %.3f"):format(tostring(q), order, ratio))
    end
  end
end)

-- -- wrong use --------------------------------------------------------------------------------------------------

case("wrong options and matrices", function()
  fails(function() wane.gptq { dump = 0.1 } end, "wane.gptq: no option 'dump'; did you mean 'damp'?")
  fails(function() wane.gptq { act_order = true } end, "act_order")
  fails(function() wane.gptq { act_order = "falling" } end, "wane.gptq: act_order is 'falling', expected one of static, group, none")
  fails(function() wane.gptq { precorrect = 1.5 } end, "wane.gptq: precorrect is 1.5, expected a number from 0 to 1")
  fails(function() wane.gptq { damp = -1 } end, "wane.gptq: damp is -1, expected a number from 0 to 1e+06")
  fails(function() wane.gptq { spikes = 0 } end, "wane.gptq: spikes is 0, expected a number")
  local w, q = draw({ 2, 4 }, "f32"), wane.int { bits = 4 }
  fails(function() wane.gptq:solve(w, q) end, "wane.gptq:solve: argument 3 (seen) has no hessian; expected { hessian = h }")
  fails(function() wane.gptq:solve(w, q, { hessian = wane.eye(5) }) end,
        "wane.gptq:solve: the hessian is [5 x 5], expected [4 x 4] for w's 4 columns")
  fails(function() wane.gptq:solve(w, q, { hessian = wane.eye(4):with({ 2, 3 }, 0 / 0) }) end,
        "wane.gptq:solve: the hessian has NaN or Inf")
  fails(function() wane.gptq:solve(w:with({ 1, 2 }, math.huge), q, { hessian = wane.eye(4) }) end,
        "w has NaN or Inf, the first at row 1, column 2")
  fails(function() wane.gptq:solve(w, q { group_size = 3 }, { hessian = wane.eye(4) }) end,
        "group_size 3 does not divide the 4 columns")
  fails(function() wane.gptq:solve(w, q { group_size = 3 }, { hessian = wane.eye(4), act_order = "none" }) end,
        "group_size 3 does not divide the 4 columns")
  fails(function() wane.gptq { act_order = "none" }:solve(w, q { group_size = 3 }, { hessian = wane.eye(4) }) end,
        "group_size 3 does not divide the 4 columns")
  fails(function() wane.gptq { act_order = "group" }:solve(w, q { group_size = 3 }, { hessian = wane.eye(4) }) end,
        "group_size 3 does not divide the 4 columns")
  fails(function() wane.gptq:solve(nil, q, { hessian = wane.eye(4) }) end, "argument 1 (w) is missing")
  fails(function() wane.gptq:solve(w, nil, { hessian = wane.eye(4) }) end, "argument 2 (quantizer) is missing")
  fails(function() wane.gptq:solve(w, q, { hessian = wane.eye(4), calm = wane.ones { 3, 1 } }) end,
        "wane.gptq:solve: calm is [3 x 1], expected [4 x 1]")
  fails(function() wane.gptq:solve(w, q, { hessian = wane.eye(4), cross = wane.eye(3) }) end,
        "wane.gptq:solve: the cross moments are [3 x 3], expected [4 x 4] for w's 4 columns")
end)
