-- A first look: quantize a small model in several ways and see what each one costs.
--
--   wane run scripts/demo.lua                  SmolLM2-135M-Instruct; about two minutes on 2 cores
--   wane run scripts/demo.lua path/to/model    any other model
--
-- No data set is needed: the model writes its own calibration and probe text.
-- The known model's file holds its weights in blocks of 32 on a 4-bit lattice with a free offset (Q4_1); the base here
-- is that file decoded to bf16. Only schemes that cannot reproduce the lattice are compared, symmetric ones.
-- Expect: 8 bits cost little; at 4 bits the MSE range beats min-max, and GPTQ beats both at the same size. Seen (KL to
-- the base, nats per token): w8a8 0.054, w4 minmax 0.60, w4 mse 0.53, w4 gptq 0.18, w3 gptq 0.65 (x86-64-v4 with AMX).
local wane = require "wane"

local base  = wane.load(... or "smollm2")
local calib = base:generate { samples = 32, length = 256, stream = "calib" }
local probe = wane.task("perplexity", base:generate { samples = 16, length = 128, stream = "probe" })

local int8 = wane.int { bits = 8 }
local int4 = wane.int { bits = 4, group_size = 64, observer = wane.mse }
local gptq = wane.rules { { "*_proj", weight = int4, solver = wane.gptq } }
print(gptq:plan(base))

local schemes = {
  { "base, bf16", wane.rules {} },
  { "w8a8",       wane.rules { { "*_proj", weight = int8, input = int8 } } },
  { "w4 minmax",  wane.rules { { "*_proj", weight = int4 { observer = wane.minmax } } } },
  { "w4 mse",     wane.rules { { "*_proj", weight = int4 } } },
  { "w4 gptq",    gptq },
  { "w3 gptq",    gptq:with { "*_proj", weight = int4 { bits = 3 } } },
}

local results = wane.table("demo", { "scheme", "bits", "MiB", "ppl", "kl", "kl_p99", "top1", "seconds" })
local models  = {}

for _, scheme in ipairs(schemes) do
  local name, rules = table.unpack(scheme)
  local seconds, model = wane.time(wane.quantize, base, rules, calib)
  local change = wane.compare(model, base, probe)
  results:add {
    scheme = name, bits = model.bits, MiB = model.bytes / 2^20, seconds = seconds,
    ppl = change.score, kl = change.kl, kl_p99 = change.kl_p99, top1 = change.top1,
  }
  models[name] = model
end
print(results)

local plain = models["w4 gptq"]:dequantize()      -- the same values in plain storage: any program can read them
plain:save("demo-w4", "safetensors")
assert(wane.load("demo-w4"):same(plain))
print("saved demo-w4, opened it again: the same model")
