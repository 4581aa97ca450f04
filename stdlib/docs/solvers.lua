-- Solvers: how the codes of one weight are chosen.
return {
  { "wane", "solvers", errors = "an unknown option, with the valid ones and the nearest",
    { "rtn {} -> solver",
      "Rounds to nearest, with the range that the quantizer's observer finds. It needs no text.",
      options = "none", source = "project",
      example = "q, w = wane.int { bits = 4 }, wane.randn { 4, 8 }\n"
        .. "wane.rtn:solve(w, q):same(q:quantize(w))  --> true" },
    { 'gptq { damp = 0.01, act_order = "static", precorrect = 0.5, spikes = 64 } -> solver',
      "Column by column; each error is repaid by the columns that follow. act_order: \"static\" columns by"
        .. " falling diagonal, group parameters fitted once; \"group\" whole groups by their largest diagonal; "
        .. "\"none\" as they stand. precorrect: the share of the correction for inputs changed by earlier "
        .. "layers. spikes: tokens above this ratio are left out of the damping's mean.",
      options = "precorrect = 0 keeps no original inputs; spikes = false leaves none out",
      units = "damp: a share of the Hessian's mean diagonal; precorrect: a share, 0 to 1; spikes: a ratio of a token's norm "
        .. "to the median", dtypes = "solved in f32; in f64 where weight and Hessian are f64", source = "GPTQ, arXiv 2210.17323; GPTAQ, arXiv 2504.02692",
      errors = "no text; NaN or Inf in weights or inputs, with layer, sample and token; a Cholesky that fails after damp "
        .. "was raised 4 times, which is recorded; scales that their dtype cannot hold",
      example = "x, w = wane.randn { 64, 8 }, wane.randn { 4, 8 }\n"
        .. "q = wane.gptq:solve(w, wane.int { bits = 4 }, { hessian = x:t():matmul(x) / 64 })\n"
        .. "q.shape  --> { 4, 8 }" },
    { "solver(name, { ... }) -> solver",
      "A solver of one's own: S.needs = { observers }, function S:solve(w, quantizer, seen) gives a "
        .. "quantized tensor of w's shape.\n"
        .. "quantizer.group_size is always the columns of w that share parameters (per channel and per tensor: in); "
        .. "seen.hessian and so on are the results of needs. Layers that share an input and a scheme come stacked, as "
        .. "one w, where needs asks for something.",
      shapes = "w [out, in]; seen.hessian and seen.cross [in, in]; others as the observer gives them", dtypes = "f32",
      source = "project", errors = "a result that is no quantized tensor of w's shape",
      example = "Plain = wane.solver(\"plain\", { scale = 1 })\n"
        .. "function Plain:solve(w, quantizer) return quantizer:quantize(w * self.scale) end\n"
        .. "Plain { scale = 2 }.scale  --> 2" },
    { "sweep(w, u, quantizer, { order, params, second }) -> tensor, errors",
      "For each column j: code it, e_j = (w_j - value) / u_jj, w_k -= e_j u_jk for k > j; quantizer:fit at"
        .. " each group's entry on the updated weights, unless params are given. order: positions; second: a "
        .. "further triangle, applied to w_j.", shapes = "w [out, in], u [in, in] upper; errors [out, in]",
      dtypes = "w of any float dtype, swept in f32; f64 in f64",
      errors = "shapes that do not fit; NaN or Inf in w; an order that mixes the columns of groups, without params; "
        .. "a quantizer whose maps take more than 64 operations",
      source = "GPTQ, arXiv 2210.17323; second: GPTAQ, arXiv 2504.02692",
      types = { w = "wane.tensor", u = "wane.tensor", quantizer = "wane.quantizer",
        order = "wane.tensor|integer[]", returns = "wane.tensor, wane.tensor" },
      example = "q, w = wane.int { bits = 4 }, wane.randn { 4, 8 }\n"
        .. "rounded = wane.sweep(w, wane.eye(8), q)\n"
        .. "rounded:same(q:quantize(w))  --> true" },
  },
  { "solver", "what a solver can do",
    { "solve(w, quantizer [, seen]) -> tensor",
      "The quantized tensor of a weight; seen holds the statistics of its input that the solver needs. wane.gptq gives a "
        .. "table after it: damp, dead (columns that no token uses), loss (the summed squares of its errors).",
      shapes = "w [out, in]; seen.hessian, seen.cross [in, in]; seen.calm [in, 1]",
      dtypes = "w of any float dtype; the result counts as w's", source = "that of the solver",
      errors = "statistics that are missing, or have NaN or Inf; shapes that do not fit; a group_size that does not divide",
      types = { w = "wane.tensor", seen = "table", quantizer = "wane.quantizer" },
      example = "wane.rtn:solve(wane.tensor { { -7.5, 7.5 } }, wane.int { bits = 4 }).codes  --> { { 0, 15 } }" },
    { "name", "Its name; every option is a field too.", type = "string",
      example = 'wane.gptq.name  --> "gptq"\nwane.gptq.damp  --> 0.01' },
  },
}
