-- Every public function and method with every kind of wrong argument in every place: what comes back is a result or an
-- error of wane's own, with the line of this script, never a message of Lua from inside the library.
local core = require "wane.core"
local wane = require "wane"

local CONFIG = {
  vocab_size = 40, hidden_size = 32, intermediate_size = 48, num_hidden_layers = 1, num_attention_heads = 2,
  num_key_value_heads = 1, head_dim = 16, rms_norm_eps = 1e-6, rope_theta = 1e4, max_position_embeddings = 64,
  tie_word_embeddings = false,
}

local model = wane.model("LlamaForCausalLM", CONFIG)
local x = core.randn({ 4, 8 }, "f32", 1)
local freed = core.ones { 2 }
freed:free()
local int4 = wane.int { bits = 4 }
local params = int4:fit(x)
local packed = int4:quantize(x)
local text = model:generate { samples = 2, length = 8 }
local scores = wane.table("wrong kinds", { "name", "value" })
for i = 1, 4 do scores:add { name = "row " .. i, value = i * 1.0 } end
local score = wane.evaluate(model, wane.task("perplexity", text))
local rules = wane.rules { { "*_proj", weight = int4 } }
local buffer = core.buffer(x)
local block = model:layers()[2]
local Block = wane.module "Block"
function Block:init() self.norm = wane.RMSNorm(4, 1e-5) end

local function make_cycle()
  local cycle = {}
  cycle[1] = cycle
  return cycle
end

local wrongs = { false, true, 0, 3, -1, 1.5, 0 / 0, math.huge, math.mininteger, "", "zzz", {}, { 1 }, { x = 1 }, { { } },
                 { "a", 2 }, make_cycle(), type, coroutine.create(function() end), x, x:to "i32", core.zeros { 0 }, freed,
                 model, block, int4, wane.minmax, wane.rtn, rules, scores, score, text, packed, buffer, wane,
                 setmetatable({}, { __index = function(t, k) return t[k] end }) }

local MOST_SHOWN = 12
local problems = {}

