-- Second moments of a layer's inputs, as observers: wane.hessian (mean of x x^T over tokens), wane.cross (mean of
-- x0 x^T, x0 the input in the original model), and the energy of each token, which tells the spikes among them.
-- Tokens are summed in fixed runs whatever the samples and batches are, so the bits do not depend on those.
local core = require "wane.core"

local moments = {}

-- bf16 and f32 are multiplied as they are, with f32 sums; everything else as f32.
local function product_dtype(x)
  return (x.dtype == "bf16" or x.dtype == "f32") and x or x:to "f32"
end

moments.hessian = {
  init = function(self) self.sum = core.gram() end,
  see = function(self, x) self.sum:add(product_dtype(x)) end,
  result = function(self) return self.sum:mean() end,
}

moments.cross = {
  init = function(self) self.sum = core.gram() end,
  see = function(self, x, x0)
    if not x0 then
      core.fail("observer 'cross': there is no original model here; wane.quantize gives one to its solvers")
    end
    self.sum:add(product_dtype(x), product_dtype(x0:to(x.dtype)))
  end,
  result = function(self) return self.sum:mean() end,
}

-- The sum of squares of each token, [tokens, 1].
moments.energy = {
  init = function(self) self.parts = {} end,
  see = function(self, x) self.parts[#self.parts + 1] = core.flush(x:to "f32":square():sum(2)) end,
  result = function(self) return core.concat(self.parts, 1) end,
}

-- The mean of the Hessian's diagonal over the tokens whose norm is at most `spikes` times the median token's: massive
-- tokens would otherwise set the damping of all others. Returns also how many tokens were left out.
function moments.calm_mean(energies, spikes, columns)
  local limit = energies:quantile(0.5) * spikes ^ 2
  local calm = core.flush(energies:le(limit))
  local kept = calm:to "f32":sum()
  if kept == 0 or limit == 0 then return energies:mean() / columns, 0 end
  return core.where(calm, energies, 0):sum() / kept / columns, energies.shape[1] - kept
end

return moments
