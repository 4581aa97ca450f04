-- wane.time(f, ...): the seconds that a call took, and its results. A timing is usable as a number; what is computed
-- from one is a timing too, so that what depends on the clock stays known.
local core = require "wane.core"
local format = require "wane.format"

local time = {}

local Timing = { __name = "wane.timing" }
local HIDDEN = {}

local function is(x) return type(x) == "table" and getmetatable(x) == Timing end
time.is = is

local function number(x)
  if is(x) then return rawget(x, HIDDEN).value end
  if type(x) ~= "number" then core.fail(("timing: arithmetic with a %s; expected a number"):format(type(x))) end
  return x
end
time.number = number

-- unit: "s" for seconds, "" for what was computed from them otherwise.
local function new(value, unit) return setmetatable({ [HIDDEN] = { value = value, unit = unit } }, Timing) end
time.new = function(seconds) return new(seconds, "s") end

local function unit(x) return is(x) and rawget(x, HIDDEN).unit or nil end

function Timing.__add(a, b) return new(number(a) + number(b), unit(a) == unit(b) and unit(a) or "") end
function Timing.__sub(a, b) return new(number(a) - number(b), unit(a) == unit(b) and unit(a) or "") end
function Timing.__mul(a, b) return new(number(a) * number(b), (unit(a) and unit(b)) and "" or unit(a) or unit(b)) end
function Timing.__div(a, b) return new(number(a) / number(b), unit(b) and "" or unit(a)) end
function Timing.__unm(a) return new(-number(a), unit(a)) end
function Timing.__pow(a, b) return new(number(a) ^ number(b), "") end
function Timing.__lt(a, b) return number(a) < number(b) end
function Timing.__le(a, b) return number(a) <= number(b) end

function Timing.__index(t, key)
  if key == "seconds" and unit(t) == "s" then return number(t) end
  if key == "value" then return number(t) end
  core.fail(("timing: no field '%s'; it has %s"):format(tostring(key), unit(t) == "s" and "seconds" or "value"))
end

function Timing.__newindex() core.fail("timing: a timing is a value and cannot be assigned to") end

function Timing.__tostring(t)
  if unit(t) == "s" then return format.seconds(number(t)) end
  return format.number(number(t))
end

-- Calls f(...); what f leaves pending among its results is computed before the clock stops.
function time.time(f, ...)
  local kind = type(f)
  local meta = getmetatable(f)
  if kind ~= "function" and not (type(meta) == "table" and meta.__call) then
    core.fail(("wane.time: argument 1 (f) is a %s; expected a function"):format(kind))
  end
  local started = core.seconds()
  local results = table.pack(f(...))
  for i = 1, results.n do
    if core.is_tensor(results[i]) then core.flush(results[i]) end
  end
  return new(core.seconds() - started, "s"), table.unpack(results, 1, results.n)
end

return time
