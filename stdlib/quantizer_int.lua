-- Whole-number codes of 2 to 8 bits with a scale, and a zero point when asymmetric.
--
-- Three symmetric conventions are in use for b bits; codes are always clamped to -2^(b-1) .. 2^(b-1) - 1:
--   half  absmax / (2^b - 1) * 2     GPTQ, compressed-tensors: both ends clip by at most half a step
--   qmax  absmax / (2^(b-1) - 1)     QuaRot, AWQ: the ends are exact, the lowest code is unused
--   full  m / -2^(b-1), m the value of largest magnitude (AutoRound): m has the lowest code, the scale a sign
-- Asymmetric: scale = (hi - lo) / (2^b - 1) with zero inside the range, zero = round(-lo / scale). The scale is
-- rounded to its stored dtype before the zero point, and both before anything is encoded.
local core = require "wane.core"
local value = require "wane.value"
local quantizer = require "wane.quantizer"

local row = {}

-- The scale as it is stored; a scale of zero (all weights zero, or underflow) becomes one, so that codes are zero.
local function stored_scale(q, scale)
  scale = scale:to(q.scale_dtype):to "f32"
  return core.where(scale:eq(0), 1, scale)
end

function row.from_range(q, lo, hi)
  local half = 2 ^ (q.bits - 1)
  if q.symmetric then
    if q.convention == "full" then
      return { scale = stored_scale(q, core.where((-lo):ge(hi), lo, hi) / -half) }
    end
    local top = (-lo):maximum(hi)
    if q.convention == "qmax" then return { scale = stored_scale(q, top / (half - 1)) } end
    return { scale = stored_scale(q, top / (2 * half - 1) * 2) }
  end
  lo, hi = lo:minimum(0), hi:maximum(0)
  local scale = stored_scale(q, (hi - lo) / (2 * half - 1))
  return { scale = scale, zero = (-lo / scale):round():clamp(0, 2 * half - 1) }
end

function row.encode(q, w, p)
  local steps = (w / p.scale):round()
  return (steps + (p.zero or 2 ^ (q.bits - 1))):clamp(0, 2 ^ q.bits - 1)
end

function row.decode(q, codes, p)
  return (codes - (p.zero or 2 ^ (q.bits - 1))) * p.scale
end

function row.round(q, w, p)
  if p.zero then return row.decode(q, row.encode(q, w, p), p) end
  local half = 2 ^ (q.bits - 1)
  local steps = (w / p.scale):round():clamp(-half, half - 1) + 0 -- codes have one zero, so -0 is 0
  return steps * p.scale
end

-- The largest magnitude that codes stand for; nil where it does not follow the range (a zero point is rounded).
function row.reach(q, p)
  return q.symmetric and p.scale:abs() * 2 ^ (q.bits - 1) or nil
end

-- Share of the weights that lie beyond the codes: rounding alone is never off by more than half a step.
function row.clipped(q, w, p)
  local off = (row.round(q, w, p) - w):abs()
  return off:gt(p.scale:abs() * 0.5001):to "f32":mean()
end

function row.param_bits(q)
  return quantizer.dtype_bits(q.scale_dtype) + (q.symmetric and 0 or quantizer.dtype_bits(q.zero_dtype))
end

return quantizer.define {
  name = "int",
  options = {
    { "bits", 8 }, { "per" }, { "group_size" }, { "symmetric", true }, { "observer" }, { "convention", "half" },
    { "scale_dtype", "bf16" }, { "zero_dtype", "i8" },
  },
  row = row,
  check = function(where, o)
    value.whole(where, "bits", o.bits, 2, 8)
    value.one_of(where, "convention", o.convention, { "half", "qmax", "full" })
    value.one_of(where, "symmetric", o.symmetric, { true, false })
  end,
  label = function(q)
    local words = { "int" .. q.bits }
    if not q.symmetric then words[#words + 1] = "asym" end
    if q.convention ~= "half" then words[#words + 1] = q.convention end
    if q.scale_dtype ~= "bf16" then words[#words + 1] = q.scale_dtype .. " scales" end
    if not q.symmetric and q.zero_dtype ~= "i8" then words[#words + 1] = q.zero_dtype .. " zeros" end
    return quantizer.grain_words(q, words)
  end,
}
