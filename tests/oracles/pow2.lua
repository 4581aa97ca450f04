-- A quantizer of one's own, a sign and a power of two, as scripts/my-quantizer.lua has it: what a user would write.
local wane = require "wane"

return function()
  local Pow2 = wane.quantizer("pow2", { bits = 4 })
  function Pow2:fit(w) return { top = w:absmax(2):clamp(1e-8) } end
  function Pow2:encode(w, p)
    local half = 1 << (self.bits - 1)
    local step = (p.top / w:abs()):log2():round():clamp(0, half - 1)
    return wane.where(w:lt(0), step + half, step)
  end
  function Pow2:decode(codes, p)
    local half = 1 << (self.bits - 1)
    return wane.where(codes:lt(half), 1, -1) * p.top * (-(codes % half)):exp2()
  end
  return Pow2
end
