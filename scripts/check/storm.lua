-- A storm for the collector: tensors, caches, buffers and models are made and dropped at random under a tight memory
-- ceiling, while every result is compared with one computed in the calm at the start.
--   WANE_GC=stress WANE_MEMORY=24M build/wane run scripts/check/storm.lua
-- Expect: "storm: N rounds, ... as before", exit 0; a difference, a crash or bytes that stay are failures.
local wane = require "wane"

local ROUNDS, HELD = 400, 12
local core = require "wane.core"

local config = { vocab_size = 64, hidden_size = 32, intermediate_size = 64, num_hidden_layers = 2, num_attention_heads = 2,
                 num_key_value_heads = 1, head_dim = 16, rms_norm_eps = 1e-6, rope_theta = 1e4,
                 max_position_embeddings = 64, tie_word_embeddings = true }
local model = wane.model("LlamaForCausalLM", config)
local x, w = wane.randn { 96, 64 }, wane.randn { 64, 64 }
local tokens = wane.tensor({ { 1, 5, 9, 2, 33, 7 } }, { dtype = "i32" })

local ways = {
  maps = function() return (x * 2 - 1):silu() * x:square() + x / (x:abs() + 1) end,
  rows = function() return x:softmax(2) * x:absmax(2) + x:mean(1) end,
  product = function() return x:matmul(w):t():matmul(x) end,
  shared = function()
    local e = (x + 1):exp()
    return e / e:sum(2) + e:sort(2)
  end,
  moved = function() return wane.concat({ x:with({ { 1, 3 }, {} }, 0), x:flip(1) }, 2):cumsum(2) end,
  solved = function()
    local a = w:t():matmul(w) + wane.eye(64) * 64
    return a:cholesky():matmul(a:inverse())
  end,
  chosen = function() return (x:topk(5, 2)) + x:quantile(0.5, 2) end,
  written = function()
    local b = wane.buffer(x)
    for i = 1, 8 do b[{ i, {} }] = x[{ i + 8, {} }] end
    return b:freeze()
  end,
  quantized = function() return wane.int { bits = 4, group_size = 16 }:quantize(w):dequantize() end,
  forward = function() return model:forward(tokens) end,
  cached = function()
    local cache <close> = model:cache()
    model:forward(tokens[{ {}, { 1, 4 } }], cache)
    return model:forward(tokens[{ {}, { 5, 6 } }], cache)
  end,
  refused = function()
    assert(not pcall(function() return x:matmul(x) end))
    assert(not pcall(function() return wane.zeros { 1 << 20, 64 } + x[{ 1, 1 }]:item() + 0 .. "" end))
    return x + 0
  end,
}

local names, calm = {}, {}
for name, way in pairs(ways) do
  names[#names + 1] = name
  calm[name] = core.sha256(core.json(way():totable()))
end

local held, done = {}, {}
for round = 1, ROUNDS do
  local name = names[math.random(#names)]
  local y = ways[name]()
  held[math.random(HELD)] = { name = name, pending = y, later = y * 1 }
  local back = held[math.random(HELD)]
  if back then
    local seen = core.sha256(core.json(back.later:totable()))
    if seen ~= calm[back.name] then error(("round %d: %s is not what it was in the calm"):format(round, back.name)) end
    done[back.name] = (done[back.name] or 0) + 1
  end
end

-- More than there is: an error that lists what is live, and the script goes on.
local hoard = {}
local ok, problem = pcall(function()
  for i = 1, 64 do hoard[i] = core.flush(wane.ones { 512, 512 } * i) end
end)
assert(not ok and tostring(problem):find "memory: .* more do not fit", tostring(problem))
hoard = nil
held = nil
collectgarbage()
local use = wane.memory()
assert(use.live < 8 * 2 ^ 20, ("%d bytes are still live"):format(use.live))
assert(use.peak <= use.ceiling, "the ceiling was passed")
local kinds = 0
for _ in pairs(done) do kinds = kinds + 1 end
print(("storm: %d rounds, results of %d kinds as before, peak %.1f of %.1f MiB"):format(ROUNDS, kinds, use.peak / 2 ^ 20,
  use.ceiling / 2 ^ 20))
