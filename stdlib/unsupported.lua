-- Names of the language that are not here yet. Each raises by its name: an answer that is refused beats a wrong one.
local core = require "wane.core"

local names = { "prefix", "sensitivity", "allocate" }

local unsupported = {}
for _, name in ipairs(names) do
  unsupported[name] = function() core.fail("not supported yet: wane." .. name) end
end

return unsupported
