-- What help() shows for models, texts and architectures.
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
