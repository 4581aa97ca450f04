-- 8-bit floats with a scale: e4m3 (4 exponent bits, largest value 448, no infinities) and e5m2 (largest 57344).
-- Values beyond the largest saturate; a plain x:to "e4m3" would give NaN there. Codes are the bytes of the format.
local core = require "wane.core"
local value = require "wane.value"
local quantizer = require "wane.quantizer"

-- mantissa bits, lowest exponent of normal numbers, largest value
local FORMATS = {
  e4m3 = { mantissa = 3, lowest = -6, top = 448 },
  e5m2 = { mantissa = 2, lowest = -14, top = 57344 },
}

-- The value of each byte; codes that stand for NaN or infinity are never made and hold the largest value here.
local tables = {}
local function values_of(name)
  if tables[name] then return tables[name] end
  local f, values = FORMATS[name], {}
  local steps = 1 << f.mantissa
  for code = 0, 255 do
    local exponent, fraction = (code & 127) // steps, (code & 127) % steps
    local magnitude = exponent == 0 and fraction * 2.0 ^ (f.lowest - f.mantissa)
      or (steps + fraction) * 2.0 ^ (exponent - 1 + f.lowest - f.mantissa)
    magnitude = math.min(magnitude, f.top)
    values[code + 1] = code < 128 and magnitude or -magnitude
  end
  tables[name] = core.tensor(values, { dtype = "f32" })
  return tables[name]
end

local row = {}

function row.from_range(q, lo, hi)
  local scale = ((-lo):maximum(hi) / FORMATS[q.format].top):to(q.scale_dtype):to "f32"
  return { scale = core.where(scale:eq(0), 1, scale) }
end

local function saturated(q, w, p)
  local top = FORMATS[q.format].top
  return (w / p.scale):clamp(-top, top) + 0 -- an exact -0 is 0; what rounds to zero from below keeps its sign
end

-- With e the exponent, m the mantissa bits and n = round(|x| / 2^(e - m)), the byte is (e - lowest) 2^m + n: a
-- subnormal has e = lowest and n < 2^m, and an n that rounds up to 2^(m+1) lands on the next exponent by itself.
function row.encode(q, w, p)
  local f = FORMATS[q.format]
  local x = saturated(q, w, p)
  local size = x:abs()
  local e = size:maximum(2.0 ^ f.lowest):log2():floor()
  local n = (size * (f.mantissa - e):exp2()):round()
  return (e - f.lowest) * (1 << f.mantissa) + n + core.where(x:lt(0), 128.0, 0.0)
end

function row.decode(q, codes, p)
  return codes:lookup(values_of(q.format)) * p.scale
end

function row.round(q, w, p)
  return saturated(q, w, p):to(q.format):to "f32" * p.scale
end

function row.reach(q, p) return p.scale * FORMATS[q.format].top end

function row.param_bits(q) return quantizer.dtype_bits(q.scale_dtype) end

return quantizer.define {
  name = "fp8", bits = 8,
  options = { { "format", "e4m3" }, { "per" }, { "group_size" }, { "observer" }, { "scale_dtype", "bf16" } },
  row = row,
  check = function(where, o) value.one_of(where, "format", o.format, { "e4m3", "e5m2" }) end,
  label = function(q)
    local words = { q.format == "e4m3" and "fp8" or "fp8 e5m2" }
    if q.scale_dtype ~= "bf16" then words[#words + 1] = q.scale_dtype .. " scales" end
    return quantizer.grain_words(q, words)
  end,
}
