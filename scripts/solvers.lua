-- What each way of choosing 2, 3, 4 and 8 bits costs: rounding, GPTQ, GPTQ with the correction, all of it rotated, and
-- 8-bit inputs beside 4-bit weights.
--
--   wane run scripts/solvers.lua smollm2 wiki.train.raw wiki.test.raw
--
-- Calibrated on 64 x 512 tokens of the first text, measured on the first 100,000 bytes of the second (half of each
-- window of 512). Expect every column to the right to be the better one, the more so the fewer the bits.
local wane = require "wane"
local path, train, test = ...

local base    = wane.load(path)
local rotated = wane.rotate(base, { "r1", "r2", "r4" })
local calib   = wane.text(train, { samples = 64, length = 512 })
local probe   = wane.task("wikitext2-llamacpp-512", test)

local results = wane.table("solvers", { "weight", "input", "solver", "from", "bits", "ppl", "kl", "kl_p99", "top1",
                                        "seconds" })

local function add(from, weight, solver, input)
  local source = from == "rotated" and rotated or base
  local rules  = wane.rules { { "*_proj", weight = weight, solver = solver, input = input } }
  local seconds, model = wane.time(wane.quantize, source, rules, calib)
  local change = wane.compare(model, base, probe)
  results:add { weight = weight, input = input or "", solver = solver, from = from, bits = model.bits,
                ppl = change.score, kl = change.kl, kl_p99 = change.kl_p99, top1 = change.top1, seconds = seconds }
end

for _, bits in ipairs { 4, 3, 2, 8 } do
  for _, grain in ipairs { { group_size = 64 }, { per = "channel" } } do
    local plain = wane.int { bits = bits } (grain)
    local mse   = plain { observer = wane.mse }
    add("base", plain, wane.rtn)
    add("base", mse, wane.rtn)
    add("base", mse, wane.gptq { precorrect = 0 })
    add("base", mse, wane.gptq)
    add("rotated", mse, wane.gptq)
  end
end

local w4 = wane.int { bits = 4, per = "channel", observer = wane.mse }
for _, from in ipairs { "base", "rotated" } do
  add(from, w4, wane.gptq, wane.int { bits = 8, per = "token" })
  add(from, w4, wane.gptq, wane.int { bits = 8, per = "tensor", observer = wane.minmax })
end
print(results)
results:save "solvers.csv"
