-- Observers: ranges of weights, statistics of inputs, independence of how samples come, a user's own.
local wane = require "wane"
local core = require "wane.core"
local inputs = require "wane.inputs"
local observers = require "wane.observers"

local function draw(shape) return wane.randn(shape, { stream = "observers" }) end

-- The result over samples, as two tensors or one.
local function run(observer, rows, samples, q) return inputs.observe(observer, rows, samples, q, "here") end

local function three_samples() return { draw { 5, 6 }, draw { 3, 6 } * 4, draw { 9, 6 } } end

case("minmax and absmax per tensor, channel and token", function()
  local samples = three_samples()
  local all = wane.concat(samples, 1)
  local lo, hi = run(wane.minmax, "tensor", samples)
  equal(lo:item(), all:min())
  equal(hi:item(), all:max())
  lo, hi = run(wane.minmax, "channel", samples)
  check(lo:same(all:min(1):t()) and hi:same(all:max(1):t()), "channel")
  lo, hi = run(wane.minmax, "token", samples)
  check(lo:same(all:min(2)) and hi:same(all:max(2)), "token")
  check(run(wane.absmax, "channel", samples):same(all:absmax(1):t()), "absmax")
end)

case("ema moves with every sample", function()
  local samples = { wane.tensor { { -1, 1 } }, wane.tensor { { -3, 5 } } }
  local lo, hi = run(wane.minmax { ema = 0.25 }, "tensor", samples)
  equal(lo:item(), -1.5)
  equal(hi:item(), 2)
end)

case("percentile is exact and the same for any split", function()
  local samples = three_samples()
  local all = wane.concat(samples, 1)
  for _, p in ipairs { 0, 37, 50, 90, 99, 99.99, 100 } do
    local expected = all:abs():reshape { 1, -1 }:quantile(p / 100, 2):item()
    near(run(wane.percentile { p = p }, "tensor", samples):item(), expected, 1e-6, "p = " .. p)
    near(run(wane.percentile { p = p }, "tensor", { all }):item(), expected, 1e-6, "at once, p = " .. p)
  end
  local per_channel = run(wane.percentile { p = 80 }, "channel", samples)
  near((per_channel - all:abs():t():quantile(0.8, 2)):absmax(), 0, 1e-6)
end)

case("mse finds the range that the search in plain Lua finds", function()
  local x = draw { 3, 16 }
  local q = wane.int { bits = 3, observer = wane.mse }
  local lo, hi = observers.range(q, x, false)
  for row = 1, 3 do
    local values, least, best = x[{ row, {} }]:totable(), math.huge, nil
    local low, high = math.huge, -math.huge
    for _, v in ipairs(values) do low, high = math.min(low, v), math.max(high, v) end
    for i = 0, 79 do
      local p = 1 - i / 100
      local top = math.max(-low * p, high * p)
      local scale, error = wane.tensor({ top / 7 * 2 }, { dtype = "bf16" }):item(), 0
      for _, v in ipairs(values) do
        local code = math.max(-4, math.min(3, wane.tensor { v / scale }:round():item()))
        error = error + math.abs(code * scale - v) ^ 2.4
      end
      if error < least * (1 - 1e-6) then least, best = error, p end
    end
    near(lo[{ row, 1 }]:item(), low * best, 1e-5, "row " .. row)
    near(hi[{ row, 1 }]:item(), high * best, 1e-5, "row " .. row)
  end
end)

-- Rows of several magnitudes with outliers, zeros among them.
local function spread(rows, columns)
  local w = wane.randn { rows, columns }
  w = core.flush(w * w:abs())
  return core.flush(core.concat({ w, core.zeros { 1, columns }, w[{ { 1, 1 }, {} }] * 1e-6 }, 1))
end

