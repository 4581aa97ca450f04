-- Fused expressions from Lua over 2^26 numbers in f32 against loops written by hand: with plain stores, and with stores
-- past the caches.
local wane  = require "wane"
local core  = require "wane.core"
local bench = require "wane.bench"

bench.machine()
local n = 2 ^ 26 | 0
local a, b, c = core.flush(wane.randn { n }), core.flush(wane.randn { n }), core.flush(wane.randn { n })
local function rate(seconds) return ("%.1f GB/s of 4 streams"):format(4 * 4 * n / seconds / 1e9) end

local plain, streaming = core.rival_silu(a, b, c, false), core.rival_silu(a, b, c, true)
local ours, theirs, past = bench.best { function() core.flush(a:silu() * b + c * 0.5) end,
  function() plain:run() end, function() streaming:run() end }
bench.report("silu(a)*b + 0.5c, 2^26 f32", theirs / ours, 0.9, rate(ours), rate(theirs) .. ", " .. plain:describe())
bench.report("the same, streaming", past / ours, 0.7, rate(ours), rate(past) .. ", " .. streaming:describe())
