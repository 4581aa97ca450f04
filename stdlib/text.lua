-- Texts: samples to calibrate on or to score. What a file or a string holds becomes tokens when a model reads
-- it; what a model wrote is tokens from the start.
local core = require "wane.core"
local options = require "wane.options"

local M = {}

local INSIDE = {}
local Text = { __name = "text" }
local function new(inside)
  return setmetatable({ [INSIDE] = inside }, Text)
end

function M.is(value)
  return type(value) == "table" and rawget(value, INSIDE) ~= nil
end

local methods = options.methods("text", M.is)

-- A text of samples { ids = { 0-based ids }, first = i }: the tokens from position i on are scored. `parts`
-- may give `tokenizer` (for print) and `new`, the number of tokens that were written after the prompt, per
-- sample.
function M.from_samples(samples, parts)
  parts = parts or {}
  return new { samples = samples, tokenizer = parts.tokenizer, new = parts.new }
end

-- A text, or a string as the text itself.
function M.of(value, where)
  if M.is(value) then return value end
  if type(value) ~= "string" then
    core.fail(("%s: the text is %s; expected a text or a string"):format(where, options.describe(value)))
  end
  return new { string = value }
end

-- wane.text(path, { samples, length, stream }): windows of exactly `length` tokens at drawn places; with
-- `length` alone consecutive windows; without options all of the file as one sample.
function M.text(path, given)
  local where = "wane.text"
  options.arg(where, 1, "path", path, "string")
  local set = options.check(where, given, { stream = "text" }, { "samples", "length" })
  options.arg(where, nil, "stream", set.stream, "string")
  if set.samples then options.count(where, "samples", set.samples, 1) end
  if set.length then options.count(where, "length", set.length, 2) end
  if set.samples and not set.length then
    core.fail(where .. ": samples without a length; a sample is a window of `length` tokens")
  end
  if path:find "%.jsonl?$" then
    core.fail(("%s: not supported: a file of conversations (%s)"):format(where, path), {
      hint = "write the conversations as plain text, or give their text as a string" })
  end
  if not core.exists(path) then
    core.fail(("%s: %s: no such file"):format(where, path), { fault = 66 })
  end
  return new { path = path, count = set.samples, length = set.length,
               key = set.samples and core.next_draw(set.stream) }
end

-- -- tokens -------------------------------------------------------------------------------------------------

-- Ids of a string for a model: with the first token that its tokenizer wants there when `start`.
function M.encode(model, string, where, start)
  local tokenizer = model.tokenizer
  if not tokenizer then
    core.fail(("%s: model '%s' has no tokenizer to read a string with"):format(where, model.name), {
      hint = "model:forward takes lists of token ids" })
  end
  local ids = tokenizer:encode(string, false)
  if start and tokenizer.adds_bos and tokenizer.bos then table.insert(ids, 1, tokenizer.bos) end
  return ids
end

local function window(ids, first, length)
  return { ids = table.move(ids, first, first + length - 1, 1, {}), first = 2 }
end

local function windows(inside, model)
  local ids = M.encode(model, core.read(inside.path), "text", false)
  local length = inside.length
  if #ids < length then
    core.fail(("text: %s: %d tokens"):format(inside.path, #ids), {
      fault = 65, notes = { { "expected", ("at least the %d of one sample"):format(length) } } })
  end
  local samples = {}
  if not inside.count then
    for first = 1, #ids - length + 1, length do samples[#samples + 1] = window(ids, first, length) end
    return samples
  end
  for i = 1, inside.count do
    local first = math.floor(core.random_uniform(inside.key, i - 1) * (#ids - length + 1))
    samples[i] = window(ids, first + 1, length)
  end
  return samples
end

local function read(inside, model)
  if inside.length then return windows(inside, model) end
  local string = inside.string or core.read(inside.path)
  local ids = M.encode(model, string, inside.path and "text: " .. inside.path or "text", true)
  if #ids == 0 then
    local fault = inside.path and 65 or 1
    core.fail(("text: %s has no tokens"):format(inside.path or "the string"), { fault = fault })
  end
  return { { ids = ids, first = 2 } }
end

-- The samples as `model` reads them: { { ids, first }, ... }. Remembered for the tokenizer that read them
-- last.
function methods:_samples(model)
  local inside = rawget(self, INSIDE)
  if inside.samples then return inside.samples end
  local tokenizer = model.tokenizer
  if not inside.read or not rawequal(inside.tokenizer, tokenizer) then
    inside.read, inside.tokenizer = read(inside, model), tokenizer
  end
  return inside.read
end

-- -- as a value ---------------------------------------------------------------------------------------------

local function known(inside)
  return inside.samples or inside.read
end

function Text:__len()
  local inside = rawget(self, INSIDE)
  local samples = known(inside)
  return samples and #samples or inside.count or 1
end

function Text:__index(key)
  local method = methods[key]
  if method then return method end
  local samples = known(rawget(self, INSIDE))
  if math.type(key) == "integer" then
    if samples then
      local sample = samples[key < 0 and #samples + 1 + key or key]
      return sample and sample.ids
    end
    core.fail("text: tokens are made by the model that reads it; model:tokens(text) gives them")
  end
  core.fail(("text: no field '%s'; it has #, and positions once a model has read it"):format(tostring(key)))
end

function Text:__call(_, last)
  local samples = known(rawget(self, INSIDE))
  if not samples then
    core.fail("text: tokens are made by the model that reads it; model:tokens(text) gives them")
  end
  local place = 0
  for i, sample in ipairs(samples) do
    if rawequal(sample.ids, last) then place = i end
  end
  local next_sample = samples[place + 1]
  return next_sample and next_sample.ids
end

function Text:__newindex()
  core.fail("text: assigning to a text: a text is a value")
end

local SHOWN, WIDTH = 8, 100

local function line(text)
  text = text:gsub("%c", function(char)
    return char == "\n" and "\\n" or ("\\x%02x"):format(char:byte())
  end)
  if not utf8.len(text) then text = text:gsub("[\x80-\xff]", "?") end
  if utf8.len(text) <= WIDTH then return text end
  return text:sub(1, utf8.offset(text, WIDTH) - 1) .. " ..."
end

local function plural(count, word)
  return ("%d %s%s"):format(count, word, count == 1 and "" or "s")
end

local function show_samples(inside)
  local total = 0
  for i, sample in ipairs(inside.samples) do total = total + (inside.new and inside.new[i] or #sample.ids) end
  local lines = { ("text: %s, %s"):format(plural(#inside.samples, "sample"), plural(total, "token")) }
  for i, sample in ipairs(inside.samples) do
    if i > SHOWN then
      lines[#lines + 1] = ("  ... and %d more"):format(#inside.samples - SHOWN)
      break
    end
    local shown = inside.tokenizer and inside.tokenizer:decode(sample.ids) or table.concat(sample.ids, " ")
    lines[#lines + 1] = "  " .. line(shown)
  end
  return table.concat(lines, "\n")
end

function Text:__tostring()
  local inside = rawget(self, INSIDE)
  if inside.samples then return show_samples(inside) end
  if inside.string then return "text: 1 sample\n  " .. line(inside.string) end
  if inside.count then
    local samples = plural(inside.count, "sample")
    return ("text: %s of %d tokens from %s"):format(samples, inside.length, inside.path)
  end
  if inside.length then return ("text: windows of %d tokens of %s"):format(inside.length, inside.path) end
  return "text: all of " .. inside.path
end

return M
