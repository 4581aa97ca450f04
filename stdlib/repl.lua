-- What the REPL shows and completes; the line editor and the loop are the host's.
local core = require "wane.core"
local docs = require "wane.docs"
local options = require "wane.options"
local wane = require "wane"

local repl = {}

local MOST = 16  -- entries of a table that are shown

local function short(value)
  if type(value) == "string" then return ("%q"):format(value):gsub("\\\n", "\\n") end
  if type(value) == "table" and getmetatable(value) == nil then return "{...}" end
  return tostring(value)
end

local function show_table(value)
  local parts, count = {}, 0
  local size = #value
  for key, entry in pairs(value) do
    count = count + 1
    if count > MOST then
      parts[#parts + 1] = "..."
      break
    end
    local in_list = math.type(key) == "integer" and key >= 1 and key <= size
    local name = type(key) == "string" and key:match "^[%a_][%w_]*$" or "[" .. short(key) .. "]"
    parts[#parts + 1] = in_list and short(entry) or name .. " = " .. short(entry)
  end
  return #parts == 0 and "{}" or "{ " .. table.concat(parts, ", ") .. " }"
end

-- The text of a result.
function repl.show(value)
  if core.is_tensor(value) then return core.describe(value) end
  if type(value) == "table" and getmetatable(value) == nil then
    local ok, text = pcall(show_table, value)
    return ok and text or "table"
  end
  return (short(value))
end

-- Sets the globals of a session.
function repl.start(model_path)
  rawset(_G, "wane", wane)
  rawset(_G, "help", function(subject) print(require("wane.help").about(subject)) end)
  if model_path then rawset(_G, "model", wane.load(model_path)) end
end

-- -- completion -------------------------------------------------------------------------------------------------------

local KEYWORDS = { "and", "break", "do", "else", "elseif", "end", "false", "for", "function", "if", "in", "local", "nil",
                   "not", "or", "repeat", "return", "then", "true", "until", "while" }

local function add_names(names, source)
  if type(source) ~= "table" then return end
  for key in pairs(source) do
    if type(key) == "string" then names[key] = true end
  end
end

-- Names that follow a value and a dot or a colon.
local function names_of(value)
  local names = {}
  if core.is_tensor(value) then
    for _, name in ipairs(core.tensor_fields()) do names[name] = true end
    return names
  end
  if type(value) == "string" then
    add_names(names, string)
    return names
  end
  if type(value) == "table" then pcall(add_names, names, value) end
  for _, entry in ipairs(docs.of(options.kind(value))) do names[entry.name] = true end
  local meta = core.metatable(value)
  for _ = 1, 20 do
    if not meta then break end
    add_names(names, meta.__exports)
    local names_function = rawget(meta, "__names")
    if names_function then add_names(names, names_function(value)) end
    local index = rawget(meta, "__index")
    if type(index) ~= "table" then break end
    add_names(names, index)
    meta = core.metatable(index)
  end
  return names
end

-- The value of a path a.b.c without calling anything but __index of known nouns.
local function value_at(path)
  local value = _G
  for name in path:gmatch "[%a_][%w_]*" do
    local ok, found = pcall(function() return value[name] end)
    if not ok or found == nil then return nil end
    value = found
  end
  return value
end

local function matching(names, prefix, lead)
  local found = {}
  for name in pairs(names) do
    if name:sub(1, #prefix) == prefix and (prefix:sub(1, 1) == "_" or name:sub(1, 1) ~= "_") then
      found[#found + 1] = lead .. name
    end
  end
  table.sort(found)
  return found
end

-- Layer names behind `model "`.
local function layer_names(path, prefix)
  local value = value_at(path)
  local names = {}
  if value == nil then return names end
  local ok, layers = pcall(function() return value:layers() end)
  if not ok then return names end
  for layer in layers do names[layer.name] = true end
  return matching(names, prefix, "")
end

-- What may follow the text before the cursor: the start of the word in bytes, and its completions.
function repl.complete(text)
  local start, path, prefix = text:match "()([%a_][%w_.]*)%s*%(?%s*[\"']([^\"']*)$"
  if start then
    local found = layer_names(path, prefix)
    if #found > 0 then return #text - #prefix, found end
    return #text, {}
  end
  path, prefix = text:match "([%a_][%w_.]*)[.:]([%w_]*)$"
  if path then
    local value = value_at(path)
    return #text - #prefix, value == nil and {} or matching(names_of(value), prefix, "")
  end
  prefix = text:match "[%a_][%w_]*$"
  if not prefix then return #text, {} end
  local names = {}
  add_names(names, _G)
  for _, word in ipairs(KEYWORDS) do names[word] = true end
  return #text - #prefix, matching(names, prefix, "")
end

return repl
