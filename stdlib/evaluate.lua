-- wane.evaluate and wane.compare: windows of one length go through a model together, and logits are made and used 64
-- rows at a time, so a vocabulary never costs more memory than that. A comparison makes one pass of both models.
local core = require "wane.core"
local format = require "wane.format"
local options = require "wane.options"
local score = require "wane.score"
local tasks = require "wane.tasks"

local M = {}

local ROWS, BATCH_TOKENS = 64, 2048
local REMEMBERED_BYTES = 64 * 2 ^ 20

-- Windows of equal length, at most BATCH_TOKENS tokens together: { { place, ... }, ... }.
local function batches_of(windows)
  local open, batches = {}, {}
  for place, window in ipairs(windows) do
    local length = #window.ids
    local batch = open[length]
    if not batch or (#batch + 1) * length > BATCH_TOKENS then
      batch = {}
      open[length], batches[#batches + 1] = batch, batch
    end
    batch[#batch + 1] = place
  end
  return batches
end

local function hidden_of(model, windows, batch)
  local ids = {}
  for i, place in ipairs(batch) do ids[i] = windows[place].ids end
  local hidden = model:_hidden(ids)
  return core.flush(hidden:reshape { -1, hidden.shape[3] })
end

-- What a base model gave for a task, so that comparing several models with it reads it once. The bits are the same.
local remembered = setmetatable({}, { __mode = "k" })

local function remembered_hidden(model, hash, windows, batch, n)
  local kept = remembered[model]
  if not kept or kept.hash ~= hash then
    kept = { hash = hash, bytes = 0 }
    remembered[model] = kept
  end
  if kept[n] then return kept[n] end
  local hidden = hidden_of(model, windows, batch)
  if kept.bytes + hidden.bytes <= REMEMBERED_BYTES then
    kept[n], kept.bytes = hidden, kept.bytes + hidden.bytes
  end
  return hidden
end

-- Calls use(rows, targets) for the scored positions of every window in turn; rows(hidden) cuts them out of a batch's
-- hidden states; targets are ids.
local function chunks(windows, batch, use)
  for i, place in ipairs(batch) do
    local window = windows[place]
    local length = #window.ids
    local base = (i - 1) * length
    for first = window.first, length, ROWS do
      local last = math.min(length, first + ROWS - 1)
      local range = { base + first - 1, base + last - 1 } -- the row before a token predicts it
      use(place, function(hidden) return hidden[{ range, {} }] end, table.move(window.ids, first, last, 1, {}))
    end
  end
end

local function progress(word, started, done, all)
  local used = core.seconds() - started
  core.progress(("%s   %d of %d windows   %.1f windows/s   %.0f s left"):format(
    word, done, all, done / math.max(used, 1e-6), used / done * (all - done)))
end

local function check_ids(model, windows)
  local vocabulary = model.config.vocab_size
  if not vocabulary then return end
  for i, window in ipairs(windows) do
    for place, id in ipairs(window.ids) do
      if id >= vocabulary then
        core.fail(("task: window %d, token %d is id %d, beyond the model's vocabulary of %d"):format(
          i, place, id, vocabulary))
      end
    end
  end
end

local function totals(count)
  local list = {}
  for i = 1, count do list[i] = 0 end
  return list
end

-- Perplexity exp(mean) from window losses: sums over tokens and their counts.
local function perplexity(sums, counts, about)
  local means = {}
  for i, sum in ipairs(sums) do means[i] = sum / counts[i] end
  local mean, influence = score.weighted_mean(means, counts)
  local value = math.exp(mean)
  return score.new(value, score.scaled(influence, value), about)
end

local function mean_score(sums, counts, about)
  local means = {}
  for i, sum in ipairs(sums) do means[i] = sum / counts[i] end
  local mean, influence = score.weighted_mean(means, counts)
  return score.new(mean, influence, about)
end

-- wane.evaluate(model, task)
function M.evaluate(model, task)
  local where = "wane.evaluate"
  options.arg(where, 1, "model", model, "model")
  options.arg(where, 2, "task", task, "task")
  local read = tasks.windows(task, model)
  local windows, sums, counts = read.windows, totals(#read.windows), totals(#read.windows)
  check_ids(model, windows)
  local started, done = core.seconds(), 0
  for _, batch in ipairs(batches_of(windows)) do
    local hidden = hidden_of(model, windows, batch)
    chunks(windows, batch, function(place, rows, targets)
      local losses = core.cross_entropy(model:_logits(rows(hidden)), targets):totable()
      for _, loss in ipairs(losses) do sums[place] = sums[place] + loss end
      counts[place] = counts[place] + #losses
      core.check_interrupt()
    end)
    done = done + #batch
    progress("evaluate", started, done, #windows)
  end
  core.progress(nil)
  return perplexity(sums, counts, tasks.about(task, read.hash))
end

-- -- compare ----------------------------------------------------------------------------------------------------

local HIDDEN = {}
local Comparison = { __name = "wane.comparison" }
local FIELDS = { "score", "base", "delta", "kl", "kl_p99", "top1" }

function Comparison.__index(c, key)
  local fields = rawget(c, HIDDEN)
  if fields[key] ~= nil then return fields[key] end
  if key == "flips" or key == "p" then
    core.fail(("comparison: %s belongs to tasks with choices; %s has none"):format(key, fields.task))
  end
  options.unknown("comparison", "field", key, FIELDS, "it has")
end

function Comparison.__newindex() core.fail("comparison: a comparison is a value and cannot be assigned to") end

function Comparison.__tostring(c)
  local f = rawget(c, HIDDEN)
  return ("%s, %s, items %s, paired\n"):format(f.task, f.extent, f.score.hash:sub(1, 4)) .. format.columns({
    { "score", tostring(f.score), "     delta", tostring(f.delta) },
    { "kl", tostring(f.kl), "     kl_p99", format.short(f.kl_p99) },
    { "top1", tostring(f.top1) },
  })
end

-- Linear interpolation between neighbours, as quantile does.
local function percentile(values, p)
  table.sort(values)
  local place = (#values - 1) * p + 1
  local below = math.floor(place)
  local above = math.min(below + 1, #values)
  return values[below] + (values[above] - values[below]) * (place - below)
end

local function check_pair(model, base)
  local a, b = model.tokenizer, base.tokenizer
  if a and b and a:hash() ~= b:hash() then
    core.fail("wane.compare: the two models have different tokenizers; their tokens are not the same items")
  end
  if model.config.vocab_size ~= base.config.vocab_size then
    core.fail(("wane.compare: the vocabularies differ: %s and %s"):format(
      tostring(model.config.vocab_size), tostring(base.config.vocab_size)))
  end
end

-- Token scores of all windows: sums per window of nll, base nll, kl and agreement; every kl.
local function pass(model, base, read)
  local windows = read.windows
  local n = #windows
  local sums = { nll = totals(n), base = totals(n), kl = totals(n), top1 = totals(n), count = totals(n), all = {} }
  local started, done = core.seconds(), 0
  for number, batch in ipairs(batches_of(windows)) do
    local hidden = hidden_of(model, windows, batch)
    local other = remembered_hidden(base, read.hash, windows, batch, number)
    chunks(windows, batch, function(place, rows, targets)
      local found = core.compare_logits(model:_logits(rows(hidden)), base:_logits(rows(other)), targets)
      local kl, nll, nll_base = found.kl:totable(), found.nll:totable(), found.nll_base:totable()
      local top1, top1_base = found.top1:totable(), found.top1_base:totable()
      for i = 1, #kl do
        sums.kl[place], sums.all[#sums.all + 1] = sums.kl[place] + kl[i], kl[i]
        sums.nll[place], sums.base[place] = sums.nll[place] + nll[i], sums.base[place] + nll_base[i]
        if top1[i] == top1_base[i] then sums.top1[place] = sums.top1[place] + 1 end
      end
      sums.count[place] = sums.count[place] + #kl
      core.check_interrupt()
    end)
    done = done + #batch
    progress("compare", started, done, n)
  end
  core.progress(nil)
  return sums
end

-- wane.compare(model, base, task): one pass of both.
function M.compare(model, base, task)
  local where = "wane.compare"
  options.arg(where, 1, "model", model, "model")
  options.arg(where, 2, "base", base, "model")
  options.arg(where, 3, "task", task, "task")
  check_pair(model, base)
  local read = tasks.windows(task, model)
  check_ids(model, read.windows)
  local sums = pass(model, base, read)
  local about = tasks.about(task, read.hash)
  local mine, theirs = perplexity(sums.nll, sums.count, about), perplexity(sums.base, sums.count, about)
  return setmetatable({ [HIDDEN] = {
    score = mine, base = theirs, delta = mine - theirs, kl = mean_score(sums.kl, sums.count, about),
    kl_p99 = percentile(sums.all, 0.99), top1 = mean_score(sums.top1, sums.count, about),
    task = ("%s v%d"):format(about.protocol, about.version), extent = tasks.extent(read.windows),
  } }, Comparison)
end

return M
