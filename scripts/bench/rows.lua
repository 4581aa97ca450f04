-- Rows and columns: norms, softmax, rounding in groups against hand-written loops; what only reads against a read loop;
-- Hadamard transforms against memcpy of as many bytes; and what one operation costs in Lua.
local wane  = require "wane"
local core  = require "wane.core"
local bench = require "wane.bench"

bench.machine()

local function rate(bytes)
  return function(seconds) return ("%.1f GB/s"):format(bytes / seconds / 1e9) end
end

local function against(what, bar, bytes, ours, rival)
  local mine, theirs = bench.best { ours, function() rival:run() end }
  local text = rate(bytes)
  bench.report(what, theirs / mine, bar, text(mine), text(theirs) .. ", " .. rival:describe())
end

do
  local n = 2 ^ 26 | 0
  local a, b, c = core.flush(wane.randn { n }), core.flush(wane.randn { n }), core.flush(wane.randn { n })
  against("a*b + c, 2^26 f32", 0.9, 16 * n, function() core.flush(a * b + c) end, core.rival_mul_add(a, b, c))
end

local x = core.flush(wane.randn { 8192, 4096 })
local bytes = 4 * 8192 * 4096
local w = core.flush(wane.randn { 4096 })
against("rms_norm of rows of 4096", 0.7, 2 * bytes, function() core.flush(wane.rms_norm(x, w, 1e-6)) end,
        core.rival_rows("rms_norm", x))
against("softmax of rows of 4096", 0.7, 2 * bytes, function() core.flush(x:softmax(2)) end, core.rival_rows("softmax", x))
for group, bar in pairs { [32] = 0.5, [64] = 0.6, [128] = 0.6 } do
  local rows = x:reshape { -1, group }
  against(("fit and round in groups of %d"):format(group), bar, 2 * bytes, function()
    local scale = rows:absmax(2) / 15 * 2
    scale = wane.where(scale:eq(0), 1, scale)
    core.flush((rows / scale):round():clamp(-8, 7) * scale)
  end, core.rival_rows("fake_quant", x, group))
end

local read = core.rival_read(bytes)
against("absmax of columns", 0.7, bytes, function() core.flush(x:absmax(1)) end, read)
against("topk of 64 in rows of 4096", 0.4, bytes, function() x:topk(64, 2) end, read)
against("quantile of rows of 4096", 0.1, bytes, function() core.flush(x:quantile(0.99, 2)) end, read)
against("histogram, 100 bins", 0.2, bytes, function() core.histogram(x, -4, 4, 100) end, read)

for _, case in ipairs { { 4096, 0.6 }, { 12288, 0.4 }, { 576, 0.3 } } do
  local n, bar = case[1], case[2]
  local y = core.flush(wane.randn { 2 ^ 24 // n | 0, n })
  local payload = y.shape[1] * n * 4
  against(("hadamard of rows of %d"):format(n), bar, payload, function() core.flush(y:hadamard(2)) end,
          core.rival_copy(payload))
end

do
  local one, rounds = core.flush(wane.ones { 1 }), 20000
  local function chain()
    local y = one
    for i = 1, rounds do y = i % 32 == 0 and one or y + 1 end
  end
  local function flushes()
    for _ = 1, rounds do core.flush(one + 1) end
  end
  local deferred, flushed = bench.best { chain, flushes }
  local function us(seconds) return seconds / rounds * 1e6 end
  print(("%-44s %6.3f   bar %.2f   %s"):format("us for a deferred operation", us(deferred), 0.75,
    us(deferred) <= 0.75 and "met" or "above"))
  print(("%-44s %6.3f   bar %.2f   %s"):format("us for an operation and its flush", us(flushed), 3,
    us(flushed) <= 3 and "met" or "above"))
end
