-- What is written about every public name: one entry each in docs/*.lua, by topic. A topic is a list of sections
--   { noun, title, <parts that all entries share>, { "name(signature) -> result", "what it does", <parts> }, ... }
-- and a part is one of PARTS. Methods of tensors that the engine binds bring signature and first sentence themselves:
-- their entry is { "name", <parts> }. Examples are lines as the REPL takes them; `-->` stands before what the last
-- expression gives, and a test runs them all. What they use without making it is a line of SETUP.
local core = require "wane.core"
local lua_tokens = require "wane.lua_tokens"

local docs = {}

local TOPICS = { "maps", "reductions", "layout", "matrices", "making", "models", "modules", "rules", "quantizers",
                 "observers", "solvers", "transforms", "measuring", "tables" }

docs.PARTS = { "options", "shapes", "dtypes", "units", "errors", "source", "example" }

-- What a noun is, the name its values go by in signatures, and how they are made.
docs.NOUNS = {
  wane = { "the module: local wane = require \"wane\"", as = "wane" },
  tensor = { "an array with shape, dtype and device; a value. Made by wane.tensor, wane.randn, arithmetic, layer.weight",
             as = "x", rules = {
    "+ - * / % ^ and unary minus take tensors and numbers, and broadcast. A number takes the tensor's dtype. Of two float "
      .. "dtypes the wider wins, bf16 with f16 gives f32; integers stay integers and wrap in their width; bool counts as i32; "
      .. "integer / integer is f32, an integer % 0 is 0.",
    "Every operation rounds to its result's dtype, to nearest even, fused or not. f64 is for oracles and folds, on the CPU.",
    "x[{ {1, 4}, {} }] is rows 1 to 4 and all columns, a view; x[{ 3, {} }] row 3, x[-1] the last; {5, 4} is empty; #x is "
      .. "the first size. x:with(place, v) is x with v there: a tensor is a value.",
    "x < y and x == y cannot answer for every element: x:lt(y) le gt ge eq ne do, x:same(y) answers once. `if x` always "
      .. "holds; x:any() and x:all() give true or false.",
    "NaN wins in min, max, absmax, maximum and minimum, equals nothing, and sorts as the largest.",
  } },
  buffer = { "a mutable array. Made by wane.buffer(x)", as = "b", rules = {
    "b[{ rows, cols }] = v writes; b[{ rows, cols }] reads a tensor, b[{}] all of it. A view that is read after its buffer "
      .. "was written is an error that names both lines." } },
  quantized = { "a tensor of codes and parameters; in arithmetic it is its values. Made by quantizer:quantize(w)",
                as = "q" },
  model = { "named modules with weights; a value. Made by wane.load and wane.model; model \"name\" is a layer",
            as = "model" },
  layer = { "a part of a model that has a weight. Made by model \"name\", model:layers(pattern); layer(x) runs it",
            as = "layer" },
  text = { "samples to calibrate on or to score. Made by wane.text and model:generate", as = "text", rules = {
    "#text counts samples; once a model has read it, text[1] is the list of token ids of one and `for ids in text do` "
      .. "walks them. A Lua string where a text is wanted is the text itself." } },
  cache = { "keys and values of one batch; mutable. Made by model:cache()", as = "cache" },
  rules = { "what to do to which layer. Made by wane.rules and wane.allocate", as = "rules" },
  plan = { "a table of what rules do to each layer of a model. Made by rules:plan(model)", as = "plan" },
  quantizer = { "how numbers become codes. Made by wane.int, fp8, nf4, wane.quantizer; calling one gives a variant",
                as = "quantizer" },
  observer = { "what is learned from numbers that pass. Made by wane.minmax and others, wane.observer",
               as = "observer" },
  solver = { "how the codes of one weight are chosen. Made by wane.rtn, wane.gptq, wane.solver", as = "solver" },
  task = { "a named protocol over data. Made by wane.task", as = "task" },
  score = { "a number with its standard error. Made by wane.evaluate, wane.compare, table:mean", as = "score", rules = {
    "a + b, a - b, a * 2, a / 2 and -a carry the error along, item by item on the same items, which is what makes a "
      .. "difference paired; a - b of other items or another protocol is an error. a < b compares values." } },
  comparison = { "two models on the same items. Made by wane.compare", as = "c" },
  timing = { "seconds, usable as a number. Made by wane.time", as = "t" },
  table = { "rows with named columns. Made by wane.table, wane.observe; t[i], #t, for row in t do", as = "t", rules = {
    "A row's columns are its fields: t[1].layer. A table cannot be assigned to; t:add { ... } adds a row." } },
  chart = { "a picture of a table or of a tensor's values; print draws it. Made by table:chart and x:hist",
            as = "chart" },
  list = { "items that can be walked: for x in list do, #list, list[1], list[-1]. Made by model:layers, table:outliers",
           as = "list" },
}

docs.SETUP = {
  model = 'model = wane.model("LlamaForCausalLM", { vocab_size = 64, hidden_size = 16, intermediate_size = 32,\n'
    .. "  num_hidden_layers = 2, num_attention_heads = 2, rms_norm_eps = 1e-6 })",
  text = "text = model:generate { samples = 4, length = 16 }",
  task = 'task = wane.task("perplexity", text)',
  int4 = "int4 = wane.int { bits = 4, group_size = 8 }",
  rules = 'rules = wane.rules { { "*_proj", weight = int4 } }',
  small = "small = wane.quantize(model, rules)",
  reader = 'model:save("tiny", "safetensors")\n'
    .. 'file = io.open("tiny/tokenizer.json", "w")\n'
    .. [[file:write '{ "model": { "type": "BPE", "merges": [], "vocab": { "a": 0, "b": 1, "c": 2, " ": 3 } } }']]
    .. '\nfile:close()\nreader = wane.load "tiny"',
}

local entries, sections, by_noun

local function inherit(entry, section)
  for _, part in ipairs(docs.PARTS) do
    if entry[part] == nil then entry[part] = section[part] end
  end
  if type(entry.dtypes) == "table" then entry.dtypes = entry.dtypes[entry.rule] end
  return entry
end

local function read_entry(given, section, bound)
  local name, signature = given[1]:match "^([%a_][%w_]*)%s*(.*)$"
  local entry = { noun = section[1], topic = section[2], name = name, signature = signature, text = given[2] }
  for key, part in pairs(given) do
    if type(key) == "string" then entry[key] = part end
  end
  local method = section[1] == "tensor" and bound[name]
  if method and method.signature then
    entry.signature, entry.rule = method.signature, method.rule
    entry.text = entry.text and method.doc .. "\n" .. entry.text or method.doc
  end
  entry.full = entry.noun .. "." .. name
  return inherit(entry, section)
end

local function read()
  entries, sections, by_noun = {}, {}, {}
  local bound = core.tensor_methods()
  for _, topic in ipairs(TOPICS) do
    for _, section in ipairs(require("wane.docs." .. topic)) do
      local kept = { noun = section[1], title = section[2] }
      for _, given in ipairs(section) do
        if type(given) == "table" then
          local entry = read_entry(given, section, bound)
          if entries[entry.full] then core.fail(("docs: '%s' is written twice"):format(entry.full), { fault = 70 }) end
          entries[entry.full], kept[#kept + 1] = entry, entry
          by_noun[entry.noun] = by_noun[entry.noun] or {}
          table.insert(by_noun[entry.noun], entry)
        end
      end
      sections[#sections + 1] = kept
    end
  end
end

-- The entry of "tensor.abs", or nil.
function docs.entry(full)
  if not entries then read() end
  return entries[full]
end

-- All sections in order: { noun, title, entry, ... }.
function docs.sections()
  if not entries then read() end
  return sections
end

-- The entries of a noun in order.
function docs.of(noun)
  if not entries then read() end
  return by_noun[noun] or {}
end

-- The names of SETUP that code uses without making them.
local function used(code)
  local tokens, words, made = lua_tokens.of(code), {}, {}
  for i, token in ipairs(tokens) do
    local name = token.text
    if docs.SETUP[name] and lua_tokens.stands_alone(tokens, i) then
      local after = tokens[i + 1] and tokens[i + 1].text
      if after == "=" then made[name] = true elseif not made[name] then words[#words + 1] = name end
    end
  end
  return words
end

-- The lines of SETUP that an example needs, in the order in which they build on each other.
function docs.setup(example)
  local done, lines = {}, {}
  local function need(code)
    for _, name in ipairs(used(code)) do
      if not done[name] then
        done[name] = true
        need(docs.SETUP[name])
        lines[#lines + 1] = docs.SETUP[name]
      end
    end
  end
  need(example)
  return lines
end

return docs
