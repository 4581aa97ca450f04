-- The basis of a model: which rotations its channels went through and which sites were smoothed. A site carries
-- the one or the other: scales belong to channels, and a rotation mixes them.
local core = require "wane.core"
local fold = require "wane.fold"
local model_module = require "wane.model"

local M = {}

local NONE = { rotations = {}, smoothed = {} }

-- { rotations = { r1 = { size, block, signs, online }, ... }, smoothed = { layer name = true } }.
function M.of(model)
  return model_module.parts(model).basis or NONE
end

local function names_of(rotations)
  local names = {}
  for name in pairs(rotations) do names[#names + 1] = name end
  return table.concat(names, " ")
end

-- "rotated r1 r4, smoothed" for the title of a model, or nil.
function M.describe(model)
  local basis, words = M.of(model), {}
  if next(basis.rotations) then words[1] = "rotated " .. names_of(basis.rotations) end
  if next(basis.smoothed) then words[#words + 1] = "smoothed" end
  return #words > 0 and table.concat(words, ", ") or nil
end

-- The same with more of it: tables of rotations and of layer names.
function M.with(basis, rotations, smoothed)
  local new = { rotations = {}, smoothed = {} }
  for _, pair in ipairs { { "rotations", rotations }, { "smoothed", smoothed } } do
    for _, values in ipairs { basis[pair[1]], pair[2] or {} } do
      for key, value in pairs(values) do new[pair[1]][key] = value end
    end
  end
  return new
end

-- The layers of a list that were smoothed, folded into a text, or nil.
function M.smoothed_among(basis, names)
  local found = {}
  for _, name in ipairs(names) do
    if basis.smoothed[name] then found[#found + 1] = name end
  end
  return #found > 0 and fold.text(found) or nil
end

-- -- problems, told at once ---------------------------------------------------------------------------------

-- Raises with all problems { text, hint }, where there are any.
function M.stop(where, problems)
  if #problems == 0 then return end
  if #problems == 1 then core.fail(("%s: %s"):format(where, problems[1][1]), { hint = problems[1][2] }) end
  local notes, hint = {}, nil
  for i, problem in ipairs(problems) do
    notes[i], hint = { tostring(i), problem[1] }, hint or problem[2]
  end
  core.fail(("%s: %d problems; nothing was computed"):format(where, #problems), { notes = notes, hint = hint })
end

-- What forbids any fold: codes hold the numbers of one basis, a range those of one, and a replaced forward may
-- compute anything.
function M.check_plain(model, problems, verb)
  local packed, ranged, replaced = {}, {}, {}
  for _, layer in ipairs(model:_leaves()) do
    local state = layer._state
    if not layer._tied and model_module.is_quantized(layer) then packed[#packed + 1] = layer.name end
    if state.input then ranged[#ranged + 1] = layer.name end
    if state.forward then replaced[#replaced + 1] = layer.name end
  end
  local hint = verb .. " the model it was made from"
  local function add(names, text, given)
    if #names > 0 then problems[#problems + 1] = { text:format(fold.text(names)), given } end
  end
  add(packed, "the weights of %s are quantized", hint)
  add(ranged, "the inputs of %s are quantized", hint)
  add(replaced, "the forward of %s was replaced, and may do anything", nil)
end

return M
