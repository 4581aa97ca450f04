-- wane.load: a checkpoint to a model. Everything is judged before the first weight is read: the architecture,
-- its sizes, which tensors there are and of which shape. Weights stay on disk until used.
local core = require "wane.core"
local architecture = require "wane.architecture"
local model_module = require "wane.model"
local modules = require "wane.module"
local options = require "wane.options"

local M = {}

local function bad(path, message, notes, hint)
  core.fail(("wane.load: %s: %s"):format(path, message), { fault = 65, notes = notes, hint = hint })
end

-- The file or folder that `name` stands for: itself, or where a known model was fetched to.
function M.find(name, where)
  if core.exists(name) then return name end
  local path, command = core.known_model(name)
  if path then return path end
  if command then
    core.fail(("%s: model '%s' is not here yet"):format(where, name), { fault = 66, hint = command })
  end
  local near = not name:find "[/.]" and core.nearest(name, core.known_models())
  core.fail(("%s: %s: no such file or folder"):format(where, name), {
    fault = 66, hint = near and ("did you mean the known model '%s'?"):format(near) or nil })
end

-- -- config -------------------------------------------------------------------------------------------------

local function entry_of(config, path)
  local names = config.architectures
  if type(names) ~= "table" or type(names[1]) ~= "string" then
    local expected = 'architectures, as ["LlamaForCausalLM"]'
    bad(path, "the config names no architecture", { { "expected", expected } })
  end
  if config.quantization_config then
    local method = config.quantization_config.quant_method or "unknown"
    bad(path, ("not supported: an already packed checkpoint (%s)"):format(tostring(method)))
  end
  return architecture.find(names[1], "wane.load: " .. path, 65)
end

local function settings_of(entry, config, path)
  local settings = architecture.settings(config)
  local tied = settings.tie_word_embeddings
  if tied ~= nil and type(tied) ~= "boolean" then
    local message = ("tie_word_embeddings is %s"):format(options.describe(tied))
    bad(path, message, { { "expected", "true or false" } })
  end
  if entry.check then entry.check(settings, "wane.load: " .. path) end
  return settings
end

-- -- dtype --------------------------------------------------------------------------------------------------

local PLAIN = { f32 = "f32", f16 = "f16", bf16 = "bf16", f64 = "f32" }

-- The dtype that most bytes of the matrices have; bf16 as soon as one is stored in blocks.
function M.stored_dtype(checkpoint)
  local bytes, best = {}, nil
  for _, name in ipairs(checkpoint:names()) do
    local info = checkpoint:info(name)
    if #info.shape > 1 then
      if info.block then return "bf16" end
      local dtype = PLAIN[info.dtype:lower()] or "f32"
      local size = 1
      for _, count in ipairs(info.shape) do size = size * count end
      bytes[dtype] = (bytes[dtype] or 0) + size
      if not best or bytes[dtype] > bytes[best] then best = dtype end
    end
  end
  return best or "f32"
end

-- -- tensors ------------------------------------------------------------------------------------------------

-- What older checkpoints keep although it follows from the config, and what a GGUF's config was made from.
local function is_computed(name)
  return name:find "rotary_emb%.inv_freq$" or name == "rope_freqs" or name == "rope_freqs.weight"
end

local function same_shape(a, b)
  if #a ~= #b then return false end
  for i, size in ipairs(a) do
    if b[i] ~= size then return false end
  end
  return true
end

-- Whether a head said to be tied is stored all the same, and equal.
local function check_stored_head(checkpoint, name, twin, path, dtype)
  if not checkpoint:tensor(name, dtype):same(checkpoint:tensor(twin, dtype)) then
    bad(path, ("tie_word_embeddings is true, but %s differs from %s"):format(name, twin))
  end
end

-- Tensor name -> { layer path, part, shape } for what the architecture reads, in model order.
local function wanted_tensors(root)
  local wanted, paths = {}, {}
  modules.each(root, function(layer, node, path)
    paths[layer] = path
    if not node.shapes then return end
    for _, part in ipairs { "weight", "bias" } do
      local shape = node.shapes[part]
      if shape then
        wanted[#wanted + 1] = { name = path .. "." .. part, path = path, part = part, shape = shape,
                                tied = part == "weight" and node.tied and paths[node.tied] or nil }
      end
    end
  end)
  return wanted
