-- wane.sweep: the column recurrence of GPTQ-like solvers. The engine owns the walk (columns, blocks, repayments) with
-- the quantizer's encode and decode built in; here are the order, the groups and what is fitted when.
local core = require "wane.core"
local finite = require "wane.finite"
local observers = require "wane.observers"
local options = require "wane.options"
local quantizer = require "wane.quantizer"
local value = require "wane.value"

local sweep = {}

local FLOATS = { f64 = true, f32 = true, bf16 = true, f16 = true }

-- The quantizer's maps, traced for parameters of these widths. Codes and values come out in w's dtype.
local function traced(q, params, dtype)
  local widths = {}
  for name, p in pairs(params) do widths[name] = p.shape[2] end
  return core.sweep_maps(function(x, p)
    local codes = quantizer.encode_rows(q, x, p):to "f32"
    return codes:to(dtype), quantizer.decode_rows(q, codes, p):to(dtype)
  end, widths, dtype, q.bits)
end

local function in_order(params, names)
  local result = {}
  for i, name in ipairs(names) do result[i] = params[name] end
  return result
end

-- -- groups fitted on the way -----------------------------------------------------------------------------------

-- The groups in the order in which the sweep comes to them; an error where their columns are mixed.
local function group_order(order, columns, size)
  local groups = columns // size
  if not order then
    local list = {}
    for g = 1, groups do list[g] = g end
    return list
  end
  local of = core.flush(((order - 1) / size):floor():to "i32" + 1):reshape { groups, size }
  local first = of[{ {}, { 1, 1 } }]
  if not of:eq(first):all() then
    core.fail("wane.sweep: the order mixes the columns of different groups, and no params are given", {
      hint = "order whole groups, or fit first: params = quantizer:fit(w)" })
  end
  return first:reshape { -1 }:totable()
end

-- Statistics of the input channels for the columns of one group as the sweep meets them, cut like its rows.
local function seen_of_group(q, seen, columns, rows)
  local met = {}
  for name, s in pairs(seen or {}) do
    met[name] = core.is_tensor(s) and s:reshape { -1 }:gather(1, columns) or s
  end
  return quantizer.seen_rows(q, met, { rows, q.group_size })
end

-- A scale beyond its stored dtype would make every code of its row nonsense.
local function check_fitted(q, params)
  for name, p in pairs(params) do
    if not finite(p) then
      core.fail(("%s: '%s' is not finite in %s"):format(q.name, name, name == "zero" and q.zero_dtype or q.scale_dtype),
                { hint = 'scale_dtype = "bf16" or "f32" has a wider range' })
    end
  end
  return params
end

local function fit_group(q, x, seen)
  local lo, hi
  if q.observer or not value.class(q).user then lo, hi = observers.range(q, x, false, seen) end
  return quantizer.flushed(quantizer.params(q, x, lo, hi, seen))
end

