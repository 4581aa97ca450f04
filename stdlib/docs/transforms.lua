-- From model to model, and what decides which layer gets how many bits.
return {
  { "wane", "from model to model",
    { 'rotate(model, { ..., kind = "hadamard", signs = true, block, stream = "rotate" }) -> model',
      'The same function in other bases: random Hadamard matrices spread what stands out in one channel over all. '
        .. '"r1" the residual stream, after the scales of the norms; "r2" the channels of heads between v and o; both '
        .. 'folded into the weights in f64, rounded once when read. "r3" queries and keys, "r4" the inputs of down_proj: '
        .. 'turned while the model runs. A tied embedding stays tied; saving parts it and says so.\n'
        .. 'wane.rotate(model, { "r1", "r2" })',
      options = "block: turns blocks of so many channels, a head with fewer whole; signs: random signs, drawn from the "
        .. "streams rotate/r1 ...; kind: \"hadamard\" is all there is",
      shapes = "channels of any size 2^k h, h the order of a Hadamard matrix of Paley's, or of 1; others by block",
      dtypes = "weights keep theirs",
      errors = "twice the same; a size without a transform, with the block that would do; after wane.smooth across it; "
        .. "quantized weights or inputs; an architecture without the table it needs",
      source = "QuaRot, arXiv 2404.00456; SpinQuant, arXiv 2405.16406", types = { ["..."] = "string" },
      example = 'turned = wane.rotate(model, { "r1" })\n'
        .. '(turned:forward({ 1, 2 }) - model:forward({ 1, 2 })):absmax() < 1e-3  --> true' },
    { "smooth(model, text, { alpha = 0.5, layers }) -> model",
      "Channels of inputs divided by s = max|x|^alpha / max|w|^(1 - alpha), the columns that read them multiplied. "
        .. "Folded: into the norms before q, k, v, gate and up, the rows of up before down, those of v before o (one s for "
        .. "the heads that share a key), and the norms of q and k heads against each other.",
      options = "layers: those whose inputs are smoothed, by default all but the head", dtypes = "weights keep theirs",
      units = "alpha is the share that weights take",
      errors = "an alpha outside of 0 to 1; across a rotation: a site carries scales or a rotation, not both; quantized "
        .. "weights or inputs; NaN or Inf, with layer, sample and token",
      source = "SmoothQuant, arXiv 2211.10438", types = { text = "wane.text|string" },
      example = "smooth = wane.smooth(model, text, { alpha = 0.5 })\n"
        .. "(smooth:forward({ 1, 2 }) - model:forward({ 1, 2 })):absmax() < 1e-3  --> true" },
    { "prefix(model, text, { over = 64 }) -> model",
      "The model with the tokens that spike, above `over` times the median, kept in front of every text: "
        .. "computed once, keys and values in 16 bits, statistics and scores without them.",
      units = "over is a ratio of activations", errors = "an over of 0 or less",
      source = "PrefixQuant, arXiv 2410.05265", types = { text = "wane.text|string" },
      example = "wane.prefix(model, text).name  --> model.name" },
    { "sensitivity(model, text, { layers, tie, choices }) -> table",
      "The KL of the whole model with one group of layers quantized and all others left alone: layers, "
        .. "choice, bits, bytes, kl.\n"
        .. "tie: the layers of a block that one of these patterns matches choose together.",
      units = "kl in nats per token", errors = "a pattern that matches nothing; no choices",
      types = { text = "wane.text|string" },
      example = 'scores = wane.sensitivity(model, text, { layers = "*.mlp.down_proj", choices = { wane.int { bits = '
        .. '4 '
        .. '}, wane.int } })\n'
        .. '#scores  --> 4' },
    { "allocate(scores, { bits, bytes }) -> rules",
      "The choices with the least summed kl within a budget of mean bits or of bytes.",
      units = "bits per weight, or bytes",
      errors = "no choice fits: the least that would; neither bits nor bytes", source = "Lagrangian, then exact",
      types = { scores = "wane.table" },
      example = 'scores = wane.sensitivity(model, text, { layers = "*.mlp.down_proj", choices = { wane.int { bits = '
        .. '4 '
        .. '}, wane.int } })\n'
        .. 'wane.allocate(scores, { bits = 7 }):plan(model).bits <= 7  --> true' },
  },
}
