-- wane.quantize: the plan first, all of its problems at once; then the weights that need no text, layer by layer; then
-- whatever learns from the text, site by site in one pass, each on what the quantized layers before it give.
local calibrate = require "wane.calibrate"
local core = require "wane.core"
local fold = require "wane.fold"
local inputs = require "wane.inputs"
local list = require "wane.list"
local options = require "wane.options"
local tables = require "wane.table"

local quantize = {}

local METRICS = { "layer", "weight", "solver", "error", "sqnr", "clipped", "damp", "dead", "tokens", "seconds", "kl" }

local is_quantizer = calibrate.is_quantizer

-- Rows of the plan that learn from the text, by layer, and their names in model order.
local function learning_rows(plan)
  local rows, names = {}, {}
  for row in plan do
    if calibrate.reason(row) then rows[row.layer], names[#names + 1] = row, row.layer end
  end
  return rows, names
end

-- Layers that want a text and for the same reason are told together.
local function missing_text(rows, names)
  local reasons, of = {}, {}
  for _, name in ipairs(names) do
    local reason = calibrate.reason(rows[name])
    if not of[reason] then
      of[reason] = {}
      reasons[#reasons + 1] = reason
    end
    table.insert(of[reason], name)
  end
  for i, reason in ipairs(reasons) do reasons[i] = ("%s: %s and needs a text"):format(fold.text(of[reason]), reason) end
  return reasons
end

local function stop_on_problems(plan, text)
  local problems = { table.unpack(list.items(plan.problems)) }
  local rows, names = learning_rows(plan)
  if text == nil then
    for _, problem in ipairs(missing_text(rows, names)) do problems[#problems + 1] = problem end
  end
  if #problems == 0 then return rows, names end
  local notes = {}
  for i, problem in ipairs(problems) do notes[i] = { tostring(i), problem } end
  core.fail(("wane.quantize: the plan has %d problem%s; nothing was computed"):format(
    #problems, #problems > 1 and "s" or ""), { notes = notes })
end

-- -- what needs no text -----------------------------------------------------------------------------------------

local function progress(label, started, done, all)
  local used = core.seconds() - started
  core.progress(("quantize  %s   %d of %d layers   %.1f layers/s   %.0f s left"):format(
    label, done, all, done / math.max(used, 1e-6), used / done * (all - done)))
end

-- Changes of the weights that need no text and of all dynamic inputs, by layer.
local function solve_plain(model, plan, learning, metrics)
  local changes, work = {}, {}
  for row in plan do
    local layer = model(row.layer)
    local change = {}
    if is_quantizer(row.input) and not inputs.is_static(row.input) then change.input = inputs.dynamic(row.input) end
    local solved_later = learning[row.layer] and #calibrate.needs(row) > 0
    if row.weight ~= "keep" and not layer._tied and not solved_later then
      work[#work + 1] = { layer = layer, row = row, change = change }
    end
    if next(change) or row.weight ~= "keep" then changes[row.layer] = change end
  end
  local started = core.seconds()
  for i, item in ipairs(work) do
    local row = item.row
    if is_quantizer(row.weight) then
      metrics[row.layer] = calibrate.solve({ item }, model)[1]
    else
      item.change.weight, item.change.scheme = core.flush(item.layer.weight:to(row.weight)), row.weight
    end
    progress(tostring(row.weight), started, i, #work)
    core.check_interrupt()
  end
  core.progress(nil)
  return changes
end

-- -- watch ------------------------------------------------------------------------------------------------------

-- The block of a layer ("layers.3"), or the layer itself outside of blocks.
local function block_of(name) return calibrate.block_of(name) or name end

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

local calls = 0 -- of wane.quantize, in this run

-- The rows of the model's .metrics, in model order; in a run they go to metrics.jsonl too, each with the number of the
-- wane.quantize call that solved it and the script's line.
local function told(plan, solved, kl, call)
  local result = tables.make("metrics", METRICS)
  local file = core.options.run and tables.make("metrics", { "call", "line", table.unpack(METRICS) }, nil,
                                                core.options.run .. "/metrics.jsonl")
  for row in plan do
    local cells = solved[row.layer]
    if cells then
      cells.kl = kl and kl[block_of(row.layer)]
      result:add(cells)
      cells.call, cells.line = call.number, call.line
      if file then file:add(cells) end
    end
  end
  return result
end

-- wane.quantize(model, rules, text, { watch })
function quantize.quantize(model, rules, text, given)
  local where = "wane.quantize"
  options.arg(where, 1, "model", model, "model")
  options.arg(where, 2, "rules", rules, "rules")
  calls = calls + 1
  local call = { number = calls, line = core.origin() }
  local opts = options.check(where, given, {}, { "watch" })
  if opts.watch ~= nil then options.arg(where, nil, "watch", opts.watch, "task") end
  if text ~= nil then text = require("wane.text").of(text, where) end
  local plan = rules:plan(model)
  local rows, names = stop_on_problems(plan, text)
  local solved = {}
  local changes = solve_plain(model, plan, rows, solved)
  local result = model:_derive(changes)
  if #names > 0 then result = calibrate.walk(result, model, rows, text:_samples(model), changes, solved) end
  local kl = opts.watch and watch_blocks(model, result, plan, changes, opts.watch)
  return result:_derive({}, { metrics = told(plan, solved, kl, call) })
end

return quantize
