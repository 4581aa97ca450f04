-- Quantizers: values with options; calling one gives a variant.
local GRAIN = 'per ("tensor", "channel", "token") or group_size; giving one drops the other. Default: a weight per '
  .. "channel, an input per token"
local OPTIONS = "an unknown option, with the valid ones and the nearest; a value outside of its range; per together "
  .. "with group_size"
local WEIGHT = "w [out, in]; an input is [tokens, in]"

return {
  { "wane", "quantizers", shapes = WEIGHT, errors = OPTIONS,
    { 'int { bits = 8, per, group_size, symmetric = true, observer, convention = "half", scale_dtype = '
        .. '"bf16", zero_dtype = "i8" } -> quantizer',
      'Whole-number codes of 2 to 8 bits. convention, the scale of symmetric codes: "half" absmax / '
        .. '(2^bits - 1) * 2, "qmax" absmax / (2^(bits-1) - 1), "full" a signed scale on the lowest code. '
        .. 'symmetric = false: a zero point per scale.', options = GRAIN,
      dtypes = "codes u8; scale and zero in scale_dtype and zero_dtype", units = "bits per code",
      source = "half: GPTQ, compressed-tensors; qmax: QuaRot, AWQ; full: AutoRound",
      example = 'int4 = wane.int { bits = 4, group_size = 64 }\nint4 { observer = wane.mse }  --> "int4 g64 mse"' },
    { 'fp8 { format = "e4m3", per, group_size, observer, scale_dtype = "bf16" } -> quantizer',
      'Floats of 8 bits with a scale, "e4m3" (largest 448) or "e5m2" (largest 57344); values beyond saturate.',
      options = GRAIN, dtypes = "codes u8, the bytes of the format",
      source = "OCP 8-bit floating point specification",
      example = "wane.fp8:quantize(wane.tensor { { 448, 17 } }):dequantize()  --> { { 448, 16 } }" },
    { 'nf4 { per, group_size = 64, observer, scale_dtype = "bf16" } -> quantizer',
      "16 levels at quantiles of the normal distribution, scaled by the absmax of a group.", options = GRAIN,
      dtypes = "codes u8", source = "QLoRA, arXiv 2305.14314",
      example = "wane.nf4 { group_size = 2 }:quantize(wane.tensor { { 1, -1 } }):dequantize()  --> { { 1, -1 } }" },
    { "nvfp4 { observer } -> quantizer",
      "e2m1 codes in blocks of 16 with an e4m3 scale, and an f32 scale for the tensor.",
      options = "the blocks of the format", dtypes = "codes of 4 bits", source = "NVIDIA's NVFP4",
      example = 'wane.nvfp4  --> "nvfp4"' },
    { "mxfp4 { observer } -> quantizer", "e2m1 codes in blocks of 32 with a power of two as scale.",
      options = "the blocks of the format", dtypes = "codes of 4 bits", source = "OCP Microscaling formats 1.0",
      example = 'wane.mxfp4  --> "mxfp4"' },
    { 'gguf { type = "Q8_0", observer } -> quantizer',
      'A GGUF block type by its own name: "Q4_0", "Q4_K", "Q6_K", "IQ4_NL" ...',
      options = "the blocks of the type", dtypes = "the type's own codes and scales", source = "llama.cpp's GGUF",
      example = 'wane.gguf { type = "Q4_K" }.type  --> "Q4_K"' },
    { 'quantizer(name, { bits = 8, per, group_size, observer, scale_dtype = "bf16", zero_dtype = "i8", ...'
        .. ' }) -> quantizer',
      "A quantizer of one's own: function Q:fit(w, seen) gives params, a table of tensors [rows, 1]; "
        .. "Q:encode(w, params) whole numbers 0 to 2^bits - 1; Q:decode(codes, params) values. A row of w is "
        .. "what shares one set of parameters. encode and decode are maps only, traced once: no reductions, and"
        .. " no `if` or `==` on tensors. Options of one's own are fields of self.", options = GRAIN,
      shapes = "w [rows, m]", dtypes = "w f32; codes u8; params in scale_dtype, zero in zero_dtype",
      errors = "a value asked for while tracing, at its line; params or codes of another kind or shape; codes "
        .. "outside"
        .. " of 0 to 2^bits - 1",
      example = "Sign = wane.quantizer(\"sign\", { bits = 1 })\n"
        .. "function Sign:fit(w) return { scale = w:abs():mean(2) } end\n"
        .. "function Sign:encode(w, p) return wane.where(w:lt(0), 0, 1) end\n"
        .. "function Sign:decode(codes, p) return (codes * 2 - 1) * p.scale end\n"
        .. "Sign:quantize(wane.tensor { { 1, -3 } }):dequantize()  --> { { 2, -2 } }" },
  },
  { "quantizer", "what a quantizer can do", shapes = "w [out, in]",
    errors = 'no matrix; integers; a group_size that does not divide the columns; per = "token" on a weight',
    { "fit(w [, seen]) -> params",
      "The parameters of a weight, by the range that the observer finds: a table of tensors.",
      shapes = "w [out, in]; params [rows, 1], a row for each scale",
      dtypes = "w floats; params f32, rounded to what is stored", types = { w = "wane.tensor", seen = "table" },
      example = "wane.int { bits = 4 }:fit(wane.tensor { { -7.5, 7.5 } }).scale  --> { { 1 } }" },
    { "encode(w, params) -> codes", "Whole numbers 0 to 2^bits - 1.", dtypes = "u8",
      types = { w = "wane.tensor" },
      example = "q, w = wane.int { bits = 4 }, wane.tensor { { -7.5, 7.5 } }\n"
        .. "q:encode(w, q:fit(w))  --> { { 0, 15 } }" },
    { "decode(codes, params) -> tensor", "The values that codes stand for.", dtypes = "f32",
      types = { codes = "wane.tensor" },
      example = "q, w = wane.int { bits = 4 }, wane.tensor { { -7.5, 7.5 } }\n"
        .. "q:decode(wane.tensor { { 0, 15 } }, q:fit(w))  --> { { -8, 7 } }" },
    { "pack(codes, params [, dtype]) -> tensor", "A quantized tensor of codes and parameters.",
      dtypes = 'that of its values, "f32" unless given', types = { codes = "wane.tensor" },
      example = "q, w = wane.int { bits = 4 }, wane.tensor { { -7.5, 7.5 } }\n"
        .. "q:pack(wane.tensor { { 0, 15 } }, q:fit(w)) + 1  --> { { -7, 8 } }" },
    { "quantize(w [, seen]) -> tensor",
      "A quantized tensor: q.codes, q.params, q:dequantize(); in arithmetic it counts as its values.",
      dtypes = "w floats; the result counts as w's dtype", types = { w = "wane.tensor", seen = "table" },
      example = "wane.int { bits = 4 }:quantize(wane.tensor { { -7.5, 7.5 } }) + 1  --> { { -7, 8 } }" },
    { "name", "Its name; every option is a field too.", type = "string",
      example = 'wane.int.name  --> "int"\nwane.int.bits  --> 8' },
  },
}
