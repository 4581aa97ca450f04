-- Values with options; calling one gives a variant: wane.int, wane.int { bits = 4 }, int4 { group_size = 64 }.
-- Quantizers, observers and solvers, built in or a user's own, are such values. A value never changes: a variant is
-- a new one, with its own origin (the line that made it). Two values are equal when their class and options are.
--
-- A class is { kind, name, order = { option names }, defaults, methods, check = f(where, options), label = f(value) }.
local core = require "wane.core"

local value = {}

local INSTANCE_OF = {} -- the key of what an instance was made from
local STATE = {} -- the private key: everything else a value shows comes through __index

local function state_of(v)
  return type(v) == "table" and rawget(v, STATE) or nil
end

-- The class of a value of this kind ("quantizer", ...; nil for any kind), or nil.
function value.class(v, kind)
  local state = state_of(v)
  if state and (kind == nil or state.class.kind == kind) then return state.class end
end

function value.is(v, kind) return value.class(v, kind) ~= nil end

-- The same, or the `self` that a user's function is given in its place.
function value.acts_as(v, kind)
  return value.is(v, kind) or type(v) == "table" and value.is(rawget(v, INSTANCE_OF), kind)
end

-- The line that made a variant ("demo.lua:20"), or nil.
function value.origin(v)
  local state = state_of(v)
  return state and state.origin
end

-- Does the value have this option or method?
function value.has(v, key)
  local class = value.class(v)
  return class.known[key] or class.methods[key] ~= nil
end

local function full_name(class) return class.user and class.name or "wane." .. class.name end