-- Is this an error of ours, with a place in this file? The endless __index above is the script's own, and so is its
-- overflow.
local function check_error(name, problem)
  local shown = tostring(problem)
  local function wrong(what) problems[#problems + 1] = ("%s %s:\n%s"):format(name, what, shown) end
  if type(problem) ~= "userdata" then
    if not shown:find "^[^\n]*wrong_kinds%.lua:%d+: C? ?stack overflow" then wrong "raised a bare message" end
    return
  end
  for _, words in ipairs { "attempt to", "bad argument", "internal", "stack overflow", "@wane" } do
    if problem.message:find(words, 1, true) then return wrong "says" end
  end
  if not (problem.place and problem.place:find "wrong_kinds%.lua:%d+$") then wrong "has no place in this file" end
end

-- A case that shows the first few of what it found.
local function sweep(name, body)
  case(name, function()
    problems = {}
    body()
    local shown = table.concat(problems, "\n", 1, math.min(#problems, MOST_SHOWN))
    check(#problems == 0, ("%d wrong answers, such as\n%s"):format(#problems, shown))
  end)
end

-- Calls f with the arguments, then with each replaced, left out, and one more than there are.
local function try(name, f, ...)
  local given = table.pack(...)
  local function call(what, arguments, n)
    local ok, problem = pcall(f, table.unpack(arguments, 1, n))
    if not ok then check_error(what, problem) end
  end
  for place = 1, given.n + 1 do
    for i, wrong in ipairs(wrongs) do
      local arguments = { table.unpack(given, 1, given.n) }
      arguments[place] = wrong
      call(("%s: argument %d = wrong %d"):format(name, place, i), arguments, math.max(given.n, place))
    end
    local arguments = { table.unpack(given, 1, given.n) }
    arguments[place] = nil
    call(("%s: argument %d = nil"):format(name, place), arguments, given.n)
  end
  for n = 0, given.n - 1 do call(("%s with %d arguments"):format(name, n), given, n) end
end

-- Options: each by a wrong value, and an unknown one.
local function try_options(name, f, options)
  for key in pairs(options) do
    for i, wrong in ipairs(wrongs) do
      local set = {}
      for k, v in pairs(options) do set[k] = v end
      set[key] = wrong
      local ok, problem = pcall(f, set)
      if not ok then check_error(("%s { %s = wrong %d }"):format(name, tostring(key), i), problem) end
    end
  end
  local ok, problem = pcall(f, { no_such_option = 1 })
  if ok then problems[#problems + 1] = name .. " takes an unknown option" end
  if not ok then check_error(name .. " { no_such_option = 1 }", problem) end
end

sweep("methods of a tensor", function()
  for _, name in ipairs(core.tensor_fields()) do
    local f = x[name]
    if type(f) == "function" and name ~= "free" then
      try("x:" .. name, f, x)
      try("x:" .. name, f, x, 1)
      try("x:" .. name, f, x, x, 1)
      try("x:" .. name, f, x, { 1, 2 }, x)
    end
  end
end)

-- Arguments that fit, of every function of the module. `false`: not called here.
local calls = {
  Embedding = { 4, 4 }, Linear = { 4, 4, { bias = true } }, RMSNorm = { 4, 1e-5 }, arange = { 1, 4, 1 },
  architecture = false, -- registers for good
  buffer = { x }, compare = { model, model, wane.task("perplexity", text) }, concat = { { x, x }, 1 },
  cross_entropy = { x, { 1, 2, 3, 4 } }, embedding = { core.tensor({ 1, 2 }, { dtype = "i32" }), x },
  evaluate = { model, wane.task("perplexity", text) }, explain = { x + 1 }, eye = { 3 }, full = { { 2 }, 3 },
  linear = { x, x }, load = { "no/such/file", {} }, memory = {}, model = { "LlamaForCausalLM", CONFIG },
  module = { "Name" }, observe = { model, text, wane.absmax, { layers = "Linear" } }, observer = { "mine", {} },
  ones = { { 2, 2 }, {} }, quantize = { model, rules, text, {} }, quantizer = { "mine", { bits = 4 } },
  randn = { { 2, 2 }, {} }, ranges = { 10, 3 }, rms_norm = { x, core.ones { 8 }, 1e-5 }, rotate = { model, { "r1" } },
  rules = { { { "*_proj", weight = int4 } } }, smooth = { model, text, { alpha = 0.5 } }, solver = { "mine", { damp = 0.01 } },
  stack = { 2, Block }, sweep = { x, core.eye(8), int4, {} }, table = false, task = { "perplexity", text, { items = 1 } }, tensor = { { 1, 2 }, {} },
  text = { "a text", { samples = 1, length = 2 } }, time = false, uniform = { { 2 }, {} },
  where = { x:gt(0), x, 0 }, zeros = { { 2 }, {} },
}

sweep("functions of the module", function()
  for name, f in pairs(wane) do
    if type(f) == "function" and calls[name] ~= false then
      local arguments = calls[name] or {}
      try("wane." .. name, f, table.unpack(arguments))
    end
  end
end)

sweep("options of functions and values", function()
  local values = { "int", "fp8", "nf4", "nvfp4", "mxfp4", "gguf", "minmax", "absmax", "percentile", "mse", "mean_square",
                   "token_ratio", "imatrix", "block_mse", "hessian", "cross", "rtn", "gptq" }
  for _, name in ipairs(values) do
    local options = {}
    for key, option in pairs(wane[name]) do options[key] = option end
    try_options("wane." .. name, wane[name], options)
    try("wane." .. name, wane[name], {})
  end
  try_options("wane.randn", function(set) return wane.randn({ 2 }, set) end, { dtype = "f32", stream = "s" })
  try_options("wane.zeros", function(set) return wane.zeros({ 2 }, set) end, { dtype = "f32" })
  try_options("wane.text", function(set) return wane.text("a", set) end, { samples = 1, length = 2, stream = "s" })
  try_options("wane.observe", function(set) return wane.observe(model, text, wane.absmax, set) end, { layers = "Linear" })
  try_options("model:generate", function(set) return model:generate(set) end,
    { prompt = { 1 }, samples = 1, length = 3, temperature = 1, top_k = 3, top_p = 0.9, stop = "x", stream = "s" })
  try_options("table:chart", function(set) return scores:chart(set) end, { x = "value", y = "name", log = "x", mark = {} })
  try_options("table:outliers", function(set) return scores:outliers("value", set) end, { over = 2, among = 3 })
  try_options("wane.quantize", function(set) return wane.quantize(model, rules, text, set) end, { watch = "no task" })
  try_options("wane.rotate", function(set) return wane.rotate(model, { "r1", table.unpack(set), kind = set.kind,
    signs = set.signs, block = set.block, stream = set.stream, no_such_option = set.no_such_option }) end,
    { kind = "hadamard", signs = true, block = 16, stream = "s" })
  try_options("wane.smooth", function(set) return wane.smooth(model, text, set) end, { alpha = 0.5, layers = "*.q_proj" })
  try_options("wane.sweep", function(set) return wane.sweep(x, core.eye(8), int4, set) end,
    { order = { 1, 2, 3, 4, 5, 6, 7, 8 }, params = params, second = core.eye(8) })
  try_options("wane.rules", function(set) return wane.rules { set } end,
    { "*_proj", weight = int4, input = "keep", solver = wane.rtn, optional = true })
  try_options("explain", function(set) return wane.explain(x + 1, set) end, { source = true })
end)

sweep("methods of models, layers and texts", function()
  try("model", model, "lm_head")
  try("model:layers", model.layers, model, "*_proj")
  try("model:forward", model.forward, model, { { 1, 2 } })
  try("model:generate", model.generate, model, { length = 2 })
  try("model:tokens", model.tokens, model, text)
  try("model:text", model.text, model, { 1, 2 })
  try("model:cache", model.cache, model)
  try("model:same", model.same, model, model)
  try("model:dequantize", model.dequantize, model)
  try("model:with", model.with, model, "lm_head", { weight = model("lm_head").weight })
  try("model:save", model.save, model, scratch "saved", "no such format")
  try("layer", block, x)
  try("layer:input", block.input, block, text)
  try("layer:output", block.output, block, text)
  local cache = model:cache()
  try("cache:free", cache.free, cache)
  try("cache:attend", cache.attend, cache, block, x, x, x, {})
end)

sweep("methods of solvers", function()
  local Mine = wane.solver("mine too", {})
  function Mine:solve(w, quantizer) return wane.rtn:solve(w, quantizer) end
  local moments = { hessian = core.eye(8), cross = core.eye(8) * 0.5, calm = core.ones { 8, 1 } }
  for name, solver in pairs { rtn = wane.rtn, gptq = wane.gptq, group = wane.gptq { act_order = "group" }, mine = Mine } do
    try(name .. ":solve", solver.solve, solver, x, int4, moments)
    for key in pairs(moments) do
      for i, wrong in ipairs(wrongs) do
        local seen = { hessian = moments.hessian, cross = moments.cross, calm = moments.calm }
        seen[key] = wrong
        local ok, problem = pcall(solver.solve, solver, x, int4, seen)
        if not ok then check_error(("%s:solve with %s = wrong %d"):format(name, key, i), problem) end
      end
    end
  end
  for _, key in ipairs { "solve", "needs", "other" } do
    for i, wrong in ipairs(wrongs) do
      local ok, problem = pcall(function() wane.solver("mine again", {})[key] = wrong end)
      if not ok then check_error(("solver.%s = wrong %d"):format(key, i), problem) end
    end
  end
end)

sweep("methods of quantizers, rules, tables, scores, charts, lists, buffers", function()
  try("q:fit", int4.fit, int4, x)
  try("q:encode", int4.encode, int4, x, params)
  try("q:decode", int4.decode, int4, int4:encode(x, params), params)
  try("q:pack", int4.pack, int4, int4:encode(x, params), params)
  try("q:quantize", int4.quantize, int4, x)
  try("packed:dequantize", packed.dequantize, packed)
  try("rules:with", rules.with, rules, { "lm_head", weight = "f32" })
  try("rules:plan", rules.plan, rules, model)
  local more = wane.table("more", { "name", "value" })
  try("table:add", more.add, more, { name = "more", value = 1 })
  try("table:outliers", scores.outliers, scores, "value", { over = 2 })
  try("table:mean", scores.mean, scores, { "name" })
  try("table:save", scores.save, scores, scratch "table.csv")
  try("table:chart", scores.chart, scores, { x = "value", y = "name" })
  local chart = scores:chart { x = "value", y = "name" }
  try("chart:save", chart.save, chart, scratch "chart.svg")
  try("buffer:freeze", core.buffer(x).freeze, core.buffer(x))
end)

sweep("operators and indices of everything", function()
  local things = { x, model, block, int4, wane.minmax, rules, scores, scores[1], score, text, packed, buffer, wane,
                   model:layers(), scores:chart { x = "value", y = "name" }, model:cache(), wane.memory, Block }
  local ways = {
    ["a.b"] = function(a, b) return a[b] end, ["a.b = 1"] = function(a, b) a[b] = 1 end,
    ["a + b"] = function(a, b) return a + b end, ["a - b"] = function(a, b) return a - b end,
    ["a * b"] = function(a, b) return a * b end, ["a / b"] = function(a, b) return a / b end,
    ["a < b"] = function(a, b) return a < b end, ["a <= b"] = function(a, b) return a <= b end,
    ["a == b"] = function(a, b) return a == b end, ["tostring"] = function(a) return tostring(a) end,
  }
  for i, thing in ipairs(things) do
    for words, way in pairs(ways) do
      for _, wrong in ipairs(wrongs) do
        local ok, problem = pcall(way, thing, wrong)
        if not ok then
          local shown = tostring(problem)
          -- What has no such operator is Lua's to say, at this line; never from inside the library.
          local lua_itself = type(problem) == "string" and shown:find "^[^\n]*wrong_kinds%.lua:%d+: "
          if not lua_itself then check_error(("%s of thing %d"):format(words, i), problem) end
        end
      end
    end
  end
end)
