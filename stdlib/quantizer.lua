-- What all quantizers share: granularity, rounding of parameters to the dtypes they are stored in, codes, packing.
-- A row is what shares one set of parameters. Parameters are "live" (f32, as fit, encode and decode see them, already
-- rounded) or "stored" (scale_dtype; zero_dtype minus 2^(bits-1)); going from one to the other loses nothing.
local core = require "wane.core"
local options = require "wane.options"
local value = require "wane.value"

local quantizer = {}

local FLOATS = { f32 = true, bf16 = true, f16 = true }
local DTYPES = { "f64", "f32", "bf16", "f16", "e4m3", "e5m2", "i64", "i32", "i8", "u8", "bool" }
local COMMON = { per = true, group_size = true, observer = true, scale_dtype = true, zero_dtype = true, bits = true }

local function is_float(dtype) return FLOATS[dtype] or dtype == "f64" end

-- Checks of the options that every quantizer has.
function quantizer.check(where, options)
  if options.per ~= nil then value.one_of(where, "per", options.per, { "tensor", "channel", "token" }) end
  if options.group_size ~= nil then value.whole(where, "group_size", options.group_size, 1) end
  value.one_of(where, "scale_dtype", options.scale_dtype, { "f32", "bf16", "f16" })
  if options.zero_dtype ~= nil then
    value.one_of(where, "zero_dtype", options.zero_dtype, { "i8", "u8", "i32", "f32", "bf16", "f16" })
  end
  if options.observer ~= nil and not value.is(options.observer, "observer") then
    core.fail(("%s: observer is a %s, expected an observer such as wane.mse"):format(where, type(options.observer)))
  end
end

-- The columns that share parameters, nil where `per` says what does: a solver's quantizer has both (quantizer.told).
local function group_of(q) return not q.per and q.group_size or nil end
quantizer.group_of = group_of

