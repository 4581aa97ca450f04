-- Rules and plans: the cascade, who set what, what is printed, all problems at once.
local wane = require "wane"

local function tiny(changes)
  local config = {
    vocab_size = 64, hidden_size = 32, intermediate_size = 48, num_hidden_layers = 3, num_attention_heads = 4,
    num_key_value_heads = 2, head_dim = 8, rms_norm_eps = 1e-6, rope_theta = 1e4, tie_word_embeddings = false,
    hidden_act = "silu", max_position_embeddings = 128,
  }
  for key, value in pairs(changes or {}) do config[key] = value end
  return wane.model("LlamaForCausalLM", config)
end

local int4 = wane.int { bits = 4, group_size = 16 }

local function row_of(plan, name)
  for row in plan do
    if row.layer == name then return row end
  end
  error("no row " .. name)
end

case("a later rule overrides only the fields it names", function()
  local rules = wane.rules {
    { "*_proj", weight = int4, input = wane.int },
    { "*.down_proj", input = "keep" },
    { "layers.1.*_proj", weight = wane.int },
  }
  local plan = rules:plan(tiny())
  local row = row_of(plan, "layers.1.mlp.down_proj")
  check(row.weight == wane.int, "weight")
  equal(row.input, "keep")
  check(row.set_by:find("weight: rule 3 (", 1, true) and row.set_by:find("input: rule 2 (", 1, true), row.set_by)
  check(row.set_by:find "rules%.lua:%d+%)", row.set_by)
  equal(row.beaten, "weight of rule 1, input of rule 1")
  check(row_of(plan, "layers.0.mlp.up_proj").input == wane.int, "input")
  equal(row_of(plan, "embed_tokens").weight, "keep")
  equal(row_of(plan, "embed_tokens").set_by, "")
  check(row_of(plan, "layers.0.mlp.up_proj").solver == wane.rtn, "solver")
  equal(#plan.problems, 0)
end)

case("rules:with gives rules with one more at the end", function()
  local rules = wane.rules { { "*_proj", weight = int4 } }
  local more = rules:with { "*.o_proj", weight = "keep" }
  equal(#rules, 1)
  equal(#more, 2)
  equal(row_of(more:plan(tiny()), "layers.0.self_attn.o_proj").weight, "keep")
end)

case("bits and bytes are what quantize gives", function()
  local model = tiny()
  for _, rules in ipairs {
    wane.rules {}, wane.rules { { "*_proj", weight = int4 } },
    wane.rules { { "*_proj", weight = wane.int { bits = 3, symmetric = false } }, { "RMSNorm", weight = "f32" } },
    wane.rules { { "Linear", weight = wane.nf4 { group_size = 8 } } }, wane.rules { { "*_proj", weight = wane.fp8 } },
    wane.rules { { "*_proj", weight = wane.int { per = "tensor" } } },
  } do
    local plan, quantized = rules:plan(model), wane.quantize(model, rules)
    near(plan.bits, quantized.bits, 1e-9)
    near(plan.bytes, quantized.bytes, #plan)
  end
  near(wane.rules { { "*_proj", weight = int4 } }:plan(model).bits, 5, 1e-9)
end)

case("the plan is printed with equal rows folded", function()
  local text = tostring(wane.rules { { "*_proj", weight = int4 } }:plan(tiny()))
  check(text:find("layers.{0..2}.self_attn.{q,k,v,o}_proj", 1, true), text)
  check(text:find("layers.{0..2}.mlp.{gate,up,down}_proj", 1, true), text)
  check(text:find("int4 g16", 1, true) and text:find "weight of rules%.lua:%d+: rule 1 %(rules%.lua:%d+%)", text)
  check(text:find("5 bits per weight", 1, true), text)
  check(text:find("dense f32", 1, true) or text:find("dense bf16", 1, true), text)
end)

case("all problems at once, each with its layers, before any compute", function()
  local rules = wane.rules {
    { "*_proj", weight = wane.int { group_size = 20 }, input = wane.int { per = "tensor", observer = wane.minmax } },
    { "*.q_proj", weight = "f23", solver = wane.gptq },
    { "*.k_proj", weight = wane.int { observer = wane.hessian } },
    { "*.v_proj", weight = wane.gguf { type = "Q4_K" } },
    { "*.o_proj", weight = wane.int { per = "token" }, input = wane.int { per = "tensor" } },
    { "RMSNorm", weight = wane.int },
    { "embed_tokens", input = wane.int },
    { "*.up_proj", weight = wane.int, solver = wane.solver("half", {}) },
    { "*_proj", kv = wane.int },
  }
  local model = tiny()
  local text = tostring(rules:plan(model))
  local function has(words) check(text:find(words, 1, true), words .. "\nis not in\n" .. text) end
  has "layers.{0..2}.mlp.gate_proj: group_size 20 does not divide the 32 columns; nearest that do: 16 and 32 (rule 1, "
  has "layers.{0..2}.mlp.down_proj: group_size 20 does not divide the 48 columns; nearest that do: 16 and 24 (rule 1, "
  has "weight = 'f23' is no dtype"
  has "layers.{0..2}.self_attn.k_proj: observer hessian gives no range to int8 hessian (rule 3, "
  has "layers.{0..2}.self_attn.v_proj: not supported yet: wane.gguf (rule 4, "
  has "per = 'token' is for inputs; a weight has per = 'tensor', 'channel' or a group_size (rule 5, "
  has "per = 'tensor' of an input is static and needs an observer (rule 5, "
  has "takes a matrix; this weight is [32] (rule 6, "
  has "embed_tokens: an embedding reads token ids; it has no input to quantize (rule 7, "
  has "layers.{0..2}.mlp.up_proj: solver 'half' has no solve (rule 8, "
  has "not supported yet: kv = int8 (keys and values stay as they are) (rule 9, "
  fails(function() wane.quantize(model, rules) end, "problems; nothing was computed")
  fails(function() wane.quantize(model, rules) end, "group_size 20 does not divide the 48 columns")
  fails(function() wane.quantize(model, rules) end, "is static and needs a text")
end)

case("a static input without a text", function()
  local rules = wane.rules { { "*.mlp.*_proj", input = wane.int { per = "tensor", observer = wane.minmax } } }
  fails(function() wane.quantize(tiny(), rules) end,
        "layers.{0..2}.mlp.{gate,up,down}_proj: input = int8 tensor minmax is static and needs a text")
end)

case("tied layers have one weight", function()
  local model = tiny { tie_word_embeddings = true }
  local plan = wane.rules { { "embed_tokens", weight = wane.int }, { "lm_head", weight = int4 } }:plan(model)
  equal(#plan.problems, 1)
  check(plan.problems[1]:find "embed_tokens", plan.problems[1])
  check(plan.problems[1]:find("tied weights with two schemes, int8 and int4 g16", 1, true), plan.problems[1])
  local one = wane.rules { { "lm_head", weight = wane.int } }:plan(model)
  equal(#one.problems, 0)
  check(row_of(one, "embed_tokens").weight == wane.int, "the tied twin")
end)

case("a pattern that matches nothing, unless optional", function()
  local model = tiny()
  local rules = wane.rules { { "*_pro", weight = int4 }, { { "lm_hed", "layers.0.mlp.up_proj" }, weight = "f23" },
                             { "Linea", weight = int4 } }
  local problems = rules:plan(model).problems
  equal(#problems, 4)
  check(problems[1]:find "^'%*_pro' matches no layer; nearest: .* %(rule 1, .*rules.lua:%d+%)$", problems[1])
  check(problems[2]:find "^'lm_hed' matches no layer; nearest: lm_head %(rule 2, ", problems[2])
  check(problems[3]:find "^'Linea' matches no layer; classes: .*Linear.* %(rule 3, ", problems[3])
  check(problems[4]:find "^layers.0.mlp.up_proj: weight = 'f23' is no dtype", problems[4])
  fails(function() wane.quantize(model, rules) end, "4 problems; nothing was computed")
  equal(#wane.rules { { "*_pro", weight = int4, optional = true } }:plan(model).problems, 0)
  equal(#wane.rules { { {}, weight = int4 } }:plan(model).problems, 0)
end)

case("a wrong rule is refused where it is written", function()
  fails(function() wane.rules { { "a", weigth = int4 } } end,
        "wane.rules: rule 1: no field 'weigth'; did you mean 'weight'?")
  fails(function() wane.rules { { "a", weight = 4 } } end,
        'rule 1: weight is an integer 4; expected a quantizer, a dtype or "keep"')
  fails(function() wane.rules { {}, { weight = int4 } } end, "rule 1: the pattern is nil")
  fails(function() wane.rules { { "a", solver = int4 } } end,
        "solver is a quantizer; expected a solver such as wane.rtn")
  fails(function() wane.rules { { "a", input = "int8" } } end, "input is a string 'int8'")
  fails(function() wane.rules { weight = int4 } end, "field 'weight' stands outside a rule")
  fails(function() wane.rules "a" end, "argument 1 (rules) is a string 'a'")
  fails(function() wane.rules({}).x = 1 end, "rules are a value")
  fails(function() wane.rules({}):plan(3) end, "argument 1 (model)")
end)
