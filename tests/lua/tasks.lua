-- Tasks and what is measured on them: windows, scores, comparisons.
local wane = require "wane"
local core = require "wane.core"
local tasks = require "wane.tasks"

local CONFIG = {
  vocab_size = 96, hidden_size = 32, intermediate_size = 48, num_hidden_layers = 2, num_attention_heads = 4,
  num_key_value_heads = 2, head_dim = 8, rms_norm_eps = 1e-6, rope_theta = 1e4, tie_word_embeddings = false,
  hidden_act = "silu", max_position_embeddings = 256,
}
local model = wane.model("LlamaForCausalLM", CONFIG)
local probe = wane.task("perplexity", model:generate { samples = 5, length = 70, stream = "tasks probe" })

-- The loss of every scored token in plain Lua, from whole logits.
local function losses(m, window)
  local logits = m:forward({ window.ids }):totable()[1]
  local list = {}
  for place = window.first, #window.ids do
    local row, top, sum = logits[place - 1], -math.huge, 0
    for _, x in ipairs(row) do top = math.max(top, x) end
    for _, x in ipairs(row) do sum = sum + math.exp(x - top) end
    list[#list + 1] = top + math.log(sum) - row[window.ids[place] + 1]
  end
  return list
end

case("perplexity is exp of the mean loss, its error that of the windows", function()
  local score = wane.evaluate(model, probe)
  local means, all = {}, 0
  local windows = tasks.windows(probe, model).windows
  for i, window in ipairs(windows) do
    local sum = 0
    for _, loss in ipairs(losses(model, window)) do sum = sum + loss end
    means[i] = sum / (#window.ids - window.first + 1)
    all = all + means[i] / #windows
  end
  local spread = 0
  for _, mean in ipairs(means) do spread = spread + (mean - all) ^ 2 end
  near(score.value, math.exp(all), 1e-3)
  near(score.error, math.exp(all) * math.sqrt(spread / (#means * (#means - 1))), 1e-3)
  equal(score.items, 5)
  equal(score.protocol, "perplexity")
  equal(score.version, 1)
  equal(#score.hash, 64)
end)

case("a model compared with itself", function()
  local change = wane.compare(model, model, probe)
  equal(change.delta.value, 0)
  equal(change.delta.error, 0)
  equal(change.kl.value, 0)
  equal(change.kl_p99, 0)
  equal(change.top1.value, 1)
  equal(change.score.value, wane.evaluate(model, probe).value)
end)

case("a comparison, paired; its parts agree with two evaluations", function()
  local other = wane.quantize(model, wane.rules { { "*_proj", weight = wane.int { bits = 3 } } })
  local change = wane.compare(other, model, probe)
  local a, b = wane.evaluate(other, probe), wane.evaluate(model, probe)
  equal(change.score.value, a.value)
  equal(change.base.value, b.value)
  equal(change.delta.value, a.value - b.value)
  equal(change.delta.error, (a - b).error)
  check(change.delta.error < a.error, "pairing makes the error smaller")
  check(change.kl.value > 0 and change.kl_p99 > change.kl.value, "kl")
  check(change.top1.value > 0 and change.top1.value < 1, "top1")
  local text = tostring(change)
  check(text:find "^perplexity v1, 5 x 7%d tokens, items %x%x%x%x, paired\nscore", text)
  check(text:find "\nkl " and text:find "kl_p99" and text:find "\ntop1 ", text)
  fails(function() return change.flips end, "flips belongs to tasks with choices")
  fails(function() return change.scor end, "comparison: no field 'scor'; did you mean 'score'?")
end)

case("kl is the sum over the vocabulary", function()
  local other = wane.quantize(model, wane.rules { { "*_proj", weight = wane.int { bits = 4 } } })
  local task = wane.task("perplexity", model:generate { samples = 1, length = 20, stream = "tasks kl" })
  local window = tasks.windows(task, model).windows[1]
  local p = model:forward({ window.ids }):softmax(3)
  local q = other:forward({ window.ids }):softmax(3)
  local rows = { { 1, 1 }, { window.first - 1, #window.ids - 1 }, {} }
  local expected = (p * (p / q):log()):sum(3)[rows]:mean()
  near(wane.compare(other, model, task).kl.value, expected, 1e-5)
end)

case("items: a fixed subset, in order, part of the hash", function()
  local text = model:generate { samples = 9, length = 10, stream = "tasks items" }
  local four = wane.task("perplexity", text, { items = 4 })
  local again = wane.task("perplexity", text, { items = 4 })
  local one, two = tasks.windows(four, model), tasks.windows(again, model)
  equal(#one.windows, 4)
  equal(one.hash, two.hash)
  check(one.hash ~= tasks.windows(wane.task("perplexity", text), model).hash, "another set, another hash")
  equal(wane.evaluate(model, four).items, 4)
  fails(function() wane.evaluate(model, wane.task("perplexity", text, { items = 10 })) end, "items = 10, there are 9")
end)

case("differences over other items are refused", function()
  local text = model:generate { samples = 4, length = 10, stream = "tasks other" }
  local a = wane.evaluate(model, probe)
  local b = wane.evaluate(model, wane.task("perplexity", text))
  fails(function() return a - b end, "a difference of scores on other items says nothing")
end)

case("WikiText: the joined text of the papers", function()
  local path = shared_data "wikitext2/wiki.test.raw"
  local rows = tasks.rows_of(path)
  equal(#rows, 4358)
  local joined = table.concat(rows, "\n\n")
  equal(#joined, 1296370)
  equal(core.sha256(joined), "696cca6b65a171b0a358a4be6732cdfdf2dd6164a32e20fd70e3c13fc4dfae83")
end)

-- A reader whose tokens are bytes; bos, where it has one, is 256.
local function byte_reader(bos)
  return { name = "bytes", tokenizer = {
    bos = bos, adds_bos = bos ~= nil,
    encode = function(_, text)
      local ids = {}
      for at = 1, #text, 4096 do table.move({ text:byte(at, math.min(#text, at + 4095)) }, 1, 4096, at, ids) end
      return ids
    end,
    hash = function() return "bytes " .. tostring(bos) end,
  } }
end

case("WikiText: windows of each protocol", function()
  local path = shared_data "wikitext2/wiki.test.raw"
  local gptq = tasks.windows(wane.task("wikitext2-gptq-2048", path), byte_reader(256)).windows
  equal(#gptq, 1296371 // 2048)
  equal(gptq[1].ids[1], 256)
  check(gptq[2].ids[1] ~= 256, "bos stands once, at the very start")
  equal(gptq[3].first, 2)
  equal(#gptq[3].ids, 2048)
  local llama = tasks.windows(wane.task("wikitext2-llamacpp-512", path), byte_reader(256)).windows
  equal(#llama, 1290591 // 512)
  equal(llama[7].ids[1], 256)
  equal(#llama[7].ids - llama[7].first + 1, 255)
  check(tasks.windows(wane.task("wikitext2-llamacpp-512", path), byte_reader()).windows[7].ids[1] ~= 256, "no bos")
  local rows = tasks.windows(wane.task("wikitext2-rows-100", path), byte_reader()).windows
  equal(#rows, 61)
  equal(string.char(table.unpack(rows[1].ids)), " = Robert Boulter = \n")
end)

case("what is refused", function()
  fails(function() wane.task("mmlu-lmeval-5shot", "x") end, "not supported yet: task 'mmlu-lmeval-5shot'")
  fails(function() wane.task("perplexiti", "x") end, "wane.task: no protocol 'perplexiti'; did you mean 'perplexity'?")
  fails(function() wane.task("wikitext2-gptq-2048", "no/such/file") end, "no/such/file: no such file")
  fails(function() wane.task("perplexity") end, "argument 2 (data) is missing")
  fails(function() wane.task("perplexity", "x", { item = 3 }) end, "no option 'item'; did you mean 'items'?")
  fails(function() wane.evaluate(model, "x") end, "argument 2 (task) is a string 'x'")
  fails(function() wane.compare(model, probe, model) end, "argument 2 (base) is a task")
  local other = {}
  for key, value in pairs(CONFIG) do other[key] = value end
  other.vocab_size = 64
  fails(function() wane.compare(wane.model("LlamaForCausalLM", other), model, probe) end, "vocabular")
end)
