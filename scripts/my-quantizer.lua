-- A quantizer of one's own: a sign and a power of two. Three functions, and it works wherever wane.int does.
--
--   wane run scripts/my-quantizer.lua                 SmolLM2-135M-Instruct
--   wane run scripts/my-quantizer.lua path/to/model
--
-- Expect it behind int4, whose steps suit the flat middle of the weights, and GPTQ to close part of the gap.
-- Seen (KL, nats per token; rounded, by GPTQ): int4 0.50 and 0.155, nf4 0.33 and 0.115, pow2 0.84 and 0.39.
local wane = require "wane"

local Pow2 = wane.quantizer("pow2", { bits = 4 })

function Pow2:fit(w)                             -- w: [rows, m]; a row is what shares one set of parameters
  return { top = w:absmax(2):clamp(1e-8) }       -- [rows, 1]
end

function Pow2:encode(w, p)                       -- maps only: traced once, built into the kernels that use it
  local half = 1 << (self.bits - 1)
  local step = (p.top / w:abs()):log2():round():clamp(0, half - 1)
  return wane.where(w:lt(0), step + half, step)
end

function Pow2:decode(codes, p)
  local half = 1 << (self.bits - 1)
  return wane.where(codes:lt(half), 1, -1) * p.top * (-(codes % half)):exp2()
end

-- On one matrix.
local base = wane.load(... or "smollm2")
local w    = base "layers.0.mlp.down_proj".weight
local q    = Pow2:quantize(w)
print(q.codes:hist())
print("relative error: ", (q - w):square():mean() / w:square():mean())

-- On the whole model, rounded to nearest and inside GPTQ.
local calib = base:generate { samples = 32, length = 256, stream = "calib" }
local probe = wane.task("perplexity", base:generate { samples = 16, length = 256, stream = "probe" })

local results = wane.table("my-quantizer", { "weight", "solver", "bits", "ppl", "kl" })
for _, kind in ipairs { wane.int { bits = 4 }, wane.nf4, Pow2 } do
  for _, solver in ipairs { wane.rtn, wane.gptq } do
    local weight = kind { group_size = 64, observer = wane.mse }
    local model  = wane.quantize(base, wane.rules { { "*_proj", weight = weight, solver = solver } }, calib)
    local change = wane.compare(model, base, probe)
    results:add { weight = weight, solver = solver, bits = model.bits, ppl = change.score, kl = change.kl }
  end
end
print(results)
