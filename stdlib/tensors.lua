-- What makes tensors, with options and named streams in front of the engine's functions.
local core = require "wane.core"
local lists = require "wane.list"
local options = require "wane.options"

local M = {}

local function shape_of(where, shape)
  if type(shape) == "number" then shape = { shape } end
  options.arg(where, 1, "shape", shape, "table|list")
  for i, size in ipairs(shape) do options.count(where, ("shape[%d]"):format(i), size, 0) end
  return shape
end

local function maker(name)
  local where = "wane." .. name
  return function(shape, given)
    return core[name](shape_of(where, shape), options.check(where, given, { dtype = "f32" }))
  end
end

M.zeros, M.ones = maker "zeros", maker "ones"

-- wane.full(shape, value, { dtype = "f32" }).
function M.full(shape, value, given)
  options.arg("wane.full", 2, "value", value, "number")
  return core.full(shape_of("wane.full", shape), value, options.check("wane.full", given, { dtype = "f32" }))
end

-- wane.eye(n, { dtype = "f32" }).
function M.eye(n, given)
  return core.eye(options.count("wane.eye", "n", n, 0), options.check("wane.eye", given, { dtype = "f32" }))
end

local function drawer(name)
  local where = "wane." .. name
  return function(shape, given)
    shape = shape_of(where, shape)
    local set = options.check(where, given, { dtype = "f32", stream = name })
    options.arg(where, nil, "stream", set.stream, "string")
    return core[name](shape, set.dtype, core.next_draw(set.stream))
  end
end

-- wane.randn and wane.uniform(shape, { dtype = "f32", stream }): standard normal, and even in [0, 1).
M.randn, M.uniform = drawer "randn", drawer "uniform"

for _, name in ipairs { "arange", "tensor", "where", "linear", "embedding", "cross_entropy",
                        "rms_norm", "explain", "memory", "buffer" } do
  M[name] = core[name]
end

-- wane.concat(list, dim = 1). Quantized tensors are joined with their parameters where all pieces are of one quantizer;
-- among others they count as their values.
function M.concat(list, dim)
  local pieces = type(list) == "table" and (lists.items(list) or list) or list
  if dim == nil then dim = 1 end
  return type(pieces) == "table" and require "wane.quantizer_concat"(pieces, dim) or core.concat(pieces, dim)
end

-- wane.ranges(n, step): { { 1, step }, { step + 1, ... }, ..., { .., n } }.
function M.ranges(n, step)
  n, step = options.count("wane.ranges", "n", n, 0), options.count("wane.ranges", "step", step, 1)
  local ranges = {}
  for first = 1, n, step do ranges[#ranges + 1] = { first, math.min(first + step - 1, n) } end
  return ranges
end

return M
