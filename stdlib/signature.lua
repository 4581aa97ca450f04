-- Signatures of the docs, read: "(x [, dim]) -> tensor", "{ bits = 8, per } -> quantizer".
local signature = {}

-- The pieces of a list that commas part outside of brackets and quotes.
local function pieces_of(text)
  local pieces, depth, quoted, piece = {}, 0, false, ""
  for char in text:gmatch "." do
    if char == '"' then quoted = not quoted end
    if char:find "[%({]" then depth = depth + 1 elseif char:find "[%)}]" then depth = depth - 1 end
    if char == "," and depth == 0 and not quoted then
      pieces[#pieces + 1], piece = piece, ""
    else
      piece = piece .. char
    end
  end
  if piece:find "%S" then pieces[#pieces + 1] = piece end
  return pieces
end

local function trimmed(text) return (text:gsub("^%s+", ""):gsub("%s+$", "")) end

-- "bits = 8, per, ..." as { { name, default }, ... }; open where "..." stands among them.
local function read_options(text)
  local options = {}
  for _, piece in ipairs(pieces_of(text)) do
    local name, default = trimmed(piece):match "^([%a_][%w_]*)%s*=?%s*(.*)$"
    if name then options[#options + 1] = { name = name, default = default ~= "" and default or nil } end
    options.open = options.open or trimmed(piece) == "..."
  end
  return options
end

local function read_params(read, inside, types)
  local optional = false
  for _, piece in ipairs(pieces_of(inside)) do
    optional = optional or piece:find "^%s*%[" ~= nil
    local phrase = trimmed(piece:gsub("[%[%]]", ""))
    if phrase:find "^{" and not types[phrase] then
      read.options = read_options(phrase:match "^{(.*)}$")
    else
      local name = phrase:match "^{" and "at" or phrase:match '^"' and "order" or phrase:match "^[%a_][%w_]*" or phrase
      table.insert(read.params, { name = name, phrase = phrase:gsub("%s*=.*$", ""), optional = optional })
    end
    optional = optional or piece:find "%[%s*$" ~= nil
  end
end

-- { params = { { name, phrase, optional } }, options = { { name, default } } or nil, results = "tensor" or nil }.
-- types: the entry's own, whose keys may be lists in braces that are an argument and no options.
function signature.read(text, types)
  types = types or {}
  local read = { params = {}, results = text:match "%->%s*(.*)$" }
  local call = trimmed(text:gsub("%->.*$", ""))
  if call:find "^{" then
    if types[call] then
      read.params[1] = { name = "list", phrase = call, optional = false }
    else
      read.options = read_options(call:match "^{(.*)}$")
    end
  else
    read_params(read, call:match "^%((.*)%)$" or "", types)
  end
  return read
end

local KINDS = { quantizer = true, observer = true, solver = true }

-- Is what was read a value that can be called for a variant, such as wane.int?
function signature.is_value(read)
  return read.options ~= nil and #read.params == 0 and KINDS[read.results] == true
end

return signature
