-- Models: an architecture built over weights. A model is a value: what changes one gives another that shares
-- all else. Its layers are the instances of its architecture; each has a state { weight, bias, forward,
-- input, kv, ... } that derived models copy by reference.
local core = require "wane.core"
local architecture = require "wane.architecture"
local caches = require "wane.cache"
local lists = require "wane.list"
local modules = require "wane.module"
local options = require "wane.options"
local pattern = require "wane.pattern"
local stages = require "wane.stages"
local texts = require "wane.text"

local M = {}

local INSIDE = {}
local Model = { __name = "model" }

local function inside(model)
  local parts = rawget(model, INSIDE)
  if parts.freed then core.fail("model: it was freed") end
  return parts
end

function M.is(value)
  return type(value) == "table" and rawget(value, INSIDE) ~= nil
end

local methods, getters = options.methods("model", M.is), {}
M.methods = methods

function M.parts(model)
  return inside(model)
end

-- -- building -----------------------------------------------------------------------------------------------

-- Names every instance below the root, gives it its state and finds the head: `lm_head`, or a Linear that
-- comes last.
local function bind(model, parts, states)
  local leaves, everything, by_name = {}, {}, {}
  modules.each(parts.root, function(instance, node, path)
    node.path, node.model = path, model
    node.state = states[path] or node.state
    if node.shapes then node.compute, leaves[#leaves + 1] = parts.compute, instance end
    if path ~= "" then by_name[path] = instance end
    if path ~= "" and not node.stack then everything[#everything + 1] = instance end
  end)
  parts.leaves, parts.everything, parts.by_name = leaves, everything, by_name
  local head = by_name.lm_head or leaves[#leaves]
  if head and modules.node(head).class == "Linear" then
    parts.head = head
    modules.node(head).head = true
  end
end

-- A model from `parts` { name, architecture (entry), config, settings, dtype, tokenizer, checkpoint, prefix,
-- metrics } and the states of its layers by path.
function M.build(parts, states)
  local model = setmetatable({ [INSIDE] = parts }, Model)
  parts.compute = parts.dtype == "bf16" and core.native_bf16() and "bf16" or "f32"
  parts.root = parts.architecture.model(parts.settings)
  bind(model, parts, states)
  return model
end

local SHARED = { "name", "architecture", "config", "settings", "dtype", "tokenizer", "checkpoint", "prefix",
                 "metrics", "path", "basis" }

local function merged(state, change)
  local new = {}
  for key, value in pairs(state) do new[key] = value end
  for key, value in pairs(change) do new[key] = value or nil end
  return new
end

-- A new model that shares everything but `changes`: path -> { weight =, bias =, input =, kv =, forward =,
-- transform =, after =, turn =, scheme = }, where false takes a field away. `extra` replaces name, metrics,
-- prefix or basis.
function methods:_derive(changes, extra)
  local old, parts, states = inside(self), {}, {}
  for _, key in ipairs(SHARED) do parts[key] = old[key] end
  for key, value in pairs(extra or {}) do parts[key] = value end
  modules.each(old.root, function(_, node, path) states[path] = node.state end)
  local model = M.build(parts, states)
  model:_change(changes)
  return model
end

-- The same in place, for a model that nobody else holds yet.
function methods:_change(changes)
  local by_name = inside(self).by_name
  for path, change in pairs(changes) do
    local layer = by_name[path]
    if not layer then core.fail(("model: no layer '%s'"):format(path), { fault = 70 }) end
    local node = modules.node(layer)
    node.state = merged(node.state, change)
  end
end

local DTYPES = { float32 = "f32", bfloat16 = "bf16", float16 = "f16" }

-- The dtype that a config's torch_dtype names, or nil.
function M.dtype_of(settings)
  return DTYPES[settings.torch_dtype]
end

-- wane.model(architecture, config): random weights, drawn in model order from stream "weights".
function M.model(name, config)
  local where = "wane.model"
  options.arg(where, 1, "architecture", name, "string")
  options.arg(where, 2, "config", config, "table")
  local entry = architecture.find(name, where)
  local settings = architecture.settings(config)
  if entry.check then entry.check(settings, where) end
  local dtype = M.dtype_of(settings) or "f32"
  if settings.torch_dtype ~= nil and not M.dtype_of(settings) then
    options.choice(where, "torch_dtype", settings.torch_dtype, { "float32", "bfloat16", "float16" })
  end
  local parts = { name = name, architecture = entry, config = config, settings = settings, dtype = dtype }
  local model = M.build(parts, {})
  for _, layer in ipairs(inside(model).leaves) do
    local node = modules.node(layer)
    local weight = not node.tied and modules.weight(layer):to(dtype) or nil
    local bias = modules.bias(layer)
    node.state = { weight = weight, bias = bias and bias:to(dtype) }
  end
  return model
end

-- -- running ------------------------------------------------------------------------------------------------

local function check_rows(rows, where)
  for i, ids in ipairs(rows) do
    if #ids ~= #rows[1] then
      core.fail(("%s: samples of unequal length: sample 1 has %d tokens, sample %d has %d"):format(where,
        #rows[1], i, #ids))
    end
  end
  if #rows == 0 or #rows[1] == 0 then core.fail(where .. ": there are no tokens") end
end

-- Tokens as i32 [samples, length] from a text, a string, a tensor, a list of ids or a list of lists of ids.
local function token_tensor(model, tokens, where)
  local kind = options.kind(tokens)
  if kind == "tensor" then
    local shape = tokens.shape
    if #shape == 1 then return tokens:reshape { 1, shape[1] } end
    if #shape == 2 then return tokens end
    core.fail(("%s: tokens have %d dims; expected [samples, length]"):format(where, #shape))
  end
  local rows
  if kind == "table" then
    rows = type(tokens[1]) == "table" and tokens or { tokens }
  else
    options.arg(where, 1, "tokens", tokens, "text|string|tensor|table")
    rows = {}
    for i, sample in ipairs(texts.of(tokens, where):_samples(model)) do rows[i] = sample.ids end
  end
  check_rows(rows, where)
  return core.tensor(rows, { dtype = "i32" })
end

-- One forward of tokens [samples, length]. With `defer` the head is left out where that can be: returns what
-- it would read and true, else the logits and false.
function methods:_run(tokens, cache, defer)
  local parts = inside(self)
  local batch, count = tokens.shape[1], tokens.shape[2]
  cache = cache or caches.transient()
  caches.enter(cache, batch, count, parts.settings.max_position_embeddings, "forward")
  local context = { model = self, defer = defer and parts.head ~= nil and parts.deferrable ~= false }
  local y
  do
    local scope <close> = modules.scope(context)
    y = parts.root(tokens, cache)
  end
  if not core.is_tensor(y) then
    core.fail(("forward of '%s' gave %s; expected logits [samples, length, vocabulary]"):format(
      parts.architecture.name, options.describe(y)))
  end
  if context.defer and not (context.deferred and core.same_node(y, context.deferred)) then
    parts.deferrable = false -- the forward goes on after its head: only whole logits are right
    if not stages.inside() then return self:_run(tokens, cache, false) end
  end
  caches.leave(cache, count)
  return y, context.defer and parts.deferrable ~= false
end

-- What the head reads, [samples, length, hidden], or the logits themselves where the forward does not end
-- with it. `tokens`: lists of ids of one length, or a tensor.
function methods:_hidden(tokens, cache)
  if type(tokens) == "table" then tokens = token_tensor(self, tokens, "forward") end
  return (self:_run(tokens, cache, true))
end

-- Rows of _hidden [rows, hidden] to logits, f32 [rows, vocabulary].
function methods:_logits(rows)
  local parts = inside(self)
  local logits = parts.deferrable ~= false and parts.head and parts.head(rows) or rows
  return logits.dtype == "f32" and logits or logits:to "f32"
end

-- model:forward(tokens, cache): logits in f32, [samples, length, vocabulary].
function methods:forward(tokens, cache)
  if cache ~= nil then options.arg("model:forward", 2, "cache", cache, "cache") end
  local logits = self:_run(token_tensor(self, tokens, "model:forward"), cache, false)
  return logits.dtype == "f32" and logits or logits:to "f32"
end

-- model:cache(): keys and values of one batch, as large as its first forward.
function methods:cache()
  inside(self)
  return caches.new()
end

-- -- tokens -------------------------------------------------------------------------------------------------

local function tokenizer_of(model, where)
  local tokenizer = inside(model).tokenizer
  if not tokenizer then
    core.fail(("%s: model '%s' has no tokenizer"):format(where, inside(model).name), {
      hint = "a folder needs tokenizer.json; lists of ids work without" })
  end
  return tokenizer
end

-- model:tokens(text): i32 [samples, length].
function methods:tokens(text)
  return token_tensor(self, options.arg("model:tokens", 1, "text", text, "text|string"), "model:tokens")
end

-- model:text(tokens): the string that the tokens of one sample stand for; of several, one after another by
-- lines.
function methods:text(tokens)
  local where = "model:text"
  options.arg(where, 1, "tokens", tokens, "tensor|table|text|integer")
  local tokenizer = tokenizer_of(self, where)
  if type(tokens) == "number" then return tokenizer:decode { tokens } end
  local rows = tokens
  if options.kind(tokens) == "text" then
    rows = {}
    for i, sample in ipairs(tokens:_samples(self)) do rows[i] = sample.ids end
  elseif options.kind(tokens) == "tensor" then
    rows = tokens:totable()
    if type(rows) ~= "table" then rows = { rows } end
  end
  if type(rows[1]) ~= "table" then return tokenizer:decode(rows) end
  local lines = {}
  for i, ids in ipairs(rows) do lines[i] = tokenizer:decode(ids) end
  return table.concat(lines, "\n")
end

-- -- layers -------------------------------------------------------------------------------------------------

function methods:_architecture() return inside(self).architecture end
function methods:_leaves() return inside(self).leaves end
function methods:_everything() return inside(self).everything end

-- model:layers(pattern): a list in model order; without a pattern all layers.
function methods:layers(wanted)
  local found = pattern.layers(self, wanted, "model:layers")
  return lists.new({ table.unpack(found) }, "layers")
end

-- model "name": a layer, a module or a stack.
function Model:__call(name)
  options.arg("model", 1, "name", name, "string")
  local by_name = inside(self).by_name
  if by_name[name] then return by_name[name] end
  local names = {}
  for i, layer in ipairs(inside(self).everything) do names[i] = layer.name end
  local near = core.nearest(name, names)
  core.fail(("model: no layer '%s'%s"):format(name, near and "; nearest: " .. near or ""))
end

local function model_of(layer, where)
  local model = modules.node(layer).model
  if not model then core.fail(("%s: the layer belongs to no model"):format(where)) end
  return model
end

local function read(layer, text, where, watch)
  local model = model_of(layer, where)
  if text == nil then core.fail(where .. ": argument 1 (text) is missing; expected a text or a string") end
  local samples = texts.of(text, where):_samples(model)
  local parts = watch(model, samples, layer.name)
  if not parts then core.fail(("%s: the forward does not come to '%s'"):format(where, layer.name)) end
  return #parts == 1 and parts[1] or core.concat(parts, 1)
end

-- layer:input(text): [tokens, channels], samples in order; after its transform, before its input quantizer.
function modules.methods:input(text)
  return read(self, text, "layer:input", function(model, samples, name)
    local seen
    stages.walk(model, samples, {
      wanted = function(other) return other == name end,
      at = function(_, inputs) seen = inputs end,
    })
    return seen
  end)
end

-- layer:output(text): [tokens, channels], samples in order.
function modules.methods:output(text)
  return read(self, text, "layer:output", function(model, samples, name)
    local seen
    stages.walk(model, samples, {
      outputs = function(other) return other == name end,
      at_output = function(_, outputs) seen = outputs end,
    })
    return seen
  end)
end

-- -- model to model -----------------------------------------------------------------------------------------

local function same_shape(weight, shape)
  local have = weight.shape
  if #have ~= #shape then return false end
  for i, size in ipairs(shape) do
    if have[i] ~= size then return false end
  end
  return true
end

local FLOATS = { f64 = true, f32 = true, bf16 = true, f16 = true, e4m3 = true, e5m2 = true }

-- model:with(pattern, { weight =, forward = }).
function methods:with(wanted, given)
  local where = "model:with"
  if wanted == nil then core.fail(where .. ": argument 1 (pattern) is missing; expected a pattern") end
  options.arg(where, 2, "options", given, "table")
  local set = options.check(where, given, {}, { "weight", "forward" })
  options.arg(where, nil, "weight", set.weight, "tensor|function?")
  options.arg(where, nil, "forward", set.forward, "function?")
  local changes = {}
  for _, layer in ipairs(pattern.layers(self, wanted, where)) do
    local shapes = layer._shapes
    if not shapes then
      core.fail(("%s: '%s' is a %s; only layers have a weight and a forward to replace"):format(where,
        layer.name, layer.class))
    end
    local change, weight = { forward = set.forward }, set.weight
    if type(weight) == "function" then
      weight = weight(layer)
      options.arg(where, nil, "weight", weight, "tensor")
    end
    if weight and not FLOATS[weight.dtype] then
      core.fail(("%s: the weight of '%s' is %s; expected floats"):format(where, layer.name, weight.dtype))
    end
    if weight and not same_shape(weight, shapes.weight) then
      core.fail(("%s: the weight of '%s' is %s; expected %s"):format(where, layer.name,
        modules.shape_text(weight.shape), modules.shape_text(shapes.weight)))
    end
    if weight then change.weight, change.scheme = weight, false end
    changes[layer.name] = change
  end
  return self:_derive(changes)
end

local function is_quantized(weight)
  local attached = core.attached(weight)
  if type(attached) ~= "table" or type(attached.methods) ~= "table" then return false end
  return attached.methods.dequantize ~= nil
end

-- True when the weight of a layer is held as codes.
function M.is_quantized(layer)
  local weight = layer.weight
  return weight ~= nil and is_quantized(weight)
end

-- model:dequantize(): the same values in plain storage; input quantizers stay, as rounding.
function methods:dequantize()
  local changes, dtype = {}, inside(self).dtype
  for _, layer in ipairs(inside(self).leaves) do
    if not layer._tied and M.is_quantized(layer) then
      changes[layer.name] = { weight = layer.weight:dequantize():to(dtype), scheme = false }
    end
  end
  return self:_derive(changes)
end

-- Codes and parameters of a quantized weight, or nil.
local function stored_parts(weight)
  local attached = core.attached(weight)
  return type(attached) == "table" and attached.fields or nil
end

-- Plain weights by their bits, quantized ones by their codes and parameters; one of each is never the same.
local function same_part(a, b)
  if a == nil or b == nil then return a == b end
  if core.same_node(a, b) then return true end
  local mine, theirs = stored_parts(a), stored_parts(b)
  if (mine == nil) ~= (theirs == nil) then return false end
  if mine == nil then return a:same(b) end
  if tostring(mine.quantizer) ~= tostring(theirs.quantizer) or not mine.codes:same(theirs.codes) then return false end
  for name, parameter in pairs(mine.params) do
    local twin = theirs.params[name]
    if twin == nil or not parameter:same(twin) then return false end
  end
  return true
end

-- The first name where two models of equal layers apply other rotations, or nil.
local function other_turns(mine, theirs)
  for _, layer in ipairs(mine.everything) do
    local twin = theirs.by_name[layer.name]
    for _, key in ipairs { "transform", "after", "turn" } do
      local a, b = layer._state[key], twin and twin._state[key]
      if (a and a.id) ~= (b and b.id) then return layer.name end
    end
  end
end

-- model:same(other): true, or false and the first name that differs; weights, codes and scales bit by bit.
function methods:same(other)
  options.arg("model:same", 1, "other", other, "model")
  local mine, theirs = inside(self), inside(other)
  for i, layer in ipairs(mine.leaves) do
    local twin = theirs.leaves[i]
    if not twin or twin.name ~= layer.name then return false, layer.name end
    if not same_part(layer.weight, twin.weight) or not same_part(layer.bias, twin.bias) then
      return false, layer.name
    end
  end
  local more = theirs.leaves[#mine.leaves + 1]
  if more then return false, more.name end
  local turned = other_turns(mine, theirs)
  if turned then return false, turned end
  return true
end

-- -- fields -------------------------------------------------------------------------------------------------

for _, key in ipairs { "name", "config", "prefix", "metrics", "dtype", "compute", "tokenizer" } do
  getters[key] = function(parts) return parts[key] end
end
function getters.architecture(parts) return parts.architecture.name end
function getters.bits(_, model) return require "wane.storage".bits(model) end
function getters.bytes(_, model) return require "wane.storage".bytes(model) end

-- What a script may use; completion reads it too.
M.FIELDS = { "bits", "bytes", "cache", "config", "dequantize", "dtype", "forward", "generate", "layers",
             "metrics", "name", "prefix", "same", "save", "text", "tokens", "with" }

function Model:__index(key)
  local method = methods[key]
  if method then return method end
  local parts = inside(self)
  local get = getters[key]
  if get then return get(parts, self) end
  options.unknown("model", "field", key, M.FIELDS, "it has")
end

function Model:__newindex(key)
  core.fail(("model: assigning to '%s': a model is a value"):format(tostring(key)), {
    hint = "model:with(name, { weight = w }) gives a model with another weight" })
end

-- Lets go of what the model holds; weights that other models share live on there.
function Model:__close()
  local parts = rawget(self, INSIDE)
  rawset(self, INSIDE, { freed = true, name = parts.name })
  collectgarbage()
end

function Model:__tostring()
  return require "wane.tree".print(self)
end

return M
