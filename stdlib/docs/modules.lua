-- What architectures are written with.
return {
  { "wane", "architectures",
    { "module(name) -> class",
      "A class of modules: function C:init(config) sets fields, function C:forward(x, ...) computes; "
        .. "C(config) builds.\n"
        .. "Field names are layer names.", errors = "a name that does not start with a capital",
      example = "Double = wane.module \"Double\"\n"
        .. "function Double:forward(x) return 2 * x end\n"
        .. "Double()(wane.ones(2))  --> { 2, 2 }" },
    { "Linear(inputs, outputs, { bias = false, tied }) -> layer",
      "A layer x [.., in] to [.., out]. tied: the layer whose weight it shares.",
      shapes = "weight [out, in], bias [out]", dtypes = "weights f32 until a model gives others",
      errors = "sizes below 1; a tied layer of another shape",
      types = { inputs = "integer", outputs = "integer" },
      example = "wane.Linear(4, 2)(wane.ones { 3, 4 }).shape  --> { 3, 2 }" },
    { "Embedding(rows, width) -> layer", "Token ids, which count from 0, to rows of its weight.",
      shapes = "weight [rows, width]; [..] to [.., width]", dtypes = "ids i32; the result has the weight's",
      errors = "sizes below 1", types = { rows = "integer" },
      example = 'wane.Embedding(8, 4)(wane.tensor({ { 0, 7 } }, { dtype = "i32" })).shape  --> { 1, 2, 4 }' },
    { "RMSNorm(width, eps) -> layer", "x / sqrt(mean(x^2) + eps) * weight over the last dim.",
      shapes = "weight [width]; [.., width] to the same", dtypes = "floats; computed in f32, the result has x's",
      errors = "a width below 1; no eps", source = "Zhang and Sennrich 2019, arXiv 1910.07467",
      example = "wane.RMSNorm(2, 0)(wane.tensor { { 3, 4 } })  --> { { 0.848528, 1.131371 } }" },
    { "stack(n, Class, config) -> stack",
      "n instances, named .0, .1, ...; `for block in stack do` walks them. Each is built as Class(config, "
        .. "its number).", errors = "an n below 0; a Class that wane.module did not make",
      types = { config = "table?", Class = "wane.class" },
      example = "Half = wane.module \"Half\"\nfunction Half:forward(x) return x / 2 end\n#wane.stack(3, Half)  --> 3" },
    { "architecture(name, { model, gguf, writes, reads, values, product, keys })",
      "Registers what wane.load and wane.model make of a config.json that names it. gguf: its name in GGUF"
        .. " files. What rotations and smoothing rely on: writes, patterns of the layers that add to the "
        .. "residual stream, its embedding among them; reads, norm = the layers that read it; values, the pair "
        .. "of v and o (R2); product, a layer whose rows scale the columns of the next (R4); keys, the norms of"
        .. " the heads of q and k.", types = { model = "wane.class" },
      errors = "a model that is no class; names that are no patterns",
      example = "Copy = wane.module \"Copy\"\n"
        .. "function Copy:init(c) self.embed_tokens = wane.Embedding(c.vocab_size, c.vocab_size) end\n"
        .. "function Copy:forward(tokens) return self.embed_tokens(tokens) end\n"
        .. "wane.architecture(\"CopyForCausalLM\", { model = Copy })\n"
        .. 'wane.model("CopyForCausalLM", { vocab_size = 8 }):forward({ 1, 2 }).shape  --> { 1, 2, 8 }' },
  },
}
