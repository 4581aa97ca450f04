-- Solvers inside wane.quantize: what each one is given and what becomes of what it gives, on a small random model; what
-- cannot be seen (batches, threads, fusing, stacks); what goes wrong, by name.
local wane = require "wane"
local core = require "wane.core"
local stages = require "wane.stages"

local base = wane.model("LlamaForCausalLM", {
  vocab_size = 96, hidden_size = 48, intermediate_size = 80, num_hidden_layers = 3, num_attention_heads = 4,
  num_key_value_heads = 2, head_dim = 12, rms_norm_eps = 1e-6, rope_theta = 1e4, tie_word_embeddings = false,
  hidden_act = "silu", max_position_embeddings = 128,
})

-- Samples of two lengths, more tokens than any layer has columns.
local function sample_text(stream)
  local long = base:generate { samples = 7, length = 40, stream = stream }
  local short = base:generate { prompt = long, length = 5, stream = stream }
  return long, short
end
local calib = sample_text "calibrate"
local probe = wane.task("perplexity", (sample_text "calibrate probe"))

local int4 = wane.int { bits = 4, group_size = 16 }
local int3 = wane.int { bits = 3, group_size = 8, symmetric = false, observer = wane.mse }

local function rules(solver, weight, pattern)
  return wane.rules { { pattern or "*_proj", weight = weight or int4, solver = solver } }
end

-- -- what comes out ---------------------------------------------------------------------------------------------

