-- Reductions, and what works along a dim.
local OVER = "a reduced dim stays with size 1, so that w / w:absmax(2) broadcasts; -1 is the last dim. Without a "
  .. "dim: one Lua number over all elements, which computes what is pending"
local ALONG = "x of any shape with a dim; the result has it"
local DIMS = "a dim that x does not have, or one given twice"

local SUMS = "16- and 8-bit floats give f32; integers and bool give i64"
local FLOATS = "floats of 16 and 8 bits and integers give f32"
local KEEPS = "16- and 8-bit floats give f32, all others keep theirs"

return {
  { "tensor", "reductions", shapes = OVER, errors = DIMS,
    { "sum", "Of no elements 0.", dtypes = SUMS,
      example = "wane.tensor { { 1, 2 }, { 3, 4 } }:sum(2)  --> { { 3 }, { 7 } }\n"
        .. "wane.tensor { { 1, 2 }, { 3, 4 } }:sum()  --> 10" },
    { "mean", "Of no elements along a dim NaN.", dtypes = FLOATS, errors = DIMS .. "; without a dim: no elements",
      example = "wane.tensor { { 1, 2 }, { 3, 4 } }:mean(1)  --> { { 2, 3 } }" },
    { "min", dtypes = KEEPS, errors = DIMS .. "; no elements",
      example = "wane.tensor { 3, -1, 2 }:min()  --> -1" },
    { "max", dtypes = KEEPS, errors = DIMS .. "; no elements",
      example = "wane.tensor { 3, -1, 2 }:max()  --> 3" },
    { "absmax", "Of no elements 0.", dtypes = KEEPS,
      example = "wane.tensor { { 1, -5 }, { 3, 4 } }:absmax(2)  --> { { 5 }, { 4 } }" },
    { "norm", "Of no elements 0.", dtypes = FLOATS, example = "wane.tensor { 3, 4 }:norm()  --> 5" },
    { "var", dtypes = FLOATS, errors = DIMS .. "; no elements", example = "wane.tensor { 1, 3 }:var()  --> 1" },
    { "std", dtypes = FLOATS, errors = DIMS .. "; no elements", example = "wane.tensor { 1, 5 }:std()  --> 2" },
    { "prod", "Of no elements 1.", dtypes = SUMS, example = "wane.tensor { 2, 3, 4 }:prod()  --> 24" },
    { "any", "Of no elements false.", dtypes = "any; the result is bool",
      example = "wane.tensor { 0, 2 }:gt(1):any()  --> true" },
    { "all", "Of no elements true.", dtypes = "any; the result is bool",
      example = "wane.tensor { 0, 2 }:gt(1):all()  --> false" },
    { "argmax", "Without a dim: one number for each dim of x.", dtypes = "any; positions are i64, counted from 1",
      errors = DIMS .. "; no elements", types = { dim = "integer" },
      example = "wane.tensor { { 1, 9 }, { 3, 4 } }:argmax()  --> 1, 2\n"
        .. "wane.tensor { { 1, 9 }, { 3, 4 } }:argmax(2)  --> { { 2 }, { 2 } }" },
    { "argmin", "Without a dim: one number for each dim of x.", dtypes = "any; positions are i64, counted from 1",
      errors = DIMS .. "; no elements", types = { dim = "integer" },
      example = "wane.tensor { 4, 1, 1 }:argmin()  --> 2" },
    { "logsumexp", dtypes = FLOATS, units = "nats", errors = DIMS .. "; no elements",
      example = "wane.tensor { 1000, 1000 }:logsumexp()  --> 1000.693147" },
    { "quantile", dtypes = FLOATS, errors = DIMS .. "; a p outside 0 to 1; no elements",
      units = "p is a share: 0.5 is the median", example = "wane.tensor { 1, 2, 3, 10 }:quantile(0.5)  --> 2.5" },
  },
  { "tensor", "along a dim", shapes = ALONG, errors = "a dim that x does not have; a tensor without dims",
    { "softmax", dtypes = "floats keep theirs, integers give f32; computed in f32 at least",
      example = "wane.tensor { 0, math.log(3) }:softmax()  --> { 0.25, 0.75 }" },
    { "cumsum", dtypes = SUMS, example = "wane.tensor { 1, 2, 3 }:cumsum()  --> { 1, 3, 6 }" },
    { "sort", dtypes = "any; the result has x's. NaN counts as the largest",
      errors = 'a dim that x does not have; an order other than "rising" or "falling"',
      example = 'wane.tensor { 2, 3, 1 }:sort(1, "falling")  --> { 3, 2, 1 }' },
    { "argsort", dtypes = "any; positions are i32, counted from 1",
      errors = 'a dim that x does not have; an order other than "rising" or "falling"',
      example = "wane.tensor { 2, 3, 1 }:argsort()  --> { 3, 1, 2 }" },
    { "topk", shapes = "the dim has size k in both results",
      dtypes = "values have x's; positions are i32, counted from 1",
      errors = "a k below 0 or above the dim's size",
      example = "wane.tensor { 2, 9, 4 }:topk(2)  --> { 9, 4 }, { 2, 3 }" },
    { "flip", dtypes = "any; the result has x's", example = "wane.tensor { 1, 2, 3 }:flip()  --> { 3, 2, 1 }" },
    { "hadamard",
      shapes = ALONG
        .. ". Sizes: powers of two times orders of Paley's matrices: 12, 20, 28, 36, 60, 108, 140 ...",
      dtypes = "floats; the result has x's, computed in f32 at least",
      errors = "integers; a size without a transform",
      source = "Sylvester; Paley 1933; on channels: QuaRot, arXiv 2404.00456",
      example = "wane.tensor { 1, 1, 1, 1 }:hadamard()  --> { 2, 0, 0, 0 }" },
  },
}
