-- What `wane info PATH` tells: what the file holds, how it would be computed, its layers, its tokenizer.
local core = require "wane.core"
require "wane" -- registers the architectures
local loader = require "wane.load"
local modules = require "wane.module"
local tree = require "wane.tree"

local M = {}

local function stored_types(checkpoint)
  local counts, order = {}, {}
  for _, name in ipairs(checkpoint:names()) do
    local dtype = checkpoint:info(name).dtype
    if not counts[dtype] then order[#order + 1] = dtype end
    counts[dtype] = (counts[dtype] or 0) + 1
  end
  local words = {}
  for i, dtype in ipairs(order) do words[i] = ("%d %s"):format(counts[dtype], dtype) end
  return table.concat(words, ", "), counts
end

local function compute_text(model)
  if model.compute == model.dtype then return model.dtype end
  local reason = model.dtype == "bf16" and " (no native bf16 here)" or ""
  return ("%s, computed in %s%s"):format(model.dtype, model.compute, reason)
end

local function layers_of(model)
  local layers = {}
  for i, layer in ipairs(model:_leaves()) do
    local tied = layer._tied
    layers[i] = { name = layer.name, class = layer.class, shape = layer._shapes.weight,
                  tied = tied and tied.name or nil }
  end
  return layers
end

-- A table of all of it, for --json.
function M.table(path)
  local model = loader.load(path)
  local parts = require "wane.model".parts(model)
  local _, counts = stored_types(parts.checkpoint)
  local tokenizer = model.tokenizer
  return {
    name = model.name, path = parts.path, kind = parts.checkpoint.kind, architecture = model.architecture,
    config = model.config, dtype = model.dtype, compute = model.compute, weights = tree.weights(model),
    bytes = model.bytes, file_bytes = parts.checkpoint.bytes, tensors = counts, layers = layers_of(model),
    tokenizer = tokenizer and {
      vocabulary = tokenizer.vocabulary, bos = tokenizer.bos, eos = tokenizer.eos,
    } or nil,
  }
end

-- The same as text, or as JSON with `as_json`.
function M.text(path, as_json)
  if as_json then return core.json(M.table(path), { indent = 2 }) end
  local model = loader.load(path)
  local parts = require "wane.model".parts(model)
  local tokenizer = model.tokenizer
  local lines = {
    { "path", ("%s   %s"):format(parts.path, tree.size(parts.checkpoint.bytes)) },
    { "file", ("%s: %s"):format(parts.checkpoint.kind, (stored_types(parts.checkpoint))) },
    { "dtype", compute_text(model) },
    { "positions", tostring(parts.settings.max_position_embeddings or "unlimited") },
    { "tokenizer", tokenizer and ("%d tokens, bos %s, eos %s"):format(tokenizer.vocabulary,
      tostring(tokenizer.bos or "none"), tostring(tokenizer.eos or "none")) or "none" },
  }
  local out = { tree.title(model) }
  for _, line in ipairs(tree.align(lines, 2)) do out[#out + 1] = line end
  out[#out + 1] = ""
  for _, line in ipairs(tree.lines(model)) do out[#out + 1] = line end
  return table.concat(out, "\n")
end

-- Prints it for the command line.
return function(path)
  print(M.text(path, core.options.json))
end
