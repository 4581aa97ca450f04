-- Online rotations: what a layer does to the tensor that passes. x -> (x * signs) H / sqrt(block) along the last
-- dim, block by block; or back.
local core = require "wane.core"

local M = {}

local function in_blocks(x, block, f)
  local shape = x.shape
  if shape[#shape] == block then return f(x) end
  return f(x:reshape { -1, block }):reshape(shape)
end

local function hadamard(x) return x:hadamard(#x.shape) end

-- The signs in the dtype of what they meet, made once for each.
local function signs_for(signs)
  local made = {}
  return function(x)
    local dtype = x.dtype
    made[dtype] = made[dtype] or core.flush(signs:to(dtype))
    return made[dtype]
  end
end

local function entry(label, block, signs, apply)
  local words = signs and signs:totable() or {}
  local id = core.sha256(("%s %d %s"):format(label, block, table.concat(words, " ")))
  return { label = label, id = id, apply = apply }
end

-- signs: f64 +-1 [channels], or nil. `id` tells two rotations apart.
function M.forward(label, block, signs)
  local of = signs and signs_for(signs)
  return entry(label, block, signs, function(x)
    return in_blocks(of and x * of(x) or x, block, hadamard)
  end)
end

-- The inverse of `forward`.
function M.back(label, block, signs)
  local of = signs and signs_for(signs)
  return entry(label, block, signs, function(x)
    local y = in_blocks(x, block, core.hadamard_back)
    return of and y * of(y) or y
  end)
end

return M
