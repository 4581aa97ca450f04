-- GPTQ written out: a solver is one function, and wane.sweep is its column recurrence, at full speed.
--
--   wane run scripts/gptq-by-hand.lua                 SmolLM2-135M-Instruct
--   wane run scripts/gptq-by-hand.lua path/to/model
--
-- Expect by-hand well below rtn, and corrected near gptq, which corrects the same way and also orders the columns.
-- Seen (KL, nats per token, 4 and 3 bits): rtn 0.50 and 1.83, gptq 0.137 and 0.483, by-hand 0.316 and 0.92, corrected 0.165
-- and 0.55.
local wane = require "wane"

local ByHand = wane.solver("by-hand", { damp = 0.01 })
ByHand.needs = { wane.hessian }

function ByHand:solve(w, quantizer, seen)                   -- w: [out, in], f32
  local h    = seen.hessian                                 -- [in, in]: the mean of x x^T over the tokens
  local damp = self.damp * h:diag():mean()
  local u    = (h + damp * wane.eye(w.shape[2])):inverse_upper()    -- u^T u is the inverse
  return wane.sweep(w, u, quantizer)                        -- column by column; each error repaid by the rest
end

-- A variation. Earlier layers are quantized already, so x is not what the layer was trained on: aim for the
-- weights that give the original output on the inputs it will really get, then solve as before.
local Corrected = wane.solver("corrected", { damp = 0.01, amount = 0.5 })
Corrected.needs = { wane.hessian, wane.cross }

function Corrected:solve(w, quantizer, seen)
  local h, c = seen.hessian, seen.cross                     -- cross: the mean of x0 x^T, x0 the original input
  local damp = self.damp * h:diag():mean() * wane.eye(w.shape[2])
  local aim  = w:matmul(c + damp):matmul((h + damp):inverse())
  return ByHand.solve(self, w + self.amount * (aim - w), quantizer, seen)
end

local base  = wane.load(... or "smollm2")
local calib = base:generate { samples = 64, length = 256, stream = "calib" }
local probe = wane.task("perplexity", base:generate { samples = 16, length = 256, stream = "probe" })

local results = wane.table("gptq-by-hand", { "weight", "solver", "kl", "kl_p99", "top1" })
for _, bits in ipairs { 4, 3 } do
  local weight = wane.int { bits = bits, group_size = 64, observer = wane.mse }
  for _, solver in ipairs { wane.rtn, wane.gptq, ByHand, Corrected } do
    local model  = wane.quantize(base, wane.rules { { "*_proj", weight = weight, solver = solver } }, calib)
    local change = wane.compare(model, base, probe)
    results:add { weight = weight, solver = solver, kl = change.kl, kl_p99 = change.kl_p99, top1 = change.top1 }
  end
end
print(results)
