-- `wane check FILE ...`: what can be said of a script without running it. It must be Lua; the names of wane.* and of
-- values whose making is in the text must exist, and so must their options; and the two holes that no metamethod of Lua
-- fills are looked for: `if t then` is always true of a tensor, `t == 0` never.
local core = require "wane.core"
local docs = require "wane.docs"
local help = require "wane.help"
local lua_tokens = require "wane.lua_tokens"
local signature = require "wane.signature"
local source = require "wane.quantizer_source"
local types = require "wane.check_types"

local check = {}

local Walk = {}
Walk.__index = Walk

function Walk:say(token, message, hint)
  local key = token.line .. message
  if self.said[key] then return end
  self.said[key] = true
  table.insert(self.findings, { line = token.line, text = message, hint = hint })
end

function Walk:note(token, message)
  if self.said[message] then return end
  self.said[message] = true
  table.insert(self.findings, { line = token.line, text = message, note = true })
end

local function with_nearest(message, word, names)
  local near = core.nearest(word, names)
  return near and ("%s; did you mean '%s'?"):format(message, near) or message
end

-- -- names and options --------------------------------------------------------------------------------------------

-- Nouns all of whose names are documented, and where more of them stand.
local CLOSED = { tensor = "quantized", quantized = "tensor", plan = "table", model = "", rules = "", task = "", score = "",
                 comparison = "", table = "", chart = "", cache = "", buffer = "", timing = "" }

