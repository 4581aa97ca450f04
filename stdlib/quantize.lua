-- wane.quantize: the plan first, all of its problems at once; then weights, layer by layer; then static inputs, site
-- by site in one pass over the text, each on what the quantized layers before it give.
local core = require "wane.core"
local fold = require "wane.fold"
local inputs = require "wane.inputs"
local list = require "wane.list"
local options = require "wane.options"
local quantizer = require "wane.quantizer"
local stages = require "wane.stages"
local tables = require "wane.table"
local time = require "wane.time"

local quantize = {}

local METRICS = { "layer", "weight", "solver", "error", "sqnr", "clipped", "damp", "dead", "tokens", "seconds", "kl" }

local function is_quantizer(x) return type(x) ~= "string" end

-- Layers with a static input: name -> quantizer.
local function static_inputs(plan)
  local static, names = {}, {}
  for row in plan do
    if is_quantizer(row.input) and inputs.is_static(row.input) then
      static[row.layer], names[#names + 1] = row.input, row.layer
    end
  end
  return static, names
end

local function stop_on_problems(plan, text)
  local problems = { table.unpack(list.items(plan.problems)) }
  local static, names = static_inputs(plan)
  if #names > 0 and text == nil then
    problems[#problems + 1] = ("%s: input = %s is static and needs a text"):format(fold.text(names),
                                                                                  tostring(static[names[1]]))
  end
  if #problems == 0 then return static, names end
  local notes = {}
  for i, problem in ipairs(problems) do notes[i] = { tostring(i), problem } end
  core.fail(("wane.quantize: the plan has %d problem%s; nothing was computed"):format(
    #problems, #problems > 1 and "s" or ""), { notes = notes })
end

-- -- weights ----------------------------------------------------------------------------------------------------

local function check_finite(name, w)
  if w:isfinite():all() then return end
  local row, column = w:isfinite():to "f32":argmin()
  core.fail(("wane.quantize: %s: its weight has NaN or Inf, the first at row %d, column %d"):format(name, row, column))
end

local function check_params(name, packed)
  for key, p in pairs(core.attached(packed).fields.params) do
    if not p:to "f32":isfinite():all() then
      core.fail(("wane.quantize: %s: '%s' is not finite in %s"):format(name, key, p.dtype),
                { hint = 'scale_dtype = "bf16" or "f32" has a wider range' })
    end
  end
end

-- One weight by its solver: the quantized tensor and its row of metrics.
local function solve(layer, row)
  local started = core.seconds()
  local w = layer.weight
  local exact = core.flush(w:to "f32")
  check_finite(layer.name, exact)
  local packed = quantizer.with_dtype(row.solver:solve(exact, row.weight), w.dtype)
  check_params(layer.name, packed)
  local off, power = (packed:to "f32" - exact):square():sum(), exact:square():sum()
  local error = power > 0 and off / power or 0
  return packed, {
    layer = layer.name, weight = row.weight, solver = row.solver, error = math.sqrt(error),
    sqnr = error > 0 and -10 * math.log(error, 10) or math.huge, clipped = quantizer.clipped(packed, exact),
    seconds = time.new(core.seconds() - started),
  }
end

local function progress(label, started, done, all)
  local used = core.seconds() - started
  core.progress(("quantize  %s   %d of %d layers   %.1f layers/s   %.0f s left"):format(
    label, done, all, done / math.max(used, 1e-6), used / done * (all - done)))
end

-- Changes of all weights and dynamic inputs, by layer in model order.
local function solve_all(model, plan, metrics)
  local changes, work = {}, {}
  for row in plan do
    local layer = model(row.layer)
    local change = {}
    if is_quantizer(row.input) and not inputs.is_static(row.input) then change.input = inputs.dynamic(row.input) end
    if row.weight ~= "keep" and not layer._tied then work[#work + 1] = { layer = layer, row = row, change = change } end
    if next(change) or row.weight ~= "keep" then changes[row.layer] = change end
  end
  local started = core.seconds()
  for i, item in ipairs(work) do
    local row = item.row
    if is_quantizer(row.weight) then
      local packed, measured = solve(item.layer, row)
      item.change.weight, item.change.scheme = packed, row.weight
      metrics:add(measured)
    else
      item.change.weight, item.change.scheme = core.flush(item.layer.weight:to(row.weight)), row.weight
    end
    progress(tostring(row.weight), started, i, #work)
    core.check_interrupt()
  end
  core.progress(nil)
  return changes
end

-- -- static inputs ----------------------------------------------------------------------------------------------

-- The range an observer finds, with as many rows as the quantizer needs.
local function range_of(q, samples, where)
  local needed = inputs.rows(q)
  local a, b = inputs.observe(q.observer, q.observer.per or needed, samples, q, where)
  local lo, hi = require("wane.observers").as_range(a, b)
  local rows = needed == "channel" and samples[1].shape[2] or 1
  for _, x in ipairs { lo, hi } do
    if x.shape[1] ~= rows and x.shape[1] ~= 1 then
      core.fail(("observer '%s': %s: its result has %d rows, expected %d"):format(
        q.observer.name, where, x.shape[1], rows))
    end
  end
  if lo.shape[1] ~= rows then lo, hi = lo + core.zeros { rows, 1 }, hi + core.zeros { rows, 1 } end
  return lo, hi
end

local function find_ranges(model, static, names, samples)
  local started, done = core.seconds(), 0
  local function at(site, seen)
    local changes, made = {}, {}
    for _, name in ipairs(site.names) do
      local q = static[name]
      if q then
        local entry
        for _, other in ipairs(made) do
          if other.q == q then entry = other.entry end
        end
        entry = entry or inputs.static(q, range_of(q, seen, name))
        made[#made + 1] = { q = q, entry = entry }
        changes[name] = { input = entry }
        done = done + 1
      end
    end
    progress("inputs", started, math.max(done, 1), #names)
    return changes
  end
  local found = stages.walk(model, samples, { wanted = function(name) return static[name] ~= nil end, at = at })
  core.progress(nil)
  return found
end

-- -- watch ------------------------------------------------------------------------------------------------------

-- The block of a layer ("layers.3"), or the layer itself outside of blocks.
local function block_of(name) return name:match "^(.-%.%d+)%." or name end

-- KL of the model after each block, in model order: name of the block -> score.
local function watch_blocks(model, quantized, plan, changes, task)
  local order, of_block = {}, {}
  for row in plan do
    if changes[row.layer] then
      local block = block_of(row.layer)
      if not of_block[block] then
        of_block[block] = {}
        order[#order + 1] = block
      end
      table.insert(of_block[block], row.layer)
    end
  end
  local kl, partial = {}, {}
  for _, block in ipairs(order) do
    for _, name in ipairs(of_block[block]) do
      local state = quantized(name)._state
      partial[name] = { weight = changes[name].weight and state.weight, input = state.input }
    end
    kl[block] = require("wane.evaluate").compare(model:_derive(partial), model, task).kl
  end
  return kl
end

local function with_kl(metrics, kl, file)
  local result = tables.make("metrics", METRICS, nil, file)
  for row in metrics do
    local cells = { kl = kl and kl[block_of(row.layer)] }
    for column, cell in pairs(row) do cells[column] = cell end
    result:add(cells)
  end
  return result
end

-- wane.quantize(model, rules, text, { watch })
function quantize.quantize(model, rules, text, given)
  local where = "wane.quantize"
  options.arg(where, 1, "model", model, "model")
  options.arg(where, 2, "rules", rules, "rules")
  local opts = options.check(where, given, {}, { "watch" })
  if opts.watch ~= nil then options.arg(where, nil, "watch", opts.watch, "task") end
  if text ~= nil then text = require("wane.text").of(text, where) end
  local plan = rules:plan(model)
  local static, names = stop_on_problems(plan, text)
  local metrics = tables.make("metrics", METRICS)
  local changes = solve_all(model, plan, metrics)
  local result = model:_derive(changes)
  if #names > 0 then
    result = find_ranges(result, static, names, text:_samples(model))
    for _, name in ipairs(names) do changes[name] = changes[name] or {} end
  end
  local kl = opts.watch and watch_blocks(model, result, plan, changes, opts.watch)
  local file = core.options.run and core.options.run .. "/metrics.jsonl" or nil
  return result:_derive({}, { metrics = with_kl(metrics, kl, file) })
end

return quantize
