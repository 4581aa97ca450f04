-- The demo model against transformers' float32 forward on the same bf16 weights
-- (tests/oracles/demo_model.py).
local wane = require "wane"
local core = require "wane.core"

local golden_path = source "tests/golden/demo_model.json"
local golden = core.parse_json(core.read(golden_path), golden_path)

local function demo_file()
  return core.known_model "smollm2" or skip "smollm2 was not fetched"
end

-- The weights rounded to bf16, computed in f32.
local function wide_model()
  local folder = scratch "bf16"
  if not core.exists(folder) then wane.load(demo_file()):save(folder, "safetensors") end
  return wane.load(folder, { dtype = "f32" })
end

case("logits of 64 tokens", function()
  local model, expected = wide_model(), golden.logits
  local logits = model:forward(expected.tokens):reshape { #expected.tokens, -1 }
  near(logits:logsumexp(2):reshape { -1 }, expected.logsumexp, 1e-5)
  near(logits:norm(2):reshape { -1 }, expected.norm, 3e-5)
  for i, tops in ipairs(expected.top_tokens) do
    for k, id in ipairs(tops) do
      near(logits[{ i, id + 1 }]:item(), expected.top_logits[i][k], 2e-5)
    end
  end
  for k, value in ipairs(expected.last_sample) do
    near(logits[{ #expected.tokens, (k - 1) * expected.last_sample_step + 1 }]:item(), value, 1e-3)
  end
end)

-- Where two logits are this close, the order of a sum decides.
local NEAR_TIE = 0.01

for name, expected in pairs(golden.greedy) do
  case("200 greedy tokens, up to a near tie: " .. name, function()
    local model = wide_model()
    local prompt = model:tokens(expected.prompt):reshape { -1 }:totable()
    equal(prompt, expected.prompt_tokens)
    local written = model:generate { prompt = expected.prompt, length = 200, temperature = 0 }[1]
    local equal_tokens = 0
    for i, id in ipairs(expected.tokens) do
      local mine = written[#prompt + i]
      if mine == nil then break end -- the end of the text ends a sample here
      if mine ~= id then
        print(("  %s: token %d differs where the highest two logits are %g apart"):format(name, i, expected.gaps[i]))
        check(expected.gaps[i] < NEAR_TIE, ("token %d of %s differs"):format(i, name))
        break
      end
      equal_tokens = i
    end
    local ends = model.tokenizer.eos
    check(equal_tokens == 200 or written[#written] == ends or expected.gaps[equal_tokens + 1] < NEAR_TIE)
  end)
end

case("perplexity by wikitext2-llamacpp-512 on the first 100,000 bytes, computed as the model is", function()
  local expected = golden.perplexity
  local part = scratch "wiki.part.raw"
  core.publish(part, core.read(shared_data "wikitext2/wiki.test.raw"):sub(1, expected.bytes))
  local model = wane.load(demo_file())
  local score = wane.evaluate(model, wane.task("wikitext2-llamacpp-512", part))
  print(("  perplexity %.4f, transformers %.4f"):format(score.value, expected.perplexity))
  near(score.value / expected.perplexity, 1, 0.003)
end)