case("codes and parameters of the model are the solver's", function()
  local Kept = wane.solver("kept", { damp = 0.01 })
  Kept.needs = { wane.hessian }
  local solved = {}
  function Kept:solve(w, quantizer, seen)
    local packed = wane.gptq { precorrect = 0, damp = self.damp }:solve(w, quantizer, seen)
    solved[#solved + 1] = packed
    return packed
  end
  local model = wane.quantize(base, rules(Kept, int3), calib)
  equal(#solved, 12) -- q, k and v in one, o, gate and up in one, down
  local place = 0
  for _, names in ipairs { { "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj" }, { "self_attn.o_proj" },
                           { "mlp.gate_proj", "mlp.up_proj" }, { "mlp.down_proj" } } do
    place = place + 1
    local first = 1
    for _, name in ipairs(names) do
      local weight = model("layers.0." .. name).weight
      local last = first + weight.shape[1] - 1
      local rows = { { first, last }, {} }
      check(weight.codes:same(core.flush(solved[place].codes[rows] + 0)), name)
      check(core.flush(weight:to "f32" + 0):same(core.flush(solved[place][rows]:to(weight.dtype):to "f32" + 0)), name)
      equal(weight.quantizer, int3)
      first = last + 1
    end
    equal(first - 1, solved[place].shape[1])
  end
end)

case("layers that share an input and a scheme are solved stacked, with the bits of one alone", function()
  local together = wane.quantize(base, rules(wane.gptq, int4, "layers.1.self_attn.{q,k,v}_proj"), calib)
  for _, name in ipairs { "q", "k", "v" } do
    local path = ("layers.1.self_attn.%s_proj"):format(name)
    local alone = wane.quantize(base, rules(wane.gptq, int4, path), calib)
    check(alone(path).weight.codes:same(together(path).weight.codes), path)
    check(alone(path).weight:same(together(path).weight), path)
  end
  local mixed = wane.quantize(base, rules(wane.gptq, int4, "layers.1.self_attn.{q,k,v}_proj"):with {
    "layers.1.self_attn.k_proj", weight = int3 }, calib)
  for _, name in ipairs { "q", "v" } do
    local path = ("layers.1.self_attn.%s_proj"):format(name)
    check(mixed(path).weight:same(together(path).weight), path .. " beside another scheme")
  end
end)

case("each layer sees what the quantized ones before it give, and the original input beside", function()
  local seen_by, crosses = {}, {}
  local Look = wane.solver("look", {})
  Look.needs = { wane.hessian, wane.cross, wane.mean_square }
  function Look:solve(w, quantizer, seen)
    seen_by[#seen_by + 1], crosses[#crosses + 1] = seen, seen.cross
    return quantizer:quantize(w)
  end
  local model = wane.quantize(base, rules(Look, wane.int { bits = 2 }), calib)
  local names = { "layers.0.self_attn.q_proj", "layers.0.self_attn.o_proj", "layers.0.mlp.up_proj",
                  "layers.0.mlp.down_proj", "layers.1.self_attn.q_proj" }
  for i, name in ipairs(names) do
    local x, x0 = model(name):input(calib):to "f64", base(name):input(calib):to "f64"
    local h, c = x:t():matmul(x) / x.shape[1], x0:t():matmul(x) / x.shape[1]
    local size = h:absmax()
    near(seen_by[i].hessian:to "f64" / size, core.flush(h / size), 1e-5, name)
    near(crosses[i]:to "f64" / size, core.flush(c / size), 1e-5, name .. ": cross")
    near(seen_by[i].mean_square:reshape { -1 }:to "f64" / size, core.flush(h:diag() / size), 1e-5, name)
    equal(i > 1, (core.flush(h - c)):absmax() > 1e-3 * size, name .. ": changed before it")
  end
end)

case("by hand it is wane.gptq without its order and correction, bit for bit", function()
  local ByHand = wane.solver("by-hand", { damp = 0.01 })
  ByHand.needs = { wane.hessian }
  function ByHand:solve(w, quantizer, seen)
    local h = seen.hessian
    local damp = self.damp * h:diag():mean()
    local u = (h + damp * wane.eye(w.shape[2])):inverse_upper()
    return wane.sweep(w, u, quantizer)
  end
  local Corrected = wane.solver("corrected", { damp = 0.01, amount = 0.5 })
  Corrected.needs = { wane.hessian, wane.cross }
  function Corrected:solve(w, quantizer, seen)
    local h, c = seen.hessian, seen.cross
    local damp = self.damp * h:diag():mean() * wane.eye(w.shape[2])
    local aim = w:matmul(c + damp):matmul((h + damp):inverse())
    return ByHand.solve(self, w + self.amount * (aim - w), quantizer, seen)
  end
  local plain = wane.gptq { act_order = "none", spikes = false }
  for _, weight in ipairs { int4, int3, wane.int { bits = 4 } } do
    local by_hand = wane.quantize(base, rules(ByHand, weight), calib)
    check(by_hand:same(wane.quantize(base, rules(plain { precorrect = 0 }, weight), calib)), tostring(weight))
  end
  local one, two = wane.quantize(base, rules(Corrected), calib), wane.quantize(base, rules(plain), calib)
  local same = one "layers.0.mlp.up_proj".weight.codes:eq(two "layers.0.mlp.up_proj".weight.codes):to "f32":mean()
  check(same > 0.995, ("corrected: %.4f of the codes"):format(same))
end)

case("group_size of a solver's quantizer is the columns that share parameters, whatever they are called", function()
  local found = {}
  local Told = wane.solver("told", {})
  function Told:solve(w, quantizer, seen)
    found[#found + 1] = { quantizer.group_size, w.shape[1], w.shape[2] }
    local coarser = quantizer { observer = quantizer.observer }
    equal(coarser.group_size, quantizer.group_size, "a variant keeps it")
    return coarser:pack(coarser:encode(w, coarser:fit(w)), coarser:fit(w), w.dtype)
  end
  local grains = { { per = "tensor" }, { per = "channel" }, { group_size = 16 }, {}, { per = "tensor", observer = wane.mse } }
  for _, grain in ipairs(grains) do
    for _, q in ipairs { wane.int { bits = 4 }, wane.fp8, wane.nf4 { group_size = 8 }, wane.int { bits = 4, symmetric = false } } do
      local label = tostring(q(grain))
      found = {}
      local model = wane.quantize(base, rules(Told, q(grain), "layers.0.mlp.*_proj"))
      local own = q(grain).group_size -- nf4 keeps its own where no grain is named
      for _, each in ipairs(found) do equal(each[1], own or each[3], label) end
      equal(#found, 3, label)
      local plain = wane.quantize(base, rules(wane.rtn, q(grain), "layers.0.mlp.*_proj"))
      check(model:same(plain), label .. ": as it is without the solver")
      equal(tostring(model "layers.0.mlp.up_proj".weight.quantizer), label)
    end
  end
  found = {}
  local w = wane.randn { 6, 12 }
  Told:solve(w, wane.int { per = "tensor" })
  Told:solve(w, wane.int { group_size = 4 })
  Told:solve(w, wane.int)
  equal(found[1][1], 12)
  equal(found[2][1], 4)
  equal(found[3][1], 12)
end)

case("what a solver is told of the granularity changes no solver's codes", function()
  for _, grain in ipairs { { per = "tensor" }, { per = "channel" }, { group_size = 16 } } do
    for _, order in ipairs { "static", "group", "none" } do
      local given = wane.gptq { act_order = order, precorrect = 0 }
      local Through = wane.solver("through", {})
      Through.needs = { wane.hessian }
      function Through:solve(w, quantizer, seen) return given { spikes = false }:solve(w, quantizer, seen) end
      local q = wane.int { bits = 3, symmetric = false, observer = wane.mse } (grain)
      local one = wane.quantize(base, rules(given { spikes = false }, q, "layers.1.mlp.*_proj"), calib)
      local two = wane.quantize(base, rules(Through, q, "layers.1.mlp.*_proj"), calib)
      check(one:same(two), tostring(q) .. " " .. order)
      local w, h = base "layers.1.mlp.up_proj".weight, wane.eye(48) + 0.5
      local bare = given:solve(w, q, { hessian = h })
      check(bare:same((Through:solve(w, q, { hessian = h }))), tostring(q) .. " " .. order .. ", bare matrices")
    end
  end
end)

case("metrics: the error under the Hessian, damp, dead, tokens", function()
  local dead = base:with("layers.1.mlp.up_proj", { weight = function(layer)
    return layer.weight:with({ { 7, 9 }, {} }, 0)
  end })
  local solver = wane.gptq { precorrect = 0, damp = 0.02 }
  local model = wane.quantize(dead, rules(solver), calib)
  equal(#model.metrics, 21)
  local tokens = 0
  for ids in calib do tokens = tokens + #ids end
  for row in model.metrics do
    equal(row.tokens, tokens, row.layer)
    equal(row.damp, 0.02, row.layer)
    equal(row.dead, row.layer == "layers.1.mlp.down_proj" and 3 or 0, row.layer)
    equal(tostring(row.solver), tostring(solver))
    check(row.error > 0 and row.error < 0.5, row.layer)
    local x, w = model(row.layer):input(calib):to "f64", dead(row.layer).weight:to "f64"
    local off = x:matmul((model(row.layer).weight:to "f64" - w):t())
    near(row.error, (off:square():sum() / x:matmul(w:t()):square():sum()) ^ 0.5, 1e-3, row.layer)
  end
  local name = "layers.1.mlp.down_proj"
  local nearest = int4:quantize(dead(name).weight:to "f32").codes
  local at = { {}, { 7, 9 } }
  check(core.flush(model(name).weight.codes[at] + 0):same(core.flush(nearest[at] + 0)), "dead columns are rounded")
  check(not model(name).weight.codes:same(nearest), "the others are not")
end)

case("on a real model: less KL than rounding, less again with the correction, in every order", function()
  local model = wane.load(shared_data "model_stories260K/stories260K.gguf")
  local text = model:generate { samples = 24, length = 120, stream = "calibrate stories" }
  local task = wane.task("perplexity", model:generate { samples = 12, length = 120, stream = "calibrate stories" })
  local function kl(solver, weight)
    return wane.compare(wane.quantize(model, rules(solver, weight), text), model, task).kl.value
  end
  for _, weight in ipairs { wane.int { bits = 3, group_size = 4 }, wane.int { bits = 4, observer = wane.mse } } do
    local nearest, sums = kl(wane.rtn, weight), { 0, 0 }
    for _, order in ipairs { "static", "group", "none" } do
      local plain, corrected = kl(wane.gptq { act_order = order, precorrect = 0 }, weight), kl(wane.gptq { act_order = order }, weight)
      check(plain < 0.9 * nearest, ("%s, %s: KL %.4f, rounded %.4f"):format(tostring(weight), order, plain, nearest))
      sums[1], sums[2] = sums[1] + plain, sums[2] + corrected
    end
    check(sums[2] < sums[1], ("%s: corrected %.4f, not %.4f"):format(tostring(weight), sums[2], sums[1]))
  end
end)

case("watch: the KL after each block, with a solver", function()
  local given = rules(wane.gptq):with { "layers.1.*_proj", weight = wane.int { bits = 2 } }
  local model = wane.quantize(base, given, calib, { watch = probe })
  local kl = {}
  for row in model.metrics do kl[row.layer] = row.kl.value end
  check(kl["layers.1.mlp.up_proj"] > 3 * kl["layers.0.mlp.up_proj"], "the jump is at block 1")
  equal(kl["layers.1.mlp.up_proj"], kl["layers.1.self_attn.q_proj"])
  near(kl["layers.2.mlp.up_proj"], wane.compare(model, base, probe).kl.value, 1e-12)
end)

case("static inputs are in place before the weights that read them are solved", function()
  local Look = wane.solver("look", {})
  Look.needs = { wane.hessian }
  local seen_by = {}
  function Look:solve(w, quantizer, seen)
    seen_by[#seen_by + 1] = seen.hessian
    return quantizer:quantize(w)
  end
  local name, input = "layers.2.mlp.down_proj", wane.int { bits = 3, per = "tensor", observer = wane.minmax }
  local model = wane.quantize(base, wane.rules { { name, weight = int4, input = input, solver = Look } }, calib)
  local x = model(name)._state.input.apply(base(name):input(calib)):to "f64"
  local h = core.flush(x:t():matmul(x) / x.shape[1])
  near(seen_by[1]:to "f64" / h:absmax(), h / h:absmax(), 1e-5)
end)

-- -- what cannot be seen ----------------------------------------------------------------------------------------

local RECIPES = {
  rules(wane.gptq),
  rules(wane.gptq { act_order = "group", precorrect = 0 }, int3),
  wane.rules { { "*_proj", weight = wane.int { bits = 4, observer = wane.imatrix }, solver = wane.gptq { act_order = "none" },
                 input = wane.int { bits = 8, per = "tensor", observer = wane.percentile { p = 99 } } },
               { "*.o_proj", weight = int3, solver = wane.rtn } },
}

local function check_same(make, about)
  for i, recipe in ipairs(RECIPES) do
    local expected = wane.quantize(base, recipe, calib)
    local same, where = make(recipe):same(expected)
    check(same, ("recipe %d, %s: %s differs"):format(i, about, tostring(where)))
  end
end

case("the batches of the calibration cannot be seen", function()
  local before = stages.batch_tokens
  local restore <close> = setmetatable({}, { __close = function() stages.batch_tokens = before end })
  for _, size in ipairs { 1, 90, 130, 100000 } do
    check_same(function(recipe)
      stages.batch_tokens = size
      local model = wane.quantize(base, recipe, calib)
      stages.batch_tokens = before
      return model
    end, "batches of " .. size)
  end
end)

case("threads cannot be seen", function()
  for _, count in ipairs { 1, 2, 3 } do
    check_same(function(recipe)
      return threads(count, function() return wane.quantize(base, recipe, calib) end)
    end, count .. " threads")
  end
end)

case("fusing cannot be seen, and a second run is the first", function()
  check_same(function(recipe) return unfused(function() return wane.quantize(base, recipe, calib) end) end, "unfused")
  check_same(function(recipe) return wane.quantize(base, recipe, calib) end, "again")
end)

case("samples of unequal length are one text", function()
  local prompt = base:generate { samples = 2, length = 9, stream = "calibrate uneven" }
  local uneven = base:generate { prompt = prompt, samples = 1, length = 3, stream = "calibrate uneven" }
  local model = wane.quantize(base, rules(wane.gptq), uneven)
  local before = stages.batch_tokens
  local restore <close> = setmetatable({}, { __close = function() stages.batch_tokens = before end })
  stages.batch_tokens = 1
  check(wane.quantize(base, rules(wane.gptq), uneven):same(model), "one by one")
end)

-- -- what is told -----------------------------------------------------------------------------------------------

-- What fn writes with core[name] while it runs.
local function told(name, fn)
  local lines, before = {}, core[name]
  local restore <close> = setmetatable({}, { __close = function() core[name] = before end })
  core[name] = function(line) lines[#lines + 1] = line end
  local result = fn()
  return lines, result
end

case("fewer tokens than columns are told, with numbers", function()
  local few = base:generate { samples = 1, length = 60, stream = "calibrate few" }
  local count = #few[1]
  local lines = told("note", function() return wane.quantize(base, rules(wane.gptq), few) end)
  equal(lines, { ("wane.quantize: %d tokens are fewer than the columns at 3 inputs, most at "
                  .. "layers.0.mlp.down_proj (80): their Hessians are singular but for the damping"):format(count) })
  equal(told("note", function() return wane.quantize(base, rules(wane.gptq), calib) end), {})
end)

case("a damp that had to be raised is a deviation, and in the metrics", function()
  local few = base:generate { samples = 1, length = 20, stream = "calibrate few" }
  local solver = wane.gptq { damp = 1e-12, precorrect = 0 }
  local lines, model
  told("note", function()
    lines, model = told("deviation", function() return wane.quantize(base, rules(solver, int4, "*.down_proj"), few) end)
  end)
  equal(#lines, 3)
  for i, line in ipairs(lines) do
    local start = ("layers.%d.mlp.down_proj: damp raised to "):format(i - 1)
    equal(line:sub(1, #start), start)
    check(line:find("inverse_upper: the matrix is not positive definite: pivot", 1, true), line)
  end
  for row in model.metrics do check(row.damp > 1e-12, row.layer) end
end)

-- -- what goes wrong --------------------------------------------------------------------------------------------

case("NaN in an input: layer, sample, token", function()
  local ids, sample, token = {}, nil, nil
  for i, list in ipairs { calib[1], calib[2], calib[3] } do
    for place, id in ipairs(list) do
      if i == 3 and place > 5 and not ids[id] and not sample then sample, token = i, place end
      if not sample then ids[id] = true end
    end
  end
  local id = calib[sample][token]
  local bad = base:with("embed_tokens", { weight = function(layer)
    return layer.weight:with({ { id + 1, id + 1 }, {} }, 0 / 0)
  end })
  for _, solver in ipairs { wane.gptq, wane.gptq { precorrect = 0, spikes = false } } do
    fails(function() wane.quantize(bad, rules(solver, int4, "layers.1.*_proj"), calib) end,
          ("observer 'hessian': layers.1.self_attn.q_proj: NaN or Inf in its input, sample %d, token %d"):format(sample, token))
  end
end)

case("a text is asked for by name", function()
  fails(function() wane.quantize(base, rules(wane.gptq)) end, "the plan has 1 problem; nothing was computed")
  fails(function() wane.quantize(base, rules(wane.gptq)) end, "_proj: solver = gptq learns from the inputs and needs a text")
end)

local function solver_that(solve)
  local S = wane.solver("odd", {})
  S.needs = { wane.hessian }
  function S:solve(w, quantizer, seen) return solve(w, quantizer, seen) end
  return rules(S, int4, "layers.1.mlp.{gate,up}_proj")
end

case("what a solver may not give", function()
  local function refused(solve, message)
    fails(function() wane.quantize(base, solver_that(solve), calib) end, message)
  end
  refused(function() end, "solver 'odd': layers.1.mlp.gate_proj: solve gave a nil, expected a quantized tensor")
  refused(function() return 3 end, "solver 'odd': layers.1.mlp.gate_proj: solve gave a number, expected a quantized tensor")
  refused(function(w) return w end, "solver 'odd': layers.1.mlp.gate_proj: solve gave a plain tensor, expected a quantized tensor")
  refused(function(w, q) return q:quantize(w)[{ { 1, 80 }, {} }] end, "expected a quantized tensor")
  refused(function(w, q) return q:quantize(core.flush(w[{ { 1, 80 }, {} }] + 0)) end,
          "solver 'odd': layers.1.mlp.gate_proj: solve gave [80 x 48] for w [160 x 48]")
  refused(function(w, q) return q { bits = 8 }:quantize(w) end,
          "solver 'odd': layers.1.mlp.gate_proj: solve gave int8 g16, expected int4 g16")
  refused(function(w, q) return q { scale_dtype = "f32" }:quantize(w) end, "expected int4 g16")
  refused(function(w, q) return q { group_size = 8 }:quantize(w) end, "solve gave int4 g8, expected int4 g16")
  refused(function(w) return wane.nf4 { group_size = 16 }:quantize(w) end, "solve gave nf4 g16, expected int4 g16")
  refused(function(_, _, seen) return seen.hesian.shape end, "attempt to index a nil value")
  refused(function(w, q, seen) return wane.sweep(w, (seen.hessian * 0):inverse_upper(), q) end, "not positive definite")
end)

case("what a solver may give: another observer, its own search, w as it is", function()
  local nearest = wane.quantize(base, rules(wane.rtn, int4 { observer = wane.mse }, "layers.1.mlp.{gate,up}_proj"))
  local model = wane.quantize(base, solver_that(function(w, q) return q { observer = wane.mse }:quantize(w) end), calib)
  for _, name in ipairs { "layers.1.mlp.gate_proj", "layers.1.mlp.up_proj" } do
    check(model(name).weight.codes:same(nearest(name).weight.codes), name)
  end
end)

case("solvers that are not whole", function()
  local Empty = wane.solver("empty", {})
  fails(function() wane.quantize(base, rules(Empty), calib) end, "_proj: solver 'empty' has no solve")
  fails(function() Empty.needs = wane.hessian end, "empty: needs is an observer, expected a list of observers")
  fails(function() Empty.needs = { "hessian" } end, "empty: needs: entry 1 is a string, expected an observer such as wane.hessian")
  fails(function() Empty.solve = 3 end, "empty: solve is a number, expected a function")
  fails(function() wane.solver(3) end, "wane.solver: name is a number, expected a string")
end)

-- -- plans and ranges -------------------------------------------------------------------------------------------

case("what cannot learn from its inputs is a problem of the plan", function()
  local tied = wane.model("LlamaForCausalLM", {
    vocab_size = 40, hidden_size = 32, intermediate_size = 48, num_hidden_layers = 1, num_attention_heads = 2,
    num_key_value_heads = 1, head_dim = 16, rms_norm_eps = 1e-6, rope_theta = 1e4, tie_word_embeddings = true,
    hidden_act = "silu", max_position_embeddings = 64,
  })
  local text = tied:generate { samples = 2, length = 20 }
  fails(function() wane.quantize(tied, rules(wane.gptq, int4, "Linear"), text) end,
        "lm_head: solver = gptq learns from this layer's inputs, but its weight is embed_tokens's too; rtn serves both")
  fails(function() wane.quantize(tied, rules(wane.gptq, int4, "Embedding"), text) end,
        "embed_tokens: solver = gptq learns from the inputs of a Linear; this layer is of class Embedding")
  fails(function() wane.quantize(tied, rules(wane.rtn, int4 { observer = wane.imatrix }, "Embedding"), text) end,
        "embed_tokens: weight = int4 g16 imatrix learns from the inputs of a Linear; this layer is of class Embedding")
  check(not wane.quantize(tied, rules(wane.rtn, int4, "Linear"), text):same(tied))
  fails(function() wane.quantize(base, rules(wane.gptq, int4 { observer = wane.block_mse }), calib) end,
        "observer block_mse is for inputs; a weight has wane.mse or wane.imatrix")
end)

case("block_mse takes the range whose rounding changes the block's output least", function()
  local static = wane.int { bits = 3, per = "tensor", observer = wane.minmax }
  local function off(observer)
    local model = wane.quantize(base, wane.rules {
      { "layers.1.mlp.down_proj", input = static { observer = observer } } }, calib)
    local d = model "layers.1":output(calib) - base "layers.1":output(calib)
    return d:square():mean()
  end
  local best = off(wane.block_mse)
  check(best > 0 and best <= off(wane.minmax) * (1 + 1e-6), "not behind the whole range")
  check(best <= off(wane.percentile { p = 99 }) * 1.1, "not behind a range that is merely cut")
  fails(function() wane.quantize(base, wane.rules { { "lm_head", input = static { observer = wane.block_mse } } }, calib) end,
        "lm_head: observer block_mse compares the outputs of blocks; this layer is in none")
end)

case("a quantizer's needs reach its fit inside every solver", function()
  local Q = wane.quantizer("needy", { bits = 4 })
  Q.needs = { wane.absmax }
  local seen_by = {}
  function Q:fit(w, seen)
    check(seen.absmax and seen.absmax.shape[2] == w.shape[2] and seen.absmax.shape[1] == w.shape[1], "cut like w")
    seen_by[#seen_by + 1] = core.flush(seen.absmax + 0)
    return { scale = w:absmax(2):clamp(1e-8) / 7 }
  end
  function Q:encode(w, p) return (w / p.scale):round():clamp(-8, 7) + 8 end
  function Q:decode(codes, p) return (codes - 8) * p.scale end
  local ByHand = wane.solver("by hand", {})
  ByHand.needs = { wane.hessian }
  function ByHand:solve(w, quantizer, seen)
    local u = (seen.hessian + 0.01 * seen.hessian:diag():mean() * wane.eye(w.shape[2])):inverse_upper()
    return (wane.sweep(w, u, quantizer))
  end
  for _, solver in ipairs { wane.rtn, wane.gptq, wane.gptq { act_order = "none" }, ByHand } do
    seen_by = {}
    wane.quantize(base, rules(solver, Q { group_size = 16 }, "layers.0.mlp.up_proj"), calib)
    check(#seen_by > 0, tostring(solver))
  end
  local weighed = wane.quantize(base, rules(ByHand, int4 { observer = wane.imatrix }, "layers.0.mlp.up_proj"), calib)
  check(not weighed "layers.0.mlp.up_proj".weight:same(base "layers.0.mlp.up_proj".weight), "imatrix inside a solver")
end)

case("what goes wrong in a solver names the layers", function()
  local huge = base:with("layers.1.mlp.up_proj", { weight = function(layer) return layer.weight:to "f32" * 1e30 end })
  fails(function() wane.quantize(huge, rules(wane.gptq, wane.int { bits = 4, scale_dtype = "f16" },
                                             "layers.1.mlp.up_proj"), calib) end,
        "solving   layers.1.mlp.up_proj")
  local Broken = wane.solver("broken", {})
  function Broken:solve() error "no idea" end
  fails(function() wane.quantize(base, rules(Broken, int4, "layers.0.mlp.up_proj"), calib) end, "no idea")
end)

case("a solver's table of what was seen is its own", function()
  local w = wane.randn({ 8, 16 }, { stream = "seen" })
  local function moments(stream)
    local x = wane.randn({ 64, 16 }, { stream = stream }) * (wane.arange(1, 16):to "f32")
    return core.flush(x:t():matmul(x) / 64)
  end
  local seen = { hessian = moments "first" }
  wane.gptq:solve(w, int4, seen)
  seen.hessian = moments "second"
  local again = wane.gptq:solve(w, int4, seen)
  check(again.codes:same(wane.gptq:solve(w, int4, { hessian = seen.hessian }).codes), "the second Hessian, not the first")
  local names = {}
  for name in pairs(seen) do names[#names + 1] = name end
  equal(names, { "hessian" })
  fails(function() wane.solver("gptq", {}) end, "wane.solver: 'gptq' is built in; give another name")
  fails(function() wane.observer("hessian", {}) end, "wane.observer: 'hessian' is built in")
end)