case("the search in the engine gives the bits of the search in Lua", function()
  local before = core.options.threads
  local close <close> = setmetatable({}, { __close = function()
    observers.in_engine = true
    core.set_threads(before)
  end })
  for _, observer in ipairs { wane.mse, wane.mse { norm = 2, grid = 30 }, wane.mse { norm = 1, shrink = 1 }, wane.imatrix } do
    for _, q in ipairs { wane.int { bits = 4, group_size = 20 }, wane.int { bits = 3, group_size = 64, symmetric = false },
                         wane.int { bits = 4, per = "channel", convention = "full" },
                         wane.int { bits = 2, per = "channel", convention = "qmax", scale_dtype = "f16" },
                         wane.fp8 { per = "channel" }, wane.nf4 { group_size = 320 } } do
      local w = spread(37, 640)
      local seen = { mean_square = core.flush(wane.randn({ 640 }):square()) }
      q = q { observer = observer }
      observers.in_engine = false
      local expected = q:fit(w, seen)
      observers.in_engine = true
      for _, threads in ipairs { 1, 2, 3 } do
        core.set_threads(threads)
        local found = q:fit(w, seen)
        for name, p in pairs(expected) do check(p:same(found[name]), tostring(q) .. ": " .. name) end
      end
    end
  end
  local long = wane.int { bits = 4, per = "channel", observer = wane.mse } -- rows of more than a piece of the loop
  local w = spread(3, 20011)
  local found = long:fit(w)
  observers.in_engine = false
  check(long:fit(w).scale:same(found.scale))
end)

case("a search over what is not finite finds nothing, in both ways", function()
  local q = wane.int { bits = 4, per = "channel", observer = wane.mse }
  local w = core.tensor { { 1, 2, 0 / 0, 4 }, { 1, math.huge, 3, 4 }, { 1, 2, 3, 4 } }
  local found = q:fit(w).scale
  observers.in_engine = false
  local expected = q:fit(w).scale
  observers.in_engine = true
  equal(found:isfinite():to "f32":totable(), expected:isfinite():to "f32":totable())
  equal(found:isfinite():to "f32":totable(), { { 0 }, { 0 }, { 1 } })
end)

case("mse of an input is the same for any split", function()
  local samples = three_samples()
  local q = wane.int { bits = 4, per = "tensor", observer = wane.mse }
  local lo, hi = run(wane.mse, "tensor", samples, q)
  local lo1, hi1 = run(wane.mse, "tensor", { wane.concat(samples, 1) }, q)
  near(lo:item(), lo1:item(), 1e-6)
  near(hi:item(), hi1:item(), 1e-6)
  check(-lo:item() < wane.concat(samples, 1):absmax(), "a heavy tail should be cut at 4 bits")
end)

case("mean_square and token_ratio", function()
  local samples = three_samples()
  local all = wane.concat(samples, 1)
  near(run(wane.mean_square, "tensor", samples):item(), all:square():mean(), 1e-5)
  near((run(wane.mean_square, "channel", samples) - all:square():mean(1):t()):absmax(), 0, 1e-5)
  local ratio = 0
  for _, x in ipairs(samples) do
    local tops = x:absmax(2)
    ratio = ratio + tops:max() / tops:quantile(0.5) / #samples
  end
  near(run(wane.token_ratio, "tensor", samples):item(), ratio, 1e-5)
end)

