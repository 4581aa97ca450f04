-- What the second thread brings: a product, and a map that is bound by arithmetic and not by memory.
local wane  = require "wane"
local core  = require "wane.core"
local bench = require "wane.bench"

bench.machine()
if core.options.threads < 2 then
  print "one thread only: nothing to compare"
  return
end

local function with(threads, f)
  return function()
    core.set_threads(threads)
    f()
  end
end

local function compare(what, f)
  core.set_threads(1)
  local one, two = bench.best { with(1, f), with(2, f) }
  bench.report(what .. ", 2 threads / 1 thread", one / two, 1.8, ("%.1f ms"):format(two * 1e3),
    ("%.1f ms with one thread"):format(one * 1e3))
end

for _, dtype in ipairs { "bf16", "f32" } do
  local x, w = wane.randn({ 2048, 2048 }):to(dtype), wane.randn({ 2048, 2048 }):to(dtype)
  core.flush(x)
  core.flush(w)
  compare(dtype .. " 2048^3", function() core.linear(x, w, nil, "f32") end)
end

local x = wane.randn { 2 ^ 22 | 0 }
core.flush(x)
compare("tanh(sin(exp(x))), 2^22 f32", function() core.flush(x:exp():sin():tanh()) end)
