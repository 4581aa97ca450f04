-- Observers: values with options; what is learned from numbers that pass.
local OPTIONS = 'per = "tensor", "channel" or "token": what one row is; "tensor" in wane.observe unless it says '
  .. "otherwise, else the rows of the quantizer it serves"
local WRONG = "an unknown option; NaN or Inf in what it sees: layer, sample, token"
local ROW = "x [rows, m]; one result for each row, a Lua number where there is one"

return {
  { "wane", "observers", options = OPTIONS, shapes = ROW, dtypes = "x f32; results f32", errors = WRONG,
    { "minmax { ema, per } -> observer",
      "Lowest and highest. ema: a moving range, each sample weighing this much; nil: the true extremes.",
      source = "ema: compressed-tensors' observers",
      example = "seen = wane.observe(model, text, wane.minmax)\nseen[1].minmax.shape  --> { 1, 2 }" },
    { "absmax { per } -> observer", "Largest magnitude.",
      example = 'seen = wane.observe(model, text, wane.absmax { per = "channel" })\n'
        .. 'seen[1].absmax.shape  --> { 16, 1 }' },
    { "percentile { p = 99.99, per } -> observer",
      "The range of the p-th percentile of magnitudes, exact; interpolated between neighbours.",
      units = "p in percent", errors = WRONG .. "; a p outside of 0 to 100",
      example = "seen = wane.observe(model, text, { wane.percentile { p = 50 }, wane.absmax })\n"
        .. "seen[1].percentile < seen[1].absmax  --> true" },
    { "mse { grid = 100, shrink = 0.8, norm = 2.4, per } -> observer",
      "Of the ranges p * (lo, hi), p = 1 - i / grid down to 1 - shrink, the one with the least sum of "
        .. "|rounded - x|^norm.", errors = WRONG .. "; alone in wane.observe: it needs the quantizer it serves",
      source = "the search of GPTQ's reference code",
      example = "w = wane.randn { 8, 64 }\n"
        .. "q = wane.int { bits = 3 }\n"
        .. "function off(q) return (q:quantize(w) - w):norm() end\n"
        .. "off(q { observer = wane.mse }) < off(q)  --> true" },
    { "imatrix { norm = 3, per } -> observer",
      "As wane.mse, each column weighing the mean square of its input channel; weights only, needs a text.",
      source = "llama.cpp's importance matrix",
      example = 'wane.int { bits = 4, observer = wane.imatrix }  --> "int4 imatrix"' },
    { "block_mse { per } -> observer", "The range with the least error of the block's output; inputs only.",
      example = 'wane.int { per = "tensor", observer = wane.block_mse }  --> "int8 tensor block_mse"' },
    { "token_ratio { per } -> observer",
      "The largest token over the median token, by absmax; the mean over samples.",
      errors = WRONG .. '; a per other than "tensor"', source = "PrefixQuant, arXiv 2410.05265",
      example = "seen = wane.observe(model, text, wane.token_ratio)\nseen[1].token_ratio >= 1  --> true" },
    { "mean_square { per } -> observer", "Mean of x^2.",
      example = 'seen = wane.observe(model, text, wane.mean_square)\nseen[1].mean_square > 0  --> true' },
    { "hessian { per } -> observer", "Mean of x x^T over the tokens, for solvers.",
      shapes = "x [tokens, channels] to [channels, channels]", source = "GPTQ, arXiv 2210.17323",
      options = "none: its result is of all channels",
      example = 'wane.observe(model, text, wane.hessian, { layers = "layers.0.mlp.down_proj" })[1].hessian.shape  '
        .. '--> { 32, 32 }' },
    { "cross { per } -> observer",
      "Mean of x0 x^T over the tokens, x0 the input in the original model, for solvers.",
      shapes = "x0 and x [tokens, channels] to [channels, channels]", source = "GPTAQ, arXiv 2504.02692",
      options = "none: its result is of all channels", example = 'wane.cross.name  --> "cross"' },
    { "observer(name, { per, ... }) -> observer",
      "An observer of one's own: function O:init(), O:see(x, x0) with x [rows, m] and x0 the same in the "
        .. "original model (inside wane.quantize only), O:result() a number, a tensor [rows, 1], or lo and hi. "
        .. "The order and size of batches must not matter.",
      errors = WRONG .. "; a result of another kind or shape",
      example = "Mean = wane.observer(\"mean\", { per = \"tensor\" })\n"
        .. "function Mean:init() self.sum, self.count = 0, 0 end\n"
        .. "function Mean:see(x) self.sum, self.count = self.sum + x:sum(), self.count + x.shape[1] * "
        .. "x.shape[2] "
        .. "end\n"
        .. "function Mean:result() return self.sum / self.count end\n"
        .. "math.abs(wane.observe(model, text, Mean)[1].mean) < 1  --> true" },
  },
  { "observer", "what an observer does; the host calls them, on an instance of its own for each observation",
    { "init()", "Before the first sample.", errors = "what it raises itself",
      example = "Count = wane.observer(\"count\", { per = \"token\" })\n"
        .. "function Count:init() self.tokens = 0 end\n"
        .. "function Count:see(x) self.tokens = self.tokens + x.shape[1] end\n"
        .. "function Count:result() return self.tokens end\nwane.observe(model, text, Count)[1].count  --> 64" },
    { "see(x [, x0])", "Each sample in order, one at a time.", shapes = "x and x0 [rows, m]", dtypes = "f32",
      errors = "what it raises itself", types = { x = "wane.tensor", x0 = "wane.tensor" },
      example = "Last = wane.observer(\"last\", { per = \"tensor\" })\n"
        .. "function Last:see(x) self.x = x end\n"
        .. "function Last:result() return self.x:absmax() end\n"
        .. "wane.observe(model, text, Last)[1].last > 0  --> true" },
    { "result() -> number, tensor, or lo and hi", "After the last sample.",
      shapes = "a number, [rows, 1], or two of them", dtypes = "floats",
      errors = "a result of another kind or shape, NaN or Inf", types = { returns = "number|wane.tensor" },
      example = "Two = wane.observer(\"two\", { per = \"tensor\" })\n"
        .. "function Two:see() end\n"
        .. "function Two:result() return 2 end\n"
        .. "wane.observe(model, text, Two)[1].two  --> 2" },
    { "name", "Its name; every option is a field too.", type = "string",
      example = 'wane.mse.name  --> "mse"\nwane.mse.grid  --> 100' },
  },
}
