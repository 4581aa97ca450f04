-- Errors of the script in the middle of the library's work: at every call of a user's function, in forwards, observers,
-- quantizers and coroutines. Each time the session goes on, nothing stays in memory and the next try gives the same.
local core = require "wane.core"
local wane = require "wane"

local CONFIG = {
  vocab_size = 40, hidden_size = 32, intermediate_size = 48, num_hidden_layers = 2, num_attention_heads = 2,
  num_key_value_heads = 1, head_dim = 16, rms_norm_eps = 1e-6, rope_theta = 1e4, max_position_embeddings = 64,
  tie_word_embeddings = false,
}

local model = wane.model("LlamaForCausalLM", CONFIG)
local text = model:generate { samples = 3, length = 12 }
local task = wane.task("perplexity", text)
local tokens = core.tensor({ { 1, 2, 3, 4 } }, { dtype = "i32" })

-- Counts its calls and raises at one of them.
local calls, stop_at = 0, math.huge
local function step(what)
  calls = calls + 1
  if calls == stop_at then error("stopped in " .. what) end
end

local Tail = wane.observer("flush tail", { per = "token" })
function Tail:init() self.top = 0; step "init" end
function Tail:see(x)
  step "see"
  self.top = math.max(self.top, x:absmax())
end
function Tail:result() step "result"; return self.top end

local Coarse = wane.quantizer("flush coarse", { bits = 4 })
function Coarse:fit(w)
  step "fit"
  return { top = w:absmax(2):clamp(1e-8) }
end
function Coarse:encode(w, p) step "encode"; return (w / p.top * 7 + 7):round():clamp(0, 14) end
function Coarse:decode(codes, p) step "decode"; return (codes - 7) / 7 * p.top end

local watched = model:with("Linear", { forward = function(layer, x)
  step "forward"
  return layer(x + 0)
end })

local ways = {
  forward = function() return watched:forward(tokens):sum() end,
  evaluate = function() return wane.evaluate(watched, task).value end,
  generate = function() return #tostring(watched:generate { length = 6, temperature = 0, prompt = text }) end,
  observe = function() return wane.observe(model, text, Tail, { layers = "*_proj" })[3]["flush tail"] end,
  quantize = function()
    local rules = wane.rules { { "*_proj", weight = Coarse { group_size = 16 } } }
    return wane.quantize(model, rules):forward(tokens):sum()
  end,
  input = function() return watched("layers.1.mlp.up_proj"):input(text):sum() end,
  coroutine = function()
    local thread = coroutine.wrap(function()
      local x = core.ones { 8, 8 } + 1
      coroutine.yield()
      step "coroutine"
      return x:sum()
    end)
    thread()
    return thread()
  end,
  closed = function()
    local cache <close> = watched:cache()
    return watched:forward(tokens, cache):sum()
  end,
}

local function live()
  core.drop_copies() -- packed weights are no leak
  for _ = 1, 3 do collectgarbage() end
  return core.memory().live
end

local MOST = 40 -- points of one way that are tried; later ones are evenly chosen

for name, way in pairs(ways) do
  case("an error at every call of the script's own functions: " .. name, function()
    calls, stop_at = 0, math.huge
    local expected = way()
    local all = calls
    check(all > 0, "the script's function was never called")
    way()
    local before = live()
    local last = 0
    for i = 1, math.min(all, MOST) do
      calls, stop_at = 0, math.max(last + 1, math.ceil(i * all / math.min(all, MOST)))
      last = stop_at
      local ok, problem = pcall(way)
      check(not ok, ("call %d of %d did not raise"):format(stop_at, all))
      check(tostring(problem):find "stopped in %a+", tostring(problem))
      equal(live() - before, 0, ("live bytes after an error at call %d of %d"):format(last, all))
    end
    calls, stop_at = 0, math.huge
    equal(way(), expected, "the next try")
  end)
end

case("a tensor that is computed in a finaliser or a failing close", function()
  local log = {}
  do
    local guard = setmetatable({}, { __close = function() log[#log + 1] = (core.ones { 4 } + 1):sum() end })
    pcall(function()
      local held <close> = guard
      error "inside"
    end)
  end
  equal(log, { 8 })
end)

case("recursion in __index ends as an error and the session goes on", function()
  local endless = setmetatable({}, { __index = function(t, key) return t[key] end })
  for _, f in ipairs { function() return core.zeros({ 2 }, endless) end, function() return wane.int(endless) end,
                       function() return wane.rules { endless } end, function() return core.tensor(endless) + endless end } do
    check(not pcall(f))
  end
  equal((core.ones { 2, 2 } + 1):sum(), 8)
end)
