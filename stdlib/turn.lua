-- Online rotations: what a layer does to the tensor that passes. x -> (x * signs) H / sqrt(block) along the last
-- dim, block by block; or back.
local core = require "wane.core"

local M = {}

local function entry(label, block, signs, apply)
  local words = signs and signs:totable() or {}
  local id = core.sha256(("%s %d %s"):format(label, block, table.concat(words, " ")))
  return { label = label, id = id, apply = apply }
end

-- signs: f64 +-1 [channels], or nil. `id` tells two rotations apart.
function M.forward(label, block, signs)
  return entry(label, block, signs, function(x) return core.rotate(x, signs, block) end)
end

-- The inverse of `forward`.
function M.back(label, block, signs)
  return entry(label, block, signs, function(x) return core.rotate(x, signs, block, true) end)
end

return M
