-- Saving as an HF folder, what is refused before a byte is written, and what loading says about damaged
-- folders.
local wane = require "wane"
local core = require "wane.core"

local CONFIG = {
  vocab_size = 40, hidden_size = 32, intermediate_size = 48, num_hidden_layers = 2, num_attention_heads = 2,
  num_key_value_heads = 1, head_dim = 16, rms_norm_eps = 1e-6, rope_theta = 1e4, max_position_embeddings = 64,
  tie_word_embeddings = true,
}

local function tiny(changes, name)
  local config = {}
  for key, value in pairs(CONFIG) do config[key] = value end
  for key, value in pairs(changes or {}) do config[key] = value end
  return wane.model(name or "LlamaForCausalLM", config)
end

local function config_of(folder)
  return core.parse_json(core.read(folder .. "/config.json"), folder)
end

-- Saves a model and writes its config.json anew with changes.
local function altered(name, model, changes)
  local folder = scratch(name)
  model:save(folder, "safetensors")
  local config = config_of(folder)
  for key, value in pairs(changes) do config[key] = value or nil end
  core.publish(folder .. "/config.json", core.json(config, { indent = 2 }))
  return folder
end

for _, kind in ipairs {
  { "tied", {}, "LlamaForCausalLM" },
  { "untied, bf16", { tie_word_embeddings = false, torch_dtype = "bfloat16" }, "MistralForCausalLM" },
  { "biases", { torch_dtype = "float16" }, "Qwen2ForCausalLM" },
  { "head norms", {}, "Qwen3ForCausalLM" },
} do
  case("a saved model is the same model: " .. kind[1], function()
    local model = tiny(kind[2], kind[3])
    local folder = scratch("saved-" .. kind[3])
    model:save(folder, "safetensors")
    local again = wane.load(folder)
    equal(again.dtype, model.dtype)
    equal(again.architecture, kind[3])
    check(again:same(model))
    check(again:forward({ 1, 2, 3 }):same(model:forward { 1, 2, 3 }))
    equal(config_of(folder).tie_word_embeddings, kind[2].tie_word_embeddings ~= false)
    model:save(folder, "safetensors") -- its own folder is replaced
    check(wane.load(folder):same(model))
  end)
end

case("a GGUF file becomes a folder with its tokenizer", function()
  local model = wane.load(shared_data "model_stories260K/stories260K.gguf")
  local folder = scratch "stories"
  model:save(folder, "safetensors")
  local again = wane.load(folder)
  check(again:same(model))
  check(core.exists(folder .. "/tokenizer.json"))
  check(core.exists(folder .. "/tokenizer_config.json"))
  local text = "Tom and his dog went to the park."
  check(again:tokens(text):same(model:tokens(text)))
  equal(again:text(again:tokens(text)), "<s> " .. text)
end)

case("an untied copy of a tied model keeps both weights", function()
  local model = tiny()
  local untied = model:with("lm_head", { weight = model "embed_tokens".weight * 2 })
  local folder = scratch "untied"
  untied:save(folder, "safetensors")
  equal(config_of(folder).tie_word_embeddings, false)
  check(wane.load(folder):same(untied))
end)

case("what save refuses, before a byte is written", function()
  local model = tiny()
  local folder = scratch "refused"
  fails(function() model:save(folder, "gguf") end, "model:save: not supported: format 'gguf'")
  fails(function() model:save(folder, "onnx") end, "model:save: format is a string 'onnx'")
  fails(function() model:save(folder) end, "model:save: argument 2 (format) is missing; expected a string")
  local mixed = model:with("norm", { weight = wane.ones({ 32 }, { dtype = "bf16" }) })
  fails(function() mixed:save(folder, "safetensors") end, "weights of another dtype than the model's f32")
  local replaced = model:with("*.down_proj", { forward = function(layer, x) return layer(x) end })
  fails(function() replaced:save(folder, "safetensors") end, "layers whose forward was replaced")
  check(not core.exists(folder))
end)

case("a folder that wane did not write is left alone", function()
  local folder = scratch "foreign"
  core.mkdir(folder)
  core.publish(folder .. "/notes.txt", "mine")
  fails(function() tiny():save(folder, "safetensors") end, folder)
  equal(core.read(folder .. "/notes.txt"), "mine")
  check(not core.exists(folder .. "/config.json"))
end)

case("a config that does not fit its tensors is named", function()
  local model = tiny()
  local tried = 0
  local function refuses(changes, text)
    tried = tried + 1
    local folder = altered("altered-" .. tried, model, changes)
    fails(function() wane.load(folder) end, text)
  end
  refuses({ hidden_size = 64 }, "tensors are of another shape than the config says")
  refuses({ num_hidden_layers = 3 }, "tensors are missing: layers.2.input_layernorm.weight, ")
  refuses({ num_hidden_layers = 1 }, "not supported: nothing uses tensors layers.1.")
  refuses({ tie_word_embeddings = false }, "tensor lm_head.weight is missing")
  refuses({ tie_word_embeddings = "yes" }, "tie_word_embeddings is a string 'yes'")
  refuses({ architectures = { "GPT2LMHeadModel" } }, "not supported: architecture 'GPT2LMHeadModel'")
  refuses({ architectures = false }, "the config names no architecture")
  refuses({ hidden_act = "gelu" }, "not supported: hidden_act 'gelu'")
  refuses({ rope_scaling = { rope_type = "dynamic", factor = 2 } }, "not supported: rope kind 'dynamic'")
  refuses({ quantization_config = { quant_method = "gptq" } }, "not supported: an already packed checkpoint (gptq)")
end)

case("a head stored beside a tie must be the same", function()
  local untied = tiny { tie_word_embeddings = false }
  local folder = altered("both", untied, { tie_word_embeddings = true })
  fails(function() wane.load(folder) end,
    "tie_word_embeddings is true, but lm_head.weight differs from embed_tokens.weight")
  local equal_heads = untied:with("lm_head", { weight = untied "embed_tokens".weight })
  local loaded = wane.load(altered("equal", equal_heads, { tie_word_embeddings = true }))
  check(core.same_node(loaded "lm_head".weight, loaded "embed_tokens".weight))
end)

case("dtype: the file's, or the one asked for", function()
  local folder = scratch "dtype"
  tiny({ torch_dtype = "bfloat16" }):save(folder, "safetensors")
  equal(wane.load(folder).dtype, "bf16")
  local wide = wane.load(folder, { dtype = "f32" })
  equal(wide.dtype, "f32")
  equal(wide "norm".weight.dtype, "f32")
  equal(wide.compute, "f32")
  fails(function() wane.load(folder, { dtype = "i8" }) end, "dtype is a string 'i8'; expected")
end)
