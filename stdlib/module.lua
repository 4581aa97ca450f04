-- Modules and layers: classes whose instances are named by the fields that hold them. `Linear`, `Embedding`
-- and `RMSNorm` are the layers, which have weights; a module has a `forward` that calls others. Calling
-- either is plain Lua from end to end, so that a stage can yield from inside a forward.
local core = require "wane.core"
local options = require "wane.options"
local stages = require "wane.stages"

local M = {}

-- The key of an instance's private part, its node: { class, path, model, state, fields, order, ... }.
local NODE = {}
core.layer_key(NODE)
local running = coroutine.running

function M.node(layer)
  return rawget(layer, NODE)
end

function M.is_layer(value)
  return type(value) == "table" and rawget(value, NODE) ~= nil
end

-- -- what runs now ------------------------------------------------------------------------------------------
-- A forward may ask the head not to apply itself, so that logits can be made a few rows at a time. That wish
-- belongs to the coroutine the forward runs in.

local contexts = setmetatable({}, { __mode = "k" })
local Scope = {}

function Scope:__close()
  contexts[self.thread] = self.before
end

-- Sets the context of this coroutine until the value it returns is closed.
function M.scope(context)
  local thread = running()
  local scope = setmetatable({ thread = thread, before = contexts[thread] }, Scope)
  contexts[thread] = context
  return scope
end

-- -- what all instances have in common ----------------------------------------------------------------------

-- Methods and fields of every layer and module; models add `input` and `output`.
M.methods = options.methods("layer", M.is_layer)

local getters = {}

function getters.name(_, node) return node.path end
function getters.class(_, node) return node.class end
function getters._state(_, node) return node.state end
function getters._shapes(_, node) return node.shapes end

function getters._tied(_, node)
  if node.tied and not node.state.weight then return node.tied end
end

function getters.weight(self, node)
  if node.shapes then return M.weight(self) end
end

function getters.bias(self, node)
  if node.shapes and node.shapes.bias then return M.bias(self) end
end

local function title(node)
  return node.path and ("layer '%s'"):format(node.path) or node.class
end

local function common_index(self, node, key)
  local get = getters[key]
  if get then return get(self, node) end
  local method = M.methods[key]
  if method then return method end
end

local function refuse_assignment(self, key)
  core.fail(("%s: assigning to '%s': a layer is a value"):format(title(rawget(self, NODE)), tostring(key)), {
    hint = "model:with(name, { weight = w }) gives a model with another weight",
  })
end

local function child_path(path, name)
  return path and path ~= "" and path .. "." .. name or name
end

local function shape_text(shape)
  return "[" .. table.concat(shape, " x ") .. "]"
end
M.shape_text = shape_text

-- -- layers -------------------------------------------------------------------------------------------------

-- What a script may use of a layer; completion reads it too.
M.FIELDS = { "bias", "class", "input", "name", "output", "weight" }

local Layer = { __name = "layer", __newindex = refuse_assignment }

function Layer.__index(self, key)
  local node = rawget(self, NODE)
  local value = common_index(self, node, key)
  if value ~= nil or key == "bias" or getters[key] then return value end
  options.unknown(title(node), "field", key, M.FIELDS, "it has")
end

function Layer.__tostring(self)
  local node = rawget(self, NODE)
  return ("%s   %s   %s"):format(node.path or "(of no model)", node.class, shape_text(node.shapes.weight))
end

-- The layer as it would run without `forward` of its own: what an override is given, so that it may call it.
local function plain(self, node)
  local twin = {}
  for key, value in pairs(node) do twin[key] = value end
  twin.state = {}
  for key, value in pairs(node.state) do
    if key ~= "forward" and key ~= "transform" and key ~= "after" then twin.state[key] = value end
  end
  twin.quiet = true
  return setmetatable({ [NODE] = twin }, getmetatable(self))
end

local function compute(self, node, x)
  local state = node.state
  if state.forward then return state.forward(plain(self, node), x) end
  if state.input then x = state.input.apply(x) end
  return node.run(self, node, x)
end

-- The layer between its transforms: `transform` turns what it reads, `after` what it gives.
local function apply(self, node, x)
  local state = node.state
  if state.transform then x = state.transform.apply(x) end
  local y = compute(self, node, x)
  return state.after and state.after.apply(y) or y
end

function Layer.__call(self, x)
  local node = rawget(self, NODE)
  local job = stages.active > 0 and not node.quiet and stages.job(node)
  if job and job.dry then
    local y = node.blank(node, x)
    job.touch(node, x, y)
    return y
  end
  if job then stages.touch(job, node, x) end
  if node.head and not node.quiet then
    local context = contexts[running()]
    if context and context.defer and context.model == node.model then
      context.deferred = x
      return x
    end
  end
  local y = apply(self, node, x)
  if job and job.outputs then stages.touch_output(job, node, y) end
  return y
end

local function new_layer(class, shapes, parts)
  local node = { class = class, shapes = shapes, state = {} }
  for key, value in pairs(parts) do node[key] = value end
  return setmetatable({ [NODE] = node }, Layer)
