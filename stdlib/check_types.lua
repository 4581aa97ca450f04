-- What `wane check` knows of values before a script runs: the noun of a local that is made by a documented function, as
-- far as it follows from the text. What does not follow is unknown, and about unknowns nothing is said.
local docs = require "wane.docs"
local lua_tokens = require "wane.lua_tokens"
local signature = require "wane.signature"

local M = {}

-- Blocks: a scope is { names = { name -> type or false (unknown) }, outer = scope }.
local function opened(scope) return { names = {}, outer = scope } end

local function lookup(scope, name)
  while scope do
    if scope.names[name] ~= nil then return scope.names[name], scope end
    scope = scope.outer
  end
end
M.lookup, M.opened = lookup, opened

-- The token that closes the bracket at i.
local CLOSES = { ["("] = ")", ["["] = "]", ["{"] = "}" }
function M.closing(tokens, i)
  local depth = 0
  for k = i, #tokens do
    local token = tokens[k]
    if token.kind == "operator" then
      if CLOSES[token.text] then depth = depth + 1
      elseif token.text == ")" or token.text == "]" or token.text == "}" then
        depth = depth - 1
        if depth == 0 then return k end
      end
    end
  end
  return #tokens
end

local function noun(name) return docs.NOUNS[name] and { noun = name } or nil end

-- What a call of an entry gives. count: its arguments.
local function result_of(entry, count)
  local results = signature.read(entry.signature, entry.types).results or ""
  if results:find "^tensor, or a number" then
    local needed = entry.name == "quantile" and 1 or 0
    return count > needed and noun "tensor" or nil
  end
  if results == "quantizer" or results == "observer" or results == "solver" then
    local own = entry.name == results
    return { noun = results, entry = not own and entry or nil, own = own }
  end
  if results == "values, positions" or results == "positions" or results == "codes" then return noun "tensor" end
  return noun(results:match "^%w+" or "")
end

-- The number of arguments of the call that begins at i, and its last token.
function M.arguments(tokens, i)
  if tokens[i].kind == "string" then return 1, i end
  local last = M.closing(tokens, i)
  if tokens[i].text == "{" then return 1, last end
  local count, depth = last > i + 1 and 1 or 0, 0
  for k = i, last do
    local text = tokens[k].kind == "operator" and tokens[k].text or ""
    if CLOSES[text] then depth = depth + 1 elseif text == ")" or text == "]" or text == "}" then depth = depth - 1 end
    if text == "," and depth == 1 then count = count + 1 end
  end
  return count, last
end

local function starts_call(token) return token.text == "(" or token.text == "{" or token.kind == "string" end

local function field_type(entry)
  local name = entry.type and entry.type:match "^wane%.(%w+)$"
  return name and noun(name)
end

-- The type behind ".name" or ":name" of a type; `bind` is true for ":".
local function member(type_, name)
  if type_.noun == "module" then
    local entry = docs.entry("wane." .. name)
    if not entry then return nil end
    local read = signature.read(entry.signature, entry.types)
    return signature.is_value(read) and { noun = read.results, entry = entry } or { call = entry }
  end
  local entry = type_.noun and docs.entry(type_.noun .. "." .. name)
  if not entry and (type_.noun == "plan" or type_.noun == "quantized") then
    entry = docs.entry((type_.noun == "plan" and "table." or "tensor.") .. name)
  end
  if not entry then return nil end
  return entry.type and field_type(entry) or not entry.type and { call = entry } or nil
end

local function called(type_, count)
  if type_.call then return result_of(type_.call, count) end
  if type_.noun == "model" then return noun "layer" end
  if type_.noun == "layer" then return noun "tensor" end
  if type_.entry or type_.own then return type_ end
end

local function primary(tokens, i, last, scope)
  local token = tokens[i]
  if token.text == "(" then
    local close = M.closing(tokens, i)
    return M.of_range(tokens, i + 1, close - 1, scope), close + 1
  end
  if token.text == "require" and tokens[i + 1] then
    local in_brackets = tokens[i + 1].text == "("
    local required = lua_tokens.string(tokens[in_brackets and i + 2 or i + 1])
    if required == "wane" then return { noun = "module" }, in_brackets and i + 4 or i + 2 end
  end
  if token.kind == "word" then return lookup(scope, token.text) or nil, i + 1 end
  if token.kind == "number" or token.kind == "string" then return { noun = token.kind }, i + 1 end
  return nil, CLOSES[token.text] and M.closing(tokens, i) + 1 or i + 1
end

-- The type of the operand at i, and the token behind it. hooks (or nil): member(type, token) and call(type, at) are told
-- of every known value on the way.
function M.operand(tokens, i, last, scope, hooks)
  if tokens[i].text == "-" and i < last then return M.operand(tokens, i + 1, last, scope, hooks) end
  local type_, at = primary(tokens, i, last, scope)
  while at <= last do
    local text = tokens[at].text
    if text == "." or text == ":" then
      if hooks and type_ and tokens[at + 1] then hooks.member(type_, tokens[at + 1]) end
      type_ = type_ and tokens[at + 1] and member(type_, tokens[at + 1].text)
      at = at + 2
    elseif starts_call(tokens[at]) then
      local count, close = M.arguments(tokens, at)
      if hooks and type_ then hooks.call(type_, at) end
      type_ = type_ and called(type_, count)
      at = close + 1
    elseif text == "[" then
      type_ = type_ and (type_.noun == "tensor" or type_.noun == "buffer") and noun "tensor" or nil
      at = M.closing(tokens, at) + 1
    else
      break
    end
  end
  return type_, at
end

local ARITHMETIC = { ["+"] = true, ["-"] = true, ["*"] = true, ["/"] = true, ["%"] = true, ["^"] = true }

-- The type of an expression of operands and arithmetic, or nil. An operand that is a tensor makes it one.
function M.of_range(tokens, first, last, scope)
  if first > last then return nil end
  local type_, at = M.operand(tokens, first, last, scope)
  while at <= last do
    if not ARITHMETIC[tokens[at].text] or at == last then return nil end
    local other
    other, at = M.operand(tokens, at + 1, last, scope)
    if other and other.noun == "tensor" then type_ = other end
  end
  return type_
end

-- The token behind the expression that begins at i, if it is one of operands and arithmetic; else nil.
function M.expression_end(tokens, i, scope)
  local _, at = M.operand(tokens, i, #tokens, scope)
  while tokens[at] and ARITHMETIC[tokens[at].text] and tokens[at + 1] do
    _, at = M.operand(tokens, at + 1, #tokens, scope)
  end
  local text = tokens[at] and tokens[at].text
  local goes_on = text == "and" or text == "or" or text == ".." or text ~= "=" and text and text:find "^[<>=~]=?$"
  return not goes_on and at or nil
end

return M
