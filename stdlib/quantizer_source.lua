-- A check of the source of a user's encode and decode. Lua's `if`, `and`, `==` on a tensor call nothing: `if w then`
-- is always true and `w == 0` always false, so that a trace would silently follow one branch. They are looked for in
-- the function's text when it is defined. What is followed: the first argument, and locals computed from it or from
-- the parameters. A parameter that may be absent (`if p.zero then`) is a fair question and is left alone.
local core = require "wane.core"
local lua_tokens = require "wane.lua_tokens"

local source = {}

-- The text of the lines on which the function stands, or nil when it cannot be had (a C function, a lost file).
local function text_of(fn)
  local info = core.function_info(fn, "S")
  if info.what ~= "Lua" then return nil end
  local whole
  if info.source:sub(1, 1) == "@" then
    local path = info.source:sub(2)
    if not core.exists(path) then return nil end
    whole = core.read(path)
  elseif info.source:sub(1, 1) ~= "=" then
    whole = info.source
  else
    return nil
  end
  local lines, number = {}, 0
  for line in (whole .. "\n"):gmatch "(.-)\n" do
    number = number + 1
    if number >= info.linedefined and number <= info.lastlinedefined then lines[#lines + 1] = line end
  end
  return table.concat(lines, "\n"), info.linedefined, info.short_src
end

local ENDS = { ["then"] = true, ["do"] = true, ["end"] = true, ["return"] = true, ["local"] = true, ["else"] = true,
               ["elseif"] = true, ["until"] = true, [";"] = true, [","] = true, ["("] = true, [")"] = true,
               ["and"] = true, ["or"] = true, ["not"] = true, ["="] = true, ["if"] = true, ["while"] = true }
local COMPARES = { ["=="] = true, ["~="] = true }
local NOTHING = { ["nil"] = true }

-- Is the word at i a value of its own, not a field or method name, a key of a table, or x in #x.shape?
local function stands_alone(tokens, i)
  local before = tokens[i - 1] and tokens[i - 1].text
  return before ~= "." and before ~= ":"
end

-- `w.shape`, `w.dtype`: facts that are known while tracing.
local FACTS = { shape = true, dtype = true, device = true }
local function is_fact(tokens, i)
  local dot, field = tokens[i + 1], tokens[i + 2]
  return dot and dot.text == "." and field and FACTS[field.text]
end

local function mentions(tokens, first, last, tainted)
  for i = first, last do
    if tainted[tokens[i].text] and stands_alone(tokens, i) and not is_fact(tokens, i) then return tokens[i] end
  end
end

-- Where the operand before (behind) a comparison at i begins (ends).
function source.operand_start(tokens, i)
  local depth = 0
  i = i - 1
  while i > 0 do
    local text = tokens[i].text
    if text == ")" or text == "]" or text == "}" then depth = depth + 1
    elseif text == "(" or text == "[" or text == "{" then
      if depth == 0 then return i + 1 end
      depth = depth - 1
    elseif depth == 0 and ENDS[text] then return i + 1 end
    i = i - 1
  end
  return 1
end

function source.operand_end(tokens, i)
  local depth = 0
  i = i + 1
  while i <= #tokens do
    local text = tokens[i].text
    if text == "(" or text == "[" or text == "{" then depth = depth + 1
    elseif text == ")" or text == "]" or text == "}" then
      if depth == 0 then return i - 1 end
      depth = depth - 1
    elseif depth == 0 and ENDS[text] then return i - 1 end
    i = i + 1
  end
  return #tokens
end

-- The names of a function's parameters after self.
local function parameters(tokens)
  local names, i = {}, 1
  while tokens[i] and tokens[i].text ~= "(" do i = i + 1 end
  while tokens[i] and tokens[i].text ~= ")" do
    if tokens[i].text:match "^[%a_]" and tokens[i].text ~= "self" then names[#names + 1] = tokens[i].text end
    i = i + 1
  end
  return names, i + 1
end

-- Adds locals whose value is computed from a tensor: `local a = <mentions one>`, one line or several.
local function follow(tokens, start, tainted, params)
  local watched = setmetatable({}, { __index = function(_, key) return tainted[key] or params[key] end })
  for i = start, #tokens do
    if tokens[i].text == "=" and tokens[i - 1].text:match "^[%a_]" and stands_alone(tokens, i - 1) then
      local last = source.operand_end(tokens, i)
      if mentions(tokens, i + 1, last, watched) then tainted[tokens[i - 1].text] = true end
    end
  end
end

-- Calls report(what, token) where the tokens of a function ask Lua a question about a tensor: what is "'=='" or "'if'".
function source.judge(tokens, report)
  local names, start = parameters(tokens)
  local tainted, params = { [names[1] or false] = true }, { [names[2] or false] = true }
  follow(tokens, start, tainted, params)
  for i = start, #tokens do
    local word = tokens[i].text
    if COMPARES[word] then
      local first, last = source.operand_start(tokens, i), source.operand_end(tokens, i)
      local about_nothing = NOTHING[tokens[last].text] or NOTHING[tokens[first].text]
      local token = mentions(tokens, first, last, tainted)
        or (not about_nothing and mentions(tokens, first, last, params))
      if token and not about_nothing then report(("'%s'"):format(word), token) end
    elseif word == "if" or word == "elseif" or word == "while" then
      local token = tokens[i + 1]
      local after = tokens[i + 2] and tokens[i + 2].text
      if token and token.text == "not" then token, after = tokens[i + 2], tokens[i + 3] and tokens[i + 3].text end
      -- A bare tensor, or the result of a method that compares: `if w then`, `if w:lt(0) then`.
      if token and tainted[token.text] and (after == "then" or after == "do" or after == ":") then
        report(("'%s'"):format(word), token)
      end
    end
  end
end

source.HINT = "write wane.where(mask, a, b) or x:eq(y)"

-- What is wrong with such a question.
function source.complaint(what, token)
  return ("%s on the tensor '%s' has one answer for all elements; it is traced once"):format(what, token.text)
end

-- Raises where the function asks Lua a question about a tensor. where: the quantizer's name; name: "encode".
function source.check(where, name, fn)
  local text, line, script = text_of(fn)
  if not text then return end
  source.judge(lua_tokens.of(text, line), function(what, token)
    core.fail(("%s: %s: %s"):format(where, name, source.complaint(what, token)),
              { at = { script, token.line }, hint = source.HINT })
  end)
end

return source
