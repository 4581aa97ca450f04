-- What wane.quantize does with a text: one pass, all samples site by site. At a site its layers' static input ranges
-- are found and frozen, what the solvers need is learned from the inputs as they will be (transformed and rounded),
-- and the weights are solved, stacked where their schemes agree; then the samples go on with what was found.
local caches = require "wane.cache"
local core = require "wane.core"
local finite = require "wane.finite"
local fold = require "wane.fold"
local inputs = require "wane.inputs"
local moments = require "wane.moments"
local observers = require "wane.observers"
local quantizer = require "wane.quantizer"
local solvers = require "wane.solvers"
local stages = require "wane.stages"
local time = require "wane.time"
local value = require "wane.value"

local calibrate = {}

local function is_quantizer(x) return type(x) ~= "string" end
calibrate.is_quantizer = is_quantizer

-- -- who needs the text -----------------------------------------------------------------------------------------

-- Observers of the input that the weight of this row of the plan needs.
function calibrate.needs(row)
  if not is_quantizer(row.weight) then return {} end
  local needs, known = {}, {}
  local function add(list)
    for _, need in ipairs(list) do
      if not known[tostring(need)] then
        known[tostring(need)] = true
        needs[#needs + 1] = need
      end
    end
  end
  add(solvers.needs(row.solver))
  local class = value.class(row.weight)
  if class.user then add(class.row.needs or class.methods.needs or {}) end
  local observer = row.weight.observer
  if observer and value.class(observer).weighs and row.solver.name ~= "gptq" then add { observers.mean_square } end
  return needs
end

-- What a row of the plan wants a text for, in words; nil when nothing.
function calibrate.reason(row)
  if is_quantizer(row.input) and inputs.is_static(row.input) then
    return ("input = %s is static"):format(tostring(row.input))
  end
  if #calibrate.needs(row) == 0 then return nil end
  if #solvers.needs(row.solver) > 0 then return ("solver = %s learns from the inputs"):format(tostring(row.solver)) end
  return ("weight = %s learns from the inputs"):format(tostring(row.weight))
end

-- -- static inputs ----------------------------------------------------------------------------------------------

-- The range an observer finds, with as many rows as the quantizer needs.
local function range_of(q, samples, where)
  local needed = inputs.rows(q)
  local a, b = inputs.observe(q.observer, q.observer.per or needed, samples, q, where)
  local lo, hi = observers.as_range(a, b)
  local rows = needed == "channel" and samples[1].shape[2] or 1
  return observers.of_rows(("observer '%s': %s"):format(q.observer.name, where), lo, hi, rows)
end

-- -- ranges by the block's output --------------------------------------------------------------------------------

local BLOCK_SAMPLES, BLOCK_TOKENS = 8, 1024 -- of the text, that a search by the block's output runs on
local LEAST, COARSE, FINE = 0.25, 0.1, 0.02 -- factors of the whole range: least, and steps around the best so far

-- The block ("layers.3") that a layer is part of.
local function block_of(name) return name:match "^(.-%.%d+)%." end
calibrate.block_of = block_of

local function wants_block(row)
  return is_quantizer(row.input) and inputs.is_static(row.input) and value.class(row.input.observer).by_block
end

-- What a block gives for each of its held inputs when the input of these layers is rounded by `entry` (false: not).
local function block_outputs(model, block, layers, entry, held)
  local changes = {}
  for _, name in ipairs(layers) do changes[name] = { input = entry } end
  local run = model:_derive(changes)(block)
  local outputs = {}
  for i, x in ipairs(held) do
    local cache = caches.transient()
    caches.enter(cache, 1, x.shape[1], nil, "block_mse")
    outputs[i] = core.flush(run(x:reshape { 1, x.shape[1], x.shape[2] }, cache))
  end
  return outputs
end

-- The range p * (lo, hi) of a static input whose rounding changes the block's output least, over coarse factors, then
-- finer ones around the best (PrefixQuant's search, Chen et al. 2024). held: inputs of the block.
local function block_range(q, xs, model, block, layers, held)
  local lo, hi = observers.extremes(xs, inputs.rows(q))
  if not (lo:isfinite():all() and hi:isfinite():all()) then
    core.fail(("observer 'block_mse': %s: NaN or Inf in its input, %s"):format(layers[1], inputs.first_bad(xs)))
  end
  local exact = block_outputs(model, block, layers, false, held)
  local tried, best, least = {}, 1, math.huge
  local function try(p)
    local key = math.floor(p / FINE + 0.5)
    if p < LEAST - 1e-9 or p > 1 + 1e-9 or tried[key] then return end
    tried[key] = true
    local entry, off = inputs.static(q, lo * p, hi * p), 0
    for i, y in ipairs(block_outputs(model, block, layers, entry, held)) do
      off = off + (y:to "f32" - exact[i]:to "f32"):square():sum()
    end
    if off < least then best, least = p, off end
  end
  for step = 0, math.floor((1 - LEAST) / COARSE) do try(1 - step * COARSE) end
  local around = best
  for step = 1, math.floor(COARSE / FINE) - 1 do
    try(around + step * FINE)
    try(around - step * FINE)
  end
  return core.flush(lo * best), core.flush(hi * best)
end

-- The first tokens of the first samples of a block's input.
local function held_samples(xs)
  local held = {}
  for i = 1, math.min(BLOCK_SAMPLES, #xs) do
    held[i] = core.flush(xs[i][{ { 1, math.min(BLOCK_TOKENS, xs[i].shape[1]) }, {} }] + 0)
  end
  return held
end

-- The input entry of each layer of a site: found for static ones, what the layer has for the others.
local function input_entries(work, model, xs, current, held)
  local made = {}
  for _, item in ipairs(work) do
    local q = item.row.input
    if is_quantizer(q) and inputs.is_static(q) then
      for _, other in ipairs(made) do
        if other.q == q then item.entry = other.entry end
      end
      if not item.entry and wants_block(item.row) then
        local block, layers = block_of(item.row.layer), {}
        for _, other in ipairs(work) do
          if other.row.input == q then layers[#layers + 1] = other.row.layer end
        end
        item.entry = inputs.static(q, block_range(q, xs, current(), block, layers, held[block]))
      end
      item.entry = item.entry or inputs.static(q, range_of(q, xs, item.row.layer))
      made[#made + 1] = { q = q, entry = item.entry }
      item.change.input = item.entry
    else
      item.entry = model(item.row.layer)._state.input
    end
  end
end

-- -- what is learned --------------------------------------------------------------------------------------------

-- The key under which a result reaches a solver: the observer's name.
local function result_of(a, b)
  local function plain(x)
    local one = x:reshape { -1 }
    return one.shape[1] == 1 and one:item() or x
  end
  if b then return { plain(a), plain(b) } end
  return plain(a)
end

local function rounded_samples(entry, xs)
  if not entry then return xs end
  local rounded = {}
  for i, x in ipairs(xs) do rounded[i] = core.flush(entry.apply(x)) end
  return rounded
end

-- Lessons of one input: results of observers, each made when it is first asked for. x0s are the originals, or nil
-- where nothing before has changed anything: they would be xs.
local function lessons(xs, x0s, where)
  local known, tables, tokens = {}, {}, 0
  for _, x in ipairs(xs) do tokens = tokens + x.shape[1] end
  local function result(need)
    local class, key = value.class(need), tostring(need)
    if known[key] == nil then
      local self = observers.start(need, need.per or (class.raw and "tensor") or "channel", { total = tokens })
      self.hessian = known.hessian
      for i, x in ipairs(xs) do observers.see(self, need, x, (x0s or xs)[i]) end
      local a, b = observers.finish(self, need)
      inputs.check_results(need, where, { a, b }, xs, x0s)
      known[key] = class.raw and a or result_of(a, b)
    end
    return known[key]
  end
  -- Hessian and cross moments, where both are wanted, take one reading of the inputs.
  local function both(needs)
    local wanted = 0
    for _, need in ipairs(needs) do
      if need == observers.hessian or need == observers.cross then wanted = wanted + 1 end
    end
    if wanted < 2 or not x0s or known.hessian ~= nil then return end
    known.hessian, known.cross = moments.both(xs, x0s)
    inputs.check_results(observers.hessian, where, { known.hessian }, xs)
    inputs.check_results(observers.cross, where, { known.cross }, xs, x0s)
  end
  -- What a row's solver and quantizer asked for, by name. Rows that ask for the same share the table, and so what a
  -- solver keeps in it. wane.gptq itself does without the cross moments of unchanged inputs.
  local function of(row)
    local needs, labels = calibrate.needs(row), {}
    for i, need in ipairs(needs) do labels[i] = tostring(need) end
    local key = table.concat(labels, "\0")
    if not tables[key] then
      local seen, spares = {}, not x0s and not value.class(row.solver).user
      both(needs)
      for _, need in ipairs(needs) do
        if not (spares and value.class(need).original) then seen[need.name] = result(need) end
      end
      tables[key] = seen
    end
    return tables[key], tokens
  end
  return of
end

-- -- solving ----------------------------------------------------------------------------------------------------

-- Groups of items that share rounding, scheme and solver, in model order.
local function grouped(work, same)
  local groups = {}
  for _, item in ipairs(work) do
    local home
    for _, group in ipairs(groups) do
      if same(group[1], item) then home = group end
    end
    if not home then
      home = {}
      groups[#groups + 1] = home
    end
    home[#home + 1] = item
  end
  return groups
end

local function same_rounding(a, b)
  local p, q = a.entry, b.entry
  return p == q or (p and q and p.quantizer == q.quantizer and p.static == q.static)
end

local function same_scheme(a, b)
  return a.row.weight == b.row.weight and a.row.solver == b.row.solver and a.row.weight.per ~= "tensor"
end

local function check_finite(name, w)
  if finite(w) then return end
  local row, column = w:isfinite():to "f32":argmin()
  core.fail(("wane.quantize: %s: its weight has NaN or Inf, the first at row %d, column %d"):format(name, row, column))
end
calibrate.check_finite = check_finite

local function check_params(name, packed)
  for key, p in pairs(core.attached(packed).fields.params) do
    if not finite(p:to "f32") then
      core.fail(("wane.quantize: %s: '%s' is not finite in %s"):format(name, key, p.dtype),
                { hint = 'scale_dtype = "bf16" or "f32" has a wider range' })
    end
  end
end

-- The solver's work; what goes wrong in it names the layers.
local function solved(solver, w, q, seen, names)
  local good, packed, info = pcall(solver.solve, solver, w, q, seen)
  if not good then core.raise_with(packed, "solving", fold.text(names)) end
  return packed, info
end

-- Whether codes and parameters of one mean the same to the other, whatever found the range.
local function same_codes(a, b, columns)
  local class = value.class(a)
  if class ~= value.class(b) then return false end
  for _, key in ipairs(class.order) do
    if key ~= "observer" and key ~= "per" and key ~= "group_size" and a[key] ~= b[key] then return false end
  end
  return (a.per == "tensor") == (b.per == "tensor") and (a.group_size or columns) == (b.group_size or columns)
end

local function check_solution(solver, q, packed, w, names)
  local attached = core.is_tensor(packed) and core.attached(packed)
  if type(attached) ~= "table" or not attached.fields or not attached.fields.codes then
    local found = core.is_tensor(packed) and "a plain tensor" or "a " .. type(packed)
    core.fail(("solver '%s': %s: solve gave %s, expected a quantized tensor"):format(solver.name, names[1], found),
              { hint = "quantizer:quantize(w), quantizer:pack(codes, params) and wane.sweep give one" })
  end
  if packed.shape[1] ~= w.shape[1] or packed.shape[2] ~= w.shape[2] then
    core.fail(("solver '%s': %s: solve gave [%d x %d] for w [%d x %d]"):format(
      solver.name, names[1], packed.shape[1], packed.shape[2], w.shape[1], w.shape[2]))
  end
  if not same_codes(attached.fields.quantizer, q, w.shape[2]) then
    core.fail(("solver '%s': %s: solve gave %s, expected %s"):format(
      solver.name, names[1], tostring(attached.fields.quantizer), tostring(q)))
  end
end

-- Rows [first, last] of a solved stack as a weight of their own, in q's own granularity and the model's dtype.
local function rows_of(packed, q, first, last, dtype)
  local fields = core.attached(packed).fields
  local sets = q.group_size and packed.shape[2] // q.group_size or 1
  local live = quantizer.to_live(fields.quantizer, fields.params)
  local params = {}
  for name, p in pairs(live) do
    params[name] = q.per == "tensor" and p or core.flush(p[{ { (first - 1) * sets + 1, last * sets }, {} }] + 0)
  end
  return q:pack(core.flush(fields.codes[{ { first, last }, {} }]:to "u8"), params, dtype)
end

-- The weighted error of a change d [out, in] under h: the sum of d h d^T's diagonal.
-- In bf16 with f32 sums where the CPU multiplies that natively: a measure of three digits at a fraction of the time.
local function hessian_error(d, h)
  if not core.native_bf16() then return (d:matmul(h) * d):sum() end
  return (core.linear(d:to "bf16", h, nil, "f32") * d):sum()
end

local function measured(item, w, packed, seen, info, seconds)
  local off = core.flush(packed:to "f32" - w)
  local error2, power = off:square():sum(), w:square():sum()
  local relative = power > 0 and error2 / power or 0
  local weighted = relative
  if seen and seen.hessian then
    local h = core.native_bf16() and core.flush(seen.hessian:to "bf16") or seen.hessian
    local all = hessian_error(w, h)
    weighted = all > 0 and hessian_error(off, h) / all or 0
  end
  return {
    layer = item.row.layer, weight = item.row.weight, solver = item.row.solver,
    error = math.sqrt(math.max(weighted, 0)), sqnr = relative > 0 and -10 * math.log(relative, 10) or math.huge,
    clipped = quantizer.clipped(packed, w), damp = info and info.damp, dead = info and info.dead,
    tokens = info and info.tokens, seconds = time.new(seconds),
  }
end

local function deviation_of(names, info)
  if type(info) ~= "table" or not info.deviation then return end
  core.deviation(("%s: damp raised to %g: %s"):format(fold.text(names), info.damp, info.deviation))
end

-- Solves one stack of weights: items share input, scheme and solver. Sets their changes; returns rows of metrics.
function calibrate.solve(items, model, seen, tokens)
  local started = core.seconds()
  local row, weights, names, exact = items[1].row, {}, {}, {}
  for i, item in ipairs(items) do
    names[i], weights[i] = item.row.layer, model(item.row.layer).weight
    exact[i] = core.flush(weights[i]:to "f32")
    check_finite(names[i], exact[i])
  end
  local w = #exact > 1 and core.flush(core.concat(exact, 1)) or exact[1]
  local packed, info = solved(row.solver, w, quantizer.told(row.weight, w.shape[2], seen), seen, names)
  check_solution(row.solver, row.weight, packed, w, names)
  if type(info) ~= "table" then info = {} end
  info.tokens = tokens
  deviation_of(names, info)
  local solved, first = {}, 1
  for i, item in ipairs(items) do
    local last = first + exact[i].shape[1] - 1
    solved[i] = rows_of(packed, row.weight, first, last, weights[i].dtype)
    check_params(names[i], solved[i])
    item.change.weight, item.change.scheme = solved[i], row.weight
    first = last + 1
  end
  local seconds, metrics = (core.seconds() - started) / #items, {}
  for i, item in ipairs(items) do metrics[i] = measured(item, exact[i], solved[i], seen, info, seconds) end
  return metrics
end

-- -- the pass ---------------------------------------------------------------------------------------------------

local function wants_original(rows)
  for _, row in pairs(rows) do
    for _, need in ipairs(calibrate.needs(row)) do
      if value.class(need).original or value.class(need).user then return true end
    end
  end
  return false
end

local function few_tokens(found, names, tokens, columns)
  if tokens >= columns then return end
  found[#found + 1] = { name = names[1], tokens = tokens, columns = columns }
end

local function tell_few(found)
  if #found == 0 then return end
  local worst = found[1]
  for _, each in ipairs(found) do
    if each.columns > worst.columns then worst = each end
  end
  core.note(("wane.quantize: %d tokens are fewer than the columns at %d input%s, most at %s (%d): their Hessians are "
             .. "singular but for the damping"):format(worst.tokens, #found, #found > 1 and "s" or "", worst.name,
                                                       worst.columns))
end

-- Works through the rows { layer name -> row of the plan } that need the text. `original` is the model that quantize
-- was given, `model` has what is quantized without a text. Returns the model with all of it done; `changes` and
-- `metrics`, both by layer name, are filled.
function calibrate.walk(model, given, rows, samples, changes, metrics)
  local original = wants_original(rows) and given or nil
  local all, done, started, few = 0, 0, core.seconds(), {}
  local changed = next(changes) ~= nil -- what a text is not needed for is in place from the start
  for _ in pairs(rows) do all = all + 1 end

  local held, blocks = {}, {} -- by block: its first inputs; whether a search runs on them
  for name, row in pairs(rows) do
    if wants_block(row) then blocks[block_of(name)] = true end
  end

  local function at(site, xs, x0s)
    if site.module then
      held = { [site.names[1]] = held_samples(xs) }
      return nil
    end
    local work, result = {}, {}
    for _, name in ipairs(site.names) do
      if rows[name] then
        changes[name] = changes[name] or {}
        work[#work + 1] = { row = rows[name], change = changes[name] }
        result[name] = changes[name]
      end
    end
    input_entries(work, model, xs, function() return model:_derive(changes) end, held)
    for _, alike in ipairs(grouped(work, same_rounding)) do
      local solve = {}
      for _, item in ipairs(alike) do
        if #calibrate.needs(item.row) > 0 then solve[#solve + 1] = item end
      end
      if #solve > 0 then
        local entry = alike[1].entry
        changed = changed or entry ~= nil
        local learned = lessons(rounded_samples(entry, xs), changed and x0s or nil, solve[1].row.layer)
        for _, items in ipairs(grouped(solve, same_scheme)) do
          local seen, tokens = learned(items[1].row)
          if seen.hessian then few_tokens(few, site.names, tokens, xs[1].shape[2]) end
          for _, measured_row in ipairs(calibrate.solve(items, model, seen, tokens)) do
            metrics[measured_row.layer] = measured_row
          end
        end
      end
    end
    changed, done = true, done + #work
    local used = core.seconds() - started
    core.progress(("quantize  %s   %d of %d layers   %.1f layers/s   %.0f s left"):format(
      fold.text(site.names), done, all, done / math.max(used, 1e-6), used / done * (all - done)))
    return result
  end

  local found = stages.walk(model, samples, {
    wanted = function(name) return rows[name] ~= nil or blocks[name] ~= nil end, at = at, original = original,
  })
  core.progress(nil)
  tell_few(few)
  return found
end

return calibrate
