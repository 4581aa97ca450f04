-- The demo model: a prompt of 512 tokens against the raw time of its products, decoding against a loop that reads as
-- many bytes, what of it is not arithmetic, and the peak of resident memory against the size of the weights in bf16.
local wane  = require "wane"
local core  = require "wane.core"
local bench = require "wane.bench"

bench.machine()
local model  = wane.load "smollm2"
local config = model.config
local hidden, inner, vocabulary = config.hidden_size, config.intermediate_size, config.vocab_size
local head_dim = config.head_dim or hidden // config.num_attention_heads
local keys     = config.num_key_value_heads * head_dim

local function products(rows)
  local sizes = {}
  local function add(n, k, f32)
    table.move({ rows, n, k, f32 or 0 }, 1, 4, #sizes + 1, sizes)
  end
  for _ = 1, config.num_hidden_layers do
    add(hidden, hidden) add(keys, hidden) add(keys, hidden) add(hidden, hidden)
    add(inner, hidden) add(inner, hidden) add(hidden, inner)
  end
  add(vocabulary, hidden, 1) -- logits are f32
  return sizes
end

local weights = 0
local one_row = products(1)
for i = 1, #one_row, 4 do weights = weights + one_row[i + 1] * one_row[i + 2] end
local dtype = core.native_bf16() and "bf16" or "f32"
local width = dtype == "bf16" and 2 or 4

local TOKENS = 16
local one = core.tensor({ { 5 } }, { dtype = "i32" })

-- A function that decodes TOKENS tokens, with 32 before them.
local function decoder(of)
  local prompt = {}
  for i = 1, 32 do prompt[i] = i end
  local cache = of:cache()
  core.flush(of:forward(core.tensor({ prompt }, { dtype = "i32" }), cache))
  return function()
    for _ = 1, TOKENS do core.flush(of:forward(one, cache)) end
  end
end

local ids = {}
for i = 1, 512 do ids[i] = (i * 37) % (vocabulary - 100) end
local prompt = core.tensor({ ids }, { dtype = "i32" })
local function forward() core.flush(model:forward(prompt)) end

local decode = decoder(model)
forward()
for _ = 1, 64 // TOKENS do decode() end
local peak, bytes = core.memory().resident_peak, weights * 2
local bar = 1.3 * bytes + 96 * 2 ^ 20
print(("peak resident %.0f MiB, bar 1.3 x %.0f + 96 = %.0f MiB   %s"):format(peak / 2 ^ 20, bytes / 2 ^ 20,
  bar / 2 ^ 20, peak <= bar and "met" or "above"))

local raw, read = core.rival_products(products(512), dtype), core.rival_read(weights * width)
local whole, matmuls = bench.best { forward, function() raw:run() end }
bench.report("raw matmul time / forward of 512 tokens", matmuls / whole, 0.65, ("%.1f ms"):format(whole * 1e3),
  ("%.1f ms, %s"):format(matmuls * 1e3, raw:describe()))
local step, reading = bench.best { decode, function() read:run() end }
step = step / TOKENS
bench.report("decode bytes/s / read loop", reading / step, 0.6, ("%.1f ms a token"):format(step * 1e3),
  ("%.1f ms, %s"):format(reading * 1e3, read:describe()))

-- The same layers with next to nothing in them: what is left is Lua, the flushes and the calls.
local small = {}
for key, value in pairs(config) do small[key] = value end
small.hidden_size, small.intermediate_size, small.vocab_size = 64, 64, 64
small.num_attention_heads, small.num_key_value_heads, small.head_dim = 1, 1, 64
local overhead = bench.best { decoder(wane.model(config.architectures[1], small)) } / TOKENS
print(("Lua, flushes and calls of one token: %.2f ms, bar 1 ms   %s"):format(overhead * 1e3,
  overhead <= 1e-3 and "met" or "above"))
