-- GPTQ: the whole of the demo model against calibration forwards and the raw time of its products, its growth and its
-- peak of memory; a solver written out in Lua against the built-in one; and the solve of one weight, its Hessian given
-- (int4 per channel, extremes, columns as they stand, no correction), against the same calls from C++ and against its
-- two parts alone. tests/oracles/gptq_speed.py times the paper's loop in PyTorch beside that solve.
--
--   wane run scripts/bench/gptq.lua [ROWS COLUMNS REPEATS]     the solve alone, in seconds
local wane   = require "wane"
local core   = require "wane.core"
local bench  = require "wane.bench"
local stages = require "wane.stages"

local rows, columns, repeats = ...
local int4 = wane.int { bits = 4, per = "channel" }
local plain = wane.gptq { act_order = "none", precorrect = 0 }

-- Not the moments of real tokens, which would take longer to make than to factor: some directions and a floor.
local function hessian(n)
  local a = wane.randn { n, 256 }
  return core.flush(a:matmul(a:t()) / 256 + wane.eye(n) * 0.5)
end

local function prepared(m, n)
  local w, h = core.flush(wane.randn { m, n }), hessian(n)
  return w, h, core.flush(h + 0.01 * core.flush(h:diag()):mean() * wane.eye(n))
end

-- wane.gptq keeps what it made of a Hessian for as long as that lives, so each solve is given another view of h.
local function solve(w, q, h) return plain:solve(w, q, { hessian = h:reshape(h.shape) }) end

if rows then
  local m, n = math.tointeger(tonumber(rows)), math.tointeger(tonumber(columns))
  local w, h = prepared(m, n)
  local best = math.huge
  for _ = 1, math.tointeger(tonumber(repeats or 5)) do
    local start = core.seconds()
    solve(w, int4, h)
    best = math.min(best, core.seconds() - start)
  end
  print(("seconds %.6f"):format(best))
  return
end

local function seconds(x) return ("%.2f s"):format(x) end
local function at_most(what, found, bar, words)
  print(("%-44s %6.3f   at most %.2f   %s%s"):format(what, found, bar, found <= bar and "met" or "above", words or ""))
end

-- -- the whole model --------------------------------------------------------------------------------------------

bench.machine()
local TOKENS = 512
local base   = wane.load "smollm2"
local config = base.config
local text   = wane.text("README.md", { samples = 64, length = TOKENS })
local w4     = wane.int { bits = 4, group_size = 64, observer = wane.mse }

local function rules(blocks, solver)
  return wane.rules { { ("layers.{0..%d}.*_proj"):format(blocks - 1), weight = w4, solver = solver } }
end

-- The first samples of the text, as a text.
local function part(samples)
  local kept = {}
  for i, sample in ipairs(text:_samples(base)) do
    if i <= samples then kept[i] = { ids = sample.ids or sample, first = 2 } end
  end
  return require("wane.text").from_samples(kept)
end

local function quantize(blocks, solver, some)
  return function() return wane.quantize(base, rules(blocks, solver), some) end
end

-- A calibration forward: the samples in its batches, to the last input that quantizing so many blocks looks at.
local function forward(blocks, some)
  local last = ("layers.%d.mlp.down_proj"):format(blocks - 1)
  return function()
    stages.walk(base, some:_samples(base), { wanted = function(name) return name == last end, at = function() end })
  end
end

local gptq, uncorrected = wane.gptq, wane.gptq { precorrect = 0 }
local layers = config.num_hidden_layers
do
  local started = core.seconds()
  local model = quantize(layers, gptq, text)()
  local took = core.seconds() - started
  local peak = core.memory().resident_peak / 2 ^ 20
  print(("gptq of all %d blocks, 64 x %d tokens: %.1f s, peak resident %.0f MiB, at most 800 MiB   %s"):format(
    layers, TOKENS, took, peak, peak <= 800 and "met" or "above"))
  model = nil
end
collectgarbage()

local BLOCKS = 2
local all, half, few = part(64), part(32), part(16)

