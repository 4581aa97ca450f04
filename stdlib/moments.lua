-- Second moments of a layer's inputs, as observers: wane.hessian (mean of x x^T over tokens), wane.cross (mean of
-- x0 x^T, x0 the input in the original model), and the diagonal of the first without the few massive tokens. Tokens
-- are summed in fixed runs or sample by sample, whatever the batches are, so the bits do not depend on those.
local core = require "wane.core"

local moments = {}

-- bf16 and f32 are multiplied as they are, with f32 sums; everything else as f32.
local function product_dtype(x)
  return (x.dtype == "bf16" or x.dtype == "f32") and x or x:to "f32"
end

moments.hessian = {
  init = function(self) self.sum = core.gram(true, false) end,
  see = function(self, x) self.sum:add(product_dtype(x)) end,
  result = function(self) return self.sum:square_mean() end,
}

moments.cross = {
  init = function(self) self.sum = core.gram(false, true) end,
  see = function(self, x, x0)
    if not x0 then
      core.fail("observer 'cross': there is no original model here; wane.quantize gives one to its solvers")
    end
    self.sum:add(product_dtype(x), product_dtype(x0:to(x.dtype)))
  end,
  result = function(self) return self.sum:cross_mean() end,
}

-- Hessian and cross moments of all samples from one reading of x: the bits that each has alone.
function moments.both(xs, x0s)
  local sum = core.gram(true, true)
  for i, x in ipairs(xs) do sum:add(product_dtype(x), product_dtype(x0s[i]:to(x.dtype))) end
  return sum:square_mean(), sum:cross_mean()
end

-- The mean square of each channel over the tokens that are no spikes, [channels, 1]: those whose norm is at most `spikes`
-- times the median token's. All tokens where the median is zero; without spikes it is the diagonal of the Hessian, taken
-- from there where that is known (`hessian` of the observation).
moments.calm = {
  init = function(self) self.xs, self.energies = {}, {} end,
  see = function(self, x)
    self.xs[#self.xs + 1] = x
    self.energies[#self.energies + 1] = core.flush(x:to "f32":square():sum(2))
  end,
  result = function(self)
    local all = core.flush(core.concat(self.energies, 1))
    local limit = all:quantile(0.5) * self.spikes ^ 2
    if limit == 0 then limit = math.huge end
    if self.hessian and all:max() <= limit then return core.flush(self.hessian:diag()):reshape { -1, 1 } end
    local sum, count = 0, 0
    for i, x in ipairs(self.xs) do
      local calm = core.flush(self.energies[i]:le(limit))
      sum = core.flush(core.where(calm, x:to "f32":square(), 0):sum(1) + sum)
      count = count + calm:to "f32":sum()
    end
    return core.flush(sum / count):t()
  end,
}

return moments
