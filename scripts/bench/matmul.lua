-- Products from Lua against oneDNN called directly, at 2048^3: packed weights on both sides, and two plain operands.
local wane  = require "wane"
local core  = require "wane.core"
local bench = require "wane.bench"

bench.machine()
local n = 2048
local flop = 2 * n ^ 3
local function rate(seconds) return ("%.0f GF/s"):format(flop / seconds / 1e9) end

for _, dtype in ipairs { "bf16", "f32" } do
  local x, w = wane.randn({ n, n }):to(dtype), wane.randn({ n, n }):to(dtype)
  core.flush(x)
  core.flush(w)
  local wt = w:t()
  local packed, plain = core.rival_matmul(x, w, true), core.rival_matmul(x, w, false)
  local ours, theirs, ours_plain, theirs_plain = bench.best {
    function() core.linear(x, w, nil, "f32") end, function() packed:run() end,
    function() x:matmul(wt) end, function() plain:run() end,
  }
  bench.report(dtype .. " 2048^3, packed weights", theirs / ours, 0.9, rate(ours), rate(theirs) .. ", " .. packed:describe())
  bench.report(dtype .. " 2048^3, two plain operands", theirs_plain / ours_plain, 0.85, rate(ours_plain),
    rate(theirs_plain) .. ", " .. plain:describe())
end