-- "g64 mse": the end of every quantizer's label.
local function grain_words(q, words)
  if group_of(q) then words[#words + 1] = "g" .. q.group_size end
  if q.per then words[#words + 1] = q.per end
  if q.observer then words[#words + 1] = tostring(q.observer) end
  return table.concat(words, " ")
end
quantizer.grain_words = grain_words

-- -- granularity ------------------------------------------------------------------------------------------------

-- A weight [out, in] (or its codes) as rows. Returns the 2-d view and whether all of it is one row: built-in
-- quantizers keep [out, in] then and reduce in two steps, a user's fit is given the one row that it was promised.
function quantizer.rows(q, w)
  if group_of(q) then return w:reshape { -1, q.group_size }, false end
  if q.per == "tensor" then
    if value.class(q).user then return w:reshape { 1, -1 }, false end
    return w, true
  end
  return w, false
end

function quantizer.reduce(x, kind, whole)
  local reduced = x[kind](x, 2)
  if whole then reduced = reduced[kind](reduced, 1) end
  return reduced
end

-- Statistics of the input channels ([in], or [in, 1]) cut like the rows of a weight [out, in].
function quantizer.seen_rows(q, seen, shape)
  if not seen then return nil end
  local cut, out, columns = {}, shape[1], shape[2]
  for name, s in pairs(seen) do
    if not core.is_tensor(s) or s:reshape { -1 }.shape[1] ~= columns then
      cut[name] = s
    elseif group_of(q) then
      local groups = columns // q.group_size
      cut[name] = s:reshape { 1, groups, q.group_size }:expand { out, groups, q.group_size }
        :reshape { out * groups, q.group_size }
    elseif q.per == "tensor" and value.class(q).user then
      cut[name] = s:reshape { 1, columns }:expand { out, columns }:reshape { 1, -1 }
    else
      cut[name] = s:reshape { 1, columns }:expand { out, columns }
    end
  end
  return cut
end

-- Weights per stored parameter set: what a scale's bits are shared by.
function quantizer.row_length(q, shape)
  if group_of(q) then return q.group_size end
  if q.per == "tensor" then return shape[1] * shape[2] end
  return shape[2]
end

-- -- parameters -------------------------------------------------------------------------------------------------

local function stored_dtype(q, name)
  if name == "zero" then return q.zero_dtype or "i8" end
  return q.scale_dtype
end

local LIMITS = { i8 = { -128, 127 }, u8 = { 0, 255 }, i32 = { -2^31, 2^31 - 128 } }

-- Live parameters rounded to the values that their stored form holds. Maps only.
function quantizer.settle(q, params)
  local settled = {}
  for name, p in pairs(params) do
    local dtype = stored_dtype(q, name)
    if name == "zero" then
      local half = 2 ^ (q.bits - 1)
      local kept = p:to "f32" - half
      if LIMITS[dtype] then kept = kept:round():clamp(LIMITS[dtype][1], LIMITS[dtype][2])
      else kept = kept:to(dtype):to "f32" end
      settled[name] = kept + half
    else
      settled[name] = p:to(dtype):to "f32"
    end
  end
  return settled
end

function quantizer.flushed(params)
  for _, p in pairs(params) do core.flush(p) end
  return params
end

local function to_stored(q, params)
  local stored = {}
  for name, p in pairs(params) do
    local kept = p
    if name == "zero" then kept = p - 2 ^ (q.bits - 1) end
    stored[name] = core.flush(kept:to(stored_dtype(q, name)))
  end
  return stored
end

local function to_live(q, stored)
  local live = {}
  for name, p in pairs(stored) do
    live[name] = p:to "f32"
    if name == "zero" then live[name] = live[name] + 2 ^ (q.bits - 1) end
  end
  return live
end
quantizer.to_live = to_live

local is_tensor = core.is_tensor

-- What a user's fit gave: a table of tensors with one row per row of x.
local function checked_params(q, params, rows)
  if type(params) ~= "table" then
    core.fail(("%s: fit gave a %s, expected a table of tensors [rows, 1]"):format(q.name, type(params)))
  end
  for name, p in pairs(params) do
    if not is_tensor(p) then
      core.fail(("%s: fit: '%s' is a %s, expected a tensor [%d, 1]"):format(q.name, tostring(name), type(p), rows))
    end
    if #p.shape ~= 2 or p.shape[1] ~= rows then
      core.fail(("%s: fit: '%s' is [%s], expected [%d, 1] (one row per row of w)"):format(
        q.name, name, table.concat(p.shape, " x "), rows))
    end
  end
  return params
end

-- -- the class's own functions ----------------------------------------------------------------------------------

-- `self` of a user's functions: options, and the functions on rows themselves.
local function inner(q)
  local row = value.class(q).row
  return value.instance(q, { fit = row.fit, encode = row.encode, decode = row.decode })
end

local function own(q, name)
  local method = value.class(q).row[name]
  if not method then core.fail(("%s: it has no %s; define function %s:%s"):format(q.name, name, q.name, name)) end
  return method
end

-- Live parameters of rows x (f32) whose range is lo .. hi: [rows, 1] each (nil: no observer narrows it).
function quantizer.params(q, x, lo, hi, seen)
  local class = value.class(q)
  if not class.user then return quantizer.settle(q, class.row.from_range(q, lo, hi)) end
  if lo then x = x:maximum(lo):minimum(hi) end
  return quantizer.settle(q, checked_params(q, own(q, "fit")(inner(q), x, seen or {}), x.shape[1]))
end

-- Parameters of a static input: fit sees [rows, 2], its lowest and highest.
function quantizer.params_of_range(q, lo, hi)
  local class = value.class(q)
  if not class.user then return quantizer.settle(q, class.row.from_range(q, lo, hi)) end
  local x = core.concat({ lo, hi }, 2)
  return quantizer.settle(q, checked_params(q, own(q, "fit")(inner(q), x, {}), x.shape[1]))
end

local function checked_map(q, what, result, x)
  if not is_tensor(result) then
    core.fail(("%s: %s gave a %s, expected a tensor"):format(q.name, what, type(result)))
  end
  for i, n in ipairs(x.shape) do
    if result.shape[i] ~= n or #result.shape ~= #x.shape then
      core.fail(("%s: %s gave [%s] for [%s]"):format(q.name, what, table.concat(result.shape, " x "),
                                                    table.concat(x.shape, " x ")))
    end
  end
  return result
end

-- Columns of a parameter are views, so one that has several is computed before a function is traced.
local function with_columns(params)
  for _, p in pairs(params) do
    if p.shape[2] > 1 then core.flush(p) end
  end
  return params
end

function quantizer.encode_rows(q, x, params)
  local class = value.class(q)
  if not class.user then return class.row.encode(q, x, params) end
  params = with_columns(params)
  return checked_map(q, "encode", core.trace(own(q, "encode"), inner(q), x, params), x)
end

-- Codes as they are stored. A user's encode may give anything; what u8 would bend into a code is an error instead.
local function stored_codes(q, codes)
  local class = value.class(q)
  core.flush(codes)
  if class.user and codes.shape[1] > 0 and codes.shape[2] > 0 then
    local low, high, top = codes:min(), codes:max(), 2 ^ q.bits - 1
    local off = (codes - codes:round()):absmax()
    if not (low >= 0 and high <= top and off == 0) then
      local info = core.function_info(class.row.encode, "S")
      local what = off > 0 and low >= 0 and high <= top and "fractions" or ("%.4g to %.4g"):format(low, high)
      core.fail(("%s: encode gave %s; expected whole numbers 0 to %d"):format(q.name, what, top),
                { notes = { { "encode", ("%s:%d"):format(info.short_src, info.linedefined) } } })
    end
  end
  return core.flush(codes:to "u8")
end

function quantizer.decode_rows(q, codes, params)
  local class = value.class(q)
  if not class.user then return class.row.decode(q, codes, params) end
  params = with_columns(params)
  return checked_map(q, "decode", core.trace(own(q, "decode"), inner(q), codes, params), codes)
end

-- decode(encode(x)): built-in quantizers have a shorter form with the same bits.
function quantizer.round_rows(q, x, params)
  local round = value.class(q).row.round
  if round then return round(q, x, params) end
  return quantizer.decode_rows(q, quantizer.encode_rows(q, x, params), params)
end

-- -- the public methods -----------------------------------------------------------------------------------------

local methods = options.methods("quantizer", function(q) return value.acts_as(q, "quantizer") end)
quantizer.methods = methods

local function matrix(q, what, w)
  if not is_tensor(w) then core.fail(("%s:%s: w is a %s, expected a tensor"):format(q.name, what, type(w))) end
  if #w.shape ~= 2 then
    core.fail(("%s:%s: w is [%s], expected a matrix"):format(q.name, what, table.concat(w.shape, " x ")))
  end
  if not is_float(w.dtype) then core.fail(("%s:%s: w is %s, expected floats"):format(q.name, what, w.dtype)) end
  if q.per == "token" then
    core.fail(("%s:%s: per = 'token' is for inputs; a weight has per = 'tensor', 'channel' or a group_size")
      :format(q.name, what))
  end
  if group_of(q) and w.shape[2] % q.group_size ~= 0 then
    core.fail(("%s:%s: group_size %d does not divide the %d columns"):format(q.name, what, q.group_size, w.shape[2]))
  end
  return w
end

local function given_codes(q, what, codes)
  if not is_tensor(codes) or #codes.shape ~= 2 then
    local found = is_tensor(codes) and ("[%s]"):format(table.concat(codes.shape, " x ")) or "a " .. type(codes)
    core.fail(("%s:%s: codes is %s, expected a matrix of codes"):format(q.name, what, found))
  end
  return codes
end

local function given_params(q, what, params)
  if type(params) ~= "table" then
    core.fail(("%s:%s: params is %s, expected the table of tensors that %s:fit gives"):format(
      q.name, what, params == nil and "missing" or "a " .. type(params), q.name))
  end
  for name, p in pairs(params) do
    if not is_tensor(p) then
      core.fail(("%s:%s: params: '%s' is a %s, expected a tensor"):format(q.name, what, tostring(name), type(p)))
    end
  end
  return params
end

-- What wane.quantize learned of the inputs for the quantizer that it hands to a solver, so that a fit in there knows it.
local learned = setmetatable({}, { __mode = "k" })
function quantizer.learned(q) return learned[q] end

-- q as a solver is given it, for a weight of so many columns: group_size is the columns that share parameters whatever
-- the granularity is called, and what was seen of the inputs is known to it.
function quantizer.told(q, columns, seen)
  local taught = value.variant(q, {
    group_size = group_of(q) or columns, per = q.per == "tensor" and q.per or false,
  })
  learned[taught] = seen
  return taught
end

-- Live parameters, and the rows and range they were fitted on.
function quantizer.fit_matrix(q, w, seen)
  seen = seen or learned[q]
  local x, whole = quantizer.rows(q, matrix(q, "fit", w))
  x = core.flush(x:to "f32")
  local lo, hi
  local cut = quantizer.seen_rows(q, seen, w.shape)
  if q.observer or not value.class(q).user then
    lo, hi = require("wane.observers").range(q, x, whole, cut)
  end
  return quantizer.flushed(quantizer.params(q, x, lo, hi, cut)), x, lo, hi
end

function methods.fit(q, w, seen)
  return (quantizer.fit_matrix(q, w, seen))
end

function methods.encode(q, w, params)
  local x = quantizer.rows(q, matrix(q, "encode", w))
  given_params(q, "encode", params)
  return stored_codes(q, quantizer.encode_rows(q, x:to "f32", params)):reshape(w.shape)
end

function methods.decode(q, codes, params)
  local x = quantizer.rows(q, given_codes(q, "decode", codes))
  given_params(q, "decode", params)
  return core.flush(quantizer.decode_rows(q, x:to "f32", params)):reshape(codes.shape)
end

-- A quantized tensor of this dtype (f32 unless given): codes and parameters are kept, values are made on demand.
function methods.pack(q, codes, params, dtype)
  dtype = dtype or "f32"
  given_params(q, "pack", params)
  local shape = given_codes(q, "pack", codes).shape
  local kept = core.flush(codes:to "u8")
  local stored = to_stored(q, params)
  local function values()
    local x = quantizer.rows(q, kept)
    return quantizer.decode_rows(q, x:to "f32", to_live(q, stored)):to(dtype)
  end
  return core.quantized(values(), {
    shape = shape,
    fields = { codes = kept, params = stored, quantizer = q },
    methods = { dequantize = function() return core.flush(values()):reshape(shape) end },
  })
end

-- The same codes and parameters, their values in another dtype.
function quantizer.with_dtype(packed, dtype)
  local fields = core.attached(packed).fields
  return methods.pack(fields.quantizer, fields.codes, to_live(fields.quantizer, fields.params), dtype)
end

-- Share of clipped weights of a quantized tensor, or nil where its quantizer cannot tell. w: [out, in], f32.
function quantizer.clipped(packed, w)
  local fields = core.attached(packed).fields
  local q = fields.quantizer
  local clipped = value.class(q).row.clipped
  if not clipped then return nil end
  local x = quantizer.rows(q, w)
  return clipped(q, x, quantizer.flushed(to_live(q, fields.params)))
end

function methods.quantize(q, w, seen)
  local params, x = quantizer.fit_matrix(q, w, seen)
  local codes = stored_codes(q, quantizer.encode_rows(q, x, params)):reshape(w.shape)
  return methods.pack(q, codes, params, w.dtype)
end

-- Stored bits of a quantized matrix, parameters included.
function quantizer.stored_bits(q, shape, stored)
  local bits = shape[1] * shape[2] * q.bits
  for _, p in pairs(stored) do bits = bits + p.bytes * 8 end
  return bits
end

-- The same before it exists. A user's quantizer is assumed to keep one scale per row.
function quantizer.planned_bits(q, shape)
  local class = value.class(q)
  local sets = (shape[1] * shape[2]) // quantizer.row_length(q, shape)
  local param_bits = class.user and quantizer.dtype_bits(q.scale_dtype) or class.row.param_bits(q)
  return shape[1] * shape[2] * q.bits + sets * param_bits
end

-- -- defining ---------------------------------------------------------------------------------------------------

-- A built-in class: { name, options = { { name, default }, ... }, check, label, row = { from_range, encode, decode,
-- round, param_bits } }. `bits` may be a fixed number that is no option.
function quantizer.define(spec)
  local order, defaults = {}, { scale_dtype = "bf16" }
  for _, option in ipairs(spec.options) do
    order[#order + 1] = option[1]
    if option[2] ~= nil then defaults[option[1]] = option[2] end
  end
  local own_methods = setmetatable({ bits = spec.bits }, { __index = methods })
  return value.define {
    kind = "quantizer", name = spec.name, order = order, defaults = defaults, row = spec.row, methods = own_methods,
    label = spec.label, open = { bits = true, needs = true },
    check = function(where, options)
      quantizer.check(where, options)
      if spec.check then spec.check(where, options) end
    end,
  }
end

local DTYPE_BITS = { f32 = 32, bf16 = 16, f16 = 16, i8 = 8, u8 = 8, i32 = 32 }
function quantizer.dtype_bits(dtype) return DTYPE_BITS[dtype] end

local OPEN = { fit = true, encode = true, decode = true, needs = true }

-- wane.quantizer(name, { bits = 8, ... }): a quantizer of the user's own; fit, encode and decode are assigned to it.
function quantizer.own(name, options)
  if type(name) ~= "string" then core.fail(("wane.quantizer: name is a %s, expected a string"):format(type(name))) end
  options = options or {}
  local order = { "bits", "per", "group_size", "observer" }
  for _, key in ipairs(value.own_options("wane.quantizer", options, COMMON)) do order[#order + 1] = key end
  order[#order + 1] = "scale_dtype"
  order[#order + 1] = "zero_dtype"
  local defaults = { bits = 8, scale_dtype = "bf16", zero_dtype = "i8" }
  for key, default in pairs(options) do defaults[key] = default end
  local row = {}
  return value.define {
    kind = "quantizer", name = name, order = order, defaults = defaults, user = true, row = row, open = OPEN,
    methods = setmetatable({}, { __index = methods, __newindex = function(t, key, new)
      -- The three functions work on rows; the methods of the same name cut the matrix for them.
      if methods[key] then row[key] = new else rawset(t, key, new) end
    end }),
    define = function(class, key, new)
      if key ~= "needs" and type(new) ~= "function" then
        core.fail(("%s: %s is a %s, expected a function"):format(class.name, key, type(new)))
      end
      if key == "needs" then return require("wane.solvers").check_needs(class, new) end
      if key ~= "fit" then require("wane.quantizer_source").check(class.name, key, new) end
    end,
    label = function(q)
      local skip = { per = true, group_size = true, observer = true }
      return grain_words(q, { name, table.unpack(value.differences(q, skip)) })
    end,
    check = function(where, o)
      quantizer.check(where, o)
      value.whole(where, "bits", o.bits, 1, 8)
    end,
  }
end

function quantizer.is_dtype(word)
  for _, dtype in ipairs(DTYPES) do
    if word == dtype then return true end
  end
  return false
end
quantizer.dtypes = DTYPES

return quantizer
