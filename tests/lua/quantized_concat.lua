-- wane.concat of quantized tensors: codes and parameters as they were, refused where one tensor cannot hold them.
local core = require "wane.core"
local wane = require "wane"

local function pieces(q, shapes, dtype)
  local list = {}
  for i, shape in ipairs(shapes) do
    list[i] = q:quantize((wane.randn(shape, { stream = "concat " .. i }) * i):to(dtype or "f32"))
  end
  return list
end

-- The joined tensor has the pieces' codes and values, bit for bit.
local function check_joined(q, shapes, dim, dtype)
  local list = pieces(q, shapes, dtype)
  local joined = wane.concat(list, dim)
  local codes, values = {}, {}
  for i, piece in ipairs(list) do codes[i], values[i] = piece.codes, piece:dequantize() end
  check(joined.quantizer == q, "it is quantized by the same quantizer")
  check(joined.codes:same(core.concat(codes, dim)), "codes")
  check(joined:dequantize():same(core.concat(values, dim)), "values")
  equal(joined.dtype, list[1].dtype)
  return joined
end

case("rows and columns of groups, rows of channels", function()
  for _, q in ipairs { wane.int { bits = 4, group_size = 8 }, wane.int { bits = 3, group_size = 8, symmetric = false },
                       wane.nf4 { group_size = 8 }, wane.fp8 { group_size = 8 } } do
    for _, dtype in ipairs { "f32", "bf16" } do
      check_joined(q, { { 3, 16 }, { 5, 16 }, { 1, 16 } }, 1, dtype)
      check_joined(q, { { 4, 8 }, { 4, 24 }, { 4, 16 } }, 2, dtype)
      check_joined(q, { { 4, 8 }, { 4, 24 } }, -1, dtype)
    end
  end
  check_joined(wane.int { bits = 4, per = "channel" }, { { 3, 10 }, { 2, 10 } }, 1)
  check_joined(wane.int { bits = 4 }, { { 3, 10 } }, 2)
end)

case("a user's quantizer", function()
  local Half = wane.quantizer("concat half", { bits = 4 })
  function Half:fit(w) return { top = w:absmax(2):clamp(1e-8) } end
  function Half:encode(w, p) return (w / p.top * 7 + 7):round():clamp(0, 14) end
  function Half:decode(codes, p) return (codes - 7) / 7 * p.top end
  check_joined(Half { group_size = 4 }, { { 2, 8 }, { 2, 4 } }, 2)
end)

case("what one tensor cannot hold is refused, with the pieces", function()
  local tensor = wane.int { bits = 4, per = "tensor" }
  local problem = fails(function() wane.concat(pieces(tensor, { { 2, 8 }, { 2, 8 } }), 1) end,
                        "wane.concat: the pieces differ in 'scale', of which there is one for the tensor")
  check(tostring(problem):find("piece 2   [2 x 8] f32, int4 tensor", 1, true), tostring(problem))
  check(tostring(problem):find("piece:dequantize() gives values", 1, true), tostring(problem))
  fails(function() wane.concat(pieces(wane.int { per = "channel" }, { { 2, 8 }, { 2, 8 } }), 2) end,
        "the pieces differ in 'scale', of which there is one for a row")
  local one, two = pieces(wane.int, { { 2, 8 } })[1], pieces(wane.int { bits = 4 }, { { 2, 8 } })[1]
  fails(function() wane.concat { one, two } end, "piece 2 has another quantizer than the first")
  local wide = pieces(wane.int, { { 2, 8 } }, "bf16")[1]
  fails(function() wane.concat { one, wide } end, "piece 2 has another dtype than the first")
  fails(function() wane.concat({ one, one }, 3) end, "argument 2 (dim): expected 1 or 2 of quantized matrices, got 3")
  fails(function() wane.concat(pieces(wane.int { group_size = 4 }, { { 2, 8 }, { 2, 12 } }), 1) end, "concat: shapes differ")
end)

case("equal parameters are shared, other tensors make it values", function()
  local tensor = wane.int { bits = 4, per = "tensor" }
  local one = pieces(tensor, { { 2, 8 } })[1]
  check(wane.concat({ one, one }, 2):dequantize():same(core.concat({ one:dequantize(), one:dequantize() }, 2)))
  local mixed = wane.concat { one, wane.ones { 1, 8 } }
  check(core.attached(mixed) == nil, "values")
  check(mixed:same(core.concat({ one:dequantize(), wane.ones { 1, 8 } }, 1)))
  fails(function() wane.concat {} end, "concat: an empty list")
  fails(function() wane.concat "x" end, "concat: argument 1 (list): expected a table, got 'x'")
end)
