-- Rotations leave what a model says as it is: against a float64 decoder of the tests' own for every architecture and
-- rotation, with the mistakes that must show; signs and streams; caches, saving, quantizing; what is refused.
local wane = require "wane"
local core = require "wane.core"
local decoder = dofile(source "tests/oracles/decoder.lua")

local ALL = { "r1", "r2", "r3", "r4" }
local distance = decoder.distance

local function tiny(name, changes, dtype)
  return decoder.model(name, decoder.config(name, changes), dtype)
end

local function with(model, name, weight)
  return model:_derive { [name] = { weight = weight } }
end

-- -- the transform ------------------------------------------------------------------------------------------

case("R R^T is the identity for every order of the models' sizes, and `back` takes a rotation back", function()
  local turn = require "wane.turn"
  for _, n in ipairs { 2, 12, 20, 28, 36, 60, 68, 76, 108, 140, 148, 400, 576, 960 } do
    check(core.has_hadamard(n))
    local signs = wane.where(wane.uniform({ n }):lt(0.5), wane.ones({ n }, { dtype = "f64" }), -1)
    local r = turn.forward("r", n, signs).apply(wane.eye(n, { dtype = "f64" }))
    check((r:matmul(r:t()) - wane.eye(n, { dtype = "f64" })):absmax() < 1e-13, "order " .. n)
    check(((r * math.sqrt(n)):abs() - 1):absmax() < 1e-12)
    local x = wane.randn({ 3, n }, { dtype = "f64" })
    check(distance(x:matmul(r), turn.forward("r", n, signs).apply(x)) < 1e-13)
    check(distance(turn.back("r", n, signs).apply(turn.forward("r", n, signs).apply(x)), x) < 1e-13)
    local narrow = x:to "f32"
    check(distance(turn.back("r", n, signs).apply(turn.forward("r", n, signs).apply(narrow)), narrow) < 1e-6)
  end
  for _, n in ipairs { 6, 18, 86, 172, 344, 11008 } do check(not core.has_hadamard(n)) end
end)

case("a spike in one channel becomes M / sqrt(n) in all of them", function()
  local turn = require "wane.turn"
  for _, n in ipairs { 576, 1536 } do
    local spike = wane.zeros { 1, n }:with({ {}, { 7, 7 } }, wane.full({ 1, 1 }, 300))
    local spread = turn.forward("r4", n).apply(spike):abs()
    check((spread - 300 / math.sqrt(n)):absmax() < 1e-5)
  end
end)

-- -- folded weights -----------------------------------------------------------------------------------------

-- The matrix of a step list on one side, [n, n], by hand.
local function matrix(n, scale, block)
  local eye = wane.eye(n, { dtype = "f64" })
  local scaled = scale and eye * scale:reshape { n, 1 } or eye
  return block and scaled:reshape({ -1, block }):hadamard(2):reshape { n, n } or scaled
end

case("core.folded: both sides in f64, rounded once, however it is read", function()
  for _, dtype in ipairs { "f64", "f32", "bf16", "f16" } do
    local w = wane.randn { 40, 24 }:to(dtype)
    local rows, columns = wane.randn({ 40 }, { dtype = "f64" }), wane.randn({ 24 }, { dtype = "f64" })
    local folded = core.folded(w, { { side = "in", scale = columns, block = 12 }, { side = "out", scale = rows, block = 20 } })
    local left, right = matrix(40, rows, 20), matrix(24, columns, 12)
    local expected = left:t():matmul(w:to "f64"):matmul(right)
    equal(folded.dtype, dtype)
    if dtype == "f64" then
      check(distance(folded, expected) < 1e-14)
    else
      -- The oracle's own sums may round another way where a value lies next to the middle of two.
      local exact = expected:to(dtype)
      check(folded:to "f32":eq(exact:to "f32"):to "f32":mean() > 0.995)
      check(distance(folded, expected) < ({ f32 = 1e-7, bf16 = 4e-3, f16 = 5e-4 })[dtype])
    end
    -- Folded again: all steps in one go, so going back gives the first bits.
    local once = core.folded(w, { { side = "in", block = 24 } })
    check(core.folded(once, { { side = "in", scale = columns } }):same(
      core.folded(w, { { side = "in", block = 24 }, { side = "in", scale = columns } })))
    local signs = wane.where(rows:lt(0), wane.ones({ 40 }, { dtype = "f64" }), -1)
    check(core.folded(core.folded(w, { { side = "out", scale = signs } }), { { side = "out", scale = signs } }):same(w))
  end
end)

