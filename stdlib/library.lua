-- Definitions of every public name for the Lua language server (LuaCATS), made from the docs: `wane help --library`.
local core = require "wane.core"
local docs = require "wane.docs"
local signature = require "wane.signature"
local value = require "wane.value"

local library = {}

-- Types of arguments and options by the words that stand in signatures; an entry's own `types` come first.
local ARGUMENTS = {
  ["dim or list of dims"] = "integer|integer[]", dim = "integer", d1 = "integer", d2 = "integer", n = "integer", k = "integer",
  p = "number", order = '"rising"|"falling"', y = "number|wane.tensor", x = "wane.tensor", shape = "integer|integer[]",
  first = "integer", last = "integer", step = "integer", eps = "number", width = "integer", name = "string", path = "string",
  architecture = "string", config = "table", pattern = "wane.pattern", model = "wane.model", base = "wane.model",
  rules = "wane.rules", task = "wane.task", scores = "wane.table", column = "string", format = "string", factor = "number",
  cache = "wane.cache", params = "table<string,wane.tensor>", dtype = "wane.dtype", stream = "string",
  -- options
  bits = "number", per = '"tensor"|"channel"|"token"', group_size = "integer", symmetric = "boolean", observer = "wane.observer",
  convention = '"half"|"qmax"|"full"', scale_dtype = "wane.dtype", zero_dtype = "wane.dtype", type = "string", ema = "number",
  grid = "integer", shrink = "number", norm = "number", damp = "number", act_order = '"static"|"group"|"none"',
  precorrect = "number", spikes = "number|false", second = "wane.tensor", samples = "integer", length = "integer",
  prompt = "string|wane.text", temperature = "number", top_k = "integer", top_p = "number", stop = "string|string[]",
  weight = "wane.tensor|fun(layer: wane.layer): wane.tensor", forward = "fun(layer: wane.layer, x: wane.tensor): wane.tensor",
  window = "integer", scale = "number", bias = "boolean", tied = "wane.layer", gguf = "string", writes = "string[]",
  reads = "table<string, string>", values = "string[]", product = "string[]", watch = "wane.task", layers = "wane.pattern",
  kind = "string", signs = "boolean", block = "integer", alpha = "number", over = "number", among = "integer",
  tie = "string[]", choices = "wane.quantizer[]", bytes = "integer", items = "integer", label = "string",
}

local RESULTS = {
  ["tensor, or a number over all"] = "wane.tensor|number", positions = "wane.tensor", ["values, positions"] = "wane.tensor, wane.tensor",
  ["list of tensors"] = "wane.tensor[]", ["nested lists"] = "table", number = "number", string = "string", ["true or false"] = "boolean",
  ["list of pairs"] = "integer[][]", ["list of layers"] = "wane.list", params = "table<string,wane.tensor>", codes = "wane.tensor",
  class = "wane.class", stack = "wane.layer", ["true, or false and the first name that differs"] = "boolean, string?",
}

local HEAD = [[
---@meta wane
-- Written by `wane help --library`; changes are lost.

---@alias wane.dtype "f64"|"f32"|"bf16"|"f16"|"e4m3"|"e5m2"|"i64"|"i32"|"i8"|"u8"|"bool"
---@alias wane.device "cpu"|"cuda"
---@alias wane.place (integer|integer[])[]|integer
---@alias wane.pattern string|string[]|wane.list|fun(layer: wane.layer): boolean
---@alias wane.tokens wane.text|wane.tensor|integer[]|integer[][]|string|integer

---@class wane.class
---@overload fun(...): wane.layer
---@field init fun(self: wane.layer, ...)
---@field forward fun(self: wane.layer, x: wane.tensor, ...): wane.tensor]]

local ARITHMETIC = { "add", "sub", "mul", "div", "mod", "pow" }

-- What a noun is besides its methods and fields.
local NATURE = {
  tensor = { "---@field [wane.place] wane.tensor", "---@operator unm: wane.tensor", "---@operator len: integer" },
  buffer = { "---@field [wane.place] wane.tensor", "---@operator len: integer" },
  model = { "---@overload fun(name: string): wane.layer" },
  layer = { "---@overload fun(x: wane.tensor, ...): wane.tensor", "---@field [string] any" },
  text = { "---@operator len: integer", "---@field [integer] integer[]" },
  list = { "---@operator len: integer", "---@field [integer] any", "---@overload fun(_: any, last: any): any" },
  table = { "---@operator len: integer", "---@field [integer] table<string, any>", "---@overload fun(_: any, last: any): table<string, any>" },
  quantizer = { "---@overload fun(options: table): wane.quantizer", "---@field [string] any" },
  observer = { "---@overload fun(options: table): wane.observer", "---@field [string] any" },
  solver = { "---@overload fun(options: table): wane.solver", "---@field [string] any" },
}
local PARENT = { quantized = "tensor", plan = "table" }
for _, op in ipairs(ARITHMETIC) do table.insert(NATURE.tensor, ("---@operator %s(number|wane.tensor): wane.tensor"):format(op)) end
for _, noun in ipairs { "score", "timing" } do
  NATURE[noun] = {}
  for _, op in ipairs { "add", "sub", "mul", "div" } do
    table.insert(NATURE[noun], ("---@operator %s(number|wane.%s): wane.%s"):format(op, noun, noun))
  end
