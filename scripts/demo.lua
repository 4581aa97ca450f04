-- A first look: quantize a small model in several ways and see what each one costs.
--
--   wane run scripts/demo.lua                  SmolLM2-135M-Instruct; about a minute on 2 cores
--   wane run scripts/demo.lua path/to/model    any other model
--
-- No data set is needed: the model writes its own probe text.
-- The known model's file holds its weights in blocks of 32 on a 4-bit lattice with a free offset (Q4_1); the base here
-- is that file decoded to bf16. Only schemes that cannot reproduce the lattice are compared, symmetric ones.
-- Expect: 8 bits cost little; at 4 bits the MSE range beats min-max, smaller groups beat larger ones, and nf4, whose
-- levels are closer where weights are many, beats both at the same size. Seen (KL to the base, nats per token): w8a8
-- 0.048, w4 minmax 0.56, w4 mse 0.49, in groups of 32 0.45, nf4 0.32, w3 mse 1.70 (x86-64-v4 with AMX).
local wane = require "wane"

local base  = wane.load(... or "smollm2")
local probe = wane.task("perplexity", base:generate { samples = 16, length = 128, stream = "probe" })

local int8 = wane.int { bits = 8 }
local int4 = wane.int { bits = 4, group_size = 64, observer = wane.mse }
local mse  = wane.rules { { "*_proj", weight = int4 } }
print(mse:plan(base))

local schemes = {
  { "base, bf16", wane.rules {} },
  { "w8a8",       wane.rules { { "*_proj", weight = int8, input = int8 } } },
  { "w4 minmax",  wane.rules { { "*_proj", weight = int4 { observer = wane.minmax } } } },
  { "w4 mse",     mse },
  { "w4 mse g32", mse:with { "*_proj", weight = int4 { group_size = 32 } } },
  { "nf4",        wane.rules { { "*_proj", weight = wane.nf4 } } },
  { "w3 mse",     mse:with { "*_proj", weight = int4 { bits = 3 } } },
}

local results = wane.table("demo", { "scheme", "bits", "MiB", "ppl", "kl", "kl_p99", "top1", "seconds" })
local kept

for _, scheme in ipairs(schemes) do
  local name, rules = table.unpack(scheme)
  local seconds, model = wane.time(wane.quantize, base, rules)
  local change = wane.compare(model, base, probe)
  results:add {
    scheme = name, bits = model.bits, MiB = model.bytes / 2^20, seconds = seconds,
    ppl = change.score, kl = change.kl, kl_p99 = change.kl_p99, top1 = change.top1,
  }
  if name == "w4 mse" then kept = model end
end
print(results)

local plain = kept:dequantize()      -- the same values in plain storage: any program can read them
plain:save("demo-w4", "safetensors")
assert(wane.load("demo-w4"):same(plain))
print("saved demo-w4, opened it again: the same model")
