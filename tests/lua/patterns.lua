-- Patterns over layer names, and lists that can be walked.
local wane = require "wane"
local lists = require "wane.list"

local model = wane.model("LlamaForCausalLM", {
  vocab_size = 16, hidden_size = 8, intermediate_size = 16, num_hidden_layers = 12, num_attention_heads = 2,
  rms_norm_eps = 1e-6, tie_word_embeddings = true,
})

local function names(pattern)
  local out = {}
  for layer in model:layers(pattern) do out[#out + 1] = layer.name end
  return table.concat(out, " ")
end

case("globs", function()
  equal(#model:layers(), 12 * 9 + 3)
  equal(#model:layers "*_proj", 12 * 7)
  equal(names "layers.1.mlp.*", "layers.1.mlp.gate_proj layers.1.mlp.up_proj layers.1.mlp.down_proj")
  equal(names "layers.?.mlp.down_proj" ~= "", true)
  equal(#model:layers "layers.?.mlp.down_proj", 10) -- one character, so not layers.10
  equal(names "layers.{3,10}.mlp.{gate,up}_proj",
    "layers.3.mlp.gate_proj layers.3.mlp.up_proj layers.10.mlp.gate_proj layers.10.mlp.up_proj")
  equal(#model:layers "layers.{0..9}.mlp.down_proj", 10)
  equal(names "layers.{8..11}.self_attn.q_proj", "layers.8.self_attn.q_proj layers.9.self_attn.q_proj "
    .. "layers.10.self_attn.q_proj layers.11.self_attn.q_proj")
  equal(names "{embed_tokens,lm_head}", "embed_tokens lm_head")
  equal(names "norm", "norm") -- the whole name
  fails(function() model:layers "layers.{0..9" end, "a { without its }")
end)

case("regular expressions, classes, lists, functions", function()
  equal(names "re:layers\\.(2|5)\\.mlp\\.up_proj", "layers.2.mlp.up_proj layers.5.mlp.up_proj")
  fails(function() model:layers "re:up_proj" end, "matches no layer") -- the whole name
  equal(#model:layers "Linear", 12 * 7 + 1)
  equal(#model:layers "RMSNorm", 25)
  equal(#model:layers "Attention", 12)
  equal(names { "norm", "layers.0.mlp.up_proj" }, "layers.0.mlp.up_proj norm") -- model order
  equal(#model:layers {}, 0)
  equal(names(function(layer) return layer.class == "Embedding" end), "embed_tokens")
  equal(#model:layers(model:layers "*.up_proj"), 12)
end)

case("nothing matches: the nearest names", function()
  fails(function() model:layers "layers.1.mlp.up_porj" end,
    "model:layers: 'layers.1.mlp.up_porj' matches no layer; nearest: layers.1.mlp.up_proj")
  fails(function() model:layers { "norm", "nrom" } end, "'nrom' matches no layer; nearest: norm")
  fails(function() model:layers "Lineer" end, "'Lineer' matches no layer")
  fails(function() model:layers(3) end, "the pattern is an integer 3")
end)

case("lists: nested loops, breaks and equal items", function()
  local list = lists.new { "a", "b", "a", "a" }
  local seen = {}
  for x in list do
    for y in list do
      seen[#seen + 1] = x .. y
      if y == "b" then break end
    end
  end
  equal(table.concat(seen, " "), "aa ab ba bb aa ab aa ab")
  equal(#list, 4)
  equal(list[-1], "a")
  equal(list[5], nil)
  equal(tostring(list), "a b a a")
  local count = 0
  for _ in lists.new {} do count = count + 1 end
  equal(count, 0)
  seen = {}
  local numbers = lists.new { 3, 3, 1 }
  for x in numbers do
    for y in numbers do
      if y == 3 then break end -- leaves its loop at an item that the outer one stands at
    end
    seen[#seen + 1] = x
  end
  equal(table.concat(seen, " "), "3 3 1")
  local rows = lists.new { { 1 }, { 1 }, { 2 } }
  for row in rows do
    for other in rows do count = count + row[1] * other[1] end
  end
  equal(count, 16)
  fails(function() list[1] = "c" end, "cannot be assigned to")
  fails(function() return list.first end, "list: no field 'first'")
end)

case("the module itself", function()
  fails(function() return wane.laod end, "wane: no 'laod'; did you mean 'load'?")
  fails(function() wane.load = 1 end, "wane: assigning to 'load'")
end)
