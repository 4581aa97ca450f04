-- wane.observe: what observers learn from the inputs of layers while the model reads a text; one pass for all of them.
local core = require "wane.core"
local inputs = require "wane.inputs"
local list = require "wane.list"
local options = require "wane.options"
local pattern = require "wane.pattern"
local stages = require "wane.stages"
local tables = require "wane.table"
local value = require "wane.value"

local observe = {}

local function observers_of(given)
  local items = value.is(given, "observer") and { given } or list.items(given)
  if type(items) ~= "table" or getmetatable(items) ~= nil or #items == 0 then
    core.fail(("wane.observe: argument 3 (observers) is %s; expected an observer or a list of them"):format(
      options.describe(given)))
  end
  for i, item in ipairs(items) do
    local class = value.class(item, "observer")
    if not class then
      core.fail(("wane.observe: observer %d is %s; expected an observer such as wane.absmax"):format(
        i, options.describe(item)))
    end
    if class.unsupported then core.fail("not supported yet: wane." .. class.name) end
    if class.original then
      core.fail(("wane.observe: %s compares with an original model; only the solvers of wane.quantize have one"):format(
        class.name))
    end
    if class.serves then
      core.fail(("wane.observe: %s needs the quantizer it serves"):format(class.name),
                { hint = "give it as the observer of an input or a weight" })
    end
  end
  return items
end

-- An observer's name, or its label where two have one name.
local function columns_of(observers)
  local count, names = {}, {}
  for _, observer in ipairs(observers) do count[observer.name] = (count[observer.name] or 0) + 1 end
  for i, observer in ipairs(observers) do
    names[i] = count[observer.name] > 1 and tostring(observer) or observer.name
  end
  return names
end

-- Results of one element are Lua numbers; a range lo, hi is a tensor [rows, 2].
local function cell(a, b)
  if b then return core.flush(core.concat({ a, b }, 2)) end
  if a.shape[1] == 1 then return a:item() end
  return a
end

-- wane.observe(model, text, observer or list, { layers = "Linear" })
function observe.observe(model, text, given, opts)
  local where = "wane.observe"
  options.arg(where, 1, "model", model, "model")
  if text == nil then core.fail(where .. ": argument 2 (text) is missing; expected a text") end
  local samples = require("wane.text").of(text, where):_samples(model)
  local observers = observers_of(given)
  opts = options.check(where, opts, { layers = "Linear" })
  local names, wanted = pattern.match(model, opts.layers, where), {}
  for _, name in ipairs(names) do wanted[name] = true end
  local columns, found, done = columns_of(observers), {}, 0
  stages.walk(model, samples, {
    wanted = function(name) return wanted[name] end,
    at = function(site, seen)
      local cells = {}
      for i, observer in ipairs(observers) do
        cells[columns[i]] = cell(inputs.observe(observer, observer.per or "tensor", seen, nil, site.names[1]))
      end
      for _, name in ipairs(site.names) do found[name], done = cells, done + 1 end
      core.progress(("observe   %d of %d layers"):format(math.min(done, #names), #names))
    end,
  })
  core.progress(nil)
  local t = tables.make("observe", { "layer", table.unpack(columns) })
  for _, name in ipairs(names) do
    local cells = { layer = name }
    for column, x in pairs(found[name] or {}) do cells[column] = x end
    t:add(cells)
  end
  return t
end

return observe
