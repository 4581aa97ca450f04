-- Lists that can be walked: `for x in list do`, #list, list[1], print. A generic `for` calls the list with
-- nothing but the item it gave last, so the place is found from that item. Where an item stands more than
-- once, places are also kept for each line and coroutine that walks the list, and what a `break` left behind
-- there is recognised by the item that comes back.
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

-- The loops over a list with equal items that began on this line of this coroutine, innermost last: places.
local function loops_of(inside)
  local thread = coroutine.running()
  local lines = inside.loops[thread] or {}
  inside.loops[thread] = lines
  local place, line = core.origin()
  local key = ("%s:%s"):format(place, line)
  lines[key] = lines[key] or {}
  return lines[key]
end

local function next_of_equal(inside, last)
  local items = inside.items
  inside.loops = inside.loops or setmetatable({}, { __mode = "k" })
  local loops = loops_of(inside)
  if last == nil then
    loops[#loops + 1] = 0
  else
    while #loops > 0 and items[loops[#loops]] ~= last do loops[#loops] = nil end
    if #loops == 0 then core.fail "list: this loop did not begin with the list; write `for x in list do`" end
  end
  local place = loops[#loops] + 1
  loops[#loops] = place <= #items and place or nil
  return items[place]
end

function List:__call(_, last)
  local inside = rawget(self, private)
  if inside.places == nil then inside.places = places_of(inside.items) end
  if not inside.places then return next_of_equal(inside, last) end
  if last == nil then return inside.items[1] end
  return inside.items[inside.places[last] + 1]
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

-- A list of `items` (a plain table, which it takes over). With `kind`, the word for its items, it prints one
-- a line.
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
