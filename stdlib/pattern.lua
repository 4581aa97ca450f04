-- Patterns over layer names: globs, `re:`, classes, lists of names, functions of a layer.
local core = require "wane.core"
local lists = require "wane.list"
local options = require "wane.options"

local M = {}

local function escaped(text)
  return (text:gsub("[%^%$%.%[%]%|%(%)%*%+%?%{%}%\\%-]", "\\%0"))
end

local translate

-- "{q,k,v}" and "{0..9}" (with what is inside the braces) as one group of a regular expression.
local function braces(inside, whole, where)
  local first, last = inside:match "^(%d+)%.%.(%d+)$"
  if first then
    local numbers = {}
    for n = math.tointeger(first), math.tointeger(last) do numbers[#numbers + 1] = tostring(n) end
    if #numbers == 0 then core.fail(("%s: pattern '%s': {%s} counts down"):format(where, whole, inside)) end
    return "(?:" .. table.concat(numbers, "|") .. ")"
  end
  local choices = {}
  for choice in (inside .. ","):gmatch "([^,]*)," do
    choices[#choices + 1] = translate(choice, whole, where)
  end
  return "(?:" .. table.concat(choices, "|") .. ")"
end

function translate(glob, whole, where)
  local out, at = {}, 1
  while at <= #glob do
    local char = glob:sub(at, at)
    if char == "*" then
      out[#out + 1] = ".*"
    elseif char == "?" then
      out[#out + 1] = "."
    elseif char == "{" then
      local close = glob:find("}", at, true)
      if not close then core.fail(("%s: pattern '%s': a { without its }"):format(where, whole)) end
      out[#out + 1] = braces(glob:sub(at + 1, close - 1), whole, where)
      at = close
    else
      out[#out + 1] = escaped(char)
    end
    at = at + 1
  end
  return table.concat(out)
end

local function test_of_text(text, where)
  if text:find "^re:" then
    local regex = core.regex(text:sub(4))
    return function(layer) return regex:match(layer.name) end
  end
  if text:find "^%u%w*$" then
    return function(layer) return layer.class == text end
  end
  if not text:find "[%*%?{]" then
    return function(layer) return layer.name == text end
  end
  local regex = core.regex(translate(text, text, where))
  return function(layer) return regex:match(layer.name) end
end

-- True for a class pattern, which may name modules ("Attention") as well as layers.
function M.is_class(pattern)
  return type(pattern) == "string" and pattern:find "^%u%w*$" ~= nil
end

local function test_of_list(items, where)
  local names, tests = {}, {}
  for _, item in ipairs(items) do
    if options.kind(item) == "layer" then item = item.name end
    if type(item) ~= "string" then
      core.fail(("%s: a list of patterns holds %s; expected names"):format(where, options.describe(item)))
    end
    if item:find "[%*%?{:]" or M.is_class(item) then tests[#tests + 1] = test_of_text(item, where)
    else names[item] = true end
  end
  return function(layer)
    if names[layer.name] then return true end
    for _, test in ipairs(tests) do
      if test(layer) then return true end
    end
    return false
  end
end

-- A function of a layer: does the pattern match it?
function M.test(pattern, where)
  local kind = options.kind(pattern)
  if kind == "string" then return test_of_text(pattern, where) end
  if kind == "function" then return function(layer) return pattern(layer) and true or false end end
  if kind == "layer" then return test_of_text(pattern.name, where) end
  if kind == "list" or kind == "table" then return test_of_list(lists.items(pattern), where) end
  core.fail(("%s: the pattern is %s; expected a glob, a list of names or a function"):format(
    where, options.describe(pattern)))
end

-- How a message names a pattern.
function M.describe(pattern)
  local kind = options.kind(pattern)
  if kind == "string" then return ("'%s'"):format(pattern) end
  if kind == "function" then return "the function" end
  return "the list"
end

-- What a pattern is compared with: leaves, for a class pattern modules too.
local function candidates(model, pattern)
  if M.is_class(pattern) then return model:_everything() end
  return model:_leaves()
end

-- The first name that ends like a pattern: "layers.9.mlp.down_proj" is far from every layer of a model of 5 blocks,
-- and "*.down_pro" is no name at all.
local function with_tail(names, pattern)
  local tail = pattern:match "[%w_]+$"
  if not tail then return nil end
  local tails, first = {}, {}
  for _, name in ipairs(names) do
    local own = name:match "[%w_]+$"
    if not first[own] then first[own], tails[#tails + 1] = name, own end
  end
  local near = core.nearest(tail, tails)
  return near and first[near]
end

-- A pattern that matches nothing: raises, or tells it as a problem among others.
local function nothing(model, pattern, where, tell)
  local names = {}
  for i, layer in ipairs(model:_leaves()) do names[i] = layer.name end
  local message = M.describe(pattern) .. " matches no layer"
  local located = ("%s: %s"):format(where, message)
  local near
  if M.is_class(pattern) then
    local classes, seen = {}, {}
    for _, layer in ipairs(model:_everything()) do
      if not seen[layer.class] then seen[layer.class], classes[#classes + 1] = true, layer.class end
    end
    near = table.concat(classes, ", ")
    if tell then return tell(("%s; classes: %s"):format(message, near)) end
    core.fail(located, { notes = { { "classes", near } } })
  end
  near = type(pattern) == "string" and (core.nearest(pattern, names) or with_tail(names, pattern))
  local tail = near and "; nearest: " .. near or ""
  if tell then return tell(message .. tail) end
  core.fail(located .. tail)
end

-- Every item of a list has to match something of its own.
local function check_list(model, items, where, tell)
  for _, item in ipairs(items) do
    if type(item) == "string" then M.layers(model, item, where, false, tell) end
  end
end

-- The layers of `model` that `pattern` matches, in model order, as a plain table; nil matches all. A pattern
-- that matches nothing raises unless `optional`; an empty list does not. `tell(text)`: is told so instead.
function M.layers(model, pattern, where, optional, tell)
  if pattern == nil then return model:_leaves() end
  local kind = options.kind(pattern)
  local listed = (kind == "list" or kind == "table") and lists.items(pattern)
  if listed and #listed == 0 then return {} end
  local test, found = M.test(pattern, where), {}
  for _, layer in ipairs(candidates(model, pattern)) do
    if test(layer) then found[#found + 1] = layer end
  end
  if not optional then
    local told = 0
    local function count(text)
      told = told + 1
      tell(text)
    end
    if listed then check_list(model, listed, where, tell and count) end
    if #found == 0 and told == 0 then nothing(model, pattern, where, tell) end
  end
  return found
end

-- The same as names.
function M.match(model, pattern, where, optional, tell)
  local names = {}
  for i, layer in ipairs(M.layers(model, pattern, where, optional, tell)) do names[i] = layer.name end
  return names
end

return M
