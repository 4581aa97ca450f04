-- The module `wane`: all that a script sees, gathered from the files beside this one.
local core = require "wane.core"

local names, exported = {}, {}

local function export(values)
  for name, value in pairs(values) do
    if exported[name] == nil then names[#names + 1] = name end
    exported[name] = value
  end
end

local architecture = require "wane.architecture"
local model = require "wane.model"
local modules = require "wane.module"

require "wane.generate"
require "wane.save"
require "wane.models.llama"

export(require "wane.tensors")
export {
  load = require "wane.load".load, model = model.model, text = require "wane.text".text,
  module = modules.module, Linear = modules.Linear, Embedding = modules.Embedding, RMSNorm = modules.RMSNorm,
  stack = modules.stack, architecture = architecture.architecture,
}
export(require "wane.recipes")

table.sort(names)

return setmetatable({}, {
  __name = "module",
  __exports = exported, -- for help() and completion
  __index = function(_, name)
    local value = exported[name]
    if value ~= nil then return value end
    local near = core.nearest(tostring(name), names)
    local hint = near and ("; did you mean '%s'?"):format(near) or ""
    core.fail(("wane: no '%s'%s"):format(tostring(name), hint))
  end,
  __newindex = function(_, name)
    core.fail(("wane: assigning to '%s': the module is a value"):format(tostring(name)), {
      hint = "a local name serves as well" })
  end,
  __pairs = function()
    local at = 0
    return function()
      at = at + 1
      return names[at], exported[names[at]]
    end
  end,
  __tostring = function() return "wane " .. core.version() end,
})
