-- Where the channels of a model come from and go to: what the tables of its architecture say, checked against a
-- dry forward of one token, as layers. Rotations and smoothing rest on it.
local caches = require "wane.cache"
local core = require "wane.core"
local pattern = require "wane.pattern"
local stages = require "wane.stages"

local M = {}

local function fail(entry, message, notes)
  core.fail(("architecture '%s': %s"):format(entry.name, message), { notes = notes })
end

-- A table of the model's architecture; raises with what needs it when there is none.
function M.table(model, field, where)
  local entry = model:_architecture()
  if entry[field] == nil then
    core.fail(("%s: architecture '%s' has no table '%s'"):format(where, entry.name, field), {
      hint = ("wane.architecture(\"%s\", { %s = ... })"):format(entry.name, field) })
  end
  return entry[field]
end

local function listed(model, entry, field, patterns, optional)
  return pattern.layers(model, patterns, ("architecture '%s': %s"):format(entry.name, field), optional)
end

-- The layers that add to the residual stream, in model order.
function M.writers(model, where)
  local writes = M.table(model, "writes", where)
  return listed(model, model:_architecture(), "writes", writes)
end

-- The readers of one norm, as the forward has them; all of them have to be in the table.
local function readers_of(model, entry, touched, norm_touch, is_reader, by_table)
  local readers, block = {}, stages.parent_of(norm_touch.node.path)
  for _, touch in ipairs(touched) do
    local path = touch.node.path
    if touch.y and touch ~= norm_touch and core.same_node(touch.x, norm_touch.y) then
      local layer = model(path)
      if path:sub(1, #block) ~= block or not is_reader(layer) then
        fail(entry, ("reads does not name '%s', which reads '%s'"):format(path, norm_touch.node.path))
      end
      readers[#readers + 1] = layer
    end
  end
  if #readers == 0 then
    fail(entry, ("reads: none of '%s' reads '%s'"):format(by_table, norm_touch.node.path))
  end
  return readers
end

-- { { norm = layer, readers = { layer, ... } }, ... } in the order of the forward.
function M.norms(model, where)
  local entry, sites = model:_architecture(), {}
  local reads = M.table(model, "reads", where)
  local touched = stages.dry_run(model)
  stages.check_reads(entry, touched)
  local tests = {}
  for norms, readers in pairs(reads) do
    listed(model, entry, "reads", norms)
    tests[#tests + 1] = { is_norm = pattern.test(norms, "reads"), is_reader = pattern.test(readers, "reads"),
                          readers = readers }
  end
  for _, touch in ipairs(touched) do
    local layer = touch.y and model(touch.node.path)
    for _, test in ipairs(layer and tests or {}) do
      if test.is_norm(layer) then
        if layer.class ~= "RMSNorm" then
          fail(entry, ("reads: '%s' is a %s; only the scales of an RMSNorm can be folded"):format(layer.name,
            layer.class))
        end
        sites[#sites + 1] = { norm = layer,
                              readers = readers_of(model, entry, touched, touch, test.is_reader, test.readers) }
      end
    end
  end
  return sites
end

-- The pairs { first, second } of a table of two patterns, matched in model order.
function M.pairs(model, field, where, optional)
  local entry, patterns = model:_architecture(), M.table(model, field, where)
  if #patterns ~= 2 then fail(entry, ("%s holds %d patterns, expected 2"):format(field, #patterns)) end
  local first = listed(model, entry, field, patterns[1], optional)
  local second = listed(model, entry, field, patterns[2], optional)
  if #first ~= #second then
    fail(entry, ("%s: '%s' matches %d layers, '%s' %d"):format(field, patterns[1], #first, patterns[2], #second))
  end
  local found = {}
  for i, layer in ipairs(first) do found[i] = { layer, second[i] } end
  return found
end

-- What each attention of the model attends with, in the order of the forward: { module, heads, kv_heads, dim,
-- value_dim }. Taken from the forward itself, for head_dim need not be hidden_size / heads.
function M.attentions(model)
  local found = {}
  stages.dry_run(model, caches.transient(function(module, q, k, v)
    found[#found + 1] = { module = module, heads = q.shape[3], kv_heads = k.shape[3], dim = q.shape[4],
                          value_dim = v.shape[4] }
  end))
  return found
end

-- The pairs of `values` with the heads between them: { v, o, heads, kv_heads, dim }.
function M.values(model, where)
  local entry, found = model:_architecture(), {}
  local both, attentions = M.pairs(model, "values", where), M.attentions(model)
  if #both ~= #attentions then
    fail(entry, ("values: %d pairs, but the forward attends %d times"):format(#both, #attentions))
  end
  for i, pair in ipairs(both) do
    local v, o, a = pair[1], pair[2], attentions[i]
    local rows, columns = v._shapes.weight[1], o._shapes.weight[2]
    if rows ~= a.kv_heads * a.value_dim or columns ~= a.heads * a.value_dim then
      fail(entry, ("values: '%s' gives %d channels and '%s' reads %d; expected %d and %d heads of %d"):format(v.name,
        rows, o.name, columns or 0, a.kv_heads, a.heads, a.value_dim))
    end
    found[i] = { v, o, heads = a.heads, kv_heads = a.kv_heads, dim = a.value_dim }
  end
  return found
end

-- The pairs of `product`: { up, down, size }.
function M.products(model, where)
  local found = M.pairs(model, "product", where)
  for _, pair in ipairs(found) do
    local rows, columns = pair[1]._shapes.weight[1], pair[2]._shapes.weight[2]
    if rows ~= columns then
      fail(model:_architecture(), ("product: '%s' gives %d channels, '%s' reads %d"):format(pair[1].name, rows,
        pair[2].name, columns or 0))
    end
    pair.size = rows
  end
  return found
end

-- The norms of the heads of q and k, { q, k, dim }; none where the architecture has no such table or layers.
function M.keys(model, where)
  if model:_architecture().keys == nil then return {} end
  local found, attentions = M.pairs(model, "keys", where, true), M.attentions(model)
  for i, pair in ipairs(found) do
    local a = attentions[i]
    for _, norm in ipairs(pair) do
      if not a or norm.class ~= "RMSNorm" or norm._shapes.weight[1] ~= a.dim then
        fail(model:_architecture(), ("keys: '%s' is no RMSNorm of the %d channels of a head"):format(norm.name,
          a and a.dim or 0))
      end
    end
    pair.dim = a.dim
  end
  return found
end

-- The number of channels a layer gives.
function M.width(layer)
  local shape = layer._shapes.weight
  return layer.class == "Embedding" and shape[2] or shape[1]
end

-- What `changes` (as for model:_derive) holds of a layer or module, to add to.
function M.change(changes, layer)
  local change = changes[layer.name] or {}
  changes[layer.name] = change
  return change
end

-- Adds a step { scale, block } on one side ("in", "out") of a layer to `changes`. What it gives has a bias, too,
-- and lies along the columns of an embedding.
function M.fold(changes, layer, side, step)
  local change = M.change(changes, layer)
  local function folded(x, word) return core.folded(x, { { side = word, scale = step.scale, block = step.block } }) end
  local flat = layer.class == "Embedding" and side == "out"
  change.weight = folded(change.weight or layer.weight, flat and "in" or side)
  local bias = side == "out" and (change.bias or layer.bias)
  if bias then change.bias = folded(bias, "out") end
end

return M
