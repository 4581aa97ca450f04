-- wane.concat of quantized tensors: codes and parameters side by side, nothing decoded and nothing rounded again.
local core = require "wane.core"
local quantizer = require "wane.quantizer"
local value = require "wane.value"

local function fields_of(x)
  local attached = core.attached(x)
  return type(attached) == "table" and attached.fields and attached.fields.quantizer and attached.fields or nil
end

local function refuse(problem, list)
  local notes = {}
  for i, x in ipairs(list) do
    local q = fields_of(x).quantizer
    notes[i] = { "piece " .. i, ("[%s] %s, %s"):format(table.concat(x.shape, " x "), x.dtype, tostring(q)) }
  end
  core.fail("wane.concat: " .. problem, { notes = notes, hint = "piece:dequantize() gives values, which always join" })
end

-- Parameters [sets, k] of matrices [out, in] with `groups` sets in a row, along dim.
local function join_sets(parts, shapes, groups, dim)
  if dim == 1 then return core.concat(parts, 1) end
  local wide = {}
  for i, p in ipairs(parts) do wide[i] = p:reshape { shapes[i][1], groups[i], p.shape[2] } end
  local joined = core.concat(wide, 2)
  return joined:reshape { -1, joined.shape[3] }
end

local function all_same(parts)
  for i = 2, #parts do
    if not parts[1]:same(parts[i]) then return false end
  end
  return true
end

-- One parameter of all pieces: sets of rows or groups lie side by side; one set for several rows or for whole rows has
-- to be the same in every piece.
local function join_param(name, list, dim)
  local first = fields_of(list[1]).quantizer
  local parts, shapes, groups, by_set = {}, {}, {}, dim == 1 or first.group_size ~= nil
  for i, x in ipairs(list) do
    local shape = x.shape
    parts[i], shapes[i] = fields_of(x).params[name], shape
    groups[i] = first.group_size and shape[2] // first.group_size or 1
    by_set = by_set and first.per ~= "tensor" and parts[i].shape[1] == shape[1] * groups[i]
  end
  if by_set then return join_sets(parts, shapes, groups, dim) end
  if all_same(parts) then return parts[1] end
  local what = first.per == "tensor" and "one for the tensor" or dim == 2 and "one for a row" or "shared by rows"
  refuse(("the pieces differ in '%s', of which there is %s"):format(name, what), list)
end

-- The joined quantized tensor, or nil where not all pieces are quantized (then they count as their values). Errors: the
-- pieces have different quantizers or dtypes, or parameters that one tensor cannot hold.
return function(list, dim)
  if #list == 0 then return nil end
  for _, x in ipairs(list) do
    if not core.is_tensor(x) or not fields_of(x) then return nil end
  end
  local first = fields_of(list[1])
  for i, x in ipairs(list) do
    local fields = fields_of(x)
    if value.class(fields.quantizer) ~= value.class(first.quantizer) or fields.quantizer ~= first.quantizer then
      refuse(("piece %d has another quantizer than the first"):format(i), list)
    end
    if x.dtype ~= list[1].dtype then refuse(("piece %d has another dtype than the first"):format(i), list) end
  end
  if math.type(dim) ~= "integer" or (dim ~= 1 and dim ~= 2 and dim ~= -1 and dim ~= -2) then
    core.fail(("wane.concat: argument 2 (dim): expected 1 or 2 of quantized matrices, got %s"):format(tostring(dim)))
  end
  dim = dim < 0 and dim + 3 or dim
  local codes, params = {}, {}
  for i, x in ipairs(list) do codes[i] = fields_of(x).codes end
  local joined = core.concat(codes, dim)
  for name in pairs(first.params) do params[name] = join_param(name, list, dim) end
  return first.quantizer:pack(joined, quantizer.to_live(first.quantizer, params), list[1].dtype)
end
