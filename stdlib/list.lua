-- Lists that can be walked: `for x in list do`, #list, list[1], print.
-- A generic `for` calls the list with nothing but the item it gave last, so the place is found from that item. Where
-- the same item stands twice the place is kept in the loop's own hidden state instead; either way nested loops and
-- breaks leave nothing behind in the list.
local core = require "wane.core"

local M = {}
local private = {}

local List = { __name = "list" }

-- item -> place, or false when some item stands in more than one place.
local function places_of(items)
  local places = {}
  for i, item in ipairs(items) do
    if places[item] then return false end
    places[item] = i
  end
  return places
end

-- Puts a fresh iterator into the hidden variables of the `for` that calls `list`: the first slot is the function.
local function take_over(list, iterate)
  local level, index = 3, 1
  while true do
    local name, value = debug.getlocal(level, index)
    if not name then return end
    if name == "(for state)" and rawequal(value, list) then
      local _, control = debug.getlocal(level, index + 2)
      if control == nil then debug.setlocal(level, index, iterate) end
    end
    index = index + 1
  end
end

function List:__call(_, last)
  local inside = rawget(self, private)
  local items = inside.items
  if inside.places == nil then inside.places = places_of(items) end
  if inside.places then
    if last == nil then return items[1] end
    return items[inside.places[last] + 1]
  end
  local at = 1
  take_over(self, function()
    at = at + 1
    return items[at]
  end)
  return items[1]
end

function List:__len()
  return #rawget(self, private).items
end

function List:__index(key)
  local items = rawget(self, private).items
  if math.type(key) == "integer" then return items[key < 0 and #items + 1 + key or key] end
  core.fail(("list: no field '%s'; a list has positions 1 to %d, # and `for x in list do`"):format(
    tostring(key), #items))
end

function List:__newindex()
  core.fail("list: a list cannot be assigned to; make a table of its items with table.unpack or a loop")
end

function List:__pairs()
  return ipairs(rawget(self, private).items)
end

function List:__tostring()
  local inside = rawget(self, private)
  local lines = {}
  for i, item in ipairs(inside.items) do lines[i] = tostring(item) end
  if #lines == 0 then return inside.kind and "no " .. inside.kind or "{}" end
  return table.concat(lines, inside.kind and "\n" or " ")
end

-- A list of `items` (a plain table, which it takes over). With `kind`, the word for its items, it prints one a line.
function M.new(items, kind)
  return setmetatable({ [private] = { items = items, kind = kind } }, List)
end

function M.is(value)
  return type(value) == "table" and getmetatable(value) == List
end

-- A plain table of the items of a list or of a plain table.
function M.items(value)
  if M.is(value) then return rawget(value, private).items end
  return value
end

return M
