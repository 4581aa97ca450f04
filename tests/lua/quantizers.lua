-- Quantizers against the reference codes of tests/oracles/quantizers.py, and the rules that all of them share.
local core = require "wane.core"
local wane = require "wane"

local golden = core.parse_json(core.read "tests/golden/quantizers.json", "quantizers.json")

local function input(name)
  local given = golden.inputs[name]
  return wane.tensor(given.values):reshape(given.shape)
end

local function quantizer_of(c)
  local options = { per = c.per, group_size = c.group_size, observer = c.observer == "mse" and wane.mse or nil }
  for _, key in ipairs { "bits", "symmetric", "convention", "format" } do options[key] = c[key] end
  return wane[c.quantizer](options)
end

local function flat(x)
  local count = 1
  for _, n in ipairs(x.shape) do count = count * n end
  return x:reshape { count }:totable()
end

case("codes, scales and zero points of every reference case", function()
  check(#golden.cases >= 183, "the golden file has lost cases")
  for i, c in ipairs(golden.cases) do
    local q, w = quantizer_of(c), input(c.input)
    local about = ("case %d: %s of %s"):format(i, tostring(q), c.input)
    local packed = q:quantize(w)
    equal(packed.codes.dtype, "u8", about)
    local scales, codes = flat(packed.params.scale), flat(packed.codes)
    equal(#scales, #c.scale, about)
    for k, scale in ipairs(c.scale) do
      local same = wane.tensor({ scale }):same(wane.tensor { scales[k] })
      check(same, ("%s: scale %d is %.9g, not %.9g"):format(about, k, scales[k], scale))
    end
    for k, zero in ipairs(c.zero or {}) do equal(flat(packed.params.zero)[k], zero, about .. ": zero " .. k) end
    for k, code in ipairs(c.codes) do equal(codes[k], code, ("%s: code %d"):format(about, k)) end
    local off = packed - w
    near(math.sqrt(off:square():mean() / w:square():mean()), c.relative_error, 2e-5 * c.relative_error + 1e-9, about)
  end
end)

case("fit, encode, decode, pack and quantize are the same thing in steps", function()
  local w = wane.randn({ 6, 32 }, { stream = "quantizers" })
  local kinds = {
    wane.int { bits = 4, group_size = 8 }, wane.int { bits = 3, symmetric = false }, wane.int { per = "tensor" },
    wane.fp8, wane.fp8 { format = "e5m2", group_size = 16 }, wane.nf4 { group_size = 16 },
    wane.int { bits = 4, group_size = 8, observer = wane.mse }, wane.int { bits = 2, convention = "full" },
    wane.int { bits = 4, symmetric = false, zero_dtype = "f16" }, wane.int { scale_dtype = "f32" },
  }
  for _, q in ipairs(kinds) do
    local params = q:fit(w)
    local codes = q:encode(w, params)
    local packed = q:pack(codes, params)
    check(packed:same(q:decode(codes, params)), tostring(q) .. ": decode and the packed values differ")
    check(packed:same(q:quantize(w)), tostring(q) .. ": pack and quantize differ")
    check(packed:dequantize():same(packed), tostring(q) .. ": dequantize")
    check(q:encode(packed, params):same(codes), tostring(q) .. ": codes of decoded values are not the codes")
  end
end)

case("granularity: scales per tensor, channel and group", function()
  local w = wane.randn({ 4, 12 }, { stream = "grain" })
  equal(wane.int { per = "tensor" }:quantize(w).params.scale.shape[1], 1)
  equal(wane.int { per = "channel" }:quantize(w).params.scale.shape[1], 4)
  equal(wane.int:quantize(w).params.scale.shape[1], 4)
  equal(wane.int { group_size = 3 }:quantize(w).params.scale.shape[1], 16)
  equal(wane.int { group_size = 3 } { per = "tensor" }.group_size, nil)
  equal(wane.int { per = "tensor" } { group_size = 3 }.per, nil)
end)

case("the observer that narrows a range per tensor sees the whole matrix", function()
  local w = wane.randn({ 7, 10 }, { stream = "whole" })
  local q = wane.int { bits = 3, per = "tensor", observer = wane.mse }
  local one = wane.int { bits = 3, observer = wane.mse }
  check(q:quantize(w).codes:reshape { 1, 70 }:same(one:quantize(w:reshape { 1, 70 }).codes), "per tensor is not one row")
end)

case("a row of zeros stays zero and finite", function()
  local w = wane.zeros { 2, 16 }
  local kinds = { wane.int { bits = 4 }, wane.int { bits = 4, symmetric = false }, wane.int { convention = "full" },
                  wane.fp8, wane.nf4 { group_size = 16 }, wane.int { bits = 4, observer = wane.mse } }
  for _, q in ipairs(kinds) do check(q:quantize(w):same(w), tostring(q)) end
end)

case("values take the dtype of the weight", function()
  local w = wane.randn({ 4, 16 }, { stream = "dtype" }):to "bf16"
  local packed = wane.int { bits = 4 }:quantize(w)
  equal(packed.dtype, "bf16")
  check(packed:same(wane.int { bits = 4 }:quantize(w:to "f32"):to "bf16"), "not the f32 values rounded once")
end)

case("labels and equality", function()
  local int4 = wane.int { bits = 4, group_size = 64, observer = wane.mse }
  equal(tostring(int4), "int4 g64 mse")
  equal(tostring(int4 { per = "channel" }), "int4 channel mse")
  equal(tostring(wane.int { bits = 3, symmetric = false }), "int3 asym")
  equal(tostring(wane.fp8 { per = "token" }), "fp8 token")
  equal(tostring(wane.nf4), "nf4 g64")
  equal(tostring(wane.mse { norm = 3 }), "mse norm=3")
  check(int4 == wane.int { bits = 4, group_size = 64, observer = wane.mse { norm = 2.4 } }, "equal by content")
  check(int4 ~= int4 { bits = 3 }, "other bits are another value")
  equal(int4.bits, 4)
  equal(int4.name, "int")
end)

case("wrong options are refused by name", function()
  fails(function() wane.int { bit = 4 } end, "wane.int: no option 'bit'; did you mean 'bits'?")
  fails(function() wane.int { bit = 4 } end,
        "bits, per, group_size, symmetric, observer, convention, scale_dtype, zero_dtype")
  fails(function() wane.int { bits = 9 } end, "wane.int: bits is 9, expected a whole number from 2 to 8")
  fails(function() wane.int { per = "row" } end, "per is 'row', expected one of tensor, channel, token")
  fails(function() wane.int { per = "tensor", group_size = 8 } end, "per and group_size exclude each other")
  fails(function() wane.fp8 { format = "e3m4" } end, "format is 'e3m4', expected one of e4m3, e5m2")
  fails(function() wane.int { observer = 3 } end, "observer is a number")
  fails(function() wane.int.bits = 4 end, "wane.int is a value and cannot be assigned to")
  fails(function() return wane.int.width end, "wane.int: no field 'width'")
  fails(function() wane.int { group_size = 5 }:quantize(wane.zeros { 2, 12 }) end,
        "group_size 5 does not divide the 12 columns")
  fails(function() wane.int:quantize(wane.zeros { 12 }) end, "w is [12], expected a matrix")
  fails(function() wane.int { per = "token" }:quantize(wane.zeros { 2, 12 }) end, "per = 'token' is for inputs")
  for _, name in ipairs { "nvfp4", "mxfp4", "gguf" } do
    fails(function() wane[name]:quantize(wane.zeros { 2, 32 }) end, "not supported yet: wane." .. name)
  end
end)

local pow2 = dofile(source "tests/oracles/pow2.lua")

case("a quantizer of one's own", function()
  local Pow2 = pow2()
  local w = wane.tensor { { 1, -0.5, 0.3, 0.01 }, { -4, 4, 0.001, 2 } }
  local packed = Pow2:quantize(w)
  check(packed.codes:same(wane.tensor({ { 0, 9, 2, 7 }, { 8, 0, 7, 1 } }, { dtype = "u8" })), "codes")
  check((packed + 0):same(wane.tensor { { 1, -0.5, 0.25, 1 / 128 }, { -4, 4, 4 / 128, 2 } }), "values")
  equal(packed.params.top.dtype, "bf16")
  equal(tostring(Pow2 { group_size = 2, observer = wane.mse }), "pow2 g2 mse")
  equal(Pow2 { group_size = 2 }:quantize(w).params.top.shape[1], 4)
  equal(Pow2 { per = "tensor" }:quantize(w).params.top.shape[1], 1)
  check(Pow2 { bits = 3 }:quantize(w).codes:max() <= 7, "bits in self")
end)

case("a quantizer of one's own behind a searched range is no worse", function()
  local w = wane.randn({ 8, 64 }, { stream = "pow2" })
  local function off(q) return (q:quantize(w) - w):square():mean() end
  check(off(pow2() { observer = wane.mse { norm = 2 } }) <= off(pow2() { observer = wane.minmax }), "mse is worse")
end)

case("zero points of one's own quantizer are whole and stored around 0", function()
  local Q = wane.quantizer("shifted", { bits = 4 })
  function Q:fit(w)
    local lo, hi = w:min(2):minimum(0), w:max(2):maximum(0)
    local scale = (hi - lo) / 15
    return { scale = scale, zero = -lo / scale }
  end
  function Q:encode(w, p) return ((w / p.scale):round() + p.zero):clamp(0, 15) end
  function Q:decode(codes, p) return (codes - p.zero) * p.scale end
  local packed = Q:quantize(wane.tensor { { -1, 0, 0.5, 2 } })
  equal(packed.params.zero.dtype, "i8")
  equal(packed.params.zero:item(), -3)
end)

case("functions that ask Lua about a tensor are refused when they are defined", function()
  local Q = wane.quantizer("asks", {})
  fails(function()
    function Q:encode(w, p)
      if w:lt(0) then return w end
      return w
    end
  end, "asks: encode: 'if' on the tensor 'w'")
  fails(function()
    function Q:decode(codes, p)
      local x = codes * p.scale
      return x == 0 and codes or x
    end
  end, "'==' on the tensor 'x'")
  function Q:encode(w, p)
    if self.bits == 8 and p.zero ~= nil and w.shape[1] == 1 then return w + p.zero end
    return w / p.scale
  end
end)

case("a value asked for while tracing, a wrong kind, a wrong shape", function()
  local function with(what, fn)
    local Q = wane.quantizer("wrong", { bits = 8 })
    function Q:fit(w) return { scale = w:absmax(2) } end
    function Q:encode(w, p) return (w / p.scale):round() end
    function Q:decode(codes, p) return codes * p.scale end
    Q[what] = fn
    return function() return Q:quantize(wane.ones { 2, 4 }) end
  end
  fails(with("encode", function(_, w) return w / w:max() end), "a value is asked for while tracing")
  fails(with("encode", function(_, w) return w:sum(2) end), "while tracing")
  fails(with("encode", function() return 3 end), "wrong: encode gave a number, expected a tensor")
  fails(with("fit", function() return 3 end), "wrong: fit gave a number, expected a table of tensors")
  fails(with("fit", function() return { scale = 3 } end), "fit: 'scale' is a number, expected a tensor [2, 1]")
  fails(with("fit", function() return { scale = wane.ones { 1, 4 } } end), "fit: 'scale' is [1 x 4], expected [2, 1]")
  fails(function() wane.quantizer("empty", {}):quantize(wane.ones { 2, 4 }) end,
        "empty: it has no fit; define function empty:fit")
  fails(function() local Q = wane.quantizer("x", {}); Q.fits = 1 end, "'fits' is not among what a quantizer defines")
  fails(function() wane.quantizer(3) end, "wane.quantizer: name is a number")
end)
