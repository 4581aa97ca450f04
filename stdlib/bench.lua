-- Ratios of our times to rivals' in one run: interleaved, warmed, the best of five each. Figures of two runs are never
-- divided, for machines and their neighbours differ.
local core = require "wane.core"

local M = {}

local ROUNDS = 5
local PAUSE = 0.03 -- seconds: oneDNN's threads spin on after a product and would take a core from what comes next

local function once(f, repeats)
  local ready = core.seconds() + PAUSE
  while core.seconds() < ready do end
  local start = core.seconds()
  for _ = 1, repeats do f() end
  return (core.seconds() - start) / repeats
end

-- The best seconds of each function, in the order given; every function runs once unmeasured first.
function M.best(functions, repeats)
  local best = {}
  for i, f in ipairs(functions) do
    f()
    best[i] = math.huge
  end
  for _ = 1, ROUNDS do
    for i, f in ipairs(functions) do best[i] = math.min(best[i], once(f, repeats or 1)) end
  end
  return table.unpack(best)
end

-- Prints one line: what, the ratio, the bar it is held to, and both sides.
function M.report(what, ratio, bar, ours, rival)
  print(("%-44s %6.3f   bar %.2f   %s"):format(what, ratio, bar, ratio >= bar and "met" or "below"))
  print(("%44s ours  %s"):format("", ours))
  print(("%44s rival %s"):format("", rival))
end

function M.machine()
  print(core.machine())
end

return M