end

local function list_some(names)
  local shown = table.concat(names, ", ", 1, math.min(#names, 5))
  return #names > 5 and ("%s and %d more"):format(shown, #names - 5) or shown
end

local function check_all(missing, wrong, unused, path)
  if #wrong > 0 then
    local notes = {}
    for i = 1, math.min(#wrong, 5) do notes[i] = { wrong[i].name, wrong[i].text } end
    local message = #wrong == 1 and "a tensor is" or ("%d tensors are"):format(#wrong)
    bad(path, message .. " of another shape than the config says", notes)
  end
  if #missing > 0 then
    local notes = {}
    if #unused > 0 then notes[1] = { "unused", list_some(unused) } end
    local head = missing[1] == "lm_head.weight"
    local message = #missing == 1 and "tensor %s is missing" or "tensors are missing: %s"
    bad(path, message:format(list_some(missing)), notes,
      head and "config.json does not say tie_word_embeddings" or nil)
  end
  if #unused > 0 then
    local word = #unused == 1 and "tensor" or "tensors"
    bad(path, ("not supported: nothing uses %s %s"):format(word, list_some(unused)))
  end
end

-- Compares one wanted tensor with the file: its shape, or nil when it is missing.
local function shape_in(checkpoint, want)
  return checkpoint:has(want.name) and checkpoint:info(want.name).shape or nil
end

local function unused_names(checkpoint, used)
  local unused = {}
  for _, name in ipairs(checkpoint:unused(used)) do
    if not is_computed(name) then unused[#unused + 1] = name end
  end
  return unused
end

-- States of all layers with lazy weights, after every name and shape was compared.
local function states_of(root, checkpoint, path, dtype)
  local used, states, missing, wrong = {}, {}, {}, {}
  for _, want in ipairs(wanted_tensors(root)) do
    local shape = shape_in(checkpoint, want)
    if shape then used[#used + 1] = want.name end
    if want.tied then
      if shape then check_stored_head(checkpoint, want.name, want.tied .. ".weight", path, dtype) end
    elseif not shape then
      missing[#missing + 1] = want.name
    else
      if not same_shape(shape, want.shape) then
        wrong[#wrong + 1] = { name = want.name, text = ("%s, expected %s"):format(modules.shape_text(shape),
          modules.shape_text(want.shape)) }
      end
      states[want.path] = states[want.path] or {}
      states[want.path][want.part] = want.name
    end
  end
  check_all(missing, wrong, unused_names(checkpoint, used), path)
  for _, state in pairs(states) do
    for part, name in pairs(state) do state[part] = checkpoint:tensor(name, dtype) end
  end
  return states
end

-- -- load ---------------------------------------------------------------------------------------------------

local function title_of(path)
  local name = path:gsub("/+$", ""):match "([^/]+)$" or path
  return (name:gsub("%.gguf$", ""))
end

-- wane.load(path, { dtype }): an HF folder, a .gguf file, a saved model or a known name.
function M.load(name, given)
  local where = "wane.load"
  options.arg(where, 1, "path", name, "string")
  local set = options.check(where, given, {}, { "dtype" })
  if set.dtype ~= nil then options.choice(where, "dtype", set.dtype, { "f32", "bf16", "f16" }) end
  local path = M.find(name, where)
  local checkpoint = core.checkpoint(path)
  local config = checkpoint:config()
  local entry = entry_of(config, path)
  local settings = settings_of(entry, config, path)
  local dtype = set.dtype or M.stored_dtype(checkpoint)
  local states = states_of(entry.model(settings), checkpoint, path, dtype)
  if dtype == "bf16" and not core.native_bf16() then
    core.deviation(title_of(path) .. ": bf16 weights are computed in f32, for this CPU has no native bf16")
  end
  return model_module.build({
    name = title_of(path), path = path, architecture = entry, config = config, settings = settings,
    dtype = dtype, tokenizer = checkpoint:tokenizer(), checkpoint = checkpoint,
  }, states)
end

return M
