-- Solvers: how the codes of one weight are chosen. wane.rtn rounds to nearest with the range that the quantizer's
-- observer finds; wane.gptq codes column by column; wane.solver defines one of the user's own.
local core = require "wane.core"
local gptq = require "wane.gptq"
local observers = require "wane.observers"
local options = require "wane.options"
local quantizer = require "wane.quantizer"
local value = require "wane.value"

local solvers = {}

local function define(name, given, solve, check)
  local order, defaults = {}, {}
  local methods = options.methods("solver", function(s) return value.is(s, "solver") end)
  methods.solve = solve
  for _, option in ipairs(given) do
    order[#order + 1] = option[1]
    defaults[option[1]] = option[2]
  end
  return value.define {
    kind = "solver", name = name, order = order, defaults = defaults, methods = methods, check = check,
    open = { needs = true },
  }
end

-- w: [out, in]; returns a quantized tensor of w's shape and dtype.
solvers.rtn = define("rtn", {}, function(_, w, q, seen)
  options.arg("wane.rtn:solve", 1, "w", w, "tensor")
  options.arg("wane.rtn:solve", 2, "quantizer", q, "quantizer")
  return q:quantize(w, seen)
end)

solvers.gptq = define("gptq", { { "damp", 0.01 }, { "act_order", "static" }, { "precorrect", 0.5 }, { "spikes", 64 } },
                      gptq.solve, gptq.check)

-- What a solver wants to know of its input: a list of observers.
function solvers.needs(solver)
  local class = value.class(solver)
  if class.name == "gptq" and not class.user then
    local needs = { observers.hessian }
    if solver.spikes then needs[#needs + 1] = observers.calm { spikes = solver.spikes } end
    if solver.precorrect > 0 then needs[#needs + 1] = observers.cross end
    return needs
  end
  return class.methods.needs or {}
end

local OPEN = { solve = true, needs = true }

-- Raises unless `needs` of a user's solver or quantizer is a list of observers.
function solvers.check_needs(class, needs)
  if type(needs) ~= "table" or value.class(needs) then
    core.fail(("%s: needs is %s, expected a list of observers"):format(class.name, options.describe(needs)))
  end
  for i, need in ipairs(needs) do
    if not value.is(need, "observer") then
      core.fail(("%s: needs: entry %d is a %s, expected an observer such as wane.hessian"):format(
        class.name, i, type(need)))
    end
  end
end

-- A user's solve, on bare matrices too: whoever calls it, its quantizer says how many columns share a scale.
local function solving(solve)
  return function(self, w, q, seen, ...)
    local known = value.is(q, "quantizer") and core.is_tensor(w) and #w.shape == 2
    return solve(self, w, known and quantizer.told(q, w.shape[2], quantizer.learned(q) or seen) or q, seen, ...)
  end
end

-- wane.solver(name, options): a solver of the user's own; solve and needs are assigned to it.
function solvers.own(name, options)
  if type(name) ~= "string" then core.fail(("wane.solver: name is a %s, expected a string"):format(type(name))) end
  if value.is(solvers[name], "solver") then
    core.fail(("wane.solver: '%s' is built in; give another name"):format(name))
  end
  options = options or {}
  local defaults = {}
  local order = value.own_options("wane.solver", options, {})
  for key, default in pairs(options) do defaults[key] = default end
  return value.define {
    kind = "solver", name = name, order = order, defaults = defaults, user = true, open = OPEN,
    define = function(class, key, new)
      if key == "needs" then return solvers.check_needs(class, new) end
      if type(new) ~= "function" then
        core.fail(("%s: %s is a %s, expected a function"):format(class.name, key, type(new)))
      end
      return solving(new)
    end,
  }
end

return solvers
