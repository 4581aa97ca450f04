-- Rules: a cascade of { pattern, weight =, input =, kv =, solver =, optional = }. They apply in order, and a later rule
-- overrides only the fields it names. What no rule names is kept.
local core = require "wane.core"
local list = require "wane.list"
local options = require "wane.options"
local quantizer = require "wane.quantizer"
local value = require "wane.value"

local rules = {}

local HIDDEN = {}
local Rules = { __name = "wane.rules" }
local FIELDS = { "weight", "input", "kv", "solver", "optional" }
rules.fields = { "weight", "input", "kv", "solver" }

local function inside(r) return rawget(r, HIDDEN) end
local function is(x) return type(x) == "table" and getmetatable(x) == Rules end
rules.is = is

local function wrong(n, field, given, expected)
  core.fail(("wane.rules: rule %d: %s is %s; expected %s"):format(n, field, options.describe(given), expected))
end

local function checked_field(n, field, given)
  if field == "weight" then
    if value.is(given, "quantizer") then return end
    if type(given) ~= "string" then wrong(n, field, given, 'a quantizer, a dtype or "keep"') end
    -- Which words are dtypes is the plan's to say, with all other problems.
  elseif field == "input" or field == "kv" then
    if given ~= "keep" and not value.is(given, "quantizer") then wrong(n, field, given, 'a quantizer or "keep"') end
  elseif field == "solver" then
    if not value.is(given, "solver") then wrong(n, field, given, "a solver such as wane.rtn") end
  elseif type(given) ~= "boolean" then
    wrong(n, field, given, "true or false")
  end
end

local function pattern_words(pattern)
  if type(pattern) == "string" then return ('"%s"'):format(pattern) end
  if type(pattern) == "function" then return "a function" end
  return ("a list of %d names"):format(#pattern)
end

-- One rule, checked; n is its number, origin the line of the wane.rules call.
local function checked(rule, n, origin)
  if type(rule) ~= "table" or getmetatable(rule) ~= nil then
    wrong(n, "the rule", rule, "{ pattern, weight =, input =, solver = }")
  end
  local pattern = rule[1]
  if type(pattern) ~= "string" and type(pattern) ~= "function" and type(pattern) ~= "table" then
    wrong(n, "the pattern", pattern, "a string, a list of names or a function of a layer")
  end
  local kept = { pattern = list.items(pattern), words = pattern_words(pattern), number = n, origin = origin,
                 optional = false }
  for field, given in pairs(rule) do
    if field ~= 1 then
      if type(field) ~= "string" then
        core.fail(("wane.rules: rule %d: it has a second pattern; put both into a list"):format(n))
      end
      local known
      for _, name in ipairs(FIELDS) do known = known or name == field end
      if not known then options.unknown(("wane.rules: rule %d"):format(n), "field", field, FIELDS, "it has") end
      checked_field(n, field, given)
      kept[field] = given
    end
  end
  return kept
end

local function make(entries) return setmetatable({ [HIDDEN] = { entries = entries } }, Rules) end

-- wane.rules { rule, ... }
function rules.new(given)
  if type(given) ~= "table" or getmetatable(given) ~= nil then
    core.fail(("wane.rules: argument 1 (rules) is %s; expected a table of rules"):format(options.describe(given)))
  end
  local entries, origin = {}, core.origin()
  for key in pairs(given) do
    if math.type(key) ~= "integer" then
      core.fail(("wane.rules: field '%s' stands outside a rule"):format(tostring(key)),
                { hint = 'a rule is a table: wane.rules { { "*_proj", weight = ... } }' })
    end
  end
  for n, rule in ipairs(given) do entries[n] = checked(rule, n, origin) end
  return make(entries)
end

local methods = options.methods("rules", is)

-- The rules with one more at the end.
function methods.with(r, rule)
  local entries = { table.unpack(inside(r).entries) }
  entries[#entries + 1] = checked(rule, #entries + 1, core.origin())
  return make(entries)
end

function methods.plan(r, model) return require("wane.plan").make(model, r) end

-- The entries in order, for the plan.
function rules.entries(r) return inside(r).entries end

function Rules.__index(r, key)
  if methods[key] then return methods[key] end
  if math.type(key) == "integer" then return nil end
  options.unknown("rules", "field", key, { "with", "plan" }, "it has")
end

function Rules.__newindex() core.fail("rules: rules are a value; rules:with { ... } gives rules with one more") end
function Rules.__len(r) return #inside(r).entries end

function Rules.__tostring(r)
  local lines = {}
  for _, entry in ipairs(inside(r).entries) do
    local words = { ("rule %d  %s"):format(entry.number, entry.words) }
    for _, field in ipairs(rules.fields) do
      if entry[field] ~= nil then words[#words + 1] = ("%s = %s"):format(field, tostring(entry[field])) end
    end
    lines[#lines + 1] = table.concat(words, "   ")
  end
  if #lines == 0 then return "no rules: every layer is kept" end
  return table.concat(lines, "\n")
end

rules.is_dtype = quantizer.is_dtype

return rules
