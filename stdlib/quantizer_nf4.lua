-- 4-bit normal float of QLoRA (arXiv 2305.14314): 16 levels at quantiles of the normal distribution, one scale, the
-- absmax, per block of 64. The levels are the constants that files in this format use.
local core = require "wane.core"
local quantizer = require "wane.quantizer"

local LEVELS = {
  -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
  -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
  0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
}

local levels, middles
local function tables()
  if not levels then
    local between = {}
    for i = 1, 15 do between[i] = (LEVELS[i] + LEVELS[i + 1]) / 2 end
    levels, middles = core.tensor(LEVELS, { dtype = "f32" }), core.tensor(between, { dtype = "f32" })
  end
  return levels, middles
end

local row = {}

function row.from_range(q, lo, hi)
  local scale = (-lo):maximum(hi):to(q.scale_dtype):to "f32"
  return { scale = core.where(scale:eq(0), 1, scale) }
end

-- The number of midpoints below x, found by halving; x on a midpoint takes the lower level.
function row.encode(_, w, p)
  local _, between = tables()
  local x = w / p.scale
  local code = x:gt((LEVELS[8] + LEVELS[9]) / 2):to "f32" * 8
  for _, step in ipairs { 4, 2, 1 } do
    code = code + x:gt((code + (step - 1)):lookup(between)):to "f32" * step
  end
  return code
end

function row.decode(_, codes, p)
  return codes:lookup((tables())) * p.scale
end

function row.reach(_, p) return p.scale end

function row.param_bits(q) return quantizer.dtype_bits(q.scale_dtype) end

return quantizer.define {
  name = "nf4", bits = 4,
  options = { { "per" }, { "group_size", 64 }, { "observer" }, { "scale_dtype", "bf16" } },
  row = row,
  label = function(q)
    local words = { "nf4" }
    if q.scale_dtype ~= "bf16" then words[#words + 1] = q.scale_dtype .. " scales" end
    return quantizer.grain_words(q, words)
  end,
}
