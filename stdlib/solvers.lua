-- Solvers: how the codes of one weight are chosen. wane.rtn rounds to nearest with the range that the quantizer's
-- observer finds; it needs no text.
local core = require "wane.core"
local value = require "wane.value"

local solvers = {}

local function define(name, options, solve)
  local order, defaults = {}, {}
  for _, option in ipairs(options) do
    order[#order + 1] = option[1]
    defaults[option[1]] = option[2]
  end
  return value.define {
    kind = "solver", name = name, order = order, defaults = defaults, unsupported = not solve,
    methods = { solve = solve or function() core.fail("not supported yet: wane." .. name) end },
  }
end

-- w: [out, in]; returns a quantized tensor of w's shape and dtype.
solvers.rtn = define("rtn", {}, function(_, w, quantizer) return quantizer:quantize(w) end)

solvers.gptq = define("gptq", { { "damp", 0.01 }, { "act_order", "static" }, { "precorrect", 0.5 }, { "spikes", 64 } })

return solvers
