-- A fused expression from Lua against a hand-written loop with plain stores, over 2^26 numbers in f32.
local wane  = require "wane"
local core  = require "wane.core"
local bench = require "wane.bench"

bench.machine()
local n = 2 ^ 26 | 0
local a, b, c = wane.randn({ n }):to "f32", wane.randn { n }, wane.randn { n }
for _, x in ipairs { a, b, c } do core.flush(x) end

local function expression()
  core.flush(a:silu() * b + c * 0.5)
end
local rival = core.rival_silu(a, b, c)
local ours, theirs = bench.best { expression, function() rival:run() end }
local rate = function(seconds) return ("%.1f GB/s of 4 streams"):format(4 * 4 * n / seconds / 1e9) end
bench.report("silu(a)*b + 0.5c, 2^26 f32", theirs / ours, 0.9, rate(ours), rate(theirs) .. ", " .. rival:describe())
