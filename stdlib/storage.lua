-- What a model's weights take when stored: bits per weight and bytes, packed codes and parameters included.
local core = require "wane.core"
local quantizer = require "wane.quantizer"

local storage = {}

local function count(shape)
  local n = 1
  for _, size in ipairs(shape) do n = n * size end
  return n
end

-- The quantizer that made this weight, or nil.
function storage.quantizer(weight)
  local attached = core.attached(weight)
  return type(attached) == "table" and attached.fields and attached.fields.quantizer or nil
end

function storage.bits_of(weight)
  local q = storage.quantizer(weight)
  if q then return quantizer.stored_bits(q, weight.shape, core.attached(weight).fields.params) end
  return weight.bytes * 8
end

-- Calls f(layer, weight) for every weight, a tied one once.
local function each(model, f)
  for layer in model:layers() do
    if layer.weight and not layer._tied then f(layer, layer.weight) end
  end
end

-- Mean stored bits per weight over the layers that rules gave a weight scheme; over all when there are none.
function storage.bits(model)
  local all, weights, chosen, chosen_weights = 0, 0, 0, 0
  each(model, function(layer, weight)
    local bits, n = storage.bits_of(weight), count(weight.shape)
    all, weights = all + bits, weights + n
    if storage.quantizer(weight) or layer._state.scheme then
      chosen, chosen_weights = chosen + bits, chosen_weights + n
    end
  end)
  if chosen_weights > 0 then return chosen / chosen_weights end
  return weights > 0 and all / weights or 0
end

-- Bytes of all weights and biases.
function storage.bytes(model)
  local bits = 0
  each(model, function(layer, weight)
    bits = bits + storage.bits_of(weight) + (layer.bias and layer.bias.bytes * 8 or 0)
  end)
  return math.ceil(bits / 8)
end

return storage
