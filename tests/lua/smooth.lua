-- SmoothQuant folded: the scales are those of the paper's formula, the model says what it said, inputs are easier to
-- round, and what cannot be smoothed is named.
local wane = require "wane"
local core = require "wane.core"
local decoder = dofile(source "tests/oracles/decoder.lua")

local distance = decoder.distance
local TEXT = { samples = 4, length = 14, stream = "probe" }

local function tiny(name, changes, dtype)
  return decoder.model(name, decoder.config(name, changes), dtype)
end

-- The largest magnitude of each column, f64 [columns].
local function tops(x) return x:to "f64":absmax(1):reshape { -1 } end

for _, name in ipairs { "LlamaForCausalLM", "MistralForCausalLM", "Qwen2ForCausalLM", "Qwen3ForCausalLM" } do
  for _, tied in ipairs { true, false } do
    -- f64 weights and a float64 forward: what is left is 1e-16 a term. f32: as for rotations, 1e-5.
    case(("%s, %s: the model says what it said"):format(name, tied and "tied" or "untied"), function()
      local model = tiny(name, { tie_word_embeddings = tied })
      local text, ids = model:generate(TEXT), decoder.ids(11, 53)
      local expected = model:forward(ids)
      for _, alpha in ipairs { 0, 0.5, 0.8, 1 } do
        local smoothed = wane.smooth(model, text, { alpha = alpha })
        check(distance(smoothed:forward(ids), expected) < 1e-5)
        check(not smoothed "layers.0.mlp.up_proj".weight:same(model "layers.0.mlp.up_proj".weight))
        check(smoothed "lm_head".weight:same(model "lm_head".weight))
      end
    end)
  end
end

case("the scales are max|x|^a / max|w|^(1 - a), and inputs are divided by them", function()
  local model = tiny("MistralForCausalLM", { tie_word_embeddings = false })
  local text = model:generate(TEXT)
  local smoothed = wane.smooth(model, text, { alpha = 0.7, layers = "layers.1.*" })
  check(smoothed "layers.0.mlp.down_proj".weight:same(model "layers.0.mlp.down_proj".weight))
  local function expected(names, x)
    local w
    for _, name in ipairs(names) do
      local own = tops(model(name).weight)
      w = w and w:maximum(own) or own
    end
    return tops(x) ^ 0.7 / w ^ 0.3
  end
  for _, names in ipairs {
    { "layers.1.self_attn.q_proj", "layers.1.self_attn.k_proj", "layers.1.self_attn.v_proj" },
    { "layers.1.mlp.gate_proj", "layers.1.mlp.up_proj" }, { "layers.1.mlp.down_proj" },
  } do
    local x = model(names[1]):input(text)
    local s = expected(names, x)
    check(distance(smoothed(names[1]):input(text), x:to "f64" / s:reshape { 1, -1 }) < 1e-5)
    if #names < 3 then -- the rows of up and v are scaled, too, for what reads them
      local first = names[1]
      check(distance(smoothed(first).weight, model(first).weight:to "f64" * s:reshape { 1, -1 }) < 1e-6)
    end
  end
  -- One key for three heads: one s for their channels, the largest of the three deciding.
  local function group(x) return x:reshape { 1, 3, 20 }:absmax(2):reshape { -1 } end
  local o = "layers.1.self_attn.o_proj"
  local x = model(o):input(text)
  local s = group(tops(x)) ^ 0.7 / group(tops(model(o).weight)) ^ 0.3
  check(distance(smoothed(o):input(text), x:to "f64" / s:tile({ 3 }):reshape { 1, -1 }) < 1e-5)
end)

case("an outlier channel of the input is levelled, and rounding it costs less", function()
  local model = tiny("LlamaForCausalLM", { tie_word_embeddings = false })
  local gamma = model "layers.0.post_attention_layernorm".weight
  local spiked = model:_derive {
    ["layers.0.post_attention_layernorm"] = { weight = gamma:with({ { 5, 5 } }, wane.full({ 1 }, 60)) } }
  local text, name = spiked:generate(TEXT), "layers.0.mlp.up_proj"
  local smoothed = wane.smooth(spiked, text)
  local function ratio(of)
    local top = tops(of "layers.0.mlp.up_proj":input(text))
    return top:max() / top:quantile(0.5)
  end
  check(ratio(smoothed) < ratio(spiked) / 3)
  local rules = wane.rules { { name, input = wane.int { bits = 6 } } }
  local function cost(of) return distance(wane.quantize(of, rules)(name):output(text), of(name):output(text)) end
  check(cost(smoothed) < cost(spiked) * 0.6)
end)

case("norms of heads are scaled against each other, alike on both channels of a rotary pair", function()
  local model = tiny("Qwen3ForCausalLM", { tie_word_embeddings = true })
  local text, ids = model:generate(TEXT), decoder.ids(11, 53)
  local smoothed = wane.smooth(model, text, { layers = "*.k_norm" })
  local q = smoothed "layers.0.self_attn.q_norm".weight / model "layers.0.self_attn.q_norm".weight
  local k = smoothed "layers.0.self_attn.k_norm".weight / model "layers.0.self_attn.k_norm".weight
  near(q * k, wane.ones { 16 }, 1e-6)
  near(q[{ { 1, 8 } }], q[{ { 9, 16 } }], 1e-6)
  local keys = model "layers.0.self_attn.k_norm":output(text)
  local lengths = (keys[{ {}, { 1, 8 } }]:square() + keys[{ {}, { 9, 16 } }]:square()):max(1):reshape { -1 }:sqrt()
  near(q[{ { 1, 8 } }], lengths:sqrt(), 1e-5)
  check(smoothed "layers.0.self_attn.q_proj".weight:same(model "layers.0.self_attn.q_proj".weight))
  local expected = decoder.logits(model, ids)
  check(distance(decoder.logits(smoothed, ids), expected) < 1e-6)
  -- Scales that differ within a pair do not pass rotary positions.
  local loose = wane.uniform { 16 } * 3 + 0.3
  local broken = model:_derive {
    ["layers.0.self_attn.q_norm"] = { weight = model "layers.0.self_attn.q_norm".weight * loose },
    ["layers.0.self_attn.k_norm"] = { weight = model "layers.0.self_attn.k_norm".weight / loose },
  }
  check(distance(decoder.logits(broken, ids), expected) > 1e-2)
end)