end

-- Random values for a layer that no checkpoint gave weights to, drawn from stream "weights": rows of about
-- unit length, so that numbers neither grow nor vanish through the blocks.
local function drawn(node, part)
  local shape = node.shapes[part]
  if part == "bias" then return core.zeros(shape, { dtype = "f32" }) end
  if node.class == "RMSNorm" then return core.ones(shape, { dtype = "f32" }) end
  local scale = 1 / math.sqrt(shape[#shape])
  return core.randn(shape, "f32", core.next_draw "weights") * scale
end

-- The weight of a layer; a tied layer's is that of the layer it is tied to. Drawn at first use when it has
-- none.
function M.weight(self)
  local node = rawget(self, NODE)
  local weight = node.state.weight
  if weight == nil and node.tied then return M.weight(node.tied) end
  if weight == nil then
    weight = drawn(node, "weight")
    node.state.weight = weight
  end
  return weight
end

function M.bias(self)
  local node = rawget(self, NODE)
  if not node.shapes.bias then return nil end
  local bias = node.state.bias
  if bias == nil then
    bias = drawn(node, "bias")
    node.state.bias = bias
  end
  return bias
end

local function blank_like(x, width)
  local shape = {}
  for i, size in ipairs(x.shape) do shape[i] = size end
  shape[#shape] = width
  return core.zeros(shape, { dtype = "f32" })
end

local function run_linear(self, node, x)
  return core.linear(x, M.weight(self), M.bias(self), node.head and "f32" or nil)
end

-- Whether both are plain products that see x in the same way: the same transform, the same input quantizer, nothing
-- that replaces or watches them.
local function joins(a, b)
  local s, t = a.state, b.state
  return stages.active == 0 and a.run == run_linear and b.run == run_linear and not (a.head or b.head)
    and not (s.forward or t.forward or s.after or t.after) and s.transform == t.transform and s.input == t.input
end

-- What such layers multiply.
local function seen(state, x)
  if state.transform then x = state.transform.apply(x) end
  return state.input and state.input.apply(x) or x
end

-- first(x), second(x) and third(x), as one call where the layers allow it.
function M.three(first, second, third, x)
  local a, b, c = rawget(first, NODE), rawget(second, NODE), rawget(third, NODE)
  local bare = not (a.shapes.bias or b.shapes.bias or c.shapes.bias)
  if not (bare and joins(a, b) and joins(a, c)) then return first(x), second(x), third(x) end
  return table.unpack(core.linears(seen(a.state, x), { M.weight(first), M.weight(second), M.weight(third) }))
end

-- Whether nobody looks at what single layers and modules give.
function M.alone()
  return stages.active == 0
end

-- before + layer(x), as one call where the layer allows it. Without `before` layer(x). (A profile knows the layer by
-- the name `self`, and a call in the last place would take its frame.)
function M.add(self, before, x)
  if not before then return self(x) end
  local node = rawget(self, NODE)
  local state = node.state
  if stages.active > 0 or node.run ~= run_linear or node.head or state.forward or state.after then
    return before + self(x)
  end
  local y = core.linear(seen(state, x), M.weight(self), M.bias(self), nil, before)
  return y
end

-- gate(x):silu() * up(x), as one call where the layers allow it.
function M.gated(gate, up, x)
  local node = rawget(gate, NODE)
  if not joins(node, rawget(up, NODE)) then return gate(x):silu() * up(x) end
  x = seen(node.state, x)
  return core.gated_linear(x, M.weight(gate), M.weight(up), M.bias(gate), M.bias(up))
end

-- wane.Linear(in, out, { bias = false, tied }): x [.., in] to [.., out] by a weight [out, in]. `tied`: the
-- layer whose weight it shares (false or nil: one of its own).
function M.Linear(inputs, outputs, given)
  local where = "wane.Linear"
  inputs, outputs = options.count(where, "in", inputs, 1), options.count(where, "out", outputs, 1)
  local set = options.check(where, given, { bias = false }, { "bias", "tied" })
  local tied = set.tied or nil
  if tied then
    options.arg(where, nil, "tied", tied, "layer")
    local shape = rawget(tied, NODE).shapes.weight
    if shape[1] ~= outputs or shape[2] ~= inputs then
      core.fail(("%s: tied to a weight of another shape: %s, expected %s"):format(where, shape_text(shape),
        shape_text { outputs, inputs }))
    end
  end
  return new_layer("Linear", { weight = { outputs, inputs }, bias = set.bias and { outputs } or nil }, {
    tied = tied, run = run_linear, blank = function(_, x) return blank_like(x, outputs) end,
  })
end

local function run_embedding(self, node, tokens)
  local weight = M.weight(self)
  return core.embedding(tokens, weight):to(node.compute or weight.dtype)
end

local function blank_embedding(node, tokens)
  local shape = { table.unpack(tokens.shape) }
  shape[#shape + 1] = node.shapes.weight[2]
  return core.zeros(shape, { dtype = "f32" })
end

-- wane.Embedding(rows, width): token ids [..] to [.., width].
function M.Embedding(rows, width)
  local where = "wane.Embedding"
  local shape = { options.count(where, "rows", rows, 1), options.count(where, "width", width, 1) }
  return new_layer("Embedding", { weight = shape }, { run = run_embedding, blank = blank_embedding })
end

local function run_norm(self, node, x)
  return core.quick_rms_norm(x, M.weight(self), node.eps)
end

-- wane.RMSNorm(width, eps): x / sqrt(mean(x^2) + eps) * weight over the last dim (Zhang and Sennrich 2019).
function M.RMSNorm(width, eps)
  local where = "wane.RMSNorm"
  options.arg(where, 2, "eps", eps, "number")
  return new_layer("RMSNorm", { weight = { options.count(where, "width", width, 1) } }, {
    eps = eps, run = run_norm, blank = function(_, x) return blank_like(x, width) end,
  })
end

-- -- modules ------------------------------------------------------------------------------------------------

local function module_index(class)
  return function(self, key)
    local node = rawget(self, NODE)
    local value = node.fields[key]
    if value ~= nil then return value end
    value = class[key]
    if value ~= nil then return value end
    return common_index(self, node, key)
  end
end

local function module_newindex(self, key, value)
  local node = rawget(self, NODE)
  if node.frozen then refuse_assignment(self, key) end
  if M.is_layer(value) and node.fields[key] == nil then node.order[#node.order + 1] = key end
  node.fields[key] = value
end

local function run_module(class)
  return function(self, x, ...)
    local node = rawget(self, NODE)
    local forward = class.forward
    if not forward then core.fail(("%s: class '%s' has no forward"):format(title(node), node.class)) end
    local job = stages.active > 0 and stages.job(node)
    if not job then return forward(self, x, ...) end
    if job.dry then job.touch(node, x) else stages.touch(job, node, x) end
    if not job.outputs then return forward(self, x, ...) end
    local y = forward(self, x, ...)
    stages.touch_output(job, node, y)
    return y
  end
end

local function build(class, meta, ...)
  local node = { class = meta.class_name, module = true, state = {}, fields = {}, order = {} }
  local self = setmetatable({ [NODE] = node }, meta)
  local init = class.init
  if init then init(self, ...) end
  node.frozen = true
  return self
end

-- wane.module(name): a class. `function C:init(config)` sets fields, `function C:forward(x, ...)` computes.
function M.module(name)
  options.arg("wane.module", 1, "name", name, "string")
  if not name:find "^%u%w*$" then
    core.fail(("wane.module: the name '%s' does not start with a capital, as class names do"):format(name))
  end
  local class = {}
  local meta = {
    __name = "layer", class_name = name, __index = module_index(class), __newindex = module_newindex,
    __call = run_module(class),
    __tostring = function(self)
      return ("%s   %s"):format(rawget(self, NODE).path or "(of no model)", name)
    end,
  }
  return setmetatable(class, {
    __name = "class",
    __call = function(_, ...) return build(class, meta, ...) end,
    __tostring = function() return "class " .. name end,
  })
end

-- -- stacks -------------------------------------------------------------------------------------------------

local Stack = { __name = "layer", __newindex = refuse_assignment }

function Stack.__index(self, key)
  local node = rawget(self, NODE)
  if math.type(key) == "integer" then return node.items[key < 0 and #node.items + 1 + key or key] end
  return common_index(self, node, key)
end

function Stack.__len(self)
  return #rawget(self, NODE).items
end

-- The iterator of a `for`: what it gives carries its place.
function Stack.__call(self, _, last)
  local place = last == nil and 0 or rawget(last, NODE).place
  return rawget(self, NODE).items[place + 1]
end

function Stack.__tostring(self)
  local node = rawget(self, NODE)
  local class = node.items[1] and node.items[1].class or "nothing"
  return ("%s   %d x %s"):format(node.path or "(of no model)", #node.items, class)
end

-- wane.stack(n, Class, config): n instances, named .0, .1, ...; each is built as Class(config, its number).
function M.stack(n, class, ...)
  n = options.count("wane.stack", "n", n, 0)
  options.arg("wane.stack", 2, "Class", class, "class")
  local items, order, fields = {}, {}, {}
  local config = (...)
  for i = 1, n do
    local item = class(config, i - 1)
    rawget(item, NODE).place = i
    items[i], order[i], fields[tostring(i - 1)] = item, tostring(i - 1), item
  end
  local node = { class = "Stack", stack = true, module = true, state = {}, items = items, order = order,
                 fields = fields }
  return setmetatable({ [NODE] = node }, Stack)
end

-- -- trees --------------------------------------------------------------------------------------------------

-- Calls visit(instance, node, path) for everything below `root`, parents first, in the order of the fields.
function M.each(root, visit, path)
  local node = rawget(root, NODE)
  visit(root, node, path or "")
  for _, name in ipairs(node.order or {}) do
    M.each(node.fields[name], visit, child_path(path, name))
  end
end

return M
