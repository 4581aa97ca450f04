-- Definitions of every public name for the Lua language server (LuaCATS), made from the docs: `wane help --library`.
local core = require "wane.core"
local docs = require "wane.docs"
local help = require "wane.help"
local signature = require "wane.signature"

local library = {}

-- Types of arguments and options by the words that stand in signatures; an entry's own `types` come first.
local NAMES = {
  ["integer"] = "dim d1 d2 n k first last step width group_size grid samples length top_k window block among bytes items",
  ["number"] = "p eps factor bits ema shrink norm damp precorrect temperature top_p scale alpha over",
  ["string"] = "name path architecture column format stream type gguf kind label",
  ["boolean"] = "symmetric bias signs source", ["table"] = "config", ["string[]"] = "writes values product keys tie",
  ["integer|integer[]"] = "shape", ["number|false"] = "spikes", ["string|string[]"] = "stop", ["string|wane.text"] = "prompt",
  ["wane.tensor"] = "x second", ["number|wane.tensor"] = "y", ["wane.dtype"] = "dtype scale_dtype zero_dtype",
  ["wane.pattern"] = "pattern layers", ["wane.model"] = "model base", ["wane.rules"] = "rules", ["wane.task"] = "task watch",
  ["wane.table"] = "scores", ["wane.cache"] = "cache", ["wane.layer"] = "tied", ["wane.observer"] = "observer",
  ["wane.quantizer[]"] = "choices", ["table<string,wane.tensor>"] = "params", ["table<string,string>"] = "reads",
  ['"rising"|"falling"'] = "order", ['"tensor"|"channel"|"token"'] = "per", ['"half"|"qmax"|"full"'] = "convention",
  ['"static"|"group"|"none"'] = "act_order",
  ["wane.tensor|fun(layer: wane.layer): wane.tensor"] = "weight",
  ["fun(layer: wane.layer, x: wane.tensor): wane.tensor"] = "forward",
}
local ARGUMENTS = { ["dim or list of dims"] = "integer|integer[]" }
for type_, names in pairs(NAMES) do
  for name in names:gmatch "%S+" do ARGUMENTS[name] = type_ end
end

local RESULTS = {
  ["number"] = "number", ["string"] = "string", ["true or false"] = "boolean", ["nested lists"] = "table",
  ["tensor, or a number over all"] = "wane.tensor|number", ["positions"] = "wane.tensor", ["codes"] = "wane.tensor",
  ["values, positions"] = "wane.tensor, wane.tensor", ["list of tensors"] = "wane.tensor[]",
  ["list of pairs"] = "integer[][]", ["list of layers"] = "wane.list", ["params"] = "table<string,wane.tensor>",
  ["class"] = "wane.class", ["stack"] = "wane.layer",
  ["true, or false and the first name that differs"] = "boolean, string?",
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
  table = { "---@operator len: integer", "---@field [integer] table<string,any>",
            "---@overload fun(_: any, last: any): table<string,any>" },
  quantizer = { "---@overload fun(options: table): wane.quantizer", "---@field [string] any" },
  observer = { "---@overload fun(options: table): wane.observer", "---@field [string] any" },
  solver = { "---@overload fun(options: table): wane.solver", "---@field [string] any" },
}
local PARENT = { quantized = "tensor", plan = "table" }
for _, op in ipairs(ARITHMETIC) do
  table.insert(NATURE.tensor, ("---@operator %s(number|wane.tensor): wane.tensor"):format(op))
end
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
  if entry.signature:find "=" then lines[#lines + 1] = ("--- `%s`\n---"):format(help.head(entry)) end -- shows defaults
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
  local options = options_type(entry, read.options)
  lines[#lines + 1] = ("---@overload fun(options: %s): wane.%s_%s\n"):format(options, entry.name, noun)
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
    for result in (result_type(entry, read.results) .. ", "):gmatch "(.-), " do
      lines[#lines + 1] = "---@return " .. result
    end
  end
  local mark = entry.noun == "wane" and "." or ":"
  lines[#lines + 1] = ("function %s%s%s(%s) end"):format(entry.noun, mark, entry.name, table.concat(names, ", "))
end

local function add_class(lines, noun)
  local parent = PARENT[noun]
  lines[#lines + 1] = ""
  if noun ~= "wane" then lines[#lines + 1] = "--- " .. docs.NOUNS[noun][1] end
  local name = noun == "wane" and "wane" or "wane." .. noun
  lines[#lines + 1] = "---@class " .. name .. (parent and ": wane." .. parent or "")
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
      elseif noun == "wane" and signature.is_value(read) then
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
