-- What help() shows for what the standard library makes; tensor methods bring their own texts.
local core = require "wane.core"

local function document(name, signature, text) core.document(name, signature, text) end

document("wane.load", "(path, { dtype }) -> model", [[
An HF folder, a .gguf file, a saved model or a known name ("smollm2").
dtype: "f32", "bf16" or "f16"; by default the file's, bf16 for block-quantized GGUF.
Weights stay on disk until used.]])
document("wane.model", "(architecture, config) -> model", [[
A model of random weights, drawn from stream "weights". config has the keys of a config.json.
A model has layers generate forward cache tokens text with same dequantize save: help "model.generate" ...]])
document("wane.text", "(path, { samples, length, stream }) -> text", [[
Windows of exactly `length` tokens at drawn places; with `length` alone consecutive ones; without options
all of the file.]])
document("wane.module", "(name) -> class", [[
A class of modules: function C:init(config) sets fields, function C:forward(x, ...) computes.
Field names are layer names.]])
document("wane.Linear", "(in, out, { bias = false, tied }) -> layer", [[
x [.., in] to [.., out] by a weight [out, in]. tied: the layer whose weight it shares.]])
document("wane.Embedding", "(rows, width) -> layer", "Token ids to rows of a weight [rows, width].")
document("wane.RMSNorm", "(width, eps) -> layer", "x / sqrt(mean(x^2) + eps) * weight over the last dim.")
document("wane.stack", "(n, Class, config) -> stack",
  "n instances, named .0, .1, ...; `for block in stack do` walks them.")
document("wane.architecture", "(name, { model, gguf, writes, reads, values, product })", [[
Registers what wane.load makes of a config.json that names it. writes: layers that add to the residual stream;
reads: norm = its readers; values: the pair around R2; product: the pair around R4.]])
document("wane.ranges", "(n, step) -> list", "Pairs { first, last } that cover 1 to n.")
document("wane.randn", '(shape, { dtype = "f32", stream = "randn" }) -> tensor',
  "Standard normal numbers of a named stream.")
document("wane.uniform", '(shape, { dtype = "f32", stream = "uniform" }) -> tensor',
  "Even numbers in [0, 1) of a named stream.")
document("wane.zeros", '(shape, { dtype = "f32" }) -> tensor', "All 0.")
document("wane.ones", '(shape, { dtype = "f32" }) -> tensor', "All 1.")
document("wane.full", '(shape, value, { dtype = "f32" }) -> tensor', "All the same number.")
document("wane.eye", '(n, { dtype = "f32" }) -> tensor', "The identity matrix.")

document("wane.arange", "(n) -> tensor", "1 to n, i32; or (first, last [, step]).")
document("wane.tensor", "(values, { dtype }) -> tensor", "A tensor of the numbers in nested lists.")
document("wane.buffer", "(x) -> buffer", [[
A mutable array that starts as x: b[{ rows, cols }] = v writes, reading gives a tensor, b:freeze() the whole.]])
document("wane.where", "(mask, a, b) -> tensor", "a where the mask holds, else b.")
document("wane.concat", "(list, dim = 1) -> tensor", "Tensors one behind the other along a dim.")
document("wane.linear", "(x, w) -> tensor", "x [.., in] by a weight [out, in].")
document("wane.embedding", "(tokens, w) -> tensor", "Rows of w [rows, width]; token ids count from 0.")
document("wane.cross_entropy", "(logits, tokens) -> tensor", "Negative log-likelihood of each token, in nats.")
document("wane.rms_norm", "(x, w, eps) -> tensor", "x / sqrt(mean(x^2) + eps) * w over the last dim.")
document("wane.explain", "(x) -> string", "What is still pending behind a tensor and how it would run.")
document("wane.memory", "() -> table", "Bytes live, cached, peak and resident.")

document("wane.rules", "{ rule, ... } -> rules", [[
A rule is { pattern, weight =, input =, kv =, solver =, optional = }. Rules apply in order; a later one overrides
only the fields it names. Layers that no rule names are kept.]])
document("rules.with", "(rule) -> rules", "Rules with one more at the end.")
document("rules.plan", "(model) -> plan", [[
A table, one row per layer: what each gets, which rule and line set it, what that beat; plan.bits, plan.bytes,
plan.problems.]])
document("wane.quantize", "(model, rules, text, { watch }) -> model", [[
Applies the plan; stops first with all of its problems. text may be left out when nothing needs one.]])
document("wane.observe", '(model, text, observer or list, { layers = "Linear" }) -> table',
  "What observers see in the inputs of layers, in one pass: a column for each observer.")
document("wane.int", "{ bits = 8, per, group_size, symmetric, observer, convention, scale_dtype, zero_dtype }", [[
Whole-number codes of 2 to 8 bits. convention: "half", "qmax" or "full". Calling it gives a variant.
A quantizer has fit encode decode pack quantize.]])
document("wane.fp8", '{ format = "e4m3", per, group_size, observer, scale_dtype }',
  'Floats of 8 bits, "e4m3" or "e5m2", with a scale.')
