-- Texts: windows at drawn places, whole files, strings.
local wane = require "wane"
local texts = require "wane.text"

local function stories()
  return wane.load(shared_data "model_stories260K/stories260K.gguf")
end

local function wiki()
  return shared_data "wikitext2/wiki.test.raw"
end

case("windows have exactly their length and come from drawn places", function()
  local model, path = stories(), wiki()
  local text = wane.text(path, { samples = 20, length = 33, stream = "windows" })
  equal(#text, 20)
  equal(tostring(text), "text: 20 samples of 33 tokens from " .. path)
  local samples = text:_samples(model)
  equal(#samples, 20)
  local kinds, seen = 0, {}
  for _, sample in ipairs(samples) do
    equal(#sample.ids, 33)
    equal(sample.first, 2)
    local key = table.concat(sample.ids, " ")
    if not seen[key] then seen[key], kinds = true, kinds + 1 end
  end
  check(kinds > 15)
  -- A text draws when it is made: what is drawn later by others does not move it.
  check(rawequal(text:_samples(model), samples))
  local other = wane.text(path, { samples = 20, length = 33, stream = "windows" })
  check(table.concat(other:_samples(model)[1].ids, " ") ~= table.concat(samples[1].ids, " "))
  local tokens = model:tokens(text)
  equal(tokens.shape[1], 20)
  equal(tokens.shape[2], 33)
  equal(tokens.dtype, "i32")
end)

case("length alone cuts the file into consecutive windows", function()
  local model, path = stories(), wiki()
  local text = wane.text(path, { length = 5000 })
  local samples = text:_samples(model)
  local joined = {}
  for _, sample in ipairs(samples) do table.move(sample.ids, 1, 5000, #joined + 1, joined) end
  local all = wane.text(path):_samples(model)
  equal(#all, 1)
  local ids, offset = all[1].ids, 1 -- all of the file starts with the first token that the model wants
  for i = 1, #joined, 997 do equal(joined[i], ids[i + offset]) end
  check(#ids - offset - #joined < 5000)
end)

case("a string where a text is wanted is the text itself", function()
  local model = stories()
  local tokens = model:tokens "Once upon a time"
  equal(tokens.shape[1], 1)
  equal(tokens[{ 1, 1 }]:item(), 1)
  equal(model:text(tokens), "<s> Once upon a time") -- nothing is left out
  equal(model:text(tokens[{ 1, { 2, -1 } }]), "Once upon a time")
  equal(model:text(tokens:totable()), "<s> Once upon a time")
  equal(model:text(wane.concat({ tokens, tokens }, 1)), "<s> Once upon a time\n<s> Once upon a time")
  equal(tostring(texts.of("a\nb", "x")), "text: 1 sample\n  a\\nb")
end)

case("a text can be walked once it has tokens", function()
  local text = texts.from_samples { { ids = { 1, 2 }, first = 2 }, { ids = { 1, 2 }, first = 2 }, { ids = { 3 }, first = 2 } }
  local count = 0
  for _ in text do
    for _ in text do count = count + 1 end
  end
  equal(count, 9)
  equal(text[3][1], 3)
  equal(#text, 3)
end)

case("what wane.text refuses", function()
  local model, path = stories(), wiki()
  fails(function() wane.text "no/such.txt" end, "wane.text: no/such.txt: no such file")
  fails(function() wane.text(path, { sampels = 3 }) end,
    "wane.text: no option 'sampels'; did you mean 'samples'?")
  fails(function() wane.text(path, { samples = 3 }) end, "samples without a length")
  fails(function() wane.text(path, { samples = 0, length = 3 }) end, "samples is an integer 0")
  fails(function() wane.text() end, "wane.text: argument 1 (path) is missing; expected a string")
  fails(function() wane.text "talk.jsonl" end, "not supported: a file of conversations (talk.jsonl)")
  fails(function() model:tokens(wane.text(path, { length = 10000000 })) end, "tokens")
  fails(function() model:tokens(3) end, "argument 1 (text) is an integer 3; expected a text or a string")
end)
