-- Tasks: named protocols over data. Each is a version and a function that makes the windows a model is scored on:
-- { ids = tokens, first = position of the first scored one }. Every window is read alone.
-- The protocols, with their sources and pitfalls: reference papers and llama.cpp's perplexity tool.
local core = require "wane.core"
local options = require "wane.options"
local texts = require "wane.text"

local tasks = {}

local HIDDEN = {}
local Task = { __name = "wane.task" }

local function inside(task) return rawget(task, HIDDEN) end

-- -- WikiText ---------------------------------------------------------------------------------------------------

-- The rows of the raw split: a line that is one space is the empty row, any other keeps its line break.
local function rows_of(path)
  local rows = {}
  for line in core.read(path):gmatch "([^\n]*)\n" do rows[#rows + 1] = line == " " and "" or line .. "\n" end
  if #rows == 0 then core.fail(("wane.task: %s: no rows"):format(path), { fault = 65 }) end
  return rows
end

local function file_of(path)
  for _, name in ipairs { "wiki.test.raw", "wiki.test.tokens" } do
    if core.exists(path .. "/" .. name) then return path .. "/" .. name end
  end
  if not core.exists(path) then core.fail(("wane.task: %s: no such file"):format(path), { fault = 66 }) end
  return path
end

local function cut(ids, length, first, bos)
  local windows = {}
  for at = 1, #ids - length + 1, length do
    local window = table.move(ids, at, at + length - 1, 1, {})
    if bos then window[1] = bos end
    windows[#windows + 1] = { ids = window, first = first }
  end
  return windows
end

-- -- the protocols ----------------------------------------------------------------------------------------------

-- windows(model, data) for a protocol whose data is of this kind.
local PROTOCOLS = {}

-- A text; each sample is one window, all but its first token (or its prompt) is scored.
PROTOCOLS["perplexity"] = {
  version = 1, data = "text|string",
  check = function(data) return texts.of(data, "wane.task") end,
  windows = function(model, text) return text:_samples(model) end,
}

-- GPTQ, QuaRot, SpinQuant and most papers: the rows joined by two line breaks, tokenized once, windows of 2,048
-- without overlap, the rest dropped, 2,047 tokens of each scored.
PROTOCOLS["wikitext2-gptq-2048"] = {
  version = 1, data = "string", check = file_of,
  windows = function(model, path)
    local ids = texts.encode(model, table.concat(rows_of(path), "\n\n"), "wane.task", true)
    return cut(ids, 2048, 2)
  end,
}

-- llama.cpp's perplexity: the file as it is, chunks of 512 that begin with bos where the vocabulary adds one, the
-- last 255 tokens of each scored.
PROTOCOLS["wikitext2-llamacpp-512"] = {
  version = 1, data = "string", check = file_of,
  windows = function(model, path)
    local ids = texts.encode(model, core.read(path), "wane.task", true)
    local tokenizer = model.tokenizer
    return cut(ids, 512, 258, tokenizer.adds_bos and tokenizer.bos or nil)
  end,
}

-- The first 100 rows, each alone, blank ones left out: a study's protocol, kept to compare with it. Most rows are
-- short, so its perplexity is high and its error large.
PROTOCOLS["wikitext2-rows-100"] = {
  version = 1, data = "string", check = file_of,
  windows = function(model, path)
    local windows = {}
    local rows = rows_of(path)
    for i = 1, math.min(100, #rows) do
      if rows[i]:find "%S" then
        windows[#windows + 1] = { ids = texts.encode(model, rows[i], "wane.task", true), first = 2 }
      end
    end
    return windows
  end,
}

local NOT_YET = {
  "mmlu-lmeval-5shot", "mmlu-original-5shot", "gsm8k-cot-8shot", "gsm8k-lmeval-5shot", "gsm8k-first5", "arc_easy",
  "arc_challenge", "hellaswag", "piqa", "winogrande", "openbookqa", "wikitext2-strided-L-S",
}

-- -- windows ----------------------------------------------------------------------------------------------------

-- A subset of `count` windows that depends on nothing but the protocol, the count and the seed, in their order.
local function subset(windows, count, protocol)
  local key = tonumber(core.sha256(("items %s %d %d"):format(protocol, count, core.seed())):sub(1, 15), 16)
  local places = {}
  for i = 1, #windows do places[i] = i end
  for i = 1, count do -- the first steps of a shuffle
    local other = i + math.floor(core.random_uniform(key, i - 1) * (#places - i + 1))
    places[i], places[other] = places[other], places[i]
  end
  local kept = table.move(places, 1, count, 1, {})
  table.sort(kept)
  for i, place in ipairs(kept) do kept[i] = windows[place] end
  return kept
end

local function hash_of(windows, about)
  local parts = { about }
  for i, window in ipairs(windows) do parts[i + 1] = window.first .. ":" .. table.concat(window.ids, " ") end
  return core.sha256(table.concat(parts, "\n"))
end

local function scored(windows)
  local kept = {}
  for _, window in ipairs(windows) do
    local first = math.max(window.first, 2)
    if #window.ids >= first then kept[#kept + 1] = { ids = window.ids, first = first } end
  end
  return kept
end

-- The windows of a task as `model` reads them: { windows, hash }. Remembered for the tokenizer that read them last.
function tasks.windows(task, model)
  local self = inside(task)
  local tokenizer = model.tokenizer
  local reader = tokenizer and tokenizer:hash() or "none"
  if self.reader ~= reader then
    local windows = scored(PROTOCOLS[self.protocol].windows(model, self.data))
    if #windows == 0 then core.fail(("task %s: there is nothing to score"):format(self.protocol), { fault = 65 }) end
    if self.items and self.items > #windows then
      core.fail(("task %s: items = %d, there are %d"):format(self.protocol, self.items, #windows))
    end
    if self.items then windows = subset(windows, self.items, self.protocol) end
    local about = ("%s v%d"):format(self.protocol, PROTOCOLS[self.protocol].version)
    self.reader, self.read = reader, { windows = windows, hash = hash_of(windows, about) }
  end
  return self.read
end

-- wane.task(protocol, data, { items })
function tasks.task(protocol, data, given)
  local where = "wane.task"
  options.arg(where, 1, "protocol", protocol, "string")
  local known, names = PROTOCOLS[protocol], {}
  if not known then
    for _, name in ipairs(NOT_YET) do
      if name == protocol then core.fail(("not supported yet: task '%s'"):format(protocol)) end
    end
    for name in pairs(PROTOCOLS) do names[#names + 1] = name end
    for _, name in ipairs(NOT_YET) do names[#names + 1] = name end
    options.unknown(where, "protocol", protocol, names, "it has")
  end
  options.arg(where, 2, "data", data, known.data)
  local opts = options.check(where, given, {}, { "items" })
  if opts.items then opts.items = options.count(where, "items", opts.items, 1) end
  return setmetatable({ [HIDDEN] = { protocol = protocol, data = known.check(data), items = opts.items } }, Task)
end

-- What a score says about the task.
function tasks.about(task, hash)
  local self = inside(task)
  return { protocol = self.protocol, version = PROTOCOLS[self.protocol].version, hash = hash }
end

-- "16 x 512 tokens", or "61 windows, 5436 tokens" where lengths differ.
function tasks.extent(windows)
  local tokens, equal = 0, true
  for _, window in ipairs(windows) do
    tokens, equal = tokens + #window.ids, equal and #window.ids == #windows[1].ids
  end
  if equal then return ("%d x %d tokens"):format(#windows, #windows[1].ids) end
  return ("%d windows, %d tokens"):format(#windows, tokens)
end

function Task.__index(task, key)
  local self = inside(task)
  if key == "protocol" or key == "items" then return self[key] end
  if key == "version" then return PROTOCOLS[self.protocol].version end
  options.unknown("task", "field", key, { "items", "protocol", "version" }, "it has")
end

function Task.__newindex() core.fail("task: a task is a value and cannot be assigned to") end

function Task.__tostring(task)
  local self = inside(task)
  return ("%s v%d"):format(self.protocol, PROTOCOLS[self.protocol].version)
    .. (self.items and (", %d items"):format(self.items) or "")
end

tasks.rows_of = rows_of -- also for tests

return tasks
