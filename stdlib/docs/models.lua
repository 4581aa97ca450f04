-- Models, layers, texts, caches.
return {
  { "wane", "models and texts",
    { "load(path, { dtype }) -> model",
      'An HF folder, a .gguf file, a saved model or a known name ("smollm2").\nWeights stay on disk until used.',
      dtypes = '"f32", "bf16" or "f16"; by default the file\'s, bf16 for block-quantized GGUF',
      errors = "nothing there (exit code 66); a malformed file (65): which tensor, expected and found; an "
        .. "architecture that is not known",
      example = 'model:save("tiny", "safetensors")\nwane.load("tiny"):same(model)  --> true' },
    { "model(architecture, config) -> model",
      'A model of random weights, drawn from stream "weights". config has the keys of a config.json.',
      dtypes = 'config.torch_dtype: "float32" (the default), "bfloat16" or "float16"',
      errors = "an architecture that is not known, with the nearest; sizes that do not fit together",
      example = 'model "layers.1.mlp.down_proj".weight.shape  --> { 16, 32 }' },
    { 'text(path, { samples, length, stream = "text" }) -> text',
      "Windows of exactly `length` tokens at drawn places; with `length` alone consecutive ones; without "
        .. "options all of the file. A Lua string where a text is wanted is the text itself. Tokens are made by"
        .. " the model that reads it.", units = "length counts tokens",
      errors = "no such file (exit code 66); fewer tokens than one window, told when a model reads it; samples "
        .. "without a length",
      example = 'file = io.open("abc.txt", "w")\n'
        .. 'file:write "abc abc abc"\n'
        .. 'file:close()\n'
        .. '#reader:tokens(wane.text("abc.txt", { samples = 2, length = 4 }))  --> 2' },
  },
  { "model", "what a model can do",
    { "layers([pattern]) -> list of layers",
      'In model order; without a pattern all.\n'
        .. 'pattern: a glob over whole names (*, ?, {q,k,v}, {0..9}), re: and a regular expression, a class '
        .. '("Linear"), a list of names, or a function of a layer.',
      errors = "a pattern that matches nothing, with the nearest names",
      example = '#model:layers "*.{q,k,v}_proj"  --> 6\nfor layer in model:layers "*_proj" do print(layer.name) end' },
    { "forward(tokens [, cache]) -> tensor",
      "The logits. tokens: a text, a list of ids or of lists of ids, a tensor, or a string.",
      shapes = "tokens [samples, length] to [samples, length, vocabulary]", dtypes = "tokens i32; logits f32",
      errors = "samples of unequal length; an id outside of the vocabulary; more tokens than the model has "
        .. "positions;"
        .. " a cache of another batch", types = { tokens = "wane.tokens" },
      example = "model:forward({ 1, 2, 3 }).shape  --> { 1, 3, 64 }" },
    { 'generate { prompt = "", samples = 1, length, temperature = 1, top_k, top_p, stop, stream = '
        .. '"generate" } -> text',
      "A sample ends at end of text, `stop` or `length`, without a prompt at `length` only (its first "
        .. "token is drawn after bos, else eos, else id 0). The text keeps the prompt or the first token, "
        .. "unscored. temperature 0 is greedy.", units = "length counts new tokens; top_p is a share",
      errors = "a length that the model's positions do not hold; no length without a prompt; stop without a "
        .. "tokenizer",
      example = "text = model:generate { samples = 2, length = 8 }\n#text  --> 2\n#text[1]  --> 8" },
    { "cache() -> cache", "Keys and values of one batch, for model:forward to go on from.",
      errors = "none of its own",
      example = "cache = model:cache()\n"
        .. "model:forward({ 1, 2 }, cache).shape  --> { 1, 2, 64 }\n"
        .. "cache.position  --> 2" },
    { "tokens(text) -> tensor", "Token ids of a text or a string.", shapes = "[samples, length]", dtypes = "i32",
      errors = "samples of unequal length; a string and no tokenizer", types = { text = "wane.text|string" },
      example = 'reader:tokens "cab"  --> { { 2, 0, 1 } }' },
    { "text(tokens) -> string", "What the ids of one sample stand for; of several, one below the other.",
      errors = "no tokenizer; an id outside of the vocabulary", types = { tokens = "wane.tokens" },
      example = 'reader:text { 2, 0, 1 }  --> "cab"' },
    { "with(pattern, { weight, forward }) -> model",
      "The same model with these layers' weight (a tensor or a function of the layer) or their "
        .. "forward(layer, x) replaced.",
      errors = "a pattern that matches nothing; a weight of another shape or of integers",
      example = 'zero = model:with("lm_head", { weight = function(layer) return layer.weight * 0 end })\n'
        .. 'zero:forward({ 1 }):absmax()  --> 0' },
    { "same(other) -> true, or false and the first name that differs",
      "Compares weights, codes and scales bit by bit.", errors = "an argument that is no model",
      types = { other = "wane.model" },
      example = 'model:same(model)  --> true\n'
        .. 'model:same(model:with("norm", { weight = wane.zeros(16) }))  --> false, "norm"' },
    { "dequantize() -> model", "The same values in plain storage; input quantizers stay, as rounding.",
      errors = "none of its own", example = "small:dequantize().bits  --> 32" },
    { "save(path, format)",
      'format: "safetensors", "compressed-tensors", "gptq" or "gguf". Whole or not at all, reopened and '
        .. 'compared; relative to the current folder.',
      errors = "layers that the format cannot hold, all at once, before a byte is written; a folder that cannot be "
        .. "made or is not wane's (exit code 73)", example = 'model:save("tiny", "safetensors")' },
    { "bits",
      "Mean stored bits per weight, scales included, over the layers that rules gave a weight scheme; else"
        .. " over all.", units = "bits", type = "number", example = "model.bits  --> 32\nsmall.bits  --> 6" },
    { "bytes", "The stored size of all of it.", units = "bytes", type = "integer",
      example = "model.bytes  --> 28992" },
    { "config", "The keys of the checkpoint's config.json.", type = "table<string, any>",
      example = "model.config.hidden_size  --> 16" },
    { "name", "The file's or folder's name; of wane.model the architecture's.", type = "string",
      example = 'model.name  --> "LlamaForCausalLM"' },
    { "dtype", "What its weights are read as.", type = "wane.dtype", example = 'model.dtype  --> "f32"' },
    { "architecture", "The name in config.json.", type = "string",
      example = 'model.architecture  --> "LlamaForCausalLM"' },
    { "tokenizer", "The tokenizer, or nil; model:tokens and model:text use it.", type = "table?",
      example = "model.tokenizer  --> nil" },
    { "prefix", "The tokens that wane.prefix keeps in front of every text, as a string, or nil.",
      type = "string?", example = "model.prefix  --> nil" },
    { "metrics",
      "A table with a row for each solved layer: layer, weight, solver, error, sqnr (dB), clipped, damp, "
        .. "dead, tokens, seconds, kl; nil before wane.quantize.", type = "wane.table?",
      example = "#small.metrics  --> 14" },
    { "compute",
      "The dtype in which its products are computed: bf16 where the weights and the CPU have it, else f32.",
      type = "wane.dtype", example = 'model.compute  --> "f32"' },
  },
  { "layer", "what a layer can do",
    { "input(text) -> tensor",
      "What the layer sees while its model reads the text, after its transform and before its input "
        .. "quantizer; samples in order.", shapes = "[tokens, channels]",
      dtypes = "that of the computation, bf16 or f32",
      errors = "a layer of no model; a forward that does not come to it", types = { text = "wane.text|string" },
      example = 'model "layers.0.mlp.down_proj":input(text).shape  --> { 64, 32 }' },
    { "output(text) -> tensor", "What it gives; samples in order.", shapes = "[tokens, channels]",
      dtypes = "that of the computation, bf16 or f32",
      errors = "a layer of no model; a forward that does not come to it", types = { text = "wane.text|string" },
      example = 'model "layers.0.mlp.down_proj":output(text).shape  --> { 64, 16 }' },
    { "name", 'Its path in the model, without a leading "model.".', type = "string",
      example = 'model:layers "Linear"[1].name  --> "layers.0.self_attn.q_proj"' },
    { "class", "Linear, Embedding, RMSNorm, or a module's name.", type = "string",
      example = 'model "norm".class  --> "RMSNorm"' },
    { "weight", "Its weight, a tensor; a quantized tensor after wane.quantize; nil for a module.",
      shapes = "Linear [out, in], Embedding [rows, width], RMSNorm [width]", dtypes = "the model's",
      type = "wane.tensor", example = 'model "layers.0.mlp.up_proj".weight.shape  --> { 32, 16 }' },
    { "bias", "Its bias, or nil.", shapes = "[out]", dtypes = "the model's", type = "wane.tensor?",
      example = 'model "lm_head".bias  --> nil' },
  },
  { "cache", "keys and values of one batch",
    { "attend(module, q, k, v, { window, scale }) -> tensor",
      "Causal attention of q over the keys and values kept for this module, k and v appended; heads in "
        .. "groups.\n"
        .. "window: how many of the last tokens each one sees, itself among them; scale: 1 / sqrt(dim) unless "
        .. "given.",
      shapes = "q [batch, tokens, heads, dim], k and v [batch, tokens, kv_heads, dim]; the result has q's",
      dtypes = "floats; sums and weights in f32, the result has q's",
      errors = "heads that kv_heads does not divide; shapes that differ from those kept",
      source = "Vaswani et al. 2017, arXiv 1706.03762",
      types = { module = "wane.layer", q = "wane.tensor", k = "wane.tensor", v = "wane.tensor" },
      example = "cache, x = model:cache(), wane.ones { 1, 2, 1, 4 }\n"
        .. "cache:attend(model \"layers.0.self_attn\", x, x, x).shape  --> { 1, 2, 1, 4 }" },
    { "free()", "Lets go of the memory now.", errors = "none; reading it afterwards is one",
      example = "cache = model:cache()\ncache:free()" },
    { "position",
      "Tokens kept before the ones being read: a number, or a list of one per sample where they differ.",
      units = "tokens", type = "integer|integer[]",
      example = "cache = model:cache()\n"
        .. "model:forward({ 1, 2, 3 }, cache).shape  --> { 1, 3, 64 }\n"
        .. "cache.position  --> 3" },
    { "samples", "Samples of the batch, 0 before its first forward.", type = "integer",
      example = "model:cache().samples  --> 0" },
    { "bytes", "What is kept now.", units = "bytes", type = "integer", example = "model:cache().bytes  --> 0" },
  },
}
