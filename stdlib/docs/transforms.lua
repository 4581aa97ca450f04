-- From model to model, and what decides which layer gets how many bits.
return {
  { "wane", "from model to model",
    { 'rotate(model, { ..., kind = "hadamard", signs = true, block, stream = "rotate" }) -> model',
      'The rotations named: "r1" residual stream, "r2" values, "r3" queries and keys, "r4" down_proj '
        .. 'inputs. Folds norms first.\n'
        .. 'Weights are folded in f64 and rounded once, when they are read. signs: random ones, drawn from '
        .. 'streams of their own; block: turns blocks of that many channels.', units = "block counts channels",
      errors = "all problems at once: twice the same; a size without a transform, with a block that has one; after "
        .. "wane.smooth across it", source = "QuaRot, arXiv 2404.00456; SpinQuant, arXiv 2405.16406",
      types = { ["..."] = "string" },
      example = 'turned = wane.rotate(model, { "r1" })\n'
        .. '(turned:forward({ 1, 2 }) - model:forward({ 1, 2 })):absmax() < 1e-3  --> true' },
    { "smooth(model, text, { alpha = 0.5, layers }) -> model",
      "Moves the scale of input channels into the weights, folded into what is before them. layers: those "
        .. "whose inputs are smoothed; all that the architecture's tables reach unless given.",
      units = "alpha is the share that weights take",
      errors = "an alpha outside of 0 to 1; layers whose inputs cannot be smoothed; NaN or Inf: layer, sample, "
        .. "token", source = "SmoothQuant, arXiv 2211.10438", types = { text = "wane.text|string" },
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