-- Parameters of all groups [rows * groups, k] from those of each, [rows, k].
local function joined(parts, rows)
  local params = {}
  for name in pairs(parts[1]) do
    local pieces = {}
    for g, part in ipairs(parts) do pieces[g] = part[name]:reshape { rows, 1, -1 } end
    params[name] = core.flush(core.concat(pieces, 2)):reshape { rows * #parts, -1 }
  end
  return params
end

local function sweep_groups(state, q, w, order, seen)
  local rows, columns, size = w.shape[1], w.shape[2], q.group_size
  local parts = {}
  for place, g in ipairs(group_order(order, columns, size)) do
    local first = (place - 1) * size + 1
    local met = order and order[{ { first, first + size - 1 } }] or core.arange(first, first + size - 1)
    local x = core.flush(state:next_columns(size):to "f32")
    local params = fit_group(q, x, seen_of_group(q, seen, met, rows))
    local maps, names = traced(q, check_fitted(q, params), w.dtype)
    state:advance(size, maps, in_order(params, names))
    parts[g] = params
  end
  return joined(parts, rows)
end

-- -- the call ---------------------------------------------------------------------------------------------------

-- The parameters that a built-in quantizer cannot do without.
local function check_names(q, params)
  if value.class(q).user then return end
  local zero = core.zeros { 1, 1 }
  for name in pairs(quantizer.params(q, zero, zero, zero)) do
    if params[name] == nil then
      core.fail(("wane.sweep: params: '%s' is missing; expected what %s:fit(w) gives"):format(name, q.name))
    end
  end
end

local function check_params(q, params, w)
  check_names(q, params)
  local size = quantizer.group_of(q)
  local sets = size and w.shape[1] * (w.shape[2] // size) or q.per == "tensor" and 1 or w.shape[1]
  for name, p in pairs(params) do
    if not core.is_tensor(p) or #p.shape ~= 2 or p.shape[1] ~= sets then
      local found = core.is_tensor(p) and "[" .. table.concat(p.shape, " x ") .. "]" or "a " .. type(p)
      core.fail(("wane.sweep: params: '%s' is %s, expected [%d x k] as %s:fit(w) gives"):format(
        tostring(name), found, sets, q.name))
    end
  end
  return params
end

local function order_of(order, columns)
  if order == nil then return nil end
  if type(order) == "table" then order = core.tensor(order, { dtype = "i32" }) end
  if #order.shape ~= 1 or order.shape[1] ~= columns then
    core.fail(("wane.sweep: order is [%s], expected one position for each of %d columns"):format(
      table.concat(order.shape, " x "), columns))
  end
  return order
end

local function check_finite(w)
  if finite(w) then return end
  local row, column = w:isfinite():to "f32":argmin()
  core.fail(("wane.sweep: w has NaN or Inf, the first at row %d, column %d"):format(row, column))
end

-- The state after all columns and the parameters: what solvers inside the library want.
function sweep.run(w, u, q, given)
  check_finite(w)
  local order = order_of(given.order, w.shape[2])
  local state = core.sweep(w, u, order, given.second)
  local params = given.params
  if params then
    params = quantizer.flushed(quantizer.settle(q, check_params(q, params, w)))
  elseif (quantizer.group_of(q) or w.shape[2]) == w.shape[2] then
    params = quantizer.fit_matrix(q, w, given.seen)
  end
  if params then
    check_fitted(q, params)
    local maps, names = traced(q, params, w.dtype)
    state:advance(w.shape[2], maps, in_order(params, names), quantizer.group_of(q))
    return state, params
  end
  return state, sweep_groups(state, q, w, order, given.seen)
end

local function check_matrix(where, name, x)
  if #x.shape ~= 2 then
    core.fail(("%s: %s is [%s], expected a matrix"):format(where, name, table.concat(x.shape, " x ")))
  end
  if not FLOATS[x.dtype] then core.fail(("%s: %s is %s, expected floats"):format(where, name, x.dtype)) end
end

-- Raises unless w is a matrix that q can code.
function sweep.check_weights(where, w, q)
  check_matrix(where, "w", w)
  if value.class(q).unsupported then core.fail("not supported yet: wane." .. q.name) end
  local size = quantizer.group_of(q)
  if size and w.shape[2] % size ~= 0 then
    core.fail(("%s: group_size %d does not divide the %d columns"):format(where, size, w.shape[2]))
  end
end

-- wane.sweep(w, u, quantizer, { order, params, second }): a quantized tensor and the errors e [out, in].
-- w [out, in] f32 or f64; u [in, in] upper triangular, in the order of the sweep; order: positions of columns, 1-based;
-- params: as quantizer:fit gives, else fitted when the sweep enters a group, on the updated weights; second: a further
-- triangle, w_k += w_j second_jk (GPTAQ).
function sweep.sweep(w, u, q, given)
  local where = "wane.sweep"
  options.arg(where, 1, "w", w, "tensor")
  options.arg(where, 2, "u", u, "tensor")
  options.arg(where, 3, "quantizer", q, "quantizer")
  local set = options.check(where, given, {}, { "order", "params", "second" })
  sweep.check_weights(where, w, q)
  check_matrix(where, "u", u)
  if set.order ~= nil then options.arg(where, nil, "order", set.order, "tensor|table") end
  if set.params ~= nil then options.arg(where, nil, "params", set.params, "table") end
  if set.second ~= nil then
    options.arg(where, nil, "second", set.second, "tensor")
    check_matrix(where, "second", set.second)
  end
  if w.shape[1] == 0 or w.shape[2] == 0 then return q:quantize(w), core.zeros(w.shape, { dtype = "f32" }) end
  local exact = w.dtype == "f64" and w or w:to "f32"
  set.seen = quantizer.learned(q)
  local state, params = sweep.run(core.flush(exact), u, q, set)
  return q:pack(state:codes(), params, w.dtype), state:errors()
end

return sweep
