-- An observer of one's own: the range that all but the wildest tokens need, used to measure and to set scales.
--
--   wane run scripts/my-observer.lua                 SmolLM2-135M-Instruct
--   wane run scripts/my-observer.lua path/to/model
--
-- Expect no observer to win everywhere: a cut range helps a layer with stray values and ruins one that lives on
-- its spikes. The table says which of the two this model is.
-- Seen (KL, nats per token, 8-bit inputs alone): minmax 0.93, mse 0.70, percentile 99.9 10.0, tail 0.82, tail 0.99 1.63.
-- The demo model lives on its spikes.
local wane = require "wane"

local Tail = wane.observer("tail", { per = "token", share = 0.999 })   -- per: what one row of x is

function Tail:init()
  self.tops = {}
end

function Tail:see(x)                             -- x: [tokens, channels], batch after batch
  self.tops[#self.tops + 1] = x:absmax(2)        -- [tokens, 1]
end

function Tail:result()                           -- a number t is the range -t to t
  return wane.concat(self.tops, 1):quantile(self.share)
end

local base  = wane.load(... or "smollm2")
local calib = base:generate { samples = 32, length = 256, stream = "calib" }
local probe = wane.task("perplexity", base:generate { samples = 16, length = 256, stream = "probe" })

-- As a measurement, next to built-in ones, in one pass over the text.
local observers = { wane.absmax, wane.percentile { p = 99.9 }, Tail }
print(wane.observe(base, calib, observers, { layers = "*.mlp.down_proj" }))

-- As the range of a static input.
local static  = wane.int { bits = 8, per = "tensor" }
local results = wane.table("my-observer", { "observer", "kl", "kl_p99", "top1" })
local ranges  = { wane.minmax, wane.mse, wane.percentile { p = 99.9 }, Tail, Tail { share = 0.99 } }
for _, observer in ipairs(ranges) do
  local rules  = wane.rules { { "*_proj", input = static { observer = observer } } }
  local change = wane.compare(wane.quantize(base, rules, calib), base, probe)
  results:add { observer = observer, kl = change.kl, kl_p99 = change.kl_p99, top1 = change.top1 }
end
print(results)
