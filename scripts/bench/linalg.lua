-- Cholesky and inverse_upper against LAPACK by the same route (OpenBLAS: potrf, then trtri), of a positive definite
-- matrix such as GPTQ factors: its demo model's sizes and 2048, whose ratio has a bar.
local wane  = require "wane"
local core  = require "wane.core"
local bench = require "wane.bench"

-- OpenBLAS's threads go on spinning for a while after a call; what follows one shall not share the cores with them.
local function settle()
  local start = core.seconds()
  while core.seconds() - start < 0.05 do end
end

local function compare(dtype, n, bar)
  local z = wane.randn({ 2 * n, n }):to(dtype)
  local x = z:t():matmul(z) / (2 * n) + wane.eye(n):to(dtype) * 0.01
  core.flush(x)
  for _, what in ipairs { "cholesky", "inverse_upper" } do
    local invert = what == "inverse_upper"
    local rival = core.rival_lapack(x, invert)
    if not rival then
      print(("%s %s of %d: skipped, libopenblas.so.0 is not installed"):format(dtype, what, n))
    else
      local flop = (invert and 2 or 1) * n ^ 3 / 3
      local function rate(seconds) return ("%.1f GF/s, %.2f ms"):format(flop / seconds / 1e9, seconds * 1e3) end
      local _, theirs, _, ours = bench.best {
        settle, function() rival:run() end, settle, function() x[what](x) end,
      }
      bench.report(("%s %s of %d"):format(dtype, what, n), theirs / ours, bar, rate(ours),
        rate(theirs) .. ", " .. rival:describe())
    end
  end
end

bench.machine()
for _, n in ipairs { 576, 1536, 2048 } do
  compare("f32", n, 0.8)
  compare("f64", n, 0.5)
end
