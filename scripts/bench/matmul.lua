-- Products from Lua against oneDNN called directly: packed weights on both sides, and two plain operands; and what the
-- second thread brings. Sizes are rows x outputs x inner.
local wane  = require "wane"
local core  = require "wane.core"
local bench = require "wane.bench"

bench.machine()

local SIZES = { { 2048, 2048, 2048 }, { 512, 1536, 576 } }
local BARS  = { f32 = { 0.95, 0.95 }, bf16 = { 0.93, 0.93 }, i8 = { 0.90, 0.85 } }

local function numbers(shape, dtype)
  local x = wane.randn(shape)
  if dtype == "i8" then x = (x * 30):clamp(-127, 127):round() end
  x = x:to(dtype)
  core.flush(x)
  return x
end

local function report(what, size, dtype, bar, ours, theirs, rival)
  local flop = 2 * size[1] * size[2] * size[3]
  local function rate(seconds) return ("%.0f G%s/s"):format(flop / seconds / 1e9, dtype == "i8" and "op" or "F") end
  bench.report(("%s %d x %d x %d, %s"):format(dtype, size[1], size[2], size[3], what), theirs / ours, bar, rate(ours),
    rate(theirs) .. ", " .. rival:describe())
end

for place, size in ipairs(SIZES) do
  local m, n, k = table.unpack(size)
  local repeats = math.max(1, 4e9 // (2 * m * n * k) | 0)
  for _, dtype in ipairs { "bf16", "f32", "i8" } do
    local x, w = numbers({ m, k }, dtype), numbers({ n, k }, dtype)
    local packed = core.rival_matmul(x, w, true)
    local sums = dtype ~= "i8" and "f32" or nil
    local ours, theirs = bench.best({
      function() core.linear(x, w, nil, sums) end, function() packed:run() end }, repeats)
    report("packed weights", size, dtype, BARS[dtype][place], ours, theirs, packed)
    if place == 1 and dtype ~= "i8" then
      local plain, wt = core.rival_matmul(x, w, false), w:t()
      ours, theirs = bench.best { function() x:matmul(wt) end, function() plain:run() end }
      report("two plain operands", size, dtype, 0.85, ours, theirs, plain)
    end
  end
end