local function unknown_option(class, key)
  local near = core.nearest(tostring(key), class.order)
  local hint = near and ("; did you mean '%s'?"):format(near) or ""
  core.fail(("%s: no option '%s'%s"):format(full_name(class), tostring(key), hint),
            { notes = { { "it has", #class.order > 0 and table.concat(class.order, ", ") or "no options" } } })
end

-- Options that exclude each other: giving one drops the other.
local DROPS = { per = "group_size", group_size = "per" }

local function merged(class, old, given)
  local options = {}
  for _, key in ipairs(class.order) do options[key] = old[key] end
  if type(given) ~= "table" then
    core.fail(("%s: options are a table, not %s"):format(full_name(class), type(given)))
  end
  for key in pairs(given) do
    if not class.known[key] then unknown_option(class, key) end
  end
  if class.known.per and class.known.group_size and given.per ~= nil and given.group_size ~= nil then
    core.fail(full_name(class) .. ": per and group_size exclude each other; give one of them")
  end
  for _, key in ipairs(class.order) do
    if given[key] ~= nil then
      options[key] = given[key]
      if DROPS[key] and class.known[DROPS[key]] then options[DROPS[key]] = nil end
    end
  end
  if options.observer == false then options.observer = nil end
  if class.check then class.check(full_name(class), options) end
  return options
end

local function made(class, options)
  return setmetatable({ [STATE] = { class = class, options = options, origin = core.origin() } }, class.meta)
end

-- A variant that the library itself makes: these options, false for none, whatever they would drop or exclude.
function value.variant(v, given)
  local state, options = state_of(v), {}
  for key, option in pairs(state.options) do options[key] = option end
  for key, option in pairs(given) do options[key] = option or nil end
  return made(state.class, options)
end

local function index(self, key)
  local state = rawget(self, STATE)
  local class = state.class
  if key == "name" then return class.name end
  if class.known[key] then return state.options[key] end
  local method = class.methods[key]
  if method ~= nil or class.open[key] then return method end
  local names = { "name" }
  for _, option in ipairs(class.order) do names[#names + 1] = option end
  for name in pairs(class.methods) do names[#names + 1] = name end
  local near = core.nearest(tostring(key), names)
  core.fail(("%s: no field '%s'%s"):format(full_name(class), tostring(key),
                                         near and ("; did you mean '%s'?"):format(near) or ""))
end

local function newindex(self, key, new)
  local class = rawget(self, STATE).class
  if not class.user then
    core.fail(("%s is a value and cannot be assigned to"):format(full_name(class)),
              { hint = ("call it for a variant: %s { %s = ... }"):format(full_name(class), tostring(key)) })
  end
  if not class.open[key] then
    local names = {}
    for name in pairs(class.open) do names[#names + 1] = name end
    table.sort(names)
    core.fail(("%s: '%s' is not among what a %s defines: %s"):format(class.name, tostring(key), class.kind,
                                                                     table.concat(names, ", ")))
  end
  local kept = class.define and class.define(class, key, new) -- what stands in for it, or nil
  class.methods[key] = kept or new
end

local function equal(a, b)
  local left, right = state_of(a), state_of(b)
  if not left or not right or left.class ~= right.class then return false end
  for _, key in ipairs(left.class.order) do
    if left.options[key] ~= right.options[key] then return false end
  end
  return true
end

-- Options that differ from the defaults, as words: "norm=3". Classes with a label of their own choose theirs.
function value.differences(v, skip)
  local state, words = state_of(v), {}
  for _, key in ipairs(state.class.order) do
    local now = state.options[key]
    if not (skip and skip[key]) and now ~= state.class.defaults[key] then
      words[#words + 1] = ("%s=%s"):format(key, tostring(now))
    end
  end
  return words
end

local function label(self)
  local class = rawget(self, STATE).class
  if class.label then return class.label(self) end
  return table.concat({ class.name, table.unpack(value.differences(self)) }, " ")
end

-- Makes the class's first value, with its defaults. It has no origin: no line of a script chose it.
function value.define(class)
  class.known, class.open = {}, class.open or {}
  for _, key in ipairs(class.order) do class.known[key] = true end
  class.methods = class.methods or {}
  class.meta = {
    __index = index,
    __newindex = newindex,
    __call = function(self, given) return made(class, merged(class, rawget(self, STATE).options, given)) end,
    __eq = equal,
    __tostring = label,
    __name = "wane." .. class.kind,
    __pairs = function(self)
      local options, i = rawget(self, STATE).options, 0
      return function()
        repeat i = i + 1 until class.order[i] == nil or options[class.order[i]] ~= nil
        if class.order[i] then return class.order[i], options[class.order[i]] end
      end
    end,
  }
  local options = {}
  for key, default in pairs(class.defaults) do options[key] = default end
  if class.check then class.check(full_name(class), options) end
  local first = made(class, options)
  state_of(first).origin = nil
  return first
end

-- A fresh table that reads as the value (options, methods) and can be written: the `self` of one observation.
function value.instance(v, extra)
  local class = value.class(v)
  extra = extra or {}
  extra[INSTANCE_OF] = v
  return setmetatable(extra, { __index = function(_, key)
    if key == "name" then return class.name end
    if class.known[key] then return state_of(v).options[key] end
    return class.methods[key]
  end })
end

-- The options that a user's wane.quantizer, wane.observer call names, in order of their names, without those that
-- come by themselves.
function value.own_options(where, options, built_in)
  local order = {}
  if type(options) ~= "table" then core.fail(("%s: options are a table, not %s"):format(where, type(options))) end
  for key in pairs(options) do
    if type(key) ~= "string" then core.fail(("%s: an option's name is a string, not %s"):format(where, type(key))) end
    if not built_in[key] then order[#order + 1] = key end
  end
  table.sort(order)
  return order
end

-- Checks used by classes.
function value.one_of(where, option, given, words)
  for _, word in ipairs(words) do
    if given == word then return end
  end
  local shown = type(given) == "string" and ("'%s'"):format(given) or tostring(given)
  local expected = {}
  for i, word in ipairs(words) do expected[i] = tostring(word) end
  core.fail(("%s: %s is %s, expected one of %s"):format(where, option, shown, table.concat(expected, ", ")))
end

function value.whole(where, option, given, low, high)
  if math.type(given) == "float" and given == math.floor(given) then given = math.tointeger(given) end
  if math.type(given) ~= "integer" or given < low or (high and given > high) then
    local range = high and ("from %d to %d"):format(low, high) or ("of at least %d"):format(low)
    core.fail(("%s: %s is %s, expected a whole number %s"):format(where, option, tostring(given), range))
  end
end

function value.number(where, option, given, low, high)
  if type(given) ~= "number" or not (given >= low and given <= high) then
    core.fail(("%s: %s is %s, expected a number from %g to %g"):format(where, option, tostring(given), low, high))
  end
end

return value
