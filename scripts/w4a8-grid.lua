-- The W4A8 study: {original, r1r2} x seven schemes, perplexity and KL to the base on plain text.
--
--   wane run scripts/w4a8-grid.lua smollm2 wiki.train.raw wiki.test.raw
--
-- The study scored MMLU and GSM8K on Qwen3-8B: base .835; r1r2 and R4, dynamic .833, static .682, mixed .822.
-- Seen on the demo model (base perplexity 22.8; 48 windows of WikiText-2's test text), KL in nats per token, perplexity:
--
--                                      original               r1r2
--   gptq-w4a8-dynamic                  0.209 +- 0.006  27.8   0.128 +- 0.005  25.5
--   gptq-w4a16-g64                     0.114 +- 0.004  25.3   0.099 +- 0.004  25.1
--   r4-gptq-w4a8-dynamic               0.192 +- 0.007  27.6   0.138 +- 0.005  26.2
--   r4-gptq-w4a8-static-mix-precision  0.278 +- 0.008  30.1   0.124 +- 0.005  25.5
--   r4-gptq-w4a8-static                0.349 +- 0.009  32.3   0.196 +- 0.007  27.2
--   r4-gptq-w4a16-g64                  0.097 +- 0.004  24.9   0.086 +- 0.004  24.6
--   r4-gptq-w4a16                      0.166 +- 0.006  27.2   0.107 +- 0.005  25.0
--
-- The study's order holds: static inputs cost most, few layers kept take much of it back, r1 and r2 help every scheme.
local wane = require "wane"
local path, text_path, wiki_path = ...

local base  = wane.load(path)
local calib = wane.text(text_path, { samples = 64, length = 512 })
local wiki  = wane.task("wikitext2-llamacpp-512", wiki_path, { items = 48 })

local w4      = wane.int { bits = 4, per = "channel", observer = wane.mse }
local w4g64   = wane.int { bits = 4, group_size = 64, observer = wane.mse }
local dynamic = wane.int { bits = 8, per = "token" }
local static  = wane.int { bits = 8, per = "tensor", observer = wane.minmax }

local schemes = {
  { name = "gptq-w4a8-dynamic",                 weight = w4,    input = dynamic },
  { name = "gptq-w4a16-g64",                    weight = w4g64 },
  { name = "r4-gptq-w4a8-dynamic",              weight = w4,    input = dynamic, r4 = true },
  { name = "r4-gptq-w4a8-static-mix-precision", weight = w4,    input = static,  r4 = true, mixed = true },
  { name = "r4-gptq-w4a8-static",               weight = w4,    input = static,  r4 = true },
  { name = "r4-gptq-w4a16-g64",                 weight = w4g64, r4 = true },
  { name = "r4-gptq-w4a16",                     weight = w4,    r4 = true },
}

local results = wane.table("w4a8-grid", { "transform", "scheme", "bits", "ppl", "delta", "kl", "kl_p99", "top1" })

local function add(transform, scheme, model)
  local change = wane.compare(model, base, wiki)
  results:add {
    transform = transform, scheme = scheme, bits = model.bits, ppl = change.score,
    delta = change.delta,     -- paired: the same tokens
    kl = change.kl, kl_p99 = change.kl_p99, top1 = change.top1,
  }
end

for _, transform in ipairs { "original", "r1r2" } do
  local plain   = transform == "r1r2" and wane.rotate(base, { "r1", "r2" }) or base
  local with_r4 = wane.rotate(plain, { "r4" })
  add(transform, "baseline", plain)

  for _, scheme in ipairs(schemes) do
    local source = scheme.r4 and with_r4 or plain
    local rules  = wane.rules { { "*_proj", weight = scheme.weight, input = scheme.input, solver = wane.gptq } }
    if scheme.mixed then
      local seen = wane.observe(source, calib, wane.absmax, { layers = "*.mlp.down_proj" })
      rules = rules:with { seen:outliers("absmax", { over = 20, among = 7 }), input = "keep" }
    end
    local model <close> = wane.quantize(source, rules, calib)
    add(transform, scheme.name, model)
  end
end

print(results)
results:save "w4a8-grid.csv"
