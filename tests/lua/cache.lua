-- The cache: however a text is cut and whoever shares the batch, the bits are those of the whole forward.
local wane = require "wane"

local function tiny(changes, name)
  local config = {
    vocab_size = 61, hidden_size = 48, intermediate_size = 80, num_hidden_layers = 2, num_attention_heads = 4,
    num_key_value_heads = 2, head_dim = 12, rms_norm_eps = 1e-6, rope_theta = 1e4, max_position_embeddings = 256,
    tie_word_embeddings = true,
  }
  for key, value in pairs(changes or {}) do config[key] = value end
  return wane.model(name or "LlamaForCausalLM", config)
end

local function ids_of(seed, length)
  local ids = {}
  for t = 1, length do ids[t] = (seed * 31 + t * t * 7 + t) % 61 end
  return ids
end

local function cut(ids, first, last) return table.move(ids, first, last, 1, {}) end

-- The logits of `ids` read in pieces of these lengths.
local function in_pieces(model, ids, lengths)
  local cache <close> = model:cache()
  local parts, first = {}, 1
  for _, length in ipairs(lengths) do
    parts[#parts + 1] = model:forward(cut(ids, first, first + length - 1), cache)
    first = first + length
    equal(cache.position, first - 1)
  end
  return wane.concat(parts, 2)
end

for _, kind in ipairs {
  { "llama", {}, "LlamaForCausalLM" },
  { "window", { sliding_window = 19 }, "MistralForCausalLM" },
  { "heads normed", {}, "Qwen3ForCausalLM" },
  { "bf16", { torch_dtype = "bfloat16" }, "LlamaForCausalLM" },
} do
  case("decode and chunks equal the full forward bit for bit: " .. kind[1], function()
    local model = tiny(kind[2], kind[3])
    local ids = ids_of(1, 140) -- more than two blocks of keys
    local whole = model:forward(ids)
    local ones = {}
    for i = 1, 140 do ones[i] = 1 end
    check(in_pieces(model, ids, ones):same(whole))
    check(in_pieces(model, ids, { 1, 63, 64, 12 }):same(whole))
    check(in_pieces(model, ids, { 65, 1, 1, 73 }):same(whole))
    check(in_pieces(model, ids, { 140 }):same(whole))
  end)
end

case("a batch gives every sample the bits it has alone, at positions of its own", function()
  local caches = require "wane.cache"
  local model = tiny()
  local prompts = { ids_of(1, 9), ids_of(2, 70), ids_of(3, 9) }
  local cache <close> = caches.new(3)
  model:_hidden({ prompts[1], prompts[3] }, caches.subset(cache, { 1, 3 }))
  model:_hidden({ prompts[2] }, caches.subset(cache, { 2 }))
  equal(#cache.position, 3)
  equal(cache.position[2], 70)
  local logits = model:forward({ { 5 }, { 6 }, { 7 } }, cache)
  for i, prompt in ipairs(prompts) do
    local ids = cut(prompt, 1, #prompt)
    ids[#ids + 1] = 4 + i
    local alone = model:forward(ids)
    check(logits[{ i, 1, {} }]:same(alone[{ 1, #ids, {} }]))
  end
end)

case("a cache is of one batch, ends with the positions, and can be freed", function()
  local model = tiny { max_position_embeddings = 12 }
  local cache = model:cache()
  equal(tostring(cache), "cache, empty")
  model:forward({ { 1, 2, 3 }, { 4, 5, 6 } }, cache)
  check(cache.bytes > 0)
  fails(function() model:forward({ 1 }, cache) end, "the cache holds 2 samples, the tokens are of 1")
  model:forward({ { 1, 2, 3, 4, 5, 6, 7, 8 }, { 1, 2, 3, 4, 5, 6, 7, 8 } }, cache)
  fails(function() model:forward({ { 1, 2 }, { 1, 2 } }, cache) end,
    "2 tokens after 11: the model has 12 positions")
  fails(function() cache.position = 0 end, "a cache changes by what a model reads")
  fails(function() return cache.postion end, "cache: no field 'postion'; did you mean 'position'?")
  cache:free()
  fails(function() model:forward({ { 1 }, { 1 } }, cache) end, "the cache was freed")
  fails(function() model:forward({ 1 }, 3) end, "argument 2 (cache) is an integer 3; expected a cache")
end)
