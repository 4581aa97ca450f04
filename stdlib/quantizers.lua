-- The quantizers that scripts see: wane.int, wane.fp8, wane.nf4, wane.quantizer; and those that are named but not here
-- yet, which say so wherever they are used.
local core = require "wane.core"
local value = require "wane.value"
local quantizer = require "wane.quantizer"

local quantizers = {
  int = require "wane.quantizer_int",
  fp8 = require "wane.quantizer_fp8",
  nf4 = require "wane.quantizer_nf4",
  quantizer = quantizer.own,
}

-- A block format that only has a name: a variant can be made and put into rules, the plan then names it.
local function named(name, options)
  local order, defaults = { "observer" }, {}
  for _, option in ipairs(options) do
    order[#order + 1] = option[1]
    defaults[option[1]] = option[2]
  end
  local methods = {}
  for _, method in ipairs { "fit", "encode", "decode", "pack", "quantize" } do
    methods[method] = function() core.fail("not supported yet: wane." .. name) end
  end
  return value.define {
    kind = "quantizer", name = name, order = order, defaults = defaults, methods = methods, unsupported = true,
    open = { per = true, group_size = true, bits = true },
  }
end

quantizers.nvfp4 = named("nvfp4", {})
quantizers.mxfp4 = named("mxfp4", {})
quantizers.gguf = named("gguf", { { "type", "Q8_0" } })

return quantizers