case("core.folded: rows are read alone, vectors have one side, scales repeat", function()
  local w = wane.randn { 30, 24 }
  local scale = wane.randn({ 6 }, { dtype = "f64" })
  for _, steps in ipairs {
    { { side = "in", scale = scale, block = 8 }, { side = "out", scale = wane.randn { 30 } } },
    { { side = "in", scale = scale }, { side = "out", block = 2 } },
  } do
    local folded = core.folded(w, steps)
    local ids = wane.tensor({ 4, 0, 29, 4 }, { dtype = "i32" })
    local rows = wane.embedding(ids, folded)
    for i, id in ipairs { 4, 0, 29, 4 } do check(rows[{ i, {} }]:same(folded[{ id + 1, {} }])) end
  end
  local bias = wane.randn { 30 }
  check(distance(core.folded(bias, { { side = "out", scale = scale, block = 10 * 3 // 15 } }),
    bias:to "f64":reshape { 1, 30 }:matmul(matrix(30, scale:reshape({ 1, 6 }):tile({ 1, 5 }):reshape { -1 }, 2))) < 1e-7)
end)

case("threads and fusing cannot be seen in folded weights, nor in what online rotations give", function()
  local signs = wane.where(wane.uniform({ 720 }):lt(0.5), wane.ones({ 720 }, { dtype = "f64" }), -1)
  for _, dtype in ipairs { "f32", "bf16" } do
    local w = core.flush(wane.randn { 400, 720 }:to(dtype))
    local function folds() -- made anew each time, for what is folded is kept by whoever holds it
      local steps = { { side = "in", scale = signs, block = 720 }, { side = "out", block = 80 } }
      local both, one = core.folded(w, steps), core.folded(w, { steps[1] })
      return { core.flush(both:neg()), core.flush(one:neg()), core.rotate(w, signs, 240),
               core.rotate(w, signs, 720, true) }
    end
    local expected = threads(1, folds)
    for _, count in ipairs { 2, 3, 7 } do equal(threads(count, folds), expected) end
    equal(unfused(folds), expected)
  end
end)

case("core.folded refuses what does not fit and what is not finite", function()
  local w = wane.randn { 12, 8 }
  fails(function() core.folded(w, { { side = "in", scale = wane.ones { 3 } } }) end, "fold: 3 scales for 8 columns")
  fails(function() core.folded(w, { { side = "out", block = 8 } }) end, "fold: blocks of 8 do not divide 12 rows")
  fails(function() core.folded(w, { { side = "out", block = 6 } }) end, "not supported: hadamard of size 6")
  fails(function() core.folded(wane.ones { 8 }, { { side = "in", block = 8 } }) end, "fold: a vector has no input side")
  local holed = w:with({ { 3, 3 }, { 2, 2 } }, wane.full({ 1, 1 }, 0 / 0))
  fails(function() core.folded(holed, { { side = "in", block = 8 } }):sum() end, "fold: NaN or Inf in the weight")
  local large = wane.full({ 4, 4 }, 6e4):to "f16"
  fails(function() core.folded(large, { { side = "out", scale = wane.full({ 4 }, 2) } }):sum() end,
    "fold: values beyond the range of f16")
end)

-- -- the function stays -------------------------------------------------------------------------------------

local function variants()
  local list = { ALL }
  for _, name in ipairs(ALL) do list[#list + 1] = { name } end
  return list
end

-- f64 weights and a float64 forward: 1e-13, as sums of up to 120 terms round 1e-16 each. In f32 the model itself is
-- within 2e-6 of float64; turned, it makes about as many roundings again, so 1e-5 is five times what is seen.
for _, name in ipairs { "LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM" } do
  for _, tied in ipairs { true, false } do
    case(("%s, %s: every rotation and all of them"):format(name, tied and "tied" or "untied"), function()
      local exact = tiny(name, { tie_word_embeddings = tied }, "f64")
      local model = exact:_derive {}
      for layer in model:layers() do
        local change = { weight = not layer._tied and layer.weight:to "f32" or nil }
        if layer.bias then change.bias = layer.bias:to "f32" end
        model = model:_derive { [layer.name] = change }
      end
      local ids = decoder.ids(11, 53)
      local expected = decoder.logits(exact, ids)
      check(distance(model:forward(ids), expected) < 1e-5)
      for _, names in ipairs(variants()) do
        local label = table.concat(names, " ")
        check(distance(decoder.logits(wane.rotate(exact, { table.unpack(names) }), ids), expected) < 1e-13, label)
        local rotated = wane.rotate(model, { table.unpack(names) })
        check(distance(rotated:forward(ids), expected) < 1e-5, label)
        check(not rotated:same(model), label)
        if tied then check(rotated "lm_head"._tied ~= nil, label) end
      end
    end)
  end
end

case("rotations one after another are those of one call; `block` turns blocks, and no signs turn too", function()
  local model = tiny("Qwen3ForCausalLM", { tie_word_embeddings = true }, "f64")
  local ids = decoder.ids(9, 53)
  local expected = decoder.logits(model, ids)
  local chain = wane.rotate(wane.rotate(wane.rotate(model, { "r4" }), { "r2", "r1" }), { "r3" })
  check(distance(decoder.logits(chain, ids), expected) < 1e-13)
  for _, set in ipairs { { block = 4 }, { block = 12 }, { signs = false }, { block = 2, signs = false } } do
    local rotated = wane.rotate(model, { "r1", "r4", block = set.block, signs = set.signs })
    check(distance(decoder.logits(rotated, ids), expected) < 1e-13)
    local blocked = wane.rotate(model, { "r1", "r2", "r3", "r4", block = set.block and 4, signs = set.signs })
    check(distance(decoder.logits(blocked, ids), expected) < 1e-13)
  end
  -- One block sees only its own channels.
  local blocked = wane.rotate(model, { "r4", block = 4, signs = false })
  local down = blocked "layers.0.mlp.down_proj"._state.transform
  local x = wane.zeros { 1, 120 }:with({ {}, { 6, 6 } }, wane.ones { 1, 1 })
  near(down.apply(x)[{ {}, { 1, 12 } }], { { 0, 0, 0, 0, .5, -.5, .5, -.5, 0, 0, 0, 0 } }, 1e-6)
end)

-- -- mistakes show ------------------------------------------------------------------------------------------

-- What each mistake costs on these models is 0.1 or more, a trillion times what a right rotation costs.
local function shows(model, ids, expected, edit)
  check(distance(decoder.logits(model, ids, edit), expected) > 0.1)
end

case("mistakes show: scales left in the norms, a wrong side, the signs forgotten on one side", function()
  local model = tiny("LlamaForCausalLM", { tie_word_embeddings = false }, "f64")
  local ids = decoder.ids(11, 53)
  local expected = decoder.logits(model, ids)
  local rotated = wane.rotate(model, { "r1" })
  check(distance(decoder.logits(rotated, ids), expected) < 1e-13)
  local signs = require "wane.basis".of(rotated).rotations.r1.signs
  -- The readers turned without the scales, which stay in the norms.
  local unfolded = rotated
  for layer in model:layers { "layers.0.self_attn.{q,k,v}_proj", "layers.0.input_layernorm" } do
    local is_norm = layer.class == "RMSNorm"
    unfolded = with(unfolded, layer.name, is_norm and layer.weight
      or core.folded(layer.weight, { { side = "in", scale = signs, block = 48 } }))
  end
  shows(unfolded, ids, expected)
  local down = model "layers.1.mlp.down_proj".weight
  shows(with(rotated, "layers.1.mlp.down_proj", core.folded(down, { { side = "out", block = 48 } })), ids, expected)
  shows(with(rotated, "layers.1.mlp.down_proj", core.folded(down, { { side = "in", block = 80 } })), ids, expected)
  local o = model "layers.1.self_attn.o_proj".weight
  shows(with(wane.rotate(model, { "r2" }), "layers.1.self_attn.o_proj", o), ids, expected)
  shows(with(wane.rotate(model, { "r4" }), "layers.1.mlp.down_proj", down), ids, expected)
end)

case("mistakes show: centred embeddings, a tied head after the fold, r3 before the norm of the heads", function()
  local model = tiny("Qwen3ForCausalLM", { tie_word_embeddings = true }, "f64")
  local ids = decoder.ids(11, 53)
  local expected = decoder.logits(model, ids)
  local embedding = model "embed_tokens".weight + 0.2
  local biased = with(model, "embed_tokens", embedding)
  local centred = with(biased, "embed_tokens", embedding - embedding:mean(2))
  shows(centred, ids, decoder.logits(biased, ids))
  -- The embedding turned and shared, the last norm's scales 1: its scales are lost.
  local untied = wane.rotate(tiny("Qwen3ForCausalLM", { tie_word_embeddings = false }, "f64"), { "r1" })
  local shared = with(untied, "lm_head", untied "embed_tokens".weight)
  shows(shared, ids, decoder.logits(with(untied, "lm_head", core.folded(untied "embed_tokens".weight,
    { { side = "in", scale = wane.uniform { 36 } * 1.5 + 0.5 } })), ids))
  local function turned(x) return x:hadamard(2) end
  shows(model, ids, expected, { q = turned, k = turned })
end)

-- -- what a rotated model does ------------------------------------------------------------------------------

case("a cached decode gives the bits of the whole forward, with all rotations", function()
  for _, name in ipairs { "Qwen3ForCausalLM", "LlamaForCausalLM" } do
    for _, dtype in ipairs { "f32", "bf16" } do
      local model = decoder.model(name, decoder.config(name, { tie_word_embeddings = true,
        torch_dtype = dtype == "bf16" and "bfloat16" or nil }), dtype)
      local rotated = wane.rotate(model, { "r1", "r2", "r3", "r4" })
      local ids = decoder.ids(13, 53)
      local whole = rotated:forward(ids)
      local cache <close> = rotated:cache()
      local parts = {}
      for i, part in ipairs { { 1, 6 }, { 7, 7 }, { 8, 13 } } do
        parts[i] = rotated:forward(table.move(ids, part[1], part[2], 1, {}), cache)
      end
      check(wane.concat(parts, 2):same(whole))
      equal(rotated:forward({ ids, ids })[{ 2, {}, {} }]:same(whole[{ 1, {}, {} }]), true)
      -- The same tokens are written, for f32 leaves the likelihoods where they were.
      if dtype == "f32" then
        local text, other = model:generate { length = 20, temperature = 0 }, rotated:generate { length = 20, temperature = 0 }
        equal(text[1], other[1])
      end
    end
  end
end)

case("bf16: a rotated model is a rounding away", function()
  local config = decoder.config("LlamaForCausalLM", { tie_word_embeddings = true, torch_dtype = "bfloat16" })
  local model = decoder.model("LlamaForCausalLM", config, "bf16")
  local ids = decoder.ids(11, 53)
  local expected = decoder.logits(model, ids)
  local rotated = wane.rotate(model, { "r1", "r2", "r3", "r4" })
  equal(rotated "layers.0.mlp.up_proj".weight.dtype, "bf16")
  check(distance(decoder.logits(rotated, ids), expected) < 2e-2)
  check(distance(rotated:forward(ids), expected) < 4e-2)
end)

-- The signs of r4 in the first block, which are those of up's rows.
local function signs_of(model, given)
  local was, is = model "layers.0.mlp.up_proj".weight, wane.rotate(model, given) "layers.0.mlp.up_proj".weight
  local signs = (is / was)[{ {}, 1 }]
  check((signs:abs() - 1):absmax() == 0)
  return signs
end

case("signs: streams differ, a stream continues, one more rotation shifts nothing, another run draws the same", function()
  local model = tiny("LlamaForCausalLM", { tie_word_embeddings = true })
  local one, two = signs_of(model, { "r4", stream = "one" }), signs_of(model, { "r4", stream = "two" })
  check(not one:same(two))
  check(not signs_of(model, { "r4", stream = "one" }):same(one))
  check((one + wane.ones { 80 }):sum() > 40 and (one + wane.ones { 80 }):sum() < 120) -- some of each
  -- Recorded with seed 0, r4 alone: what streams of these names give in any run, whatever else is turned.
  for stream, given in pairs {
    ["recorded 1"] = { { "r4" }, "---+--+-++-----+" }, ["recorded 2"] = { { "r2", "r3", "r4" }, "+--++---+--++---" },
  } do
    given[1].stream = stream
    local text = {}
    for i, value in ipairs(signs_of(model, given[1])[{ { 1, 16 } }]:totable()) do text[i] = value > 0 and "+" or "-" end
    equal(table.concat(text), given[2])
  end
end)

case("quantizing sees the turned inputs, and the transforms stay", function()
  local model = tiny("LlamaForCausalLM", { tie_word_embeddings = true })
  local text = model:generate { samples = 3, length = 12, stream = "probe" }
  local rotated = wane.rotate(model, { "r1", "r4" })
  local turned = rotated "layers.1.mlp.down_proj"._state.transform
  -- h' = (h * signs) H: the same lengths of tokens, other channels.
  local before, after = model "layers.1.mlp.down_proj":input(text), rotated "layers.1.mlp.down_proj":input(text)
  check(distance(after:norm(2), before:norm(2)) < 1e-5)
  check(distance(after, before) > 0.5)
  local quantized = wane.quantize(rotated, wane.rules { { "*_proj", weight = wane.int { bits = 8 },
    input = wane.int { bits = 8, per = "tensor", observer = wane.minmax } } }, text)
  check(quantized "layers.1.mlp.down_proj"._state.transform == turned)
  local plain = wane.quantize(rotated, wane.rules { { "*_proj", weight = wane.int { bits = 8 } } })
  local exact = rotated "layers.1.mlp.down_proj".weight
  check(plain "layers.1.mlp.down_proj".weight:same(wane.int { bits = 8 }:quantize(exact)))
  local ids = decoder.ids(11, 53)
  check(distance(quantized:forward(ids), model:forward(ids)) < 0.1)
  local seen = wane.observe(rotated, text, wane.absmax, { layers = "layers.1.mlp.down_proj" })
  near(seen[1].absmax, after:absmax(), 0)
  equal(rotated.bits, model.bits)
  equal(rotated.bytes, model.bytes)
end)

case("GPTQ solves in the turned basis, both streams turned", function()
  local model = tiny("Qwen3ForCausalLM", { tie_word_embeddings = true })
  local text = model:generate { samples = 12, length = 40, stream = "probe" }
  local rotated = wane.rotate(model, { "r1", "r2", "r3", "r4" })
  local function rules(solver)
    return wane.rules { { "*_proj", weight = wane.int { bits = 4 }, input = wane.int { bits = 8 }, solver = solver } }
  end
  local nearest, solved = wane.quantize(rotated, rules(wane.rtn), text), wane.quantize(rotated, rules(wane.gptq), text)
  local task = wane.task("perplexity", text)
  check(wane.compare(solved, model, task).kl < wane.compare(nearest, model, task).kl)
  for row in solved.metrics do check(row.error < 0.3) end
end)

case("channels that stand out are levelled, and rounding inputs costs less", function()
  local model = tiny("LlamaForCausalLM", { tie_word_embeddings = false })
  local text, changes = model:generate { samples = 4, length = 20, stream = "probe" }, {}
  for layer in model:layers "*.post_attention_layernorm" do
    changes[layer.name] = { weight = layer.weight:with({ { 5, 5 } }, wane.full({ 1 }, 60)) }
  end
  for layer in model:layers "*.up_proj" do
    changes[layer.name] = { weight = layer.weight:with({ { 9, 9 }, {} }, layer.weight[{ { 9, 9 }, {} }] * 50) }
  end
  local spiked = model:_derive(changes)
  local rotated = wane.rotate(spiked, { "r1", "r4" })
  local function kurtosis(of, name) -- 3 for a normal distribution; of each token's channels
    local squares = of(name):input(text):to "f64":square()
    return (squares / squares:mean(2)):square():mean()
  end
  for _, name in ipairs { "layers.0.mlp.up_proj", "layers.1.mlp.down_proj" } do
    check(kurtosis(spiked, name) > 6)
    check(kurtosis(rotated, name) < 3.5)
    local rules = wane.rules { { name, input = wane.int { bits = 6 } } }
    local function cost(of) return distance(wane.quantize(of, rules)(name):output(text), of(name):output(text)) end
    check(cost(rotated) < cost(spiked))
  end
end)

case("a rotated model tells so", function()
  local model = tiny("LlamaForCausalLM", { tie_word_embeddings = true })
  local rotated = wane.rotate(model, { "r1", "r2", "r3", "r4" })
  local text = tostring(rotated)
  check(text:find("   rotated r1 r2 r3 r4\n", 1, true) ~= nil)
  check(text:find("Embedding   [53 x 48]   gives r1\n", 1, true) ~= nil)
  check(text:find("mlp.down_proj              Linear      [48 x 80]   reads r4\n", 1, true) ~= nil)
  check(text:find("reads r1 back", 1, true) ~= nil)
  -- Online rotations are part of what a model is.
  local same, name = wane.rotate(model, { "r3" }):same(model)
  equal({ same, name }, { false, "layers.0.self_attn" })
  check(rotated:same(rotated:_derive {}))
end)

-- -- saving -------------------------------------------------------------------------------------------------

case("folded rotations are saved plainly, tied embeddings untied", function()
  for _, tied in ipairs { true, false } do
    for _, name in ipairs { "Qwen2ForCausalLM", "Qwen3ForCausalLM" } do
      local model = tiny(name, { tie_word_embeddings = tied, max_position_embeddings = 64 })
      local rotated = wane.rotate(model, { "r1", "r2" })
      local folder = scratch(name .. tostring(tied))
      rotated:save(folder, "safetensors")
      local again = wane.load(folder)
      local config = core.parse_json(core.read(folder .. "/config.json"), folder)
      equal(config.tie_word_embeddings, false)
      check(again "lm_head"._tied == nil)
      local ids = decoder.ids(11, 53)
      check(distance(again:forward(ids), model:forward(ids)) < 1e-5)
      if not tied then check(again:same(rotated)) end
      check((again "norm".weight - 1):absmax() == 0)
    end
  end
end)

case("online rotations are refused by a plain file, before a byte is written", function()
  local model = tiny("LlamaForCausalLM", { tie_word_embeddings = true })
  local folder = scratch "online"
  fails(function() wane.rotate(model, { "r1", "r4" }):save(folder, "safetensors") end,
    "model:save: plain safetensors cannot hold online rotations: r4\n" ..
    "  layer   layers.{0,1}.mlp.down_proj\n" ..
    "  hint    r1 and r2 are folded into the weights; r3 and r4 turn what passes while the model runs")
  fails(function() wane.rotate(model, { "r3", "r4" }):save(folder, "safetensors") end,
    "online rotations: r3, r4\n  layer   layers.{0,1}.self_attn\n  layer   layers.{0,1}.mlp.down_proj")
  check(not core.exists(folder))
end)

-- -- what is refused ----------------------------------------------------------------------------------------

case("what wane.rotate refuses, before any compute", function()
  local model = tiny("LlamaForCausalLM", { tie_word_embeddings = true })
  local function refuses(given, text, other) fails(function() wane.rotate(other or model, given) end, text) end
  refuses(nil, "wane.rotate: argument 2 (rotations) is missing; expected a table")
  refuses({}, "wane.rotate: no rotation is named")
  refuses({ "r5" }, "wane.rotate: no rotation 'r5'; did you mean 'r")
  refuses({ "r1", "r1" }, "wane.rotate: r1 is named twice")
  refuses({ "r1", kind = "random" }, "wane.rotate: kind is a string 'random'; expected \"hadamard\"")
  refuses({ "r1", sings = true }, "wane.rotate: no option 'sings'; did you mean 'signs'?")
  refuses({ "r1", block = 1 }, "wane.rotate: block is an integer 1; expected a whole number from 2")
  refuses({ "r1" }, "wane.rotate: the model is rotated by r1 already", wane.rotate(model, { "r1" }))
  refuses({ "r4", block = 7 }, "wane.rotate: block 7 does not divide the 80 channels of r4")
  local quantized = wane.quantize(model, wane.rules { { "*_proj", weight = wane.int { bits = 8 }, input = wane.int } })
  refuses({ "r1" }, "the weights of layers.{0,1}.self_attn.{q,k,v,o}_proj", quantized)
  local replaced = model:with("layers.0.mlp.up_proj", { forward = function(layer, x) return layer(x) end })
  refuses({ "r1" }, "the forward of layers.0.mlp.up_proj was replaced, and may do anything", replaced)
end)

case("a size without a transform names what would do, and all problems come at once", function()
  local odd = tiny("LlamaForCausalLM", { intermediate_size = 86 * 2, hidden_size = 52 })
  fails(function() wane.rotate(odd, { "r4" }) end, "wane.rotate: no Hadamard transform of size 172, for r4\n" ..
    "  hint   block = 4 turns blocks of 4 channels")
  local both = wane.rotate(odd, { "r2" })
  fails(function() wane.rotate(both, { "r2", "r4" }) end, "wane.rotate: 2 problems; nothing was computed")
  local ids = decoder.ids(7, 53)
  check(distance(wane.rotate(odd, { "r1", "r4", block = 4 }):forward(ids), odd:forward(ids)) < 1e-5)
end)

-- -- architectures of a script ------------------------------------------------------------------------------

-- A decoder without attention, with names of its own and two readers of a norm, one of them named or not.
local function own(tables)
  local Mixer = wane.module "Mixer"
  function Mixer:init(c)
    self.scale = wane.RMSNorm(c.width, 1e-6)
    self.left, self.right = wane.Linear(c.width, c.inner, { bias = true }), wane.Linear(c.width, c.inner)
    self.out = wane.Linear(c.inner, c.width)
  end
  function Mixer:forward(x)
    local y = self.scale(x)
    return x + self.out(self.left(y) * self.right(y):tanh())
  end
  local Own = wane.module "Own"
  function Own:init(c)
    self.words = wane.Embedding(c.words, c.width)
    self.parts = wane.stack(2, Mixer, c)
    self.last = wane.RMSNorm(c.width, 1e-6)
    self.head = wane.Linear(c.width, c.words)
  end
  function Own:forward(tokens)
    local x = self.words(tokens)
    for part in self.parts do x = part(x) end
    return self.head(self.last(x))
  end
  tables.model = Own
  wane.architecture("OwnForCausalLM", tables)
  return wane.model("OwnForCausalLM", { words = 31, width = 24, inner = 56 })
end

case("an architecture of a script is rotated by its tables, whatever its names", function()
  local tables = { writes = { "words", "*.out" }, reads = { ["*.scale"] = "*.{left,right}", ["last"] = "head" },
                   product = { "*.left", "*.out" } }
  local model = own(tables)
  model = model:_derive {
    ["parts.0.scale"] = { weight = wane.uniform { 24 } + 0.5 }, ["parts.1.left"] = { bias = wane.randn { 56 } } }
  local ids = decoder.ids(9, 31)
  check(distance(wane.rotate(model, { "r1", "r4" }):forward(ids), model:forward(ids)) < 1e-5)
  fails(function() wane.rotate(model, { "r2" }) end,
    "wane.rotate: r2: architecture 'OwnForCausalLM' has no table 'values'")
  fails(function() wane.rotate(model, { "r3" }) end, "wane.rotate: r3: the forward of the model attends nowhere")
  -- The right side of the product is not linear: the wrong table shows.
  local wrong = own { writes = tables.writes, reads = tables.reads, product = { "*.right", "*.out" } }
  check(distance(wane.rotate(wrong, { "r4" }):forward(ids), wrong:forward(ids)) < 1e-5) -- tanh is odd: signs pass
end)

case("tables that the forward contradicts are named", function()
  local function refuses(tables, names, text)
    local model = own(tables)
    fails(function() wane.rotate(model, names) end, text)
  end
  local good = { ["*.scale"] = "*.{left,right}", ["last"] = "head" }
  refuses({ reads = good }, { "r1" }, "wane.rotate: r1: architecture 'OwnForCausalLM' has no table 'writes'")
  refuses({ writes = { "words", "*.out" }, reads = { ["*.scale"] = "*.left", ["last"] = "head" } }, { "r1" },
    "architecture 'OwnForCausalLM': reads does not name 'parts.0.right', which reads 'parts.0.scale'")
  refuses({ writes = { "words", "*.outs" }, reads = good }, { "r1" },
    "architecture 'OwnForCausalLM': writes: '*.outs' matches no layer")
  refuses({ writes = { "words", "*.left" }, reads = good }, { "r1" },
    "r1 turns one residual stream, but 'words' has 24 channels and 'parts.0.left' 56")
  refuses({ writes = { "words", "last" }, reads = good }, { "r1" },
    "writes names 'last', a RMSNorm; only a Linear or an Embedding writes")
  refuses({ product = { "*.left" } }, { "r4" }, "product holds 1 patterns, expected 2")
  refuses({ product = { "*.{left,right}", "*.out" } }, { "r4" },
    "product: '*.{left,right}' matches 4 layers, '*.out' 2")
  refuses({ product = { "*.left", "*.right" } }, { "r4" },
    "product: 'parts.0.left' gives 56 channels, 'parts.0.right' reads 24")
  refuses({ values = { "*.left", "*.out" } }, { "r2" }, "values: 2 pairs, but the forward attends 0 times")
end)

-- -- real models --------------------------------------------------------------------------------------------

case("stories260K: the likelihood stays", function()
  local model = wane.load(shared_data "model_stories260K/stories260K.gguf")
  local reference = core.parse_json(core.read(shared_data "model_stories260K/reference.json"), "reference")
  local ids = reference.scoring.token_ids
  -- Its 172 channels of a product have no transform (only a Williamson matrix), but blocks of 4 have.
  local rotated = wane.rotate(wane.rotate(model, { "r1", "r2", "r3" }), { "r4", block = 4 })
  local before, after = model:forward(ids), rotated:forward(ids)
  check(distance(after, before) < 1e-5)
  equal(after:argmax(3):totable(), before:argmax(3):totable())
  near(wane.compare(rotated, model, wane.task("perplexity", reference.scoring.text)).kl.value, 0, 1e-9)
end)
