-- The plan: what rules will do to each layer of a model, seen before anything is computed: scheme, the rule and line
-- that set each field, the rules it beat, bytes, kernel, the formats that can hold it; and all problems at once.
local calibrate = require "wane.calibrate"
local core = require "wane.core"
local fold = require "wane.fold"
local format = require "wane.format"
local inputs = require "wane.inputs"
local list = require "wane.list"
local pattern = require "wane.pattern"
local quantizer = require "wane.quantizer"
local rules = require "wane.rules"
local solvers = require "wane.solvers"
local storage = require "wane.storage"
local tables = require "wane.table"
local value = require "wane.value"

local plan = {}

local COLUMNS = { "layer", "weight", "input", "kv", "solver", "set_by", "beaten", "bytes", "kernel", "formats" }
local FLOATS = { f64 = true, f32 = true, bf16 = true, f16 = true }

-- -- problems: collected per layer, told once per kind with the layers folded -----------------------------------

local function problems_of()
  local order, at = {}, {}
  local function add(text, layer, rule)
    local key = text .. (rule and rule.number or "")
    if not at[key] then
      at[key] = { text = text, layers = {}, rule = rule }
      order[#order + 1] = at[key]
    end
    if layer then table.insert(at[key].layers, layer) end
  end
  local function texts()
    local result = {}
    for i, problem in ipairs(order) do
      local where = #problem.layers > 0 and fold.text(problem.layers) .. ": " or ""
      local rule = problem.rule and (" (rule %d, %s)"):format(problem.rule.number, problem.rule.origin) or ""
      result[i] = where .. problem.text .. rule
    end
    return result
  end
  return add, texts
end

-- The divisors of n next to `size`, below and above.
local function dividing(n, size)
  local below, above
  for d = math.min(size, n), 1, -1 do
    if n % d == 0 then below = d break end
  end
  for d = size, n do
    if n % d == 0 then above = d break end
  end
  return (below == above or not above) and tostring(below) or below .. " and " .. above
end

local function group_problem(q, columns)
  if q.group_size and columns % q.group_size ~= 0 then
    return ("group_size %d does not divide the %d columns; nearest that do: %s"):format(
      q.group_size, columns, dividing(columns, q.group_size))
  end
end

local function observer_problem(q)
  local class = q.observer and value.class(q.observer)
  if not class then return end
  if class.unsupported then return "not supported yet: wane." .. class.name end
  if not class.range then return ("observer %s gives no range to %s"):format(class.name, tostring(q)) end
  for _, method in ipairs { "see", "result" } do
    if class.user and not class.methods[method] then return ("observer '%s' has no %s"):format(class.name, method) end
  end
end

local function quantizer_problem(q, columns)
  local class = value.class(q)
  if class.unsupported then return "not supported yet: wane." .. class.name end
  for _, name in ipairs { "fit", "encode", "decode" } do
    if class.user and not class.row[name] then return ("quantizer '%s' has no %s"):format(class.name, name) end
  end
  return group_problem(q, columns) or observer_problem(q)
end

local function weight_problem(weight, layer)
  if type(weight) == "string" then
    if weight == "keep" or FLOATS[weight] then return end
    if quantizer.is_dtype(weight) then
      return ("weight = '%s': a weight is stored in floats of 16 bits or more"):format(weight)
    end
    local near = core.nearest(weight, { "keep", "f32", "bf16", "f16", "f64" })
    return ("weight = '%s' is no dtype%s"):format(weight, near and ("; did you mean '%s'?"):format(near) or "")
  end
  local shape = layer.weight.shape
  if #shape ~= 2 then
    return ("%s takes a matrix; this weight is [%s]"):format(tostring(weight), table.concat(shape, " x "))
  end
  if weight.per == "token" then
    return "per = 'token' is for inputs; a weight has per = 'tensor', 'channel' or a group_size"
  end
  if storage.quantizer(layer.weight) then
    return ("it is %s already; quantize the model it was made from"):format(tostring(storage.quantizer(layer.weight)))
  end
  if weight.observer and value.class(weight.observer).by_block then
    return "observer block_mse is for inputs; a weight has wane.mse or wane.imatrix"
  end
  return quantizer_problem(weight, shape[2])
end

local function input_problem(q, layer)
  if q == "keep" then return end
  if layer.class == "Embedding" then return "an embedding reads token ids; it has no input to quantize" end
  if layer.class ~= "Linear" then
    return ("the input of a %s is not quantized; only a Linear's is"):format(layer.class)
  end
  local problem = quantizer_problem(q, layer.weight.shape[2])
  if problem then return problem end
  local static = inputs.is_static(q)
  if static and value.class(q.observer).by_block and not layer.name:find "%.%d+%." then
    return "observer block_mse compares the outputs of blocks; this layer is in none"
  end
  if static and value.class(q.observer).weighs then
    return ("observer %s is for weights; an input has none of its channels' own"):format(q.observer.name)
  end
  if not static and (q.per == "tensor" or q.per == "channel") then
    return ("per = '%s' of an input is static and needs an observer"):format(q.per)
  end
  if static and (q.group_size or q.per == "token") then
    return ("an input with an observer is static: per = 'tensor' or 'channel', not %s"):format(
      q.group_size and "group_size = " .. q.group_size or "per = 'token'")
  end
  if static and q.observer.per and not value.class(q.observer).user and q.observer.per ~= (q.per or "tensor") then
    return ("observer %s does not fit per = '%s'"):format(tostring(q.observer), q.per or "tensor")
  end
end

-- -- the cascade ------------------------------------------------------------------------------------------------

local DEFAULTS = { weight = "keep", input = "keep", kv = "keep", solver = solvers.rtn }

-- Per layer name: { field = { value, rule, beaten = { rules } } }.
local function cascade(model, r, add)
  local fields = {}
  for _, rule in ipairs(rules.entries(r)) do
    local kv = rule.kv ~= nil and rule.kv ~= "keep"
    if kv then
      add(("not supported yet: kv = %s (keys and values stay as they are)"):format(tostring(rule.kv)), nil, rule)
    end
    local where = ("wane.rules: rule %d (%s)"):format(rule.number, rule.origin)
    local names = kv and {} or pattern.match(model, rule.pattern, where, rule.optional, function(text)
      add(text, nil, rule)
    end)
    for _, name in ipairs(names) do
      fields[name] = fields[name] or {}
      for _, field in ipairs(rules.fields) do
        if rule[field] ~= nil then
          local before = fields[name][field]
          local beaten = before and { before.rule, table.unpack(before.beaten) } or {}
          fields[name][field] = { value = rule[field], rule = rule, beaten = beaten }
        end
      end
    end
  end
  return fields
end

local function planned_bytes(layer, weight)
  local shape = layer.weight.shape
  local bias = layer.bias and layer.bias.bytes or 0
  if type(weight) ~= "string" then return math.ceil(quantizer.planned_bits(weight, shape) / 8) + bias end
  if weight == "keep" then return math.ceil(storage.bits_of(layer.weight) / 8) + bias end
  local n = 1
  for _, size in ipairs(shape) do n = n * size end
  return n * (quantizer.dtype_bits(weight) or 64) // 8 + bias
end

local function kernel_of(model, layer)
  if layer.class ~= "Linear" then return "" end
  return "dense " .. (model.compute or (core.native_bf16() and model.dtype == "bf16" and "bf16" or "f32"))
end

local function formats_of(weight, input)
  local note = type(weight) ~= "string" and "dequantized" or nil
  if input ~= "keep" then note = note and note .. ", no input quantizers" or "no input quantizers" end
  return note and ("safetensors (%s)"):format(note) or "safetensors"
end

-- "weight of a.lua:2, solver: rule 1 (a.lua:3)" for every rule that set something: the line where a value was made,
-- unless it is the rule's own, then the rule and the line of the wane.rules call.
local function set_words(fields)
  local order, at = {}, {}
  for _, field in ipairs(rules.fields) do
    local set = fields[field]
    if set then
      if not at[set.rule.number] then
        at[set.rule.number] = { rule = set.rule, fields = {} }
        order[#order + 1] = at[set.rule.number]
      end
      local made = value.origin(set.value)
      table.insert(at[set.rule.number].fields, made and made ~= set.rule.origin and field .. " of " .. made or field)
    end
  end
  local words = {}
  for i, group in ipairs(order) do
    words[i] = ("%s: rule %d (%s)"):format(table.concat(group.fields, ", "), group.rule.number, group.rule.origin)
  end
  return table.concat(words, "; ")
end

local function beaten_words(fields)
  local words = {}
  for _, field in ipairs(rules.fields) do
    for _, rule in ipairs(fields[field] and fields[field].beaten or {}) do
      words[#words + 1] = ("%s of rule %d"):format(field, rule.number)
    end
  end
  return table.concat(words, ", ")
end

-- A solver that learns from a layer's inputs needs a layer that has some, and one weight has one solver.
local function solver_problem(chosen, layer)
  if type(chosen.weight) == "string" then return end
  local class = value.class(chosen.solver)
  if class.user and not class.methods.solve then return ("solver '%s' has no solve"):format(class.name) end
  if #calibrate.needs(chosen) == 0 then return end
  local who = #solvers.needs(chosen.solver) > 0 and "solver = " .. tostring(chosen.solver)
    or "weight = " .. tostring(chosen.weight)
  if layer.class ~= "Linear" then
    return ("%s learns from the inputs of a Linear; this layer is of class %s"):format(who, layer.class)
  end
  if layer._tied then
    return ("%s learns from this layer's inputs, but its weight is %s's too; rtn serves both"):format(
      who, layer._tied.name)
  end
end

local function check_layer(layer, chosen, fields, add)
  local function problem(field, text)
    if text then add(text, layer.name, fields[field] and fields[field].rule) end
  end
  problem("weight", weight_problem(chosen.weight, layer))
  problem("input", input_problem(chosen.input, layer))
  problem("solver", solver_problem(chosen, layer))
end

-- Tied layers share one tensor. A weight field that only one of them has is the other's too; two different ones are
-- a problem.
local function join_tied(model, fields, add)
  for layer in model:layers() do
    local twin = layer._tied
    if twin then
      local a, b = layer.name, twin.name
      fields[a], fields[b] = fields[a] or {}, fields[b] or {}
      local mine, other = fields[a].weight, fields[b].weight
      if mine and other and mine.value ~= other.value then
        local text = ("tied weights with two schemes, %s and %s; one tensor has one"):format(
          tostring(other.value), tostring(mine.value))
        add(text, b, mine.rule)
        add(text, a, mine.rule)
      end
      fields[a].weight, fields[b].weight = mine or other, other or mine
    end
  end
end

-- Places by the name of their file alone.
local function short(text) return (text:gsub("[^%s(]*/([^%s/]+:%d+)", "%1")) end

-- -- print ------------------------------------------------------------------------------------------------------

local function row_key(row)
  return table.concat({ tostring(row.weight), tostring(row.input), tostring(row.kv), tostring(row.solver), row.set_by,
                        row.beaten, row.kernel, row.formats }, "\0")
end

local function folded(t)
  local groups, at = {}, {}
  for row in t do
    local key = row_key(row)
    if not at[key] then
      at[key] = { row = row, names = {}, bytes = 0 }
      groups[#groups + 1] = at[key]
    end
    table.insert(at[key].names, row.layer)
    at[key].bytes = at[key].bytes + row.bytes
  end
  return groups
end

local function head_line(t)
  return ("plan of %s: %s bits per weight, %.1f MiB"):format(t.model, format.number(t.bits), t.bytes / 2 ^ 20)
end

local function print_plan(t)
  local lines = { { "layer", "weight", "input", "solver", "MiB", "kernel", "set by", "beats", "held by" } }
  for _, group in ipairs(folded(t)) do
    local row = group.row
    for i, text in ipairs(fold.names(group.names)) do
      local quantized = type(row.weight) ~= "string"
      lines[#lines + 1] = i > 1 and { text } or {
        text, tostring(row.weight), tostring(row.input), quantized and tostring(row.solver) or "",
        ("%.1f"):format(group.bytes / 2 ^ 20), row.kernel, short(row.set_by), row.beaten,
        row.formats,
      }
    end
  end
  local text = head_line(t) .. "\n" .. format.columns(lines)
  if #t.problems > 0 then
    text = text .. ("\n%d problem%s:\n  "):format(#t.problems, #t.problems > 1 and "s" or "")
      .. table.concat(list.items(t.problems), "\n  ")
  end
  return text
end

-- -- making -----------------------------------------------------------------------------------------------------

local function totals(rows)
  local bits, weights, all, all_weights, bytes = 0, 0, 0, 0, 0
  for _, row in ipairs(rows) do
    if not row.tied then
      bytes = bytes + row.cells.bytes
      local own = (row.cells.bytes - row.bias) * 8
      all, all_weights = all + own, all_weights + row.count
      if row.cells.weight ~= "keep" then bits, weights = bits + own, weights + row.count end
    end
  end
  if weights == 0 then bits, weights = all, all_weights end
  return weights > 0 and bits / weights or 0, bytes
end

local function row_of(model, layer, fields, add)
  local chosen = {}
  for _, field in ipairs(rules.fields) do
    chosen[field] = fields[field] and fields[field].value or DEFAULTS[field]
  end
  local tied = layer._tied
  local set_by = set_words(fields)
  if tied then set_by = set_by .. (set_by ~= "" and "; " or "") .. "weight: tied to " .. tied.name end
  check_layer(layer, chosen, fields, add)
  local n = 1
  for _, size in ipairs(layer.weight.shape) do n = n * size end
  local known = type(chosen.weight) ~= "string" and not weight_problem(chosen.weight, layer)
    or chosen.weight == "keep" or FLOATS[chosen.weight]
  local cells = {
    layer = layer.name, weight = chosen.weight, input = chosen.input, kv = chosen.kv, solver = chosen.solver,
    set_by = set_by, beaten = beaten_words(fields),
    bytes = tied and 0 or known and planned_bytes(layer, chosen.weight) or planned_bytes(layer, "keep"),
    kernel = kernel_of(model, layer), formats = formats_of(chosen.weight, chosen.input),
  }
  return { cells = cells, tied = tied, count = n, bias = layer.bias and layer.bias.bytes or 0 }
end

-- rules:plan(model)
function plan.make(model, r)
  require("wane.options").arg("rules:plan", 1, "model", model, "model")
  local add, texts = problems_of()
  local fields = cascade(model, r, add)
  join_tied(model, fields, add)
  local rows = {}
  for layer in model:layers() do
    if layer.weight then rows[#rows + 1] = row_of(model, layer, fields[layer.name] or {}, add) end
  end
  local bits, bytes = totals(rows)
  local t = tables.make("plan", COLUMNS, {
    bits = bits, bytes = bytes, problems = list.new(texts(), "problems"), model = model.name or "model",
    print = print_plan,
  })
  for _, row in ipairs(rows) do t:add(row.cells) end
  return t
end

return plan
