-- Arguments and options: what every function of the library says when it is called wrongly.
local core = require "wane.core"

local M = {}

-- The kind of a value by the name its metatable carries: "tensor", "model", "text" ...; "integer" for whole
-- numbers.
function M.kind(value)
  local kind = type(value)
  if kind == "number" then return math.type(value) == "integer" and "integer" or "number" end
  if kind == "table" or kind == "userdata" then
    local meta = getmetatable(value)
    -- The metatable of a userdata is not shown, only its class's name.
    local name = type(meta) == "table" and rawget(meta, "__name") or meta
    if type(name) == "string" then return (name:gsub("^wane%.", "")) end
  end
  return kind
end

local function with_article(kind)
  if kind == "nil" then return "nil" end
  return (kind:find "^[aeiou]" and "an " or "a ") .. kind
end

local function shown(value)
  local kind = type(value)
  if kind == "string" then return #value > 40 and "" or (" '%s'"):format(value) end
  if kind == "number" or kind == "boolean" then return " " .. tostring(value) end
  return ""
end

-- "a number 3", "a table": a value as a message names it.
function M.describe(value)
  return with_article(M.kind(value)) .. shown(value)
end

local function fits(value, wanted)
  local kind = M.kind(value)
  if kind == wanted or wanted == "any" then return true end
  if wanted == "number" then return kind == "integer" end
  if wanted == "integer" then return kind == "number" and math.tointeger(value) ~= nil end
  return false
end

-- Raises unless `value` is one of `kinds` ("string", "text|string", "number?"). `position` may be nil for an
-- option.
function M.arg(where, position, name, value, kinds)
  local optional = kinds:sub(-1) == "?"
  local wanted = optional and kinds:sub(1, -2) or kinds
  if value == nil and optional then return value end
  local words = {}
  for kind in wanted:gmatch "[^|]+" do
    if value ~= nil and fits(value, kind) then return value end
    words[#words + 1] = with_article(kind)
  end
  local which = position and ("argument %d (%s)"):format(position, name) or ("option '%s'"):format(name)
  local expected = table.concat(words, " or ")
  if value == nil then core.fail(("%s: %s is missing; expected %s"):format(where, which, expected)) end
  core.fail(("%s: %s is %s; expected %s"):format(where, which, M.describe(value), expected))
end

-- Names an unknown word with the nearest of `names`: ": no option 'bit'; did you mean 'bits'?"
function M.unknown(where, noun, word, names, label)
  local near = core.nearest(tostring(word), names)
  local message = ("%s: no %s '%s'"):format(where, noun, tostring(word))
  if near then message = ("%s; did you mean '%s'?"):format(message, near) end
  local notes = {}
  if #names > 0 and label then notes[1] = { label, table.concat(names, ", ") } end
  core.fail(message, { notes = notes })
end

-- The options `given` (a table or nil) laid over `defaults`. `extra` lists names whose default is nil; they
-- come first in the list that an error shows.
function M.check(where, given, defaults, extra)
  local merged = {}
  for name, value in pairs(defaults) do merged[name] = value end
  if given == nil then return merged end
  if M.kind(given) ~= "table" then
    core.fail(("%s: options are %s; expected a table"):format(where, M.describe(given)))
  end
  local known, names = {}, {}
  for _, name in ipairs(extra or {}) do
    if not known[name] then known[name], names[#names + 1] = true, name end
  end
  for name in pairs(defaults) do
    if not known[name] then known[name], names[#names + 1] = true, name end
  end
  for name, value in pairs(given) do
    if not known[name] then M.unknown(where, "option", name, names, "it has") end
    merged[name] = value
  end
  return merged
end

-- A count: a whole number that is at least `least`.
function M.count(where, name, value, least)
  local whole = math.tointeger(value)
  if type(value) ~= "number" or not whole or whole < least then
    core.fail(("%s: %s is %s; expected a whole number from %d"):format(where, name, M.describe(value), least))
  end
  return whole
end

-- A table for the methods of a kind of value. Called without such a value in front (a dot for a colon), a method says so;
-- names that begin with _ are the library's own and go unchecked.
function M.methods(kind, is)
  return setmetatable({}, { __newindex = function(methods, name, f)
    if name:sub(1, 1) == "_" then return rawset(methods, name, f) end
    rawset(methods, name, function(self, ...)
      if not is(self) then
        core.fail(("%s:%s: expected %s in front of the colon, got %s"):format(kind, name, with_article(kind),
          M.describe(self)), { hint = ("methods take a colon: x:%s(...)"):format(name) })
      end
      return f(self, ...)
    end)
  end })
end

-- One of a closed set of words.
function M.choice(where, name, value, words)
  for _, word in ipairs(words) do
    if value == word then return value end
  end
  local expected = '"' .. table.concat(words, '", "') .. '"'
  core.fail(("%s: %s is %s; expected %s"):format(where, name, M.describe(value), expected))
end

return M