function Walk:check_name(type_, token)
  local noun, name = type_.noun, token.text
  if noun == "module" then noun = "wane" elseif not CLOSED[noun] then return end
  local entry = docs.entry(noun .. "." .. name)
  if entry and help.is_missing(entry) then self:note(token, "not supported yet: wane." .. name) end
  if entry or docs.entry((CLOSED[noun] or "") .. "." .. name) then return end
  local names = {}
  for _, other in ipairs(docs.of(noun)) do names[#names + 1] = other.name end
  local what = noun == "wane" and "" or "field or method "
  local message = ("%s: no %s'%s'"):format(noun, what, name)
  self:say(token, with_nearest(message, name, names))
end

-- The keys of the table constructor that opens at i.
local function keys_of(tokens, i)
  local keys, last = {}, types.closing(tokens, i)
  local k, begins = i + 1, { ["{"] = true, [","] = true, [";"] = true }
  while k < last do
    local text, before = tokens[k].text, tokens[k - 1].text
    if tokens[k].kind == "operator" and (text == "(" or text == "{" or text == "[") then
      k = types.closing(tokens, k)
    elseif text == "function" then
      return keys -- what follows has blocks of its own
    elseif tokens[k].kind == "word" and tokens[k + 1].text == "=" and begins[before] then
      keys[#keys + 1] = tokens[k]
    end
    k = k + 1
  end
  return keys
end

-- Where the table of options of a call begins: the constructor that the call is, or one behind the needed arguments.
local function options_at(tokens, at, read)
  if tokens[at].text == "{" then return #read.params == 0 and at or nil end
  if tokens[at].text ~= "(" then return nil end
  local needed, position, depth = 0, 1, 0
  for _, param in ipairs(read.params) do needed = needed + (param.optional and 0 or 1) end
  for k = at, types.closing(tokens, at) do
    local text, before = tokens[k].kind == "operator" and tokens[k].text or "", tokens[k - 1].text
    if text == "{" and depth == 1 and position > needed and (before == "(" or before == ",") then return k end
    if text == "(" or text == "{" or text == "[" then depth = depth + 1 end
    if text == ")" or text == "}" or text == "]" then depth = depth - 1 end
    if text == "," and depth == 1 then position = position + 1 end
  end
end

function Walk:check_options(type_, at)
  local entry = type_.call or type_.entry
  if not entry then return end
  local read = signature.read(entry.signature, entry.types)
  if not read.options or read.options.open then return end
  local first = options_at(self.tokens, at, read)
  if not first then return end
  local known, names = {}, {}
  for i, option in ipairs(read.options) do known[option.name], names[i] = true, option.name end
  local where = entry.noun == "wane" and "wane." .. entry.name or entry.noun .. ":" .. entry.name
  for _, key in ipairs(keys_of(self.tokens, first)) do
    if not known[key.text] then
      self:say(key, with_nearest(("%s: no option '%s'"):format(where, key.text), key.text, names))
    end
  end
end

-- -- the two holes ------------------------------------------------------------------------------------------------

local function is_tensor(type_) return type_ and (type_.noun == "tensor" or type_.noun == "quantized") end

local function subject(tokens, first, last)
  for i = first, last do
    if tokens[i].kind == "word" then return tokens[i].text end
  end
end

function Walk:check_comparison(i)
  if i <= self.judged then return end
  local tokens, word = self.tokens, self.tokens[i].text
  local sides = { { source.operand_start(tokens, i), i - 1 }, { i + 1, source.operand_end(tokens, i) } }
  for _, side in ipairs(sides) do
    if tokens[side[1]].text == "nil" and side[1] == side[2] then return end
  end
  for _, side in ipairs(sides) do
    if is_tensor(types.of_range(tokens, side[1], side[2], self.scope)) then
      local message = ("'%s' on the tensor '%s' compares no elements"):format(word, subject(tokens, side[1], side[2]))
      return self:say(tokens[i], message, "x:eq(y) answers for each element, x:same(y) once for all")
    end
  end
end

-- The condition from `first` to the word that ends it.
function Walk:check_condition(word, first, ends)
  if first <= self.judged then return end
  local tokens, last, depth = self.tokens, first, 0
  while tokens[last] and (depth > 0 or tokens[last].text ~= ends) do
    local text = tokens[last].text
    if text == "function" then return end
    if tokens[last].kind == "operator" then
      if text == "(" or text == "{" or text == "[" then depth = depth + 1 end
      if text == ")" or text == "}" or text == "]" then depth = depth - 1 end
    end
    last = last + 1
  end
  local from = first
  for k = first, last do
    local text = k == last and "and" or tokens[k].text
    if text == "and" or text == "or" then
      while tokens[from] and tokens[from].text == "not" do from = from + 1 end
      if is_tensor(types.of_range(tokens, from, k - 1, self.scope)) then
        local message = ("'%s' on the tensor '%s' always holds"):format(word, subject(tokens, from, k - 1))
        self:say(tokens[from], message, "x:any() or x:all() gives true or false")
      end
      from = k + 1
    end
  end
end

-- The body of a function of a quantizer of one's own that is traced: by the rules that hold when it is defined. Up to the
-- token `judged` nothing else is said of tensors.
function Walk:check_traced(first, last)
  self.judged = last
  source.judge(table.move(self.tokens, first, last, 1, {}), function(what, token)
    self:say(token, source.complaint(what, token), source.HINT)
  end)
end

-- -- the walk -----------------------------------------------------------------------------------------------------

local OPENS = { ["do"] = true, ["then"] = true, ["repeat"] = true, ["else"] = true }
local CLOSES = { ["end"] = true, ["until"] = true, ["elseif"] = true, ["else"] = true }

-- The `end` of the function at i.
local function function_end(tokens, i)
  local depth = 0
  for k = i, #tokens do
    local text = tokens[k].kind == "word" and tokens[k].text
    if text == "function" or text == "do" or text == "if" or text == "repeat" then depth = depth + 1 end
    if text == "end" or text == "until" then
      depth = depth - 1
      if depth == 0 then return k end
    end
  end
  return #tokens
end

-- What the parameters of a method that the library calls are, by the kind of thing it is a method of.
local ROLES = {
  quantizer = { fit = { "tensor" }, encode = { "tensor" }, decode = { "tensor" } },
  observer = { see = { "tensor" } },
  solver = { solve = { "tensor", "quantizer" } },
}

-- function NAME:method(...): opens its scope with its parameters, and gives the token behind them.
function Walk:open_function(i)
  local tokens, k = self.tokens, i + 1
  local owner, method
  while tokens[k] and tokens[k].text ~= "(" do
    if tokens[k].text == ":" then
      local known = types.lookup(self.scope, tokens[k - 1].text)
      owner, method = known and known.own and known.noun, tokens[k + 1] and tokens[k + 1].text
    end
    k = k + 1
  end
  if owner == "quantizer" and (method == "encode" or method == "decode") then
    self:check_traced(i, function_end(tokens, i))
  end
  local roles = owner and ROLES[owner] and ROLES[owner][method] or {}
  self.scope = types.opened(self.scope)
  local last, count = types.closing(tokens, k), 0
  for at = k + 1, last - 1 do
    if tokens[at].kind == "word" then
      count = count + 1
      self.scope.names[tokens[at].text] = roles[count] and { noun = roles[count] } or false
    end
  end
  return last + 1
end

-- Types of the expressions from i on, one for each of `count` names.
function Walk:expression_types(i, count)
  local found, at = {}, i
  for k = 1, count do
    local last = self.tokens[at] and types.expression_end(self.tokens, at, self.scope)
    if not last then break end
    found[k] = types.of_range(self.tokens, at, last - 1, self.scope)
    if not self.tokens[last] or self.tokens[last].text ~= "," then break end
    at = last + 1
  end
  return found
end

-- local a, b <close> = ...
function Walk:declare(i)
  local tokens, names, k = self.tokens, {}, i + 1
  if tokens[k].text == "function" then
    self.scope.names[tokens[k + 1].text] = false
    return
  end
  while tokens[k] and tokens[k].kind == "word" do
    names[#names + 1] = tokens[k].text
    k = k + 1
    if tokens[k] and tokens[k].text == "<" then k = k + 3 end
    if not tokens[k] or tokens[k].text ~= "," then break end
    k = k + 1
  end
  local found = tokens[k] and tokens[k].text == "=" and self:expression_types(k + 1, #names) or {}
  for n, name in ipairs(names) do self.scope.names[name] = found[n] or false end
end

-- a = ...: what is assigned more than once is known only while its noun stays the same.
function Walk:assign(i)
  local tokens = self.tokens
  if tokens[i - 1] and tokens[i - 1].text == "," then return end
  local name = tokens[i].text
  local found = self:expression_types(i + 2, 1)[1]
  local known, scope = types.lookup(self.scope, name)
  if known == nil then
    self.root.names[name] = self.scope == self.root and found or false
  elseif not (found and known and found.noun == known.noun) then
    scope.names[name] = false
  end
end

-- for a, b in ...: the names belong to the block that its `do` opens.
function Walk:loop_names(i)
  local k, names = i + 1, {}
  while self.tokens[k] and self.tokens[k].text ~= "in" and self.tokens[k].text ~= "=" do
    if self.tokens[k].kind == "word" then names[self.tokens[k].text] = false end
    k = k + 1
  end
  self.pending = names
end

function Walk:keyword(word, i)
  if word == "if" or word == "elseif" then self:check_condition(word, i + 1, "then") end
  if word == "while" then self:check_condition(word, i + 1, "do") end
  if word == "for" then self:loop_names(i) end
  if word == "local" then self:declare(i) end
  if CLOSES[word] then self.scope = self.scope.outer or self.scope end
  if word == "function" then return self:open_function(i) end
  if OPENS[word] then
    self.scope = types.opened(self.scope)
    if word == "do" and self.pending then self.scope.names, self.pending = self.pending, nil end
  end
  return i + 1
end

local KEYWORDS = { ["if"] = true, ["while"] = true, ["for"] = true, ["local"] = true, ["function"] = true }
for _, words in ipairs { OPENS, CLOSES } do
  for word in pairs(words) do KEYWORDS[word] = true end
end

function Walk:step(i)
  local tokens, token = self.tokens, self.tokens[i]
  if token.kind == "operator" and (token.text == "==" or token.text == "~=") then self:check_comparison(i) end
  if token.kind ~= "word" then return i + 1 end
  if KEYWORDS[token.text] then return self:keyword(token.text, i) end
  if not lua_tokens.stands_alone(tokens, i) then return i + 1 end
  local after = tokens[i + 1] and tokens[i + 1].text
  if after == "=" then
    self:assign(i)
  elseif types.lookup(self.scope, token.text) then
    types.operand(tokens, i, #tokens, self.scope, self.hooks)
  end
  return i + 1
end

-- What is found in the text of a script, by lines: { { line, text, hint, note = true where it is no error }, ... }.
function check.text(text, path)
  local code = text:gsub("^#![^\n]*", "")
  local chunk, problem = load(code, "@" .. path)
  if not chunk then
    local line, message = problem:match ":(%d+): (.*)$"
    return { { line = math.tointeger(tonumber(line)) or 1, text = message or problem } }
  end
  local root = types.opened()
  local walk = setmetatable({ tokens = lua_tokens.of(code), findings = {}, said = {}, judged = 0, root = root,
                              scope = root }, Walk)
  walk.hooks = { member = function(type_, token) walk:check_name(type_, token) end,
                 call = function(type_, at) walk:check_options(type_, at) end }
  local i = 1
  while i <= #walk.tokens do i = walk:step(i) end
  for n, finding in ipairs(walk.findings) do finding.n = n end
  table.sort(walk.findings, function(a, b) return a.line < b.line or a.line == b.line and a.n < b.n end)
  return walk.findings
end

-- The findings of a file, printed; true when none is an error.
local function report(path)
  local fine = true
  for _, finding in ipairs(check.text(core.read(path), path)) do
    print(("%s:%d: %s%s"):format(path, finding.line, finding.note and "note: " or "", finding.text))
    if finding.hint then print("  hint   " .. finding.hint) end
    fine = fine and finding.note == true
  end
  return fine
end

-- `wane check FILE ...`: 0 where no file has an error, else 1.
function check.command(...)
  local fine = true
  for _, path in ipairs { ... } do fine = report(path) and fine end
  return fine and 0 or 1
end

return check