local function tail()
  local Tail = wane.observer("tail", { per = "token", share = 0.5 })
  function Tail:init() self.tops = {} end
  function Tail:see(x) self.tops[#self.tops + 1] = x:absmax(2) end
  function Tail:result() return wane.concat(self.tops, 1):quantile(self.share) end
  return Tail
end

case("an observer of one's own", function()
  local samples = three_samples()
  local Tail = tail()
  near(run(Tail, "token", samples):item(), wane.concat(samples, 1):absmax(2):quantile(0.5), 1e-6)
  equal(run(Tail { share = 1 }, "token", samples):item(), wane.concat(samples, 1):absmax())
  equal(tostring(Tail { share = 1 }), "tail share=1")
  equal(run(Tail, "token", samples):item(), run(Tail, "token", samples):item())
end)

case("as a quantizer's observer it narrows the range", function()
  local w = draw { 4, 32 }
  local Half = wane.observer("half", {})
  function Half:see(x) self.top = x:absmax(2) end
  function Half:result() return self.top * 0.5 end
  local packed = wane.int { bits = 8, convention = "qmax", scale_dtype = "f32", observer = Half }:quantize(w)
  near((packed.params.scale * 254 / w:absmax(2) - 1):absmax(), 0, 1e-6)
  check(packed.codes:max() == 255, "values beyond the range have the last code")
end)

case("NaN and Inf are found by sample and token", function()
  local samples = { wane.ones { 2, 3 }, wane.tensor { { 1, 1, 1 }, { 1, 1, 1 }, { 1, 0 / 0, 1 } } }
  fails(function() run(wane.absmax, "tensor", samples) end,
        "observer 'absmax': here: NaN or Inf in its input, sample 2, token 3")
  local Nan = wane.observer("nan", {})
  function Nan:see() end
  function Nan:result() return 0 / 0 end
  fails(function() run(Nan, "tensor", { wane.ones { 2, 3 } }) end, "its result is not finite, its input is")
end)

case("wrong observers are refused by name", function()
  local samples = three_samples()
  local Empty = wane.observer("empty", {})
  fails(function() run(Empty, "tensor", samples) end, "observer 'empty': it has no see; define function empty:see")
  local Odd = wane.observer("odd", {})
  function Odd:see() end
  function Odd:result() return "five" end
  fails(function() run(Odd, "tensor", samples) end, "its result is a string, expected a number or a tensor [rows, 1]")
  fails(function() run(wane.mse, "tensor", samples) end, "wane.mse: it needs the quantizer it serves")
  fails(function() wane.mse { grid = 0 } end, "grid is 0")
  fails(function() wane.percentile { p = 101 } end, "p is 101, expected a number from 0 to 100")
  fails(function() run(wane.imatrix, "tensor", samples) end, "wane.imatrix: it needs the quantizer it serves")
  fails(function() run(wane.block_mse, "tensor", samples) end, "wane.block_mse: it needs the quantizer it serves")
end)

case("dynamic inputs: each token, or group of a token, has its own scale", function()
  local x = (draw { 2, 3, 8 } * wane.tensor { { { 1 }, { 100 }, { 0.01 } } }):to "bf16"
  for _, q in ipairs { wane.int, wane.int { group_size = 4 }, wane.fp8, wane.int { symmetric = false },
                       wane.int { convention = "full" }, wane.int { per = "token" } } do
    local y = inputs.dynamic(q).apply(x)
    equal(y.dtype, "bf16")
    equal(table.concat(y.shape, " "), "2 3 8")
    local flat = x:to "f32":reshape { 6, 8 }
    local weights = q.per and wane.int or q
    check(y:reshape { 6, 8 }:same(weights:quantize(flat):to "bf16"), tostring(q) .. ": not the values of a row's codes")
  end
end)

case("static inputs: one scale, or one per channel, from the range", function()
  local x = draw { 5, 4 }
  local q = wane.int { per = "tensor", observer = wane.minmax, scale_dtype = "f32", convention = "qmax" }
  local y = inputs.static(q, wane.full({ 1, 1 }, -1), wane.full({ 1, 1 }, 0.5)).apply(x)
  near((y - (x * 127):round():clamp(-128, 127) / 127):absmax(), 0, 1e-6)
  local per = q { per = "channel" }
  local lo = wane.tensor { { -1 }, { -2 }, { -4 }, { -8 } }
  y = inputs.static(per, lo, -lo).apply(x)
  local steps = -lo:t() / 127
  near((y - (x / steps):round():clamp(-128, 127) * steps):absmax(), 0, 1e-5)
end)
