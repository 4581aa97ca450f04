-- model:generate: prompts are read in groups of one length, then all samples go on together, one token a
-- step. Which samples share a batch never shows in the result: draw t of sample i is a function of the
-- stream, i and t.
local core = require "wane.core"
local caches = require "wane.cache"
local model_module = require "wane.model"
local options = require "wane.options"
local texts = require "wane.text"

local M = {}

local BATCH = 64              -- samples that decode together
local PREFILL_TOKENS = 2048   -- tokens of a group of prompts read at once

local function check_options(given)
  local where = "model:generate"
  local set = options.check(where, given, { prompt = "", samples = 1, temperature = 1, stream = "generate" },
    { "prompt", "samples", "length", "temperature", "top_k", "top_p", "stop", "stream" })
  options.arg(where, nil, "prompt", set.prompt, "string|text")
  options.count(where, "samples", set.samples, 1)
  if set.length ~= nil then options.count(where, "length", set.length, 1) end
  options.arg(where, nil, "temperature", set.temperature, "number")
  if set.temperature < 0 then
    core.fail(("%s: temperature is %s; expected 0 or more"):format(where, set.temperature))
  end
  if set.top_k ~= nil then options.count(where, "top_k", set.top_k, 1) end
  options.arg(where, nil, "top_p", set.top_p, "number?")
  if set.top_p and (set.top_p <= 0 or set.top_p > 1) then
    core.fail(("%s: top_p is %s; expected above 0, at most 1"):format(where, set.top_p))
  end
  options.arg(where, nil, "stop", set.stop, "string|table|list?")
  options.arg(where, nil, "stream", set.stream, "string")
  return set
end

-- -- what to start from and where to end --------------------------------------------------------------------

local function config_ids(value)
  return type(value) == "table" and value or { value }
end

-- The token a sample without a prompt is drawn after: bos, else eos, else id 0.
local function start_token(model)
  local config, tokenizer = model.config, model.tokenizer
  return tokenizer and tokenizer.bos or config_ids(config.bos_token_id)[1] or tokenizer and tokenizer.eos
    or config_ids(config.eos_token_id)[1] or 0
end

-- Ids that end a text, as a set.
local function end_tokens(model)
  local ends = {}
  for _, id in ipairs(config_ids(model.config.eos_token_id)) do ends[id] = true end
  local tokenizer = model.tokenizer
  if tokenizer and tokenizer.eos then ends[tokenizer.eos] = true end
  return ends
end