case("silent channels are scaled by no less than 1e-5, and nothing becomes infinite", function()
  for _, dtype in ipairs { "f32", "f16", "bf16" } do
    local model = tiny("LlamaForCausalLM", { tie_word_embeddings = false }, dtype)
    local text, ids = model:generate(TEXT), decoder.ids(11, 53)
    local function without(name, box)
      local weight = model(name).weight
      local shape = weight[box].shape
      return { weight = weight:with(box, wane.zeros(shape, { dtype = dtype })) }
    end
    local silent = model:_derive {
      ["layers.0.input_layernorm"] = without("layers.0.input_layernorm", { { 3, 3 } }),
      ["layers.0.mlp.up_proj"] = without("layers.0.mlp.up_proj", { { 9, 9 }, {} }),
      ["layers.1.mlp.down_proj"] = without("layers.1.mlp.down_proj", { {}, { 4, 4 } }),
    }
    local smoothed = wane.smooth(silent, text)
    for layer in smoothed:layers() do check(layer.weight:to "f32":isfinite():all()) end
    check(distance(smoothed:forward(ids), silent:forward(ids)) < ({ f32 = 1e-5, f16 = 1e-2, bf16 = 6e-2 })[dtype])
  end
end)

case("smoothed models are saved plainly and tell so", function()
  local model = tiny("Qwen3ForCausalLM", { tie_word_embeddings = true, max_position_embeddings = 64 })
  local smoothed = wane.smooth(model, model:generate(TEXT))
  check(tostring(smoothed):find("   smoothed\n", 1, true) ~= nil)
  local folder = scratch "smoothed"
  smoothed:save(folder, "safetensors")
  check(wane.load(folder):same(smoothed))
  equal(smoothed.bytes, model.bytes)
end)

case("a site carries scales or a rotation, not both", function()
  local model = tiny("Qwen3ForCausalLM", { tie_word_embeddings = true })
  local text, ids = model:generate(TEXT), decoder.ids(11, 53)
  local smoothed = wane.smooth(model, text)
  for name, layers in pairs {
    r1 = "layers.{0,1}.self_attn.{q,k,v}_proj, layers.{0,1}.mlp.{gate,up}_proj",
    r2 = "layers.{0,1}.self_attn.o_proj", r3 = "layers.{0,1}.self_attn.k_norm", r4 = "layers.{0,1}.mlp.down_proj",
  } do
    fails(function() wane.rotate(smoothed, { name }) end,
      ("wane.rotate: %s after wane.smooth across it: the channels that %s reads have scales"):format(name, layers))
    fails(function() wane.smooth(wane.rotate(model, { name }), text) end,
      "wane.smooth: across the rotation " .. name .. ": the channels that ")
  end
  -- What lies beside a rotation is smoothed, and what lies beside scales is rotated.
  local expected = model:forward(ids)
  local both = wane.smooth(wane.rotate(model, { "r4" }), text, { layers = "*.{q,k,v,o,gate,up}_proj" })
  check(distance(both:forward(ids), expected) < 1e-5)
  local other = wane.rotate(wane.smooth(model, text, { layers = "*.{q,gate}_proj" }), { "r2", "r3", "r4" })
  check(distance(other:forward(ids), expected) < 1e-5)
  check(tostring(other):find("   rotated r2 r3 r4, smoothed\n", 1, true) ~= nil)
end)

case("what wane.smooth refuses", function()
  local model = tiny("LlamaForCausalLM", { tie_word_embeddings = true })
  local text = model:generate(TEXT)
  fails(function() wane.smooth(model) end, "wane.smooth: argument 2 (text) is missing; expected a text")
  fails(function() wane.smooth(model, text, { alpha = 1.5 }) end, "wane.smooth: alpha is a number 1.5; expected 0 to 1")
  fails(function() wane.smooth(model, text, { alfa = 1 }) end, "wane.smooth: no option 'alfa'; did you mean 'alpha'?")
  fails(function() wane.smooth(model, text, { layers = "lm_head" }) end,
    "wane.smooth: 'lm_head' names no layer whose input can be smoothed")
  local quantized = wane.quantize(model, wane.rules { { "*.up_proj", weight = wane.int } })
  fails(function() wane.smooth(quantized, text) end, "wane.smooth: the weights of layers.{0,1}.mlp.up_proj are quantized")
  local weight = model "layers.1.mlp.up_proj".weight:with({ { 1, 1 }, { 1, 1 } }, wane.full({ 1, 1 }, 0 / 0))
  fails(function() wane.smooth(model:with("layers.1.mlp.up_proj", { weight = weight }), text) end,
    "wane.smooth: NaN or Inf at 'layers.1.mlp.down_proj', sample 1, token 1")
end)
