-- GPTQ (Frantar et al. 2022, arXiv 2210.17323): columns are coded one by one and the ones that are left repay each
-- error, along the upper triangle u with u^T u = (H + damp I)^-1. One factorisation serves all layers that share an
-- input, its correction included:
--   precorrect  earlier layers are quantized, so the inputs are x, not the original x0. The weights that give the
--               original outputs on x are w' = w (C + d I)(H + d I)^-1 = w + w (C - H)(H + d I)^-1, with C the mean of
--               x0 x^T; the sweep starts from w + precorrect (w' - w).
--   spikes      tokens whose norm is above this ratio to the median count in H, not in the mean that damp is relative
--               to, and in the order for a quarter at most: a single massive token would make damping and order
--               useless for all others.
--   act_order   "static": columns by falling diagonal, parameters fitted once before; "group": whole groups by their
--               largest diagonal, columns inside by theirs; "none": as they stand; both fit a group when it is entered.
local core = require "wane.core"
local finite = require "wane.finite"
local options = require "wane.options"
local quantizer = require "wane.quantizer"
local sweep = require "wane.sweep"
local value = require "wane.value"

local gptq = {}

local RAISES, FACTOR = 4, 10 -- how often damp is raised, and by how much
local LEAST = 1e-6           -- and from where at least
local SPIKES_SHARE = 0.25    -- what spikes may weigh in the order of the columns, against all other tokens

-- -- the order --------------------------------------------------------------------------------------------------

local function falling(x) return x:argsort(1, "falling") end

-- Groups by their largest diagonal, columns inside by theirs: 1-based positions.
local function group_order(diagonal, size)
  local groups = diagonal.shape[1] // size
  local rows = core.flush(diagonal:reshape { groups, size })
  local by_group = falling(core.flush(rows:max(2)):reshape { groups })
  local inside = rows:argsort(2, "falling"):gather(1, by_group)
  return core.flush((by_group:reshape { groups, 1 } - 1) * size + inside):reshape { -1 }
end

-- What columns are ordered by: the diagonal, in which the excess of spikes counts as much as a quarter of all others.
-- Spikes of a few channels bring these to the front, where the others can repay them; spikes of all channels would
-- only shuffle the order.
local function weights_of(diagonal, calm)
  if not calm then return diagonal end
  local excess = core.flush((diagonal - calm):maximum(0))
  local all = excess:sum()
  if all <= SPIKES_SHARE * calm:sum() then return diagonal end
  return core.flush(calm + excess * (SPIKES_SHARE * calm:sum() / all))
end

local function order_of(self, weights, q)
  if self.act_order == "none" then return nil end
  if self.act_order == "group" then return group_order(weights, q.group_size or weights.shape[1]) end
  return falling(weights)
end

-- -- the triangle -----------------------------------------------------------------------------------------------

local function failed_pivot(problem)
  local message = type(problem) == "userdata" and problem.message or nil
  return message and message:find("positive definite", 1, true) and message
end

-- u for the columns in this order. Damp is raised when the Hessian is not positive definite: a deviation that the
-- caller shows. Returns u, the share that was used, and the message of the first failure.
local function triangle(h, diagonal, order, share, mean)
  local n, first = h.shape[1], nil
  local ordered = order and core.reorder(h, order) or h
  local dead = order and diagonal:gather(1, order) or diagonal
  for attempt = 0, RAISES do
    local damp = attempt == 0 and share or math.max(share, LEAST) * FACTOR ^ attempt
    local lam = damp * mean
    -- A column that no token uses is on its own: any pivot codes it as it stands.
    local added = core.where(dead:eq(0), dead + (lam > 0 and lam or 1), dead * 0 + lam)
    local good, u = pcall(core.damped_triangle, ordered, added)
    if good then
      if order then ordered:free() end
      return u, damp, first
    end
    local message = failed_pivot(u)
    if not message then error(u, 0) end
    first = first or message
  end
  core.fail(("wane.gptq: the Hessian is not positive definite, also with damp raised %d times to %g"):format(
    RAISES, math.max(share, LEAST) * FACTOR ^ RAISES), { notes = { { "first", first } } })
end

-- Factorisations by Hessian, so that all weights on one input share them for as long as the Hessian lives.
local kept_factors = setmetatable({}, { __mode = "k" })

-- What all weights on one input share: { order, inverse order, u, damp, dead, deviation }.
local function factored(self, q, seen)
  local kept = kept_factors[seen.hessian] or {}
  kept_factors[seen.hessian] = kept
  local size = self.act_order == "group" and q.group_size or 0
  local key = ("%s %d %.17g %s"):format(self.act_order, size, self.damp, tostring(self.spikes))
  if kept[key] and kept[key].calm == seen.calm then return kept[key] end
  local h = seen.hessian
  local diagonal = core.flush(h:diag())
  local calm = self.spikes and seen.calm and core.flush(seen.calm:to(h.dtype)):reshape { -1 } or nil
  local order = order_of(self, weights_of(diagonal, calm), q)
  local u, damp, deviation = triangle(h, diagonal, order, self.damp, (calm or diagonal):mean())
  kept[key] = {
    order = order, back = order and order:argsort(1), u = u, damp = damp, deviation = deviation, calm = seen.calm,
    dead = math.tointeger(diagonal:eq(0):to "f32":sum()), diagonal = diagonal,
  }
  return kept[key]
end

-- -- the correction ---------------------------------------------------------------------------------------------

-- w + share * w (C - H) u^T u, in w's order of columns. Where nothing changed before, C is H and w stays as it is.
local function corrected(w, h, c, f, share)
  local off = w:matmul(core.flush(c - h))
  if f.order then off = off:gather(2, f.order) end
  off = off:matmul(f.u:t()):matmul(f.u)
  if f.back then off = off:gather(2, f.back) end
  return core.flush(w + share * off)
end

-- -- the solver -------------------------------------------------------------------------------------------------

local WHERE = "wane.gptq:solve"

local function check_moments(what, m, n)
  if not core.is_tensor(m) then core.fail(("%s: %s a %s, expected a tensor"):format(WHERE, what, type(m))) end
  if #m.shape ~= 2 or m.shape[1] ~= n or m.shape[2] ~= n then
    core.fail(("%s: %s [%s], expected [%d x %d] for w's %d columns"):format(
      WHERE, what, table.concat(m.shape, " x "), n, n, n))
  end
end

local function check_given(w, q, seen)
  options.arg(WHERE, 1, "w", w, "tensor")
  options.arg(WHERE, 2, "quantizer", q, "quantizer")
  sweep.check_weights(WHERE, w, q)
  local h = type(seen) == "table" and seen.hessian
  if not core.is_tensor(h) then
    core.fail(WHERE .. ": argument 3 (seen) has no hessian; expected { hessian = h }")
  end
  check_moments("the hessian is", h, w.shape[2])
  if seen.cross then check_moments("the cross moments are", seen.cross, w.shape[2]) end
  if seen.calm and not core.is_tensor(seen.calm) then
    core.fail(("%s: calm is a %s, expected a tensor"):format(WHERE, type(seen.calm)))
  end
  if seen.calm and seen.calm:reshape { -1 }.shape[1] ~= w.shape[2] then
    core.fail(("%s: calm is [%s], expected [%d x 1]"):format(WHERE, table.concat(seen.calm.shape, " x "), w.shape[2]))
  end
  for _, name in ipairs { "hessian", "cross", "calm" } do
    if seen[name] and not finite(seen[name]) then
      core.fail(("%s: the %s NaN or Inf"):format(WHERE, name == "cross" and "cross moments have" or name .. " has"))
    end
  end
end

local OWN = { hessian = true, cross = true, calm = true }

-- What the quantizer is told of the inputs: all that was seen but the solver's own moments, and the mean square.
local function about_inputs(seen, f)
  local about = {}
  for name, result in pairs(seen) do
    if not OWN[name] then about[name] = result end
  end
  about.mean_square = about.mean_square or f.diagonal
  return about
end

-- w [out, in], f32 (f64 where both it and the Hessian are); seen: hessian [in, in], and where they are known cross
-- [in, in] and calm [in, 1], the mean square of each channel without spikes; what else is in it reaches the quantizer's
-- fit. Returns the quantized tensor and { damp, dead, deviation, loss } of the solve.
function gptq.solve(self, w, q, seen)
  check_given(w, q, seen)
  if w.shape[1] == 0 or w.shape[2] == 0 then return q:quantize(w), { dead = 0, loss = 0 } end
  local f = factored(self, q, seen)
  local wide = w.dtype == "f64" and seen.hessian.dtype == "f64"
  local aim = core.flush(wide and w or w:to "f32")
  if self.precorrect > 0 and seen.cross then
    aim = corrected(aim, seen.hessian, seen.cross, f, self.precorrect)
  end
  local about = about_inputs(seen, f)
  local params
  if self.act_order == "static" then params = (quantizer.fit_matrix(q, aim:to "f32", about)) end
  local state, used = sweep.run(aim, f.u, q, { order = f.order, params = params, seen = about })
  local packed = q:pack(state:codes(), used, w.dtype)
  return packed, { damp = f.damp, dead = f.dead, deviation = f.deviation, loss = state:row_losses():sum() }
end

function gptq.check(where, o)
  value.number(where, "damp", o.damp, 0, 1e6)
  value.one_of(where, "act_order", o.act_order, { "static", "group", "none" })
  value.number(where, "precorrect", o.precorrect, 0, 1)
  if o.spikes ~= false then value.number(where, "spikes", o.spikes, 1, math.huge) end
end

return gptq
