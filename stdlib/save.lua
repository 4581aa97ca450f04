-- model:save: a model to files. Plain safetensors in the form of an HF folder; every other format is refused
-- by name. Nothing is seen under the name until all of it is written, and then it is opened again and
-- compared.
local core = require "wane.core"
local loader = require "wane.load"
local model_module = require "wane.model"
local options = require "wane.options"
local rotate = require "wane.rotate"

local M = {}

local FORMATS = { "safetensors", "compressed-tensors", "gptq", "gguf" }
local SHARD_BYTES = 5 * 10 ^ 9 // 1 | 0
local TORCH = { f32 = "float32", bf16 = "bfloat16", f16 = "float16" }

-- HF checkpoints keep everything but the head below "model.".
local function stored_name(name)
  return name:find "^lm_head%." and name or "model." .. name
end

-- { name, tensor } of all that is written, in model order; tied layers once.
local function tensors_of(model)
  local tensors = {}
  for _, layer in ipairs(model:_leaves()) do
    if not layer._tied then
      tensors[#tensors + 1] = { name = layer.name .. ".weight", tensor = layer.weight }
    end
    if layer.bias then tensors[#tensors + 1] = { name = layer.name .. ".bias", tensor = layer.bias } end
  end
  return tensors
end

-- All layers that the format cannot hold, at once and before a byte is written.
local function check_layers(model, where)
  local packed, other, replaced, rounded = {}, {}, {}, false
  for _, layer in ipairs(model:_leaves()) do
    local state = layer._state
    if not layer._tied and model_module.is_quantized(layer) then packed[#packed + 1] = layer.name
    elseif layer.weight.dtype ~= model.dtype then other[#other + 1] = layer.name end
    if state.forward then replaced[#replaced + 1] = layer.name end
    rounded = rounded or state.input ~= nil
  end
  local function refuse(names, what, hint)
    if #names == 0 then return end
    local notes = {}
    for i, line in ipairs(require "wane.fold".names(names)) do notes[i] = { "layer", line } end
    core.fail(("%s: %s"):format(where, what), { notes = notes, hint = hint })
  end
  refuse(packed, "plain safetensors cannot hold quantized weights",
    "model:dequantize() gives the same values in plain storage")
  refuse(other, ("weights of another dtype than the model's %s"):format(model.dtype),
    ('give them as w:to "%s"'):format(model.dtype))
  refuse(replaced, "layers whose forward was replaced: a file holds weights only")
  local turned, rotations = rotate.online(model)
  refuse(turned, "plain safetensors cannot hold online rotations: " .. table.concat(rotations, ", "),
    "r1 and r2 are folded into the weights; r3 and r4 turn what passes while the model runs")
  if rounded then core.note(where .. ": the input quantizers are not part of this file") end
end

local function config_text(model)
  local parts = model_module.parts(model)
  local config = {}
  for key, value in pairs(parts.config) do config[key] = value end
  config.architectures = { parts.architecture.name }
  config.model_type = config.model_type or parts.settings.model_type
  config.dtype, config.torch_dtype = nil, TORCH[model.dtype]
  config.tie_word_embeddings = M.is_tied(model)
  return core.json(config, { indent = 2 }) .. "\n"
end

-- Whether some layer of the model shares its weight with another.
function M.is_tied(model)
  for _, layer in ipairs(model:_leaves()) do
    if layer._tied then return true end
  end
  return false
end

local function write_tensors(writer, model, path)
  local tensors = tensors_of(model)
  for _, item in ipairs(tensors) do
    writer:plan(stored_name(item.name), item.tensor.dtype, item.tensor.shape)
  end
  writer:begin { shard_bytes = SHARD_BYTES }
  for i, item in ipairs(tensors) do
    writer:write(stored_name(item.name), item.tensor)
    core.progress(("save  %s   tensor %d of %d"):format(path, i, #tensors))
    core.check_interrupt()
  end
  core.progress(nil)
end

-- What was written, opened again and compared before it is seen under its name.
local function compare(model, folder, path, where)
  local same, name = model:same(loader.load(folder, { dtype = model.dtype }))
  if not same then
    local message = ("%s: %s: '%s' reads back different from what was written"):format(where, path, name)
    core.fail(message, { fault = 74 })
  end
end

local function write(model, path, where)
  local writer <close> = core.writer(path)
  write_tensors(writer, model, path)
  writer:text("config.json", config_text(model))
  local tokenizer = model.tokenizer
  if tokenizer then
    writer:text("tokenizer.json", tokenizer:json())
    writer:text("tokenizer_config.json", tokenizer:config_json())
  end
  compare(model, writer:finish(), path, where)
  writer:commit()
end

-- model:save(path, format).
function model_module.methods:save(path, format)
  local where = "model:save"
  options.arg(where, 1, "path", path, "string")
  options.arg(where, 2, "format", format, "string")
  options.choice(where, "format", format, FORMATS)
  if format ~= "safetensors" then
    core.fail(("%s: not supported: format '%s'"):format(where, format), {
      hint = 'model:dequantize() can be saved as "safetensors"' })
  end
  check_layers(self, where)
  local plain, parted = rotate.plain(self)
  if parted then
    core.note(("%s: r1 is folded into '%s' and the head, which are no longer tied in this file"):format(where, parted))
  end
  write(plain, path, where)
end

return M
