-- The public names of quantization and measuring, in one table that wane's own takes over; registers x:hist().
local core = require "wane.core"
local evaluate = require "wane.evaluate"
local observers = require "wane.observers"
local quantizers = require "wane.quantizers"
local solvers = require "wane.solvers"

local recipes = {
  rules = require("wane.rules").new,
  quantize = require("wane.quantize").quantize,
  observe = require("wane.observe").observe,
  rotate = require("wane.rotate").rotate,
  smooth = require("wane.smooth").smooth,
  task = require("wane.tasks").task,
  evaluate = evaluate.evaluate,
  compare = evaluate.compare,
  time = require("wane.time").time,
  table = require("wane.table").new,
  observer = observers.own,
  solver = solvers.own,
  sweep = require("wane.sweep").sweep,
}

for _, name in ipairs { "int", "fp8", "nf4", "nvfp4", "mxfp4", "gguf", "quantizer" } do
  recipes[name] = quantizers[name]
end
for _, name in ipairs { "minmax", "absmax", "percentile", "mse", "mean_square", "token_ratio", "imatrix", "block_mse",
                        "hessian", "cross" } do
  recipes[name] = observers[name]
end
for _, name in ipairs { "rtn", "gptq" } do recipes[name] = solvers[name] end
for name, refuse in pairs((require "wane.unsupported")) do recipes[name] = refuse end

core.method("hist", function(x) return require("wane.chart").histogram(x) end)

return recipes
