-- Scaled rotary frequencies. x:rope(position, frequencies) takes them in place of theta.
local core = require "wane.core"

local M = {}

-- The frequencies of Llama 3.1 and later, f64 [dim/2]: long wavelengths are stretched by `factor`, short ones
-- kept, between them a ramp (transformers' "llama3"). `scaling` has factor, low_freq_factor,
-- high_freq_factor, original_max_position_embeddings.
function M.llama3(dim, theta, scaling)
  local factor, low, high = scaling.factor, scaling.low_freq_factor, scaling.high_freq_factor
  local context = scaling.original_max_position_embeddings
  local freqs = {}
  for i = 0, dim // 2 - 1 do
    local freq = theta ^ (-2 * i / dim)
    local wavelength = 2 * math.pi / freq
    local divisor
    if wavelength < context / high then divisor = 1
    elseif wavelength > context / low then divisor = factor
    else
      local smooth = (context / wavelength - low) / (high - low)
      divisor = 1 / ((1 - smooth) / factor + smooth)
    end
    freqs[i + 1] = freq / divisor
  end
  return core.tensor(freqs, { dtype = "f64" })
end

return M
