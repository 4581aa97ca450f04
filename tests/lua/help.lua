-- Every public name answers help(), with all of its parts, and every example runs and gives what it says.
local wane = require "wane"
local core = require "wane.core"
local docs = require "wane.docs"
local help = require "wane.help"
local library = require "wane.library"
local lua_tokens = require "wane.lua_tokens"
local modules = require "wane.module"
local signature = require "wane.signature"
local value = require "wane.value"

local function all_entries()
  local list = {}
  for _, section in ipairs(docs.sections()) do
    for _, entry in ipairs(section) do list[#list + 1] = entry end
  end
  return list
end

local function documented(noun, names)
  local missing = {}
  for _, name in ipairs(names) do
    if name:sub(1, 1) ~= "_" and not docs.entry(noun .. "." .. name) then missing[#missing + 1] = name end
  end
  equal(table.concat(missing, " "), "", noun .. ": nothing is written about")
end

local function keys(...)
  local names = {}
  for _, source in ipairs { ... } do
    for name in pairs(source) do names[#names + 1] = name end
  end
  return names
end

-- The names that an error about an unknown field lists.
local function listed(thing)
  local ok, problem = pcall(function() return thing.no_such_field end)
  check(not ok, "an unknown field raises")
  local names = {}
  for name in (tostring(problem):match "it has%s+(.*)" or ""):gmatch "[%w_]+" do names[#names + 1] = name end
  check(#names > 0, tostring(problem))
  return names
end

-- Names that a file of the source tree defines by a pattern.
local function defined(path, pattern)
  local names = {}
  for name in core.read(source(path)):gmatch(pattern) do names[#names + 1] = name end
  check(#names > 0, path)
  return names
end

local config = { vocab_size = 64, hidden_size = 16, intermediate_size = 32, num_hidden_layers = 2, num_attention_heads = 2,
                 rms_norm_eps = 1e-6 }

local function specimens()
  local model = wane.model("LlamaForCausalLM", config)
  local text = model:generate { samples = 2, length = 4 }
  local task = wane.task("perplexity", text)
  local q = wane.int { bits = 4 }
  local comparison = wane.compare(model, model, task)
  local t = wane.table("t", { "a" })
  return {
    wane = wane, model = model, text = text, task = task, quantizer = q, observer = wane.minmax, solver = wane.rtn,
    comparison = comparison, score = comparison.score, table = t, chart = wane.ones(2):hist(), cache = model:cache(),
    layer = model "lm_head", rules = wane.rules {}, plan = wane.rules({}):plan(model), timing = (wane.time(print)),
    tensor = wane.ones { 2, 2 }, quantized = q:quantize(wane.ones { 2, 2 }), buffer = wane.buffer(wane.ones { 2, 2 }),
  }
end

case("every name that can be reached is documented", function()
  local things = specimens()
  documented("wane", keys(wane))
  documented("tensor", core.tensor_fields())
  documented("quantized", keys(core.attached(things.quantized).fields, core.attached(things.quantized).methods))
  documented("model", keys(require("wane.model").methods))
  documented("model", require("wane.model").FIELDS)
  documented("model", { "architecture", "compute", "dtype", "tokenizer" })
  documented("layer", modules.FIELDS)
  documented("layer", keys(modules.methods))
  documented("quantizer", keys(require("wane.quantizer").methods))
  documented("observer", keys(value.class(wane.mse).methods, value.class(wane.minmax).methods))
  documented("solver", keys(value.class(wane.rtn).methods))
  for _, noun in ipairs { "task", "score", "comparison", "chart", "cache", "rules" } do documented(noun, listed(things[noun])) end
  documented("timing", { "seconds", "value" })
  documented("table", defined("stdlib/table.lua", "\nfunction methods%.([%w_]+)"))
  documented("table", defined("stdlib/table.lua", '\n  if key == "([%w_]+)"'))
  documented("plan", { "bits", "bytes", "problems", "model" })
  documented("buffer", defined("bindings/wrap_buffer.cpp", 'name == "(%w+)"'))
end)

-- Fields that a value has only after something was done, or only on some tasks.
local SOMETIMES = { ["comparison.flips"] = true, ["comparison.p"] = true, ["observer.init"] = true }

case("what is documented is there, or says that it is not supported yet", function()
  local things = specimens()
  for _, entry in ipairs(all_entries()) do
    local thing = things[entry.noun]
    check(thing ~= nil, "no specimen of " .. entry.noun)
    if not help.is_missing(entry) and not SOMETIMES[entry.full] then
      local ok, found = pcall(function() return thing[entry.name] end)
      check(ok, tostring(found))
      if not entry.type then check(found ~= nil, entry.full .. " is not there") end
    end
  end
end)

case("every entry has all of its parts", function()
  for _, entry in ipairs(all_entries()) do
    local about_tensors = entry.noun == "tensor" or (" " .. entry.signature):find "[ ,(>]tensor"
    local needed = { "text", "example" }
    if not entry.type then
      needed[#needed + 1] = "errors"
      check(entry.signature ~= "" , entry.full .. ": no signature")
      if about_tensors and not entry.signature:find "lo and hi" then
        needed[#needed + 1], needed[#needed + 2] = "shapes", "dtypes"
      end
    end
    for _, part in ipairs(needed) do
      check(type(entry[part]) == "string" and entry[part] ~= "", ("%s: no %s"):format(entry.full, part))
    end
    check(entry.text:find "%.$" or entry.text:find "%)$" or entry.text:find "%.\n" or entry.noun == "wane",
          entry.full .. ": its text is no sentence")
    for key in pairs(entry) do
      local known = { noun = true, topic = true, name = true, signature = true, text = true, full = true, rule = true,
                      type = true, types = true }
      for _, part in ipairs(docs.PARTS) do known[part] = true end
      check(known[key] or math.type(key), ("%s: unknown part '%s'"):format(entry.full, tostring(key)))
    end
    for line in help.about(entry.full):gmatch "[^\n]+" do
      check(utf8.len(line) <= 150, ("%s: a line of %d"):format(entry.full, utf8.len(line)))
    end
  end
end)

-- -- options ------------------------------------------------------------------------------------------------------

local function option_names(entry)
  local read, names = signature.read(entry.signature, entry.types), {}
  for _, option in ipairs(read.options or {}) do names[#names + 1] = option.name end
  table.sort(names)
  return table.concat(names, " ")
end

local function sorted(text, drop)
  local names = {}
  for name in text:gmatch "[%w_]+" do
    if not drop or not drop[name] then names[#names + 1] = name end
  end
  table.sort(names)
  return table.concat(names, " ")
end

case("the options in signatures are those that are taken, with their defaults", function()
  for name, exported in pairs(wane) do
    local class, entry = value.class(exported), docs.entry("wane." .. name)
    if class and not class.unsupported then
      equal(option_names(entry), sorted(table.concat(class.order, " ")), name)
      for _, option in ipairs(signature.read(entry.signature, entry.types).options) do
        local shown = option.default and load("return " .. option.default)()
        equal(shown, class.defaults[option.name], name .. ": " .. option.name)
      end
    end
  end
  local model = wane.model("LlamaForCausalLM", config)
  local t = wane.table("t", { "a" })
  local x = wane.ones { 1, 1, 1, 2 }
  local class = wane.module "Any"
  local bad = { no_such_option = 1 }
  local calls = {
    ["wane.zeros"] = function() wane.zeros(1, bad) end, ["wane.full"] = function() wane.full(1, 1, bad) end,
    ["wane.eye"] = function() wane.eye(1, bad) end, ["wane.randn"] = function() wane.randn(1, bad) end,
    ["wane.tensor"] = function() wane.tensor({ 1 }, bad) end, ["wane.arange"] = function() wane.arange(1, bad) end,
    ["wane.load"] = function() wane.load("x", bad) end, ["wane.text"] = function() wane.text("x", bad) end,
    ["wane.task"] = function() wane.task("perplexity", "x", bad) end, ["wane.Linear"] = function() wane.Linear(1, 1, bad) end,
    ["wane.architecture"] = function() wane.architecture("A", { model = class, no_such_option = 1 }) end,
    ["wane.quantize"] = function() wane.quantize(model, wane.rules {}, nil, bad) end,
    ["wane.observe"] = function() wane.observe(model, model:generate { length = 2 }, wane.absmax, bad) end,
    ["wane.ones"] = function() wane.ones(1, bad) end, ["wane.uniform"] = function() wane.uniform(1, bad) end,
    ["wane.rotate"] = function() wane.rotate(model, { "r1", no_such_option = 1 }) end,
    ["wane.smooth"] = function() wane.smooth(model, "x", bad) end,
    ["wane.explain"] = function() wane.explain(x, bad) end,
    ["wane.sweep"] = function() wane.sweep(x, x, wane.int, bad) end,
    ["model.generate"] = function() model:generate(bad) end, ["model.with"] = function() model:with("norm", bad) end,
    ["table.outliers"] = function() t:outliers("a", bad) end, ["table.chart"] = function() t:chart(bad) end,
    ["cache.attend"] = function() model:cache():attend(model "lm_head", x, x, x, bad) end,
  }
  for full, call in pairs(calls) do
    local problem = tostring(fails(call, "'no_such_option'"))
    local names = problem:match "it has%s+([^\n]*)" or problem:match "options are%s+([^\n]*)" or problem:match "valid%s+([^\n]*)"
    check(names, full .. ": " .. problem)
    equal(option_names(docs.entry(full)), sorted(names), full)
  end
  for _, entry in ipairs(all_entries()) do
    local read = signature.read(entry.signature, entry.types)
    local judged = not read.options or read.options.open and entry.name ~= "rotate" or signature.is_value(read)
    check(judged or calls[entry.full] or help.is_missing(entry), "no call checks the options of " .. entry.full)
  end
end)

-- -- examples -----------------------------------------------------------------------------------------------------

local function plain(x)
  if core.is_tensor(x) then return x:totable() end
  return x
end

local function is_near(got, want)
  got = plain(got)
  if type(want) == "string" and type(got) ~= "string" then return tostring(got) == want end
  if type(got) == "number" and type(want) == "number" then
    return got == want or math.abs(got - want) <= 1e-4 * math.max(math.abs(want), 0.1)
  end
  if type(got) ~= "table" or type(want) ~= "table" then return got == want end
  if #got ~= #want then return false end
  for i = 1, #want do
    if not is_near(got[i], want[i]) then return false end
  end
  return true
end

-- What the last expression of a chunk gave, beside what the docs say: numbers to the digits that are shown.
local function compare(full, chunk, got, expected, environment)
  local want = table.pack(check(load("return " .. expected, "=docs", "t", environment), full .. ": " .. expected)())
  check(got.n == want.n, ("%s: %s gave %d values, not %d"):format(full, chunk, got.n, want.n))
  for i = 1, want.n do
    local shown = core.is_tensor(got[i]) and core.json(plain(got[i])) or tostring(got[i])
    check(is_near(got[i], want[i]), ("%s: %s gave %s, not %s"):format(full, chunk, shown, expected))
  end
end

-- Runs the lines as the REPL does: a chunk is complete when it compiles. Returns how many results were compared.
local function run_lines(full, lines, environment)
  local chunk, compared = "", 0
  for line in lines:gmatch "[^\n]+" do
    chunk = chunk == "" and line or chunk .. "\n" .. line
    local expected = line:match "%-%->%s*(.*)$"
    local wanted_error = expected and expected:match "^error: (.*)$"
    local run = load("return " .. chunk, "=docs", "t", environment)
    local problem
    if not run then run, problem = load(chunk, "=docs", "t", environment) end
    if run then
      local got = table.pack(pcall(run))
      if wanted_error then
        check(not got[1] and tostring(got[2]):find(wanted_error, 1, true), ("%s: %s"):format(full, tostring(got[2])))
        compared = compared + 1
      elseif not got[1] then
        error(got[2], 0)
      elseif expected then
        compare(full, chunk, table.pack(table.unpack(got, 2, got.n)), expected, environment)
        compared = compared + 1
      end
      chunk = ""
    else
      check(problem:find "<eof>", ("%s: %s"):format(full, problem))
    end
  end
  equal(chunk, "", full .. ": its example does not end")
  return compared
end

local function quiet_print(...)
  for _, x in ipairs { ... } do tostring(x) end
end

case("every example runs and gives what it says", function()
  local compared, count, waiting = 0, 0, {}
  for i, entry in ipairs(all_entries()) do
    count = count + 1
    local folder = scratch("example" .. i)
    core.mkdir(folder)
    core.in_folder(folder, function()
      local environment = setmetatable({ wane = wane, print = quiet_print }, { __index = _G })
      local ok, problem = pcall(function()
        for _, line in ipairs(docs.setup(entry.example)) do run_lines(entry.full, line, environment) end
        compared = compared + run_lines(entry.full, entry.example, environment)
      end)
      local text = type(problem) == "table" and problem.failure or tostring(problem)
      if not ok and text:find("not supported", 1, true) then
        waiting[#waiting + 1] = entry.full
      else
        check(ok, entry.full .. ": " .. text)
      end
    end)
  end
  check(compared > count * 0.9, ("only %d results of %d examples are compared"):format(compared, count))
  for _, full in ipairs(waiting) do
    check(help.is_missing(docs.entry(full)) or full == "solver.solve", full .. " is not supported")
  end
  if #waiting > 0 then print("  not supported yet: " .. table.concat(waiting, ", ")) end
end)

case("what is said of all tensors holds", function()
  local function dtype(a, b) return (wane.ones(1, { dtype = a }) * wane.ones(1, { dtype = b })).dtype end
  equal({ dtype("bf16", "f16"), dtype("bf16", "f32"), dtype("i8", "i32"), dtype("i8", "bf16"), dtype("bool", "bool") },
        { "f32", "f32", "i32", "bf16", "i32" })
  local i = wane.tensor({ 127, 7 }, { dtype = "i8" })
  equal((i + 1):totable(), { -128, 8 })
  equal((i / i).dtype, "f32")
  equal((i % 0):totable(), { 0, 0 })
  local x = wane.tensor { 1, 0 / 0, 3 }
  for _, name in ipairs { "min", "max", "absmax" } do check(x[name](x) ~= x[name](x), name) end
  check(not x:eq(x):all() and x:sort()[-1]:isnan():all())
  equal(wane.ones { 5, 2 }[{ { 5, 4 }, {} }].shape, { 0, 2 })
end)

case("a wrong example, a wrong number and a wrong error are found", function()
  local environment = { wane = wane }
  fails(function() run_lines("x", "wane.ones(2)  --> { 1, 2 }", environment) end)
  fails(function() run_lines("x", "wane.ones(2)  --> { 1 }", environment) end)
  fails(function() run_lines("x", "1.001  --> 1", environment) end)
  fails(function() run_lines("x", "1, 2  --> 1", environment) end)
  fails(function() run_lines("x", "wane.zeros(-1)", environment) end)
  fails(function() run_lines("x", "wane.zeros(-1)  --> error: another", environment) end)
  fails(function() run_lines("x", "f(", environment) end)
  equal(run_lines("x", "wane.ones(2)  --> { 1, 1 }", environment), 1)
end)

-- -- what help says -----------------------------------------------------------------------------------------------

case("help by name", function()
  local text = help.about "quantile"
  check(text:find("x:quantile(p [, dim or list of dims]) -> tensor, or a number over all\n", 1, true) == 1, text)
  for _, part in ipairs { "shapes", "dtypes", "units", "errors", "example" } do check(text:find("\n  " .. part), part) end
  for _, name in ipairs { "tensor.quantile", "x:quantile", "x:quantile(0.5)", ":quantile" } do equal(help.about(name), text, name) end
  equal(help.about "wane.int", help.about "int")
  check(help.about "with":find "see also model.with, rules.with$")
  check(help.about "tokens":find("model:tokens(text) -> tensor", 1, true))
  check(help.about "model.forward":find("\n    model = wane.model(", 1, true), "an example brings what it needs")
  check(help.about "prefix":find "\n  not supported yet\n")
end)

case("help lists tensor methods by the groups of the language's table", function()
  local text, last = help.about "tensor", 0
  for _, title in ipairs { "maps", "reductions", "along a dim", "layout", "told", "linear algebra", "models" } do
    local at = text:find("\n" .. title .. "\n", 1, true)
    check(at and at > last, title)
    last = at
  end
  for _, name in ipairs(core.tensor_fields()) do check(text:find("%f[%w_]x[.:]" .. name .. "%f[^%w_]"), name) end
  equal(help.about(wane.ones(2)), text)
  check(help.about "comparisons":find "\n  x:lt%(y%) ")
end)

case("help by value", function()
  local model = wane.model("LlamaForCausalLM", config)
  equal(help.about(wane.int), help.about "wane.int")
  equal(help.about(wane.int { bits = 3 }), help.about "wane.int")
  equal(help.about(wane.quantize), help.about "wane.quantize")
  equal(help.about(wane.zeros(1).topk), help.about "tensor.topk")
  equal(help.about(wane.zeros(1).hist), help.about "tensor.hist")
  equal(help.about(wane.where), help.about "wane.where")
  equal(help.about(model), help.about "model")
  equal(help.about(model.generate), help.about "model.generate")
  equal(help.about(model "norm"), help.about "layer")
  equal(help.about(wane), help.about(nil))
  equal(help.about(wane.quantizer("mine", {})), help.about "quantizer")
  fails(function() help.about(1.5) end, "help: nothing is written about a number 1.5\n  hint   help() lists what there is")
  fails(function() help.about(function() end) end, "help: nothing is written about a function")
end)

case("an unknown name is answered with the nearest", function()
  equal(fails(function() help.about "quantle" end, "help: nothing is called 'quantle'; did you mean 'quantile'?").fault, 2)
  fails(function() help.about "model:genrate" end, "help: nothing is called 'model:genrate'; did you mean 'generate'?")
  fails(function() help.about "zzzzzzzzzzzz" end, "help: nothing is called 'zzzzzzzzzzzz'")
end)

case("the overview names everything", function()
  local text = help.about(nil)
  for _, entry in ipairs(all_entries()) do check(text:find("%f[%w_]" .. entry.name .. "%f[^%w_]"), entry.full) end
end)

case("completion offers what is documented of a noun", function()
  local repl = require "wane.repl"
  rawset(_G, "completed", wane.model("LlamaForCausalLM", config))
  local start, names = repl.complete "completed:gen"
  rawset(_G, "completed", nil)
  equal(start, 10)
  equal(names, { "generate" })
end)

-- -- the editor's library -----------------------------------------------------------------------------------------

case("the definitions for the language server are up to date", function()
  local path = source "library/wane.lua"
  equal(core.read(path) == library.text() .. "\n", true, "library/wane.lua; `wane help --library > library/wane.lua` writes it")
end)

case("the definitions are Lua and name everything", function()
  local text = library.text()
  check(load(text, "=library"))
  for _, entry in ipairs(all_entries()) do
    local found = entry.type and text:find("---@field " .. entry.name .. " ", 1, true)
      or text:find(entry.noun .. (entry.noun == "wane" and "." or ":") .. entry.name, 1, true)
    check(found, entry.full)
  end
  for name in text:gmatch "wane%.([%w_]+)" do
    local known = docs.entry("wane." .. name) or text:find("@class wane." .. name .. "%f[^%w_]") or text:find("@alias wane." .. name .. " ", 1, true)
    check(known, "no type wane." .. name)
  end
end)

case("signatures are read", function()
  local read = signature.read '(a, b [, c [, d]], { e = "f, g", h, ... }) -> tensor, x'
  equal(read.results, "tensor, x")
  local names = {}
  for i, param in ipairs(read.params) do names[i] = param.name .. (param.optional and "?" or "") end
  equal(names, { "a", "b", "c?", "d?" })
  equal(#read.options, 2)
  equal(read.options[2], { name = "h" })
  equal(read.options.open, true)
  equal(#lua_tokens.of 'x = "a -- b" .. [==[ c ]] ]==] -- d', 5)
end)
