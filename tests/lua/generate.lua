-- model:generate: what is drawn does not depend on the batch, where a sample ends, what is refused.
local wane = require "wane"
local texts = require "wane.text"

local function tiny(changes)
  local config = {
    vocab_size = 40, hidden_size = 32, intermediate_size = 48, num_hidden_layers = 2, num_attention_heads = 2,
    num_key_value_heads = 1, head_dim = 16, rms_norm_eps = 1e-6, rope_theta = 1e4, max_position_embeddings = 64,
    tie_word_embeddings = true,
  }
  for key, value in pairs(changes or {}) do config[key] = value end
  return wane.model("LlamaForCausalLM", config)
end

local function same_ids(a, b)
  if #a ~= #b then return false end
  for i, id in ipairs(a) do
    if b[i] ~= id then return false end
  end
  return true
end

-- What greedy decoding gives when every step is a whole forward.
local function greedy(model, ids, length)
  ids = table.move(ids, 1, #ids, 1, {})
  for _ = 1, length do
    local logits = model:forward(ids)
    ids[#ids + 1] = logits[{ 1, #ids, {} }]:argmax(1):item() - 1
  end
  return ids
end

local function prompts_of(lists)
  local samples = {}
  for i, ids in ipairs(lists) do samples[i] = { ids = ids, first = 2 } end
  return texts.from_samples(samples)
end

case("greedy with prompts of unequal length equals whole forwards", function()
  local model = tiny()
  local lists = { { 1, 2, 3 }, { 7 }, { 4, 5, 6, 8, 9, 10, 11 }, { 3, 2, 1 } }
  local text = model:generate { prompt = prompts_of(lists), length = 12, temperature = 0 }
  equal(#text, 4)
  for i, ids in ipairs(lists) do check(same_ids(text[i], greedy(model, ids, 12))) end
  local samples = text:_samples(model)
  equal(samples[3].first, 8) -- the prompt is not scored
end)

case("draws: the same again from a stream of the same place, others elsewhere, none of the batch's doing", function()
  local model = tiny()
  local two = model:generate { samples = 2, length = 10, stream = "two" }
  local ten = model:generate { samples = 70, length = 10, stream = "seventy" } -- more than a batch
  equal(#ten, 70)
  equal(#ten[70], 10)
  check(not same_ids(two[1], two[2]))
  local again = model:generate { samples = 2, length = 10, stream = "two" }
  check(not same_ids(again[1], two[1])) -- a repeated draw goes on in its stream
  equal(two:_samples(model)[1].first, 2)
end)

case("top_k = 1 is greedy, top_p small too; temperature flattens", function()
  local model = tiny()
  local prompt = prompts_of { { 1, 2, 3, 4 } }
  local best = greedy(model, { 1, 2, 3, 4 }, 8)
  check(same_ids(model:generate { prompt = prompt, length = 8, top_k = 1 }[1], best))
  check(same_ids(model:generate { prompt = prompt, length = 8, top_p = 1e-9 }[1], best))
  local hot = model:generate { prompt = prompt, samples = 40, length = 1, temperature = 100, stream = "hot" }
  local seen, kinds = {}, 0
  for i = 1, 40 do
    local id = hot[i][5]
    if not seen[id] then seen[id], kinds = true, kinds + 1 end
  end
  check(kinds > 15)
end)

case("a sample ends at the end of text, at length, at the last position", function()
  local model = tiny()
  local best = greedy(model, { 1, 2 }, 20)
  local stop = best[8]
  local first
  for i = 3, #best do
    if best[i] == stop then first = first or i end
  end
  local ending = tiny { eos_token_id = stop }
  local same = ending:with("*", { weight = function(layer) return model(layer.name).weight end })
  local text = same:generate { prompt = prompts_of { { 1, 2 } }, length = 20, temperature = 0 }
  check(same_ids(text[1], table.move(best, 1, first, 1, {})))
  -- Without a prompt the end of text does not end it; without a length the positions do.
  equal(#same:generate({ length = 30, temperature = 0 })[1], 30)
  equal(#model:generate({ prompt = prompts_of { { 1, 2 } }, temperature = 0 })[1], 65)
end)

case("strings as prompts, stop strings, and how a text prints", function()
  local model = wane.load(shared_data "model_stories260K/stories260K.gguf")
  local text = model:generate { prompt = "Once upon a time", length = 30, temperature = 0 }
  check(tostring(text):find "^text: 1 sample, 30 tokens\n  <s> Once upon a time, there was a little girl")
  local stopped = model:generate { prompt = "Once upon a time", length = 100, temperature = 0, stop = "." }
  local shown = model:text(stopped[1])
  check(shown:sub(-1) == ".")
  equal(select(2, shown:gsub("%.", "")), 1)
  local either = model:generate { prompt = "Once upon a time", length = 100, temperature = 0, stop = { "##", "girl" } }
  check(model:text(either[1]):sub(-4) == "girl")
end)

case("what generate refuses", function()
  local model = tiny()
  fails(function() model:generate { length = 4, temprature = 1 } end,
    "model:generate: no option 'temprature'; did you mean 'temperature'?")
  fails(function() model:generate {} end, "option 'length' is missing")
  fails(function() model:generate { length = 0 } end,
    "length is an integer 0; expected a whole number from 1")
  fails(function() model:generate { length = 4, temperature = -1 } end, "temperature is -1")
  fails(function() model:generate { length = 4, top_p = 0 } end, "top_p is 0")
  fails(function() model:generate { length = 65 } end,
    "65 tokens after a prompt of 1: the model has 64 positions")
  fails(function() model:generate { prompt = "Once", length = 4 } end, "has no tokenizer")
  fails(function() model:generate { prompt = prompts_of { { 1 } }, length = 4, stop = "x" } end,
    "stop needs a tokenizer")
end)
