-- Rules, plans, and what applies them.
return {
  { "wane", "rules",
    { "rules { rule, ... } -> rules",
      'A rule is { pattern, weight =, input =, kv =, solver =, optional = }. Rules apply in order; a later'
        .. ' one overrides only the fields it names. Layers that no rule names are kept. weight: a quantizer, a'
        .. ' dtype or "keep"; input and kv: a quantizer or "keep"; optional: true may match nothing.',
      errors = "a field of another kind or name, by the number of its rule",
      types = { ["{ rule, ... }"] = "table[]" },
      example = 'wane.rules { { "*_proj", weight = wane.int { bits = 4 } } }:plan(model).bits  --> 4.9' },
    { "quantize(model, rules [, text], { watch }) -> model",
      "Applies the plan: weights by their solvers, then static inputs on what the quantized layers before "
        .. "give. text may be left out when nothing needs one. watch: a task; its kl after each block becomes a"
        .. " column of .metrics. In a run these rows go to metrics.jsonl, each with call (the first wane.quantize"
        .. " of the run is 1) and line (where the script called it).",
      options = "watch: nothing is watched by default",
      units = "error: of the outputs under the Hessian, relative; sqnr in dB; clipped: a share; kl in nats per token",
      errors = "all problems of the plan at once before any compute; NaN or Inf: layer, sample, token",
      types = { text = "wane.text|string" },
      example = "small = wane.quantize(model, rules)\nsmall.bits  --> 6\n#small.metrics  --> 14" },
    { 'observe(model, text, observers, { layers = "Linear" }) -> table',
      "What observers see in the inputs of layers, in one pass: a column for each.",
      errors = "a pattern that matches nothing; NaN or Inf: layer, sample, token; an observer that serves a "
        .. "quantizer"
        .. " only", types = { observers = "wane.observer|wane.observer[]", text = "wane.text|string" },
      example = 'seen = wane.observe(model, text, { wane.absmax, wane.token_ratio }, { layers = "*.mlp.down_proj" })\n'
        .. '#seen  --> 2\n'
        .. 'seen[1].absmax > 0  --> true' },
  },
  { "rules", "what rules can do",
    { "with(rule) -> rules", "Rules with one more at the end.", errors = "as wane.rules",
      types = { rule = "table" },
      example = 'rules:with { "*.mlp.down_proj", weight = "keep" }:plan(model).bits  --> 6' },
    { "plan(model) -> plan", "What each layer gets, seen before anything is computed.",
      errors = "a pattern that matches nothing; other problems are .problems", types = { model = "wane.model" },
      example = "plan = rules:plan(model)\nprint(plan)\n#plan  --> 21" },
  },
  { "plan", "a plan is a table: layer, weight, input, kv, solver, set_by, beaten, bytes, kernel, formats",
    { "bits", "Mean stored bits per weight over the layers with a weight scheme.", units = "bits",
      type = "number", example = "rules:plan(model).bits  --> 6" },
    { "bytes", "The stored size of the whole model.", units = "bytes", type = "integer",
      example = "rules:plan(model).bytes < model.bytes  --> true" },
    { "problems", "What wane.quantize would refuse, a list of strings.", type = "wane.list",
      example = 'bad = wane.rules { { "*_proj", weight = wane.int { group_size = 7 } } }\n'
        .. '#bad:plan(model).problems  --> 2' },
    { "model", "The name of the model.", type = "string",
      example = 'rules:plan(model).model  --> "LlamaForCausalLM"' },
  },
}
