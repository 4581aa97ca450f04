-- The demo model: a prompt of 512 tokens against the raw time of its products, decoding against a loop that reads as
-- many bytes, and the peak of resident memory of both against the size of the weights in bf16.
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

local ids = {}
for i = 1, 512 do ids[i] = (i * 37) % (vocabulary - 100) end
local prompt = core.tensor({ ids }, { dtype = "i32" })
local function forward() core.flush(model:forward(prompt)) end

local cache = model:cache()
core.flush(model:forward(core.tensor({ { table.unpack(ids, 1, 32) } }, { dtype = "i32" }), cache))
local one = core.tensor({ { 5 } }, { dtype = "i32" })
local function decode()
  for _ = 1, 16 do core.flush(model:forward(one, cache)) end
end
forward()
decode()
local peak, bytes = core.memory().resident_peak, weights * 2
print(("peak resident %.0f MiB, bar 1.5 x %.0f + 128 = %.0f MiB   %s"):format(peak / 2 ^ 20, bytes / 2 ^ 20,
  1.5 * bytes / 2 ^ 20 + 128, peak <= 1.5 * bytes + 2 ^ 27 and "met" or "above"))

local raw, read = core.rival_products(products(512), dtype), core.rival_read(weights * width)
local whole, matmuls = bench.best { forward, function() raw:run() end }
bench.report("raw matmul time / forward of 512 tokens", matmuls / whole, 0.5, ("%.1f ms"):format(whole * 1e3),
  ("%.1f ms, %s"):format(matmuls * 1e3, raw:describe()))
local step, reading = bench.best { decode, function() read:run() end }
step = step / 16
bench.report("decode bytes/s / read loop", reading / step, 0.4, ("%.1f ms a token"):format(step * 1e3),
  ("%.1f ms, %s"):format(reading * 1e3, read:describe()))
