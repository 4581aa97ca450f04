-- help(): what is written about a name or a value, in the REPL and by `wane help`. The texts are those of docs/.
local core = require "wane.core"
local docs = require "wane.docs"
local options = require "wane.options"
local value = require "wane.value"

local help = {}

local WIDTH = 110

-- -- one entry --------------------------------------------------------------------------------------------------

-- The lines of a text, cut at spaces, the first after `lead` and the others below its end.
local function wrapped(lines, lead, text)
  local line, indent = lead, (" "):rep(#lead)
  for word in text:gmatch "%S+" do
    if #line + #word > WIDTH and line:find "%S" and line ~= lead then
      lines[#lines + 1] = line:gsub("%s+$", "")
      line = indent
    end
    line = line .. word .. " "
  end
  lines[#lines + 1] = line:gsub("%s+$", "")
end

-- "wane.zeros(shape) -> tensor", "x:abs() -> tensor", "model.bits".
function help.head(entry)
  local as = docs.NOUNS[entry.noun].as
  local mark = (entry.noun == "wane" or entry.type) and "." or ":"
  local signature = entry.signature:find "^%s*{" and " " .. entry.signature:gsub("^%s+", "") or entry.signature
  return as .. mark .. entry.name .. signature
end

-- Does a documented name of the module wait for its making?
function help.is_missing(entry)
  if entry.noun ~= "wane" then return false end
  local exported = core.metatable((require "wane")).__exports[entry.name]
  local class = value.class(exported)
  local refused = require("wane.unsupported")[entry.name] == exported
  return exported == nil or refused or class ~= nil and class.unsupported == true
end

local function entry_text(entry)
  local lines = { help.head(entry) }
  for line in (entry.text .. "\n"):gmatch "(.-)\n" do wrapped(lines, "  ", line) end
  if help.is_missing(entry) then lines[#lines + 1] = "  not supported yet" end
  for _, part in ipairs(docs.PARTS) do
    if entry[part] and part ~= "example" then wrapped(lines, ("  %-8s "):format(part), entry[part]) end
  end
  lines[#lines + 1] = "  example"
  for _, code in ipairs { table.concat(docs.setup(entry.example), "\n"), entry.example } do
    for line in code:gmatch "[^\n]+" do lines[#lines + 1] = "    " .. line end
  end
  return table.concat(lines, "\n")
end

-- -- several ----------------------------------------------------------------------------------------------------

local function section_text(section)
  local lines, heads, width = {}, {}, 0
  for i, entry in ipairs(section) do
    heads[i] = help.head(entry):gsub(" %->.*", "")
    if #heads[i] <= 36 then width = math.max(width, #heads[i]) end
  end
  for i, entry in ipairs(section) do
    lines[i] = ("  %-" .. width .. "s  %s"):format(heads[i], entry.text:match "^[^\n]*")
  end
  return section.title .. "\n" .. table.concat(lines, "\n")
end

-- All that a noun has, by the sections of the docs.
local function noun_text(noun)
  local lines = { noun .. ": " .. docs.NOUNS[noun][1] }
  for _, rule in ipairs(docs.NOUNS[noun].rules or {}) do wrapped(lines, "  ", rule) end
  local parts = { table.concat(lines, "\n") }
  for _, section in ipairs(docs.sections()) do
    if section.noun == noun then parts[#parts + 1] = section_text(section) end
  end
  local made = docs.entry("wane." .. noun)
  if made then parts[#parts + 1] = entry_text(made) end
  return table.concat(parts, "\n\n")
end

local ORDER = { "wane", "tensor", "quantized", "buffer", "model", "layer", "cache", "rules", "plan", "quantizer",
                "observer", "solver", "task", "score", "comparison", "timing", "table", "chart" }

local function overview()
  local lines = { 'help "name" or help(value) tells more; help "tensor" lists the methods of tensors' }
  for _, noun in ipairs(ORDER) do
    local several = noun == "wane" or noun == "tensor"
    if several then lines[#lines + 1] = "\n" .. noun end
    if noun == "quantized" then lines[#lines + 1] = "" end
    for _, section in ipairs(docs.sections()) do
      if section.noun == noun then
        local names = {}
        for i, entry in ipairs(section) do names[i] = entry.name end
        local title = several and "  " .. section.title:match "^[^,]*" or noun
        wrapped(lines, ("%-22s "):format(title), table.concat(names, " "))
      end
    end
  end
  return table.concat(lines, "\n")
end

-- -- by name ----------------------------------------------------------------------------------------------------

-- "x:abs()", "model:save", ":topk" as names of entries: the receiver's noun or nil, and the name.
local function parsed(name)
  local receiver, word = name:gsub("%s*%b()$", ""):match "^([%w_]*)[.:]([%w_]+)$"
  if not word then return nil, name end
  for noun, about in pairs(docs.NOUNS) do
    if receiver == noun or receiver == about.as and #docs.of(noun) > 0 and docs.entry(noun .. "." .. word) then
      return noun, word
    end
  end
  return receiver ~= "" and receiver or nil, word
end

local function all_called(word)
  local found = {}
  for _, section in ipairs(docs.sections()) do
    for _, entry in ipairs(section) do
      if entry.name == word then found[#found + 1] = entry end
    end
  end
  return found
end

local function unknown(name, word)
  local names, known = {}, {}
  for _, section in ipairs(docs.sections()) do
    for _, entry in ipairs(section) do
      if not known[entry.name] then known[entry.name], names[#names + 1] = true, entry.name end
    end
  end
  for noun in pairs(docs.NOUNS) do names[#names + 1] = noun end
  local near = core.nearest(word, names)
  core.fail(("help: nothing is called '%s'%s"):format(name, near and ("; did you mean '%s'?"):format(near) or ""),
            { fault = 2 })
end

-- What is written about a name; raises with the nearest where there is nothing.
local function about_name(name)
  if docs.NOUNS[name] and name ~= "wane" then return noun_text(name) end
  if name == "wane" or name == "" then return overview() end
  local noun, word = parsed(name)
  local entry = noun and docs.entry(noun .. "." .. word)
  if entry then return entry_text(entry) end
  if noun then unknown(name, word) end
  local found, texts = all_called(word), {}
  local first = docs.entry("wane." .. word) or docs.entry("tensor." .. word)
  for _, other in ipairs(found) do
    if not first then texts[#texts + 1] = entry_text(other)
    elseif other ~= first then texts[#texts + 1] = other.full end
  end
  if first and #texts == 0 then return entry_text(first) end
  if first then return entry_text(first) .. "\nsee also " .. table.concat(texts, ", ") end
  if #texts > 0 then return table.concat(texts, "\n\n") end
  for _, section in ipairs(docs.sections()) do
    if section.title:match "^[^,]*" == name then texts[#texts + 1] = section_text(section) end
  end
  if #texts == 0 then unknown(name, word) end
  return table.concat(texts, "\n\n")
end

-- -- by value ---------------------------------------------------------------------------------------------------

local function name_in_module(subject)
  for name, exported in pairs(core.metatable((require "wane")).__exports) do
    if rawequal(exported, subject) then return name end
  end
end

-- The entry of a method that is a Lua function of the library.
local function method_entry(subject)
  local tables = { model = require("wane.model").methods, layer = require("wane.module").methods,
                   quantizer = require("wane.quantizer").methods }
  for noun, methods in pairs(tables) do
    for name, method in pairs(methods) do
      if method == subject then return docs.entry(noun .. "." .. name) end
    end
  end
  local x = core.zeros { 0 }
  for name, bound in pairs(core.tensor_methods()) do
    if not bound.signature and x[name] == subject then return docs.entry("tensor." .. name) end
  end
end

local function about_value(subject)
  local exported = name_in_module(subject)
  if exported then return entry_text(docs.entry("wane." .. exported)) end
  if type(subject) == "function" then
    local bound = core.bound(subject)
    local entry = bound and (docs.entry("tensor." .. bound.name) or docs.entry("wane." .. bound.name))
      or method_entry(subject)
    if entry then return entry_text(entry) end
  end
  local class = value.class(subject)
  if class and not class.user then return entry_text(docs.entry("wane." .. class.name)) end
  local noun = options.kind(subject)
  if core.is_tensor(subject) and type(core.attached(subject)) == "table" then
    return noun_text "quantized" .. "\n\n" .. noun_text "tensor"
  end
  if noun == "module" then return overview() end
  if docs.NOUNS[noun] then return noun_text(noun) end
  core.fail(("help: nothing is written about %s"):format(options.describe(subject)),
            { hint = "help() lists what there is" })
end

-- The text for a name, a value, or nil: all names.
function help.about(subject)
  if subject == nil then return overview() end
  if type(subject) == "string" then return about_name((subject:gsub("^%s+", ""):gsub("%s+$", ""))) end
  return about_value(subject)
end

-- `wane help [NAME]`, `wane help --library`.
function help.command(name)
  print(name == "--library" and require("wane.library").text() or help.about(name))
end

return help