document("wane.nf4", "{ group_size = 64, per, observer, scale_dtype }",
  "16 levels at the quantiles of a normal distribution.")
document("wane.quantizer", "(name, { bits = 8, ... }) -> quantizer", [[
A quantizer of one's own: function Q:fit(w) gives params, Q:encode(w, params) codes, Q:decode(codes, params) values.
w is [rows, m]; encode and decode are maps only.]])
document("quantizer.fit", "(w) -> params", "Parameters of a weight: a table of tensors.")
document("quantizer.encode", "(w, params) -> codes", "Whole numbers 0 to 2^bits - 1.")
document("quantizer.decode", "(codes, params) -> tensor", "The values that codes stand for.")
document("quantizer.pack", "(codes, params) -> tensor", "A quantized tensor of codes and parameters.")
document("quantizer.quantize", "(w) -> tensor", "A quantized tensor: q.codes, q.params, q:dequantize().")
document("wane.minmax", "{ ema, per }", "Observer: lowest and highest; with ema a moving range.")
document("wane.absmax", "{ per }", "Observer: largest magnitude.")
document("wane.percentile", "{ p = 99.99, per }", "Observer: the range of the p-th percentile of magnitudes.")
document("wane.mse", "{ grid = 100, shrink = 0.8, norm = 2.4, per }",
  "Observer: the range with the least rounding error of the quantizer it serves.")
document("wane.mean_square", "{ per }", "Observer: mean of x^2.")
document("wane.token_ratio", "{ per }", "Observer: the largest token over the median token, mean over samples.")
document("wane.observer", "(name, { per, ... }) -> observer", [[
An observer of one's own: function O:init(), O:see(x) with x [rows, m], O:result() a number, a tensor or lo, hi.]])
document("wane.rtn", "", "Solver: rounds to nearest.")
document("wane.task", "(protocol, data, { items }) -> task", [[
"perplexity" of a text, each sample one window; "wikitext2-gptq-2048" and "wikitext2-llamacpp-512" of a file.]])
document("wane.evaluate", "(model, task) -> score", [[
value, error, items, protocol, hash. Scores add, subtract and divide with their errors; a difference on the same
items is paired.]])
document("wane.compare", "(model, base, task) -> comparison",
  "One pass of both: score, delta (paired), kl in nats per token, kl_p99, top1.")
document("wane.time", "(f, ...) -> timing, results of f", "Seconds, usable as a number; no part of a run's result.")
document("wane.table", "(name, columns) -> table",
  "Rows with columns; in a run every added row goes to NAME.jsonl at once.")
document("table.add", "{ column = value, ... }", "One more row.")
document("table.outliers", "(column, { over = 20, among }) -> list",
  "First-column names of the rows above `over` times the median of the `among` rows around them.")
document("table.mean", "{ columns } -> table", "One row per combination of these, numbers averaged into scores.")
document("table.save", "(path)", "A .csv or .jsonl file.")
document("table.chart", '{ x, y, log = "x" or "y", label, mark } -> chart',
  'A line per row, or points; print(chart) draws it, chart:save "x.svg".')

document("model.layers", "(pattern) -> list of layers", [[
In model order. pattern: a glob over whole names, re: and a regular expression, a class ("Linear"),
a list of names or a function of a layer.]])
document("model.generate",
  '{ prompt = "", samples = 1, length, temperature = 1, top_k, top_p, stop, stream } -> text', [[
length counts new tokens; a sample ends at end of text, stop or length, without a prompt at length only.
temperature 0 is greedy. The text keeps the prompt or the first token, unscored.]])
document("model.forward", "(tokens, cache) -> tensor", "Logits in f32, [samples, length, vocabulary].")
document("model.cache", "() -> cache", "Keys and values of one batch: cache.position, cache:free().")
document("model.tokens", "(text) -> tensor i32", "Token ids, [samples, length].")
document("model.text", "(tokens) -> string", "What token ids stand for.")
document("model.with", "(pattern, { weight, forward }) -> model", [[
The same model with these layers' weight (a tensor or a function of the layer) or their
forward(layer, x) replaced.]])
document("model.same", "(other) -> true, or false and a name",
  "Compares weights, codes and scales bit by bit.")
document("model.dequantize", "() -> model",
  "The same values in plain storage; input quantizers stay, as rounding.")
document("model.save", "(path, format)",
  'format "safetensors": an HF folder, whole or not at all, reopened and compared.')
document("layer.input", "(text) -> tensor",
  "What the layer sees while its model reads the text: [tokens, channels].")
document("layer.output", "(text) -> tensor", "What it gives: [tokens, channels].")
document("cache.attend", "(module, q, k, v, { window, scale }) -> tensor", [[
Causal attention of q over the keys and values kept for this module, k and v appended;
all [batch, tokens, heads, dim].]])