-- The samples to write: { ids (the prompt), read (what the model is given first), kept, prompt }.
local function sequences_of(model, set)
  local sequences = {}
  if set.prompt == "" then
    local start = start_token(model)
    for i = 1, set.samples do
      sequences[i] = { index = i, ids = {}, read = { start }, first = 2, free = true }
    end
    return sequences
  end
  for _, sample in ipairs(texts.of(set.prompt, "model:generate"):_samples(model)) do
    for _ = 1, set.samples do
      local ids = table.move(sample.ids, 1, #sample.ids, 1, {})
      sequences[#sequences + 1] = { index = #sequences + 1, ids = ids, read = sample.ids, first = #ids + 1 }
    end
  end
  return sequences
end

local function stops_of(model, set)
  if set.stop == nil then return nil end
  local stops, longest = type(set.stop) == "string" and { set.stop } or {}, 0
  if type(set.stop) ~= "string" then
    for i = 1, #set.stop do stops[i] = options.arg("model:generate", nil, "stop", set.stop[i], "string") end
  end
  for _, stop in ipairs(stops) do
    if stop == "" then core.fail "model:generate: stop is an empty string" end
    longest = math.max(longest, #stop)
  end
  if not model.tokenizer then core.fail "model:generate: stop needs a tokenizer, the model has none" end
  return { strings = stops, longest = longest }
end

-- Whether what a sequence has written holds a stop string. Only the end of it can be new: every token there
-- is at least a byte, so as many tokens as the longest string has bytes, and one more, hold all of it.
local function is_stopped(sequence, stops, tokenizer)
  local from = math.max(sequence.written_from, #sequence.ids - stops.longest - 4)
  local text = tokenizer:decode(table.move(sequence.ids, from, #sequence.ids, 1, {}))
  for _, stop in ipairs(stops.strings) do
    if text:find(stop, 1, true) then return true end
  end
  return false
end

-- -- the steps ----------------------------------------------------------------------------------------------

local function last_rows(hidden)
  return hidden[{ {}, -1, {} }]
end

-- Draws the next token of each active sequence from logits [rows, vocabulary] and says which go on.
local function draw(job, sequences, logits)
  local going = {}
  for row, sequence in ipairs(sequences) do
    local step = sequence.new
    local u = core.random_uniform(job.key, (sequence.index - 1) << 32 | step)
    local id = core.sample(logits, row, job.temperature, job.top_k, job.top_p, u)
    sequence.ids[#sequence.ids + 1] = id
    sequence.new, sequence.next = step + 1, id
    local ended = sequence.new >= sequence.limit
    if not sequence.free then
      ended = ended or job.ends[id] or (job.stops and is_stopped(sequence, job.stops, job.model.tokenizer))
    end
    if not ended then going[#going + 1] = row end
  end
  job.tokens = job.tokens + #sequences
  return going
end

-- Reads the prompts into the cache, those of one length together, and gives what the head reads for each
-- sequence.
local function prefill(job, sequences, cache)
  local by_length, rows = {}, {}
  for i, sequence in ipairs(sequences) do
    local length = #sequence.read
    by_length[length] = by_length[length] or {}
    table.insert(by_length[length], i)
  end
  for length, group in pairs(by_length) do
    local size = math.max(1, PREFILL_TOKENS // length)
    for first = 1, #group, size do
      local part, ids = {}, {}
      for i = first, math.min(first + size - 1, #group) do
        part[#part + 1], ids[#ids + 1] = group[i], sequences[group[i]].read
      end
      local last = last_rows(job.model:_hidden(ids, caches.subset(cache, part)))
      core.flush(last)
      for i, place in ipairs(part) do rows[place] = last[{ { i, i }, {} }] end
      job.report()
    end
  end
  return #rows == 1 and rows[1] or core.concat(rows, 1)
end

local function pick(items, places)
  local out = {}
  for i, place in ipairs(places) do out[i] = items[place] end
  return out
end

local function run_batch(job, sequences)
  local cache <close> = caches.new(#sequences)
  local hidden, view = prefill(job, sequences, cache), cache
  while true do
    local going = draw(job, sequences, job.model:_logits(hidden))
    job.report()
    core.check_interrupt()
    if #going == 0 then return end
    if #going < #sequences then
      sequences, view = pick(sequences, going), caches.subset(view, going)
    end
    local ids = {}
    for i, sequence in ipairs(sequences) do ids[i] = { sequence.next } end
    hidden = last_rows(job.model:_hidden(ids, view))
  end
end

-- A function that shows how far the job is; rate over all tokens written so far.
local function reporter(job, total)
  local started = core.seconds()
  return function()
    local seconds = core.seconds() - started
    if seconds < 0.5 then return end
    local rate = job.tokens / seconds
    local left = rate > 0 and ("   %.0f s left"):format((total - job.tokens) / rate) or ""
    core.progress(("generate  %s   %d of %d tokens   %.1f tokens/s%s"):format(job.model.name, job.tokens,
      total, rate, left))
  end
end

local function limit_of(model, sequence, set)
  local positions = model_module.parts(model).settings.max_position_embeddings or math.huge
  local room = positions - #sequence.read + 1
  if set.length and set.length > room then
    core.fail(("model:generate: %d tokens after a prompt of %d: the model has %d positions"):format(
      set.length, #sequence.read, positions))
  end
  if room < 1 then
    core.fail(("model:generate: a prompt of %d tokens: the model has %d positions"):format(#sequence.read,
      positions))
  end
  return set.length or room
end

-- model:generate { prompt, samples, length, temperature, top_k, top_p, stop, stream } gives a text.
function model_module.methods:generate(given)
  local set = check_options(given)
  if set.prompt == "" and not set.length then
    core.fail "model:generate: option 'length' is missing; without a prompt a sample ends at its length only"
  end
  local sequences, total = sequences_of(self, set), 0
  for _, sequence in ipairs(sequences) do
    sequence.limit, sequence.new = limit_of(self, sequence, set), 0
    sequence.written_from = #sequence.ids + 1
    total = total + sequence.limit
  end
  local job = {
    model = self, key = core.next_draw(set.stream), temperature = set.temperature, top_k = set.top_k or 0,
    top_p = set.top_p or 1, stops = stops_of(self, set), ends = end_tokens(self), tokens = 0,
  }
  job.report = reporter(job, total)
  for first = 1, #sequences, BATCH do
    run_batch(job, table.move(sequences, first, math.min(first + BATCH - 1, #sequences), 1, {}))
  end
  core.progress(nil)
  local samples, new = {}, {}
  for i, sequence in ipairs(sequences) do
    samples[i], new[i] = { ids = sequence.ids, first = sequence.first }, sequence.new
  end
  return texts.from_samples(samples, { tokenizer = self.tokenizer, new = new })
end

return M
