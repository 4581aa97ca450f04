-- Tokens of Lua text, for what is judged before it runs: functions that are traced, scripts that are checked, examples
-- in the docs. The text is assumed to be Lua; what is not becomes tokens of one character.
local lua_tokens = {}

-- The end of a long bracket ("[[", "[==[") that begins at `at`, or nil.
local function long_end(text, at)
  local level = text:match("^%[(=*)%[", at)
  if not level then return nil end
  local _, last = text:find("]" .. level .. "]", at, true)
  return last or #text
end

local function string_end(text, at)
  local quote = text:sub(at, at)
  if quote ~= '"' and quote ~= "'" then return long_end(text, at) end
  local i = at + 1
  while i <= #text do
    local char = text:sub(i, i)
    if char == quote or char == "\n" then return i end
    i = i + (char == "\\" and (text:match("^\\z%s*()", i) or i + 2) - i or 1)
  end
  return #text
end

-- Where white space or a comment that begins at `at` ends, or nil.
local function blank_end(text, at)
  local last = text:match("^%s+()", at)
  if last then return last - 1 end
  if text:sub(at, at + 1) ~= "--" then return nil end
  return long_end(text, at + 2) or text:match("^[^\n]*()", at) - 1
end

local OPERATORS = { "^%.%.%.?", "^[=~<>]=", "^<<", "^>>", "^//", "^::" }

local function word_end(text, at)
  local last = text:match("^[%a_][%w_]*()", at)
  if last then return last - 1, "word" end
  last = text:match("^%.?%d[%w%.]*()", at)
  if last then -- an exponent may have a sign
    local sign = text:match("^[^xX]*[eE][+-]%d+()", at)
    if text:find("^[eE]", last - 1) and not text:find("^0[xX]", at) and sign then last = sign end
    return last - 1, "number"
  end
  for _, pattern in ipairs(OPERATORS) do
    local _, found = text:find(pattern, at)
    if found then return found, "operator" end
  end
  return at, "operator"
end

-- { { text, line, kind }, ... } with kind "word", "number", "string" or "operator"; keywords are words. line: the
-- number of the text's first line, 1 unless given.
function lua_tokens.of(text, line)
  local tokens, at = {}, text:match "^#![^\n]*()" or 1
  line = line or 1
  while at <= #text do
    local last, kind = blank_end(text, at), nil
    if not last then
      last, kind = string_end(text, at), "string"
      if not last then last, kind = word_end(text, at) end
      tokens[#tokens + 1] = { text = text:sub(at, last), line = line, kind = kind }
    end
    for _ in text:sub(at, last):gmatch "\n" do line = line + 1 end
    at = last + 1
  end
  return tokens
end

-- The value of a string token without escapes, or nil.
function lua_tokens.string(token)
  if not token or token.kind ~= "string" then return nil end
  local inside = token.text:match '^"([^\\]*)"$' or token.text:match "^'([^\\]*)'$"
  return inside or token.text:match "^%[(=*)%[" and (token.text:gsub("^%[=*%[\n?", ""):gsub("%]=*%]$", "")) or nil
end

-- Is the word at i a name of its own, not a field, a method or the key of a table's entry?
function lua_tokens.stands_alone(tokens, i)
  local before, after = tokens[i - 1] and tokens[i - 1].text, tokens[i + 1] and tokens[i + 1].text
  if before == "." or before == ":" then return false end
  return not (after == "=" and (before == "{" or before == ",")) -- an assignment to several names counts as a key here
end

return lua_tokens