end

local function argument_type(entry, phrase, name)
  local own = entry.types or {}
  local found = own[phrase] or own[name] or ARGUMENTS[phrase] or ARGUMENTS[name]
  if not found then
    core.fail(("library: no type for '%s' of %s"):format(phrase, entry.full), { fault = 70 })
  end
  return found
end

local function result_type(entry, results)
  if entry.types and entry.types.returns then return entry.types.returns end
  if RESULTS[results] then return RESULTS[results] end
  if docs.NOUNS[results] then return "wane." .. results end
  core.fail(("library: no type for the result '%s' of %s"):format(results, entry.full), { fault = 70 })
end

-- "{ dtype?: wane.dtype, stream?: string }".
local function options_type(entry, options)
  local words = {}
  for i, option in ipairs(options) do
    words[i] = ("%s?: %s"):format(option.name, argument_type(entry, option.name, option.name))
  end
  if options.open then words[#words + 1] = "[any]: any" end
  return #words > 0 and "{ " .. table.concat(words, ", ") .. " }" or "table"
end

local function add_text(lines, entry)
  for line in (entry.text .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = "--- " .. line end
  for _, part in ipairs(docs.PARTS) do
    if entry[part] and part ~= "example" then lines[#lines + 1] = ("--- - %s: %s"):format(part, entry[part]) end
  end
  lines[#lines + 1] = "--- ```lua"
  for line in entry.example:gmatch "[^\n]+" do lines[#lines + 1] = "--- " .. line end
  lines[#lines + 1] = "--- ```"
end

-- A value of options that can be called for a variant: wane.int.
local function add_value(lines, entry, read)
  local noun = read.results
  lines[#lines + 1] = ("\n---@class wane.%s_%s: wane.%s"):format(entry.name, noun, noun)
  lines[#lines + 1] = ("---@overload fun(options: %s): wane.%s_%s"):format(options_type(entry, read.options), entry.name, noun)
  add_text(lines, entry)
  lines[#lines + 1] = ("---@type wane.%s_%s\nwane.%s = {}"):format(entry.name, noun, entry.name)
end

local function add_function(lines, entry, read)
  local names = {}
  lines[#lines + 1] = ""
  add_text(lines, entry)
  for i, param in ipairs(read.params) do
    names[i] = param.name
    lines[#lines + 1] = ("---@param %s%s %s"):format(param.name, param.optional and param.name ~= "..." and "?" or "",
                                                   argument_type(entry, param.phrase, param.name))
  end
  if read.options then
    local optional = #read.params > 0 and "?" or ""
    if names[#names] == "..." then core.fail("library: options behind ... of " .. entry.full, { fault = 70 }) end
    names[#names + 1] = "options"
    lines[#lines + 1] = ("---@param options%s %s"):format(optional, options_type(entry, read.options))
  end
  if read.results then
    for result in (result_type(entry, read.results) .. ", "):gmatch "(.-), " do lines[#lines + 1] = "---@return " .. result end
  end
  local mark = entry.noun == "wane" and "." or ":"
  lines[#lines + 1] = ("function %s%s%s(%s) end"):format(entry.noun, mark, entry.name, table.concat(names, ", "))
end

local function add_class(lines, noun)
  local parent = PARENT[noun]
  lines[#lines + 1] = ""
  if noun ~= "wane" then lines[#lines + 1] = "--- " .. docs.NOUNS[noun][1] end
  lines[#lines + 1] = noun == "wane" and "---@class wane" or "---@class wane." .. noun .. (parent and ": wane." .. parent or "")
  for _, line in ipairs(NATURE[noun] or {}) do lines[#lines + 1] = line end
  for _, entry in ipairs(docs.of(noun)) do
    if entry.type then
      lines[#lines + 1] = ("---@field %s %s %s"):format(entry.name, entry.type, entry.text:match "^[^\n]*")
    end
  end
  lines[#lines + 1] = ("local %s = {}"):format(noun)
end

-- The whole file.
function library.text()
  local lines = { HEAD }
  local nouns = {}
  for noun in pairs(docs.NOUNS) do nouns[#nouns + 1] = noun end
  table.sort(nouns, function(a, b) return a ~= "wane" and (b == "wane" or a < b) end) -- the module comes last
  for _, noun in ipairs(nouns) do
    add_class(lines, noun)
    for _, entry in ipairs(docs.of(noun)) do
      local read = signature.read(entry.signature, entry.types)
      if entry.type then -- a field of its class
      elseif value.class(core.metatable((require "wane")).__exports[entry.name]) and noun == "wane" then
        add_value(lines, entry, read)
      else
        add_function(lines, entry, read)
      end
    end
  end
  lines[#lines + 1] = "\nreturn wane"
  return table.concat(lines, "\n")
end

return library
