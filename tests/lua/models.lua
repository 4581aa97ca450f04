-- Models against what others computed: stories260K (an independent float64 forward pass), tiny random
-- checkpoints of every architecture (transformers in float64), and what a model object promises.
local wane = require "wane"
local core = require "wane.core"

local function read_json(path)
  return core.parse_json(core.read(path), path)
end

local function stories(file)
  local path = shared_data("model_stories260K/" .. file)
  local reference = shared_data "model_stories260K/reference.json"
  return wane.load(path), read_json(reference)
end

-- Rows of logits [1, tokens, vocabulary] and the ids that follow: mean negative log-likelihood.
local function mean_nll(logits, ids)
  local rows = logits:reshape { #ids, -1 }[{ { 1, #ids - 1 }, {} }]
  return wane.cross_entropy(rows, table.move(ids, 2, #ids, 1, {})):mean()
end

for _, file in ipairs { "stories260K.gguf", "hf" } do
  case("stories260K, " .. file .. ": stored logits, argmaxes and likelihood", function()
    local model, reference = stories(file)
    local scoring = reference.scoring
    local ids = scoring.token_ids
    local logits = model:forward(ids)
    equal(logits.dtype, "f32")
    equal(logits.shape[2], #ids)
    for i, expected in ipairs(scoring.logits_first8_of_last_position) do
      near(logits[{ 1, #ids, { i, i } }]:item(), expected, 1e-4)
    end
    local best = logits:argmax(3):reshape { -1 }:totable()
    for i, expected in ipairs(scoring.argmax_of_each_position) do equal(best[i] - 1, expected) end
    near(mean_nll(logits, ids), 1.259313, 2e-6)
    for i, expected in ipairs(scoring.nll_per_token_from_second) do
      near(wane.cross_entropy(logits[{ 1, { i, i }, {} }], { ids[i + 1] }):item(), expected, 1e-4)
    end
  end)

  case("stories260K, " .. file .. ": 200 greedy tokens", function()
    local model, reference = stories(file)
    local text = model:generate { length = 200, temperature = 0 }
    local written = text[1]
    equal(#written, 200)
    for i, id in ipairs(written) do equal(id, reference.greedy.token_ids[i + 1]) end
  end)
end

case("stories260K: the GGUF file and the folder are the same model", function()
  local gguf, folder = stories "stories260K.gguf", stories "hf"
  check(gguf:same(folder))
  local turned = gguf:with("layers.2.mlp.up_proj", { weight = function(layer) return layer.weight * 2 end })
  local same, name = gguf:same(turned)
  equal(same, false)
  equal(name, "layers.2.mlp.up_proj")
end)

case("stories260K: its tokenizer", function()
  local model, reference = stories "stories260K.gguf"
  local ids = model:tokens(reference.scoring.text):reshape { -1 }:totable()
  equal(#ids, #reference.scoring.token_ids)
  for i, id in ipairs(ids) do equal(id, reference.scoring.token_ids[i]) end
  check(model:text(reference.greedy.token_ids):find(reference.greedy.text:sub(1, 200), 1, true) ~= nil)
  local folder = stories "hf"
  fails(function() folder:tokens "Once" end, "has no tokenizer")
end)

-- -- every architecture -------------------------------------------------------------------------------------

local function relative_error(logits, expected)
  local difference = logits:to "f64" - expected
  return difference:norm() / expected:norm()
end

for _, name in ipairs { "llama", "mistral", "qwen2", "qwen3" } do
  case("tiny " .. name .. ": logits of transformers", function()
    local folder = source("tests/golden/models/" .. name)
    local golden = read_json(folder .. "/logits.json")
    local model = wane.load(folder)
    equal(model.dtype, "f32")
    local expected = wane.tensor(golden.logits, { dtype = "f64" })
    local logits = model:forward(golden.tokens):reshape(expected.shape)
    check(relative_error(logits, expected) < 1e-5)
    -- The same rows in two chunks with a cache, and as one of three samples.
    local cache <close> = model:cache()
    local first = model:forward(table.move(golden.tokens, 1, 17, 1, {}), cache)
    local second = model:forward(table.move(golden.tokens, 18, #golden.tokens, 1, {}), cache)
    check(wane.concat({ first, second }, 2):reshape(expected.shape):same(logits))
    local twice = model:forward { golden.tokens, golden.tokens }
    check(twice[{ 2, {}, {} }]:same(logits))
  end)
end

case("the config of newer files means the same model", function()
  local golden_folder, folder = source "tests/golden/models/llama", scratch "since-5"
  local model = wane.load(golden_folder)
  model:save(folder, "safetensors")
  core.publish(folder .. "/config.json", core.read(golden_folder .. "/config.since-5.json"))
  local again = wane.load(folder)
  local ids = read_json(golden_folder .. "/logits.json").tokens
  check(again:forward(ids):same(model:forward(ids)))
  equal(again.dtype, "f32")
end)

-- -- a small random model for what is not about numbers -----------------------------------------------------

local TINY = {
  vocab_size = 61, hidden_size = 32, intermediate_size = 48, num_hidden_layers = 3, num_attention_heads = 4,
  num_key_value_heads = 2, head_dim = 8, rms_norm_eps = 1e-6, rope_theta = 1e4, max_position_embeddings = 64,
  tie_word_embeddings = true,
}

local function tiny(changes, name)
  local config = {}
  for key, value in pairs(TINY) do config[key] = value end
  for key, value in pairs(changes or {}) do config[key] = value end
  return wane.model(name or "LlamaForCausalLM", config)
end

case("a model prints as a folded tree", function()
  local model = tiny({}, "Qwen3ForCausalLM")
  equal(tostring(model), [[
Qwen3ForCausalLM   Qwen3ForCausalLM   25.3 k weights   f32   98.7 KiB
embed_tokens                 Embedding   [61 x 32]
layers.{0..2}                Block
  input_layernorm            RMSNorm     [32]
  self_attn.q_proj           Linear      [32 x 32]
  self_attn.{k,v}_proj       Linear      [16 x 32]
  self_attn.o_proj           Linear      [32 x 32]
  self_attn.{q,k}_norm       RMSNorm     [8]
  post_attention_layernorm   RMSNorm     [32]
  mlp.{gate,up}_proj         Linear      [48 x 32]
  mlp.down_proj              Linear      [32 x 48]
norm                         RMSNorm     [32]
lm_head                      Linear      [61 x 32]   tied to embed_tokens]])
end)

case("layers and their fields", function()
  local model = tiny()
  local down = model "layers.1.mlp.down_proj"
  equal(down.name, "layers.1.mlp.down_proj")
  equal(down.class, "Linear")
  equal(down.weight.shape[1], 32)
  equal(down.bias, nil)
  equal(tostring(down), "layers.1.mlp.down_proj   Linear   [32 x 48]")
  equal(model "layers.1".class, "Block")
  check(core.same_node(model "lm_head".weight, model "embed_tokens".weight))
  equal(model.bits, 32)
  equal(model.name, "LlamaForCausalLM")
  fails(function() return model "layers.1.mlp.down" end,
    "model: no layer 'layers.1.mlp.down'; nearest: layers.1.mlp.down_proj")
  fails(function() return model.layer end, "model: no field 'layer'; did you mean 'layers'?")
  fails(function() model.name = "x" end, "model: assigning to 'name': a model is a value")
  fails(function() down.weight = 1 end,
    "layer 'layers.1.mlp.down_proj': assigning to 'weight': a layer is a value")
  fails(function() return down.wight end,
    "layer 'layers.1.mlp.down_proj': no field 'wight'; did you mean 'weight'?")
end)

case("model:with shares what it does not replace", function()
  local model = tiny()
  local ids = { 3, 1, 4, 1, 5 }
  local before = model:forward(ids)
  local doubled = model:with("*.mlp.down_proj", { weight = function(layer) return layer.weight * 2 end })
  check(core.same_node(doubled "norm".weight, model "norm".weight))
  check(not doubled:forward(ids):same(before))
  check(model:forward(ids):same(before))
  local wrapped = model:with("*.mlp.down_proj", { forward = function(layer, x) return layer(x) * 2 end })
  check(wrapped:forward(ids):same(doubled:forward(ids)))
  check(wrapped:same(model))
  fails(function() model:with("norm", { weight = wane.zeros { 3 } }) end,
    "model:with: the weight of 'norm' is [3]; expected [32]")
  fails(function() model:with("norm", { wieght = wane.zeros { 32 } }) end,
    "no option 'wieght'; did you mean 'weight'?")
  fails(function() model:with("layers.0", { forward = print }) end, "matches no layer")
end)

case("biases, untied heads and random weights", function()
  local model = tiny({ tie_word_embeddings = false }, "Qwen2ForCausalLM")
  equal(model "layers.0.self_attn.q_proj".bias.shape[1], 32)
  equal(model "layers.0.self_attn.o_proj".bias, nil)
  check(not core.same_node(model "lm_head".weight, model "embed_tokens".weight))
  local again = wane.model("Qwen2ForCausalLM", model.config)
  check(not again:same(model)) -- a repeated draw goes on in its stream
  equal(tiny({ torch_dtype = "bfloat16" }).dtype, "bf16")
end)

-- -- what a layer sees --------------------------------------------------------------------------------------

local function unequal_text(model)
  local texts = require "wane.text"
  local samples = {}
  for i, length in ipairs { 5, 3, 5, 7, 3 } do
    local ids = {}
    for t = 1, length do ids[t] = (i * 17 + t * t) % TINY.vocab_size end
    samples[i] = { ids = ids, first = 2 }
  end
  return texts.from_samples(samples), samples
end

case("layer:input and layer:output: samples in order, whatever their length", function()
  local model = tiny()
  local text, samples = unequal_text(model)
  local up = model "layers.1.mlp.up_proj"
  local x, y = up:input(text), up:output(text)
  equal(x.shape[1], 23)
  equal(x.shape[2], 32)
  equal(y.shape[2], 48)
  check(up(x):same(y))
  check(model "layers.1.mlp.gate_proj":input(text):same(x))
  local first = 1
  for _, sample in ipairs(samples) do
    local alone = up:input(require "wane.text".from_samples { sample })
    check(x[{ { first, first + #sample.ids - 1 }, {} }]:same(alone))
    first = first + #sample.ids
  end
  -- The head's output is the logits; a block's input is what its first norm reads.
  local logits = model "lm_head":output(text)
  check(logits[{ { 1, 5 }, {} }]:same(model:forward(samples[1].ids)[{ 1, {}, {} }]))
  check(model "layers.2":input(text):same(model "layers.2.input_layernorm":input(text)))
  check(model "layers.1":output(text):same(model "layers.2":input(text)))
end)

case("stages: sites share an input, later ones see what earlier ones changed", function()
  local stages = require "wane.stages"
  local model = tiny()
  local text = unequal_text(model)
  local order = {}
  local changed = stages.walk(model, text:_samples(model), {
    wanted = function(name) return name:find "_proj$" ~= nil end,
    at = function(site, inputs)
      order[#order + 1] = table.concat(site.names, " ")
      equal(#inputs, 5)
      equal(inputs[2].shape[1], 3)
      local changes = {}
      for _, name in ipairs(site.names) do changes[name] = { weight = model(name).weight * 1.5 } end
      return changes
    end,
  })
  equal(#order, 12)
  equal(order[1], "layers.0.self_attn.q_proj layers.0.self_attn.k_proj layers.0.self_attn.v_proj")
  equal(order[4], "layers.0.mlp.down_proj")
  local expected = model:with("*_proj", { weight = function(layer) return layer.weight * 1.5 end })
  check(changed:same(expected))
  check(changed:forward({ 1, 2, 3 }):same(expected:forward { 1, 2, 3 }))
  equal(stages.active, 0)
  -- What a late site was given is what the changed model gives it.
  local seen
  stages.walk(expected, text:_samples(model), {
    wanted = function(name) return name == "layers.2.mlp.down_proj" end,
    at = function(_, inputs) seen = inputs end,
  })
  check(wane.concat(seen, 1):same(expected "layers.2.mlp.down_proj":input(text)))
end)

case("stages: an error inside leaves nothing behind, and a coroutine of the script is refused", function()
  local stages = require "wane.stages"
  local model = tiny()
  local text = unequal_text(model)
  fails(function()
    stages.walk(model, text:_samples(model), {
      wanted = function() return true end, at = function() error "stop here" end })
  end, "stop here")
  equal(stages.active, 0)
  local broken = model:with("layers.1.mlp.down_proj", { forward = function() error "broken layer" end })
  fails(function() broken "layers.2.mlp.up_proj":input(text) end, "broken layer")
  equal(stages.active, 0)
  local inner = model:with("layers.1.mlp.down_proj", { forward = function(layer, x)
    return coroutine.wrap(function() return model "layers.0.mlp.down_proj"(x) end)()
  end })
  check(inner:forward { 1, 2 }.shape[3] == TINY.vocab_size)
  fails(function() inner "layers.2.mlp.up_proj":input(text) end, "inside a coroutine of the script")
  equal(stages.active, 0)
end)

-- -- what is refused ----------------------------------------------------------------------------------------

case("a config is judged before anything is built", function()
  local function refuses(changes, text, name)
    fails(function() tiny(changes, name) end, text)
  end
  refuses({ hidden_act = "gelu" }, "not supported: hidden_act 'gelu'")
  refuses({ rope_scaling = { rope_type = "yarn", factor = 4 } }, "not supported: rope kind 'yarn'")
  refuses({ rope_scaling = { rope_type = "llama3", factor = 4 } }, "low_freq_factor of rope_scaling is nil")
  refuses({ num_key_value_heads = 3 }, "num_key_value_heads 3 does not divide num_attention_heads 4")
  refuses({ head_dim = 7 }, "head_dim is 7")
  refuses({ hidden_size = "wide" }, "hidden_size is 'wide'")
  refuses({ num_hidden_layers = 1e6 }, "num_hidden_layers is 1000000.0")
  refuses({ rms_norm_eps = 0 }, "rms_norm_eps is 0")
  refuses({ layer_types = { "full_attention" } }, "layer_types names 1 layers, num_hidden_layers is 3")
  refuses({ partial_rotary_factor = 0.5 }, "not supported: partial_rotary_factor 0.5")
  refuses({}, "not supported: architecture 'LamaForCausalLM'; nearest: LlamaForCausalLM", "LamaForCausalLM")
end)

case("tokens are judged", function()
  local model = tiny()
  fails(function() model:forward { { 1, 2 }, { 3 } } end, "samples of unequal length")
  fails(function() model:forward {} end, "there are no tokens")
  fails(function() model:forward { 61 } end, "61")
  fails(function() model:forward() end, "argument 1 (tokens) is missing")
  local long = {}
  for i = 1, 65 do long[i] = 1 end
  fails(function() model:forward(long) end, "forward: 65 tokens after 0: the model has 64 positions")
end)

case("wane.load names what is wrong", function()
  fails(function() wane.load "no/such/model" end, "no/such/model: no such file or folder")
  fails(function() wane.load("x", { dtpe = "f32" }) end, "wane.load: no option 'dtpe'; did you mean 'dtype'?")
  fails(function() wane.load(3) end, "wane.load: argument 1 (path) is an integer 3; expected a string")
end)

case("<close> frees a model, and what shares its weights lives on", function()
  local kept
  local gone
  do
    local model <close> = tiny()
    gone, kept = model, model:with("norm", { weight = wane.ones { 32 } })
  end
  fails(function() gone:forward { 1 } end, "model: it was freed")
  check(kept:forward({ 1, 2 }).shape[2] == 2)
end)