-- The products of the calibration: 4096 tokens through both streams' blocks, one triangle of H and all of C.
local function raw_products()
  local head = config.head_dim or config.hidden_size // config.num_attention_heads
  local hidden, inner, keys = config.hidden_size, config.intermediate_size, config.num_key_value_heads * head
  local sizes = {}
  local function add(m, n, k, f32) table.move({ m, n, k, f32 or 0 }, 1, 4, #sizes + 1, sizes) end
  for _ = 1, BLOCKS do
    for _ = 1, 2 * 4096 // stages.batch_tokens do
      for _, k in ipairs { hidden, hidden } do add(stages.batch_tokens, k, hidden) end
      for _ = 1, 2 do add(stages.batch_tokens, keys, hidden) end
      for _ = 1, 2 do add(stages.batch_tokens, inner, hidden) end
      add(stages.batch_tokens, hidden, inner)
    end
    for _, n in ipairs { hidden, hidden, hidden, inner } do
      add(n // 2, n, 4096, 1)
      add(n, n, 4096, 1)
    end
  end
  return core.rival_products(sizes, core.native_bf16() and "bf16" or "f32")
end

local raw = raw_products()
local whole, without, walk, products = bench.best {
  quantize(BLOCKS, gptq, all), quantize(BLOCKS, uncorrected, all), forward(BLOCKS, all), function() raw:run() end }
products = products * 64 * TOKENS / 4096
at_most(("gptq of %d blocks / two forwards"):format(BLOCKS), whole / walk / 2, 2.5,
  (" (aim 1.90)   %.2f s, a forward %.2f s"):format(whole, walk))
at_most("the same, not corrected / two forwards", without / walk / 2, 1.3, (" %.2f s"):format(without))
bench.report("raw matmul time of its work / gptq", products / whole, 0.5, seconds(whole),
  seconds(products) .. ", " .. raw:describe())

-- -- growth -----------------------------------------------------------------------------------------------------

do
  local one, twice, deeper = bench.best {
    quantize(BLOCKS, gptq, few), quantize(BLOCKS, gptq, half), quantize(2 * BLOCKS, gptq, few) }
  at_most("gptq: time of 2n / n tokens", twice / one, 2.1, (" %.2f and %.2f s"):format(twice, one))
  at_most("gptq: time of 2n / n blocks", deeper / one, 2.1, (" %.2f and %.2f s"):format(deeper, one))
end

-- -- written out in Lua -----------------------------------------------------------------------------------------

-- scripts/gptq-by-hand.lua's solver.
local ByHand = wane.solver("by-hand", { damp = 0.01 })
ByHand.needs = { wane.hessian }
function ByHand:solve(w, quantizer, seen)
  local h    = seen.hessian
  local damp = self.damp * h:diag():mean()
  local u    = (h + damp * wane.eye(w.shape[2])):inverse_upper()
  return wane.sweep(w, u, quantizer)
end

do
  local built_in, by_hand = bench.best { quantize(BLOCKS, plain, half), quantize(BLOCKS, ByHand, half) }
  bench.report("quantize: built-in / by hand in Lua", built_in / by_hand, 0.9, seconds(by_hand), seconds(built_in))
  local w, h = prepared(1536, 1536)
  local grouped = wane.int { bits = 4, group_size = 64 }
  local own, other = bench.best {
    function() ByHand.solve({ damp = 0.01 }, w, grouped, { hessian = h }) end,
    function() solve(w, grouped, h) end }
  bench.report("solve [1536 x 1536]: built-in / by hand", other / own, 0.7, ("%.1f ms"):format(own * 1e3),
    ("%.1f ms"):format(other * 1e3))
end

-- -- the solve alone --------------------------------------------------------------------------------------------

for _, shape in ipairs { { 2048, 2048 }, { 2048, 6144 } } do
  local m, n = shape[1], shape[2]
  local w, h, damped = prepared(m, n)
  local u, cpp = core.flush(damped:inverse_upper()), core.rival_gptq(w, h)
  local whole, triangle, sweep, calls = bench.best {
    function() solve(w, int4, h) end,
    function() core.flush(damped:inverse_upper()) end,
    function() wane.sweep(w, u, int4) end,
    function() cpp:run() end,
  }
  bench.report(("gptq [%d x %d]: its calls from C++ / from Lua"):format(m, n), calls / whole, 0.9,
    ("%.1f ms"):format(whole * 1e3), ("%.1f ms, %s"):format(calls * 1e3, cpp:describe()))
  bench.report(("gptq [%d x %d]: its parts / the whole"):format(m, n), (triangle + sweep) / whole, 0.9,
    ("%.1f ms"):format(whole * 1e3), ("triangle %.1f ms, sweep %.1f ms (%.0f GF/s)"):format(
      triangle * 1e3, sweep * 1e3, m * n * n / sweep / 1e9))
end
