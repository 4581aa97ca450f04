-- The GPTQ solve of one weight, its Hessian given: int4 per channel, extremes, columns as they stand, no correction; and
-- what its two parts, the triangle and the sweep, take alone. tests/oracles/gptq_speed.py times the paper's loop in
-- PyTorch beside it.
--
--   wane run scripts/bench/gptq.lua [ROWS COLUMNS REPEATS]
local wane  = require "wane"
local core  = require "wane.core"
local bench = require "wane.bench"

local rows, columns, repeats = ...
local int4 = wane.int { bits = 4, per = "channel" }
local gptq = wane.gptq { act_order = "none", precorrect = 0 }

-- Not the moments of real tokens, which would take longer to make than to factor: some directions and a floor.
local function hessian(n)
  local a = wane.randn { n, 256 }
  return core.flush(a:matmul(a:t()) / 256 + wane.eye(n) * 0.5)
end

local function prepared(m, n)
  local w, h = core.flush(wane.randn { m, n }), hessian(n)
  return w, h, core.flush(h + 0.01 * core.flush(h:diag()):mean() * wane.eye(n))
end

if rows then
  local m, n = math.tointeger(tonumber(rows)), math.tointeger(tonumber(columns))
  local w, h = prepared(m, n)
  local best = math.huge
  for _ = 1, math.tointeger(tonumber(repeats or 5)) do
    local start = core.seconds()
    gptq:solve(w, int4, { hessian = h })
    best = math.min(best, core.seconds() - start)
  end
  print(("seconds %.6f"):format(best))
  return
end

bench.machine()
for _, shape in ipairs { { 2048, 2048 }, { 2048, 6144 } } do
  local m, n = shape[1], shape[2]
  local w, h, damped = prepared(m, n)
  local u = core.flush(damped:inverse_upper())
  local whole, triangle, walk = bench.best {
    function() gptq:solve(w, int4, { hessian = h }) end,
    function() core.flush(damped:inverse_upper()) end,
    function() wane.sweep(w, u, int4) end,
  }
  bench.report(("gptq [%d x %d]: its parts / the whole"):format(m, n), (triangle + walk) / whole, 0.9,
    ("%.1f ms"):format(whole * 1e3), ("triangle %.1f ms, sweep %.1f ms (%.0f GF/s)"):format(
      triangle * 1e3, walk * 1e3, m * n * n / walk / 1e9))
end
