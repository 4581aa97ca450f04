-- wane.quantize and wane.observe on a real small model: values, metrics, inputs, determinism.
local wane = require "wane"

local path = shared_data "model_stories260K/stories260K.gguf"

local base = wane.load(path)
local calib = base:generate { samples = 6, length = 40, stream = "quantize calib" }
local probe = wane.task("perplexity", base:generate { samples = 8, length = 64, stream = "quantize probe" })

case("weights are the quantizer's, layer by layer", function()
  local q = wane.int { bits = 4, group_size = 4 }
  local model = wane.quantize(base, wane.rules { { "*_proj", weight = q } })
  for layer in base:layers() do
    local weight = model(layer.name).weight
    if layer.name:find "_proj$" then
      check(weight:same(q:quantize(layer.weight)), layer.name)
      check(model(layer.name).weight.codes, layer.name .. " has codes")
    else
      check(weight:same(layer.weight), layer.name .. " is kept")
    end
  end
  near(model.bits, 8, 1e-9)
  equal(#model.metrics, 35)
end)

case("the plain copy computes the same", function()
  local model = wane.quantize(base, wane.rules { { "*_proj", weight = wane.int { bits = 4 }, input = wane.int } })
  local change = wane.compare(model:dequantize(), model, probe)
  equal(change.kl.value, 0)
  check(wane.compare(model, base, probe).kl.value > 0, "and not what the base does")
end)

case("more bits, less damage; metrics tell the error", function()
  local before_kl, before_error = math.huge, math.huge
  for _, bits in ipairs { 2, 3, 4, 6, 8 } do
    local q = wane.int { bits = bits, observer = wane.mse }
    local model = wane.quantize(base, wane.rules { { "*_proj", weight = q } })
    local kl, error = wane.compare(model, base, probe).kl.value, 0
    for row in model.metrics do
      error = error + row.error
      near(row.sqnr, -20 * math.log(row.error, 10), 1e-6)
      check(row.clipped >= 0 and row.clipped < 0.2, row.layer)
    end
    check(kl < before_kl and error < before_error, bits .. " bits")
    before_kl, before_error = kl, error
  end
  check(before_kl < 1e-3, "8 bits are almost free")
end)

case("the same call gives the same bits", function()
  local rules = wane.rules { { "*_proj", weight = wane.int { bits = 3, observer = wane.mse },
                              input = wane.int { per = "tensor", observer = wane.percentile { p = 99 } } } }
  local one, two = wane.quantize(base, rules, calib), wane.quantize(base, rules, calib)
  check(one:same(two), "weights differ")
  equal(wane.compare(one, two, probe).kl.value, 0)
end)

case("static inputs see what the quantized layers before them give", function()
  local static = wane.int { bits = 8, per = "tensor", observer = wane.absmax, scale_dtype = "f32", convention = "qmax" }
  local rules = wane.rules { { "*_proj", weight = wane.int { bits = 2 }, input = static } }
  local model = wane.quantize(base, rules, calib)
  local name = "layers.4.mlp.down_proj"
  local scale = model(name)._state.input.static.scale:item()
  near(scale * 127, model(name):input(calib):absmax(), 1e-4)
  check(math.abs(scale * 127 - base(name):input(calib):absmax()) > 1e-3, "the original model's range")
end)

case("inputs: 8 bits little, 2 bits much; keep is the base", function()
  local function kl(input)
    local model = wane.quantize(base, wane.rules { { "*_proj", input = input } }, calib)
    return wane.compare(model, base, probe).kl.value
  end
  equal(kl "keep", 0)
  local eight = kl(wane.int)
  check(eight > 0 and eight < 0.01, "8 bits dynamic: " .. eight)
  check(kl(wane.int { bits = 2 }) > 20 * eight, "2 bits")
  check(kl(wane.int { per = "tensor", observer = wane.minmax }) < 0.05, "8 bits static")
  check(kl(wane.fp8 { per = "tensor", observer = wane.minmax }) < 0.05, "fp8 static")
  check(kl(wane.int { group_size = 4 }) < 0.01, "groups")
end)

case("static per channel needs channels that were seen", function()
  local text = base:generate { samples = 8, length = 64, stream = "quantize channel" }
  local task = wane.task("perplexity", text)
  local static = wane.int { per = "channel", observer = wane.minmax }
  local model = wane.quantize(base, wane.rules { { "*_proj", input = static } }, text)
  check(wane.compare(model, base, task).kl.value < 0.01, "on the text it was calibrated on")
end)

case("a user's observer as the range of a static input", function()
  local Tail = wane.observer("tail", { per = "token", share = 1 })
  function Tail:init() self.tops = {} end
  function Tail:see(x) self.tops[#self.tops + 1] = x:absmax(2) end
  function Tail:result() return wane.concat(self.tops, 1):quantile(self.share) end
  local static = wane.int { per = "tensor" }
  local one = wane.quantize(base, wane.rules { { "*_proj", input = static { observer = Tail } } }, calib)
  local two = wane.quantize(base, wane.rules { { "*_proj", input = static { observer = wane.absmax } } }, calib)
  equal(wane.compare(one, two, probe).kl.value, 0)
end)

case("weights in another dtype, the head, the embedding", function()
  local model = wane.quantize(base, wane.rules { { "RMSNorm", weight = "f32" }, { "lm_head", weight = wane.int } })
  equal(model "norm".weight.dtype, "f32")
  check(model "lm_head".weight.codes, "the tied weight is quantized")
  local kl = wane.compare(model, base, probe).kl.value
  check(kl > 0 and kl < 0.01, "kl " .. kl)
end)

case("watch names the block that breaks the model", function()
  local rules = wane.rules { { "*_proj", weight = wane.int }, { "layers.3.*_proj", weight = wane.int { bits = 2 } } }
  local model = wane.quantize(base, rules, nil, { watch = probe })
  local kl = {}
  for row in model.metrics do kl[row.layer] = row.kl.value end
  check(kl["layers.3.mlp.up_proj"] > 10 * kl["layers.2.mlp.up_proj"], "the jump is at block 3")
  near(kl["layers.4.mlp.up_proj"], wane.compare(model, base, probe).kl.value, 1e-12)
end)

case("observe: one row per layer, a column for each observer", function()
  local seen = wane.observe(base, calib, { wane.absmax, wane.mean_square, wane.token_ratio, wane.minmax },
                            { layers = "*.mlp.*_proj" })
  equal(#seen, 15)
  for row in seen do
    local x = base(row.layer):input(calib)
    near(row.absmax, x:absmax(), 1e-6, row.layer)
    near(row.mean_square, x:square():mean(), 1e-4 * row.mean_square, row.layer)
    check(row.token_ratio >= 1, row.layer)
    near(row.minmax[{ 1, 1 }]:item(), x:min(), 1e-6)
    near(row.minmax[{ 1, 2 }]:item(), x:max(), 1e-6)
  end
  local channels = wane.observe(base, calib, wane.absmax { per = "channel" }, { layers = "layers.0.mlp.down_proj" })
  check(channels[1].absmax:same(base "layers.0.mlp.down_proj":input(calib):absmax(1):t()), "per channel")
  local both = { wane.percentile { p = 50 }, wane.percentile { p = 90 } }
  local two = wane.observe(base, calib, both, { layers = "lm_head" })
  check(two[1]["percentile p=50"] < two[1]["percentile p=90"], "two of one name have their labels")
end)

case("what is refused", function()
  fails(function() wane.quantize(base) end, "argument 2 (rules) is missing")
  fails(function() wane.quantize(base, wane.rules {}, calib, { wach = probe }) end,
        "no option 'wach'; did you mean 'watch'?")
  fails(function() wane.observe(base, calib, 3) end, "argument 3 (observers) is an integer 3")
  fails(function() wane.observe(base, calib, wane.cross) end, "cross compares with an original model")
  fails(function() wane.observe(base, calib, wane.mse) end, "mse needs the quantizer it serves")
  fails(function() wane.observe(base, calib, wane.absmax, { layer = "x" }) end,
        "no option 'layer'; did you mean 'layers'?")
  local bad = base:with("layers.1.mlp.up_proj", { weight = function(layer)
    return layer.weight:with({ { 3, 3 }, { 5, 5 } }, 0 / 0)
  end })
  fails(function() wane.quantize(bad, wane.rules { { "*_proj", weight = wane.int } }) end,
        "layers.1.mlp.up_proj: its weight has NaN or Inf, the first at row 3, column 5")
  local twice = wane.quantize(base, wane.rules { { "*_proj", weight = wane.int } })
  fails(function() wane.quantize(twice, wane.rules { { "*_proj", weight = wane.int } }) end, "it is int8 already")
  local huge = base:with("layers.1.mlp.up_proj", { weight = function(layer) return layer.weight:to "f32" * 1e30 end })
  fails(function() wane.quantize(huge, wane.rules { { "*_proj", weight = wane.int { scale_dtype = "f16" } } }) end,
        "layers.1.mlp.up_proj: 'scale' is not finite in f16")
  for _, name in ipairs { "prefix", "sensitivity", "allocate" } do
    fails(function() wane[name]() end, "not supported yet: wane." .. name)
  end
end)
