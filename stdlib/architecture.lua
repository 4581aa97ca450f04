-- Architectures by the name that config.json gives, and the keys of a config that all of them read.
local core = require "wane.core"
local options = require "wane.options"

local M = {}

local registered, names = {}, {}

local FIELDS = { "model", "gguf", "writes", "reads", "values", "product", "keys" }

local function check_names(where, field, value)
  if value == nil then return end
  options.arg(where, nil, field, value, "table")
  for key, name in pairs(value) do
    if type(name) ~= "string" or (field == "reads") ~= (type(key) == "string") then
      core.fail(("%s: option '%s' holds %s; expected %s"):format(where, field, options.describe(name),
        field == "reads" and "norm = readers" or "patterns"))
    end
  end
end

-- Registers what wane.load makes of a config.json that names `name`. `check`, of the built-in ones, judges a
-- config.
function M.register(name, entry)
  if not registered[name] then names[#names + 1] = name end
  registered[name] = entry
  entry.name = name
end

-- wane.architecture(name, { model, gguf, writes, reads, values, product, keys }). What rotations and smoothing
-- rely on: `writes`, patterns of the layers that add to the residual stream, its embedding among them; `reads`,
-- norm = the layers that read it; `values`, the pair of v and o, heads side by side in the one's rows and the
-- other's columns; `product`, a layer whose rows scale the columns of the next; `keys`, the norms of the heads of
-- q and k, where there are any.
function M.architecture(name, given)
  local where = "wane.architecture"
  options.arg(where, 1, "name", name, "string")
  options.arg(where, 2, "options", given, "table")
  local entry = options.check(where, given, {}, FIELDS)
  options.arg(where, nil, "model", entry.model, "class")
  options.arg(where, nil, "gguf", entry.gguf, "string?")
  for _, field in ipairs { "writes", "reads", "values", "product", "keys" } do
    check_names(where, field, entry[field])
  end
  M.register(name, entry)
end

-- The entry registered as `name`; raises with the nearest name. `fault` is the exit code of that error.
function M.find(name, where, fault)
  local entry = registered[name]
  if entry then return entry end
  local near = core.nearest(name, names)
  local message = ("%s: not supported: architecture '%s'"):format(where, name)
  if near then message = ("%s; nearest: %s"):format(message, near) end
  core.fail(message, { notes = { { "known", table.concat(names, ", ") } }, fault = fault,
                       hint = "wane.architecture registers one more" })
end

-- A copy of a config with what older and newer files leave out.
function M.settings(config)
  local settings = {}
  for key, value in pairs(config) do settings[key] = value end
  local heads = settings.num_attention_heads
  settings.num_key_value_heads = settings.num_key_value_heads or heads
  local hidden = settings.hidden_size
  if not settings.head_dim and math.type(heads) == "integer" and math.type(hidden) == "integer" and heads > 0
    and hidden % heads == 0 then
    settings.head_dim = hidden // heads
  end
  local parameters = settings.rope_parameters
  if type(parameters) == "table" then
    settings.rope_theta = settings.rope_theta or parameters.rope_theta
    settings.rope_scaling = settings.rope_scaling or parameters
  end
  settings.rope_theta = settings.rope_theta or 10000
  settings.torch_dtype = settings.torch_dtype or settings.dtype
  return settings
end

return M
