-- wane.smooth: SmoothQuant (Xiao et al. 2022), folded. The channels of a layer's input are divided by s, and the
-- columns that read them multiplied, s = max|x|^alpha / max|w|^(1 - alpha): what is hard to round moves from the
-- input into the weight. The division goes where the input comes from: into the scales of a norm (q, k, v; gate, up),
-- into the rows of the other factor of a product (down), into the rows of v (o; one s for the heads that share a
-- key). Norms of q and k heads are scaled against each other as QServe does (Lin et al. 2024), equally on both
-- channels of a rotary pair.
local core = require "wane.core"
local basis_module = require "wane.basis"
local channels = require "wane.channels"
local inputs = require "wane.inputs"
local model_module = require "wane.model"
local options = require "wane.options"
local pattern = require "wane.pattern"
local stages = require "wane.stages"

local M = {}

local WHERE = "wane.smooth"
local LEAST = 1e-5 -- of a channel's magnitude and of s: a silent channel is not divided by 0

-- -- sites: { watched = the layer whose input (or output) tells, rotation = what may not be there, ... } -----

local function any_matches(layers, is_wanted)
  for _, layer in ipairs(layers) do
    if is_wanted(layer) then return true end
  end
  return false
end

local function norm_sites(model, is_wanted, sites)
  local head = model_module.parts(model).head
  for _, site in ipairs(channels.norms(model, WHERE)) do
    local reads_head = false
    for _, reader in ipairs(site.readers) do reads_head = reads_head or reader == head or reader._tied end
    if not reads_head and any_matches(site.readers, is_wanted) then
      sites[#sites + 1] = { kind = "norm", rotation = "r1", watched = site.readers[1], norm = site.norm,
                            readers = site.readers }
    end
  end
end

local function pair_sites(pairs_of, kind, rotation, is_wanted, sites)
  for _, pair in ipairs(pairs_of) do
    if is_wanted(pair[2]) then
      sites[#sites + 1] = { kind = kind, rotation = rotation, watched = pair[2], from = pair[1], readers = { pair[2] },
                            pair = pair }
    end
  end
end

local function sites_of(model, is_wanted)
  local sites = {}
  norm_sites(model, is_wanted, sites)
  pair_sites(channels.values(model, WHERE), "values", "r2", is_wanted, sites)
  pair_sites(channels.products(model, WHERE), "product", "r4", is_wanted, sites)
  pair_sites(channels.keys(model, WHERE), "keys", "r3", is_wanted, sites)
  return sites
end

-- -- what the channels hold ---------------------------------------------------------------------------------

local function checked(x, samples, name)
  core.flush(x)
  if x:isfinite():all() then return x end
  core.fail(("%s: NaN or Inf at '%s', %s"):format(WHERE, name, inputs.first_bad(samples) or "in its maximum"))
end

-- The largest magnitude of each channel over all samples, f32 [channels].
local function largest(samples, name)
  local top
  for _, x in ipairs(samples) do
    local own = core.flush(x:to "f32":absmax(1))
    top = top and core.flush(top:maximum(own)) or own
  end
  return checked(top, samples, name):reshape { -1 }
end

-- The largest length of each rotary pair (i, i + dim / 2), which rotary positions leave as it is, f32 [dim / 2].
local function longest_pairs(samples, name)
  local half, squares = samples[1].shape[2] // 2, {}
  for i, x in ipairs(samples) do
    local wide = x:to "f32"
    local a, b = wide[{ {}, { 1, half } }], wide[{ {}, { half + 1, -1 } }]
    squares[i] = core.flush(a * a + b * b)
  end
  return largest(squares, name):sqrt()
end

-- Walks the model over the text once: site -> its statistic.
local function observe(model, samples, sites)
  local by_input, by_output, found = {}, {}, {}
  for _, site in ipairs(sites) do
    (site.kind == "keys" and by_output or by_input)[site.watched.name] = site
  end
  local done = 0
  local function progress()
    done = done + 1
    core.progress(("smooth   %d of %d sites"):format(done, #sites))
  end
  stages.walk(model, samples, {
    wanted = function(name) return by_input[name] ~= nil end,
    outputs = function(name) return by_output[name] ~= nil end,
    at = function(stage, seen)
      for _, name in ipairs(stage.names) do
        local site = by_input[name]
        if site then
          found[site] = largest(seen, name)
          progress()
        end
      end
    end,
    at_output = function(name, seen)
      found[by_output[name]] = longest_pairs(seen, name)
      progress()
    end,
  })
  core.progress(nil)
  return found
end

-- -- scales -------------------------------------------------------------------------------------------------

-- The largest magnitude of each column over the weights of all readers, f32 [columns].
local function largest_weight(readers)
  local top
  for _, reader in ipairs(readers) do
    local w = reader.weight:to "f32"
    local own = core.flush(w:absmax(1))
    if not own:isfinite():all() then core.fail(("%s: NaN or Inf in the weight of '%s'"):format(WHERE, reader.name)) end
    top = top and core.flush(top:maximum(own)) or own
  end
  return top:reshape { -1 }
end

-- s of inputs x and weights w, f64.
local function scales(x, w, alpha)
  local top, weight = x:to "f64":maximum(LEAST), w:to "f64":maximum(LEAST)
  return core.flush((top ^ alpha / weight ^ (1 - alpha)):maximum(LEAST))
end

local function inverse(s) return core.flush(s:reciprocal()) end

local scale = {}

function scale.norm(site, x, alpha, changes)
  local s = scales(x, largest_weight(site.readers), alpha)
  channels.fold(changes, site.norm, "out", { scale = inverse(s) })
  for _, reader in ipairs(site.readers) do channels.fold(changes, reader, "in", { scale = s }) end
end

function scale.product(site, x, alpha, changes)
  local s = scales(x, largest_weight(site.readers), alpha)
  channels.fold(changes, site.from, "out", { scale = inverse(s) })
  channels.fold(changes, site.readers[1], "in", { scale = s })
end

-- x of all query heads: those that share a key and a value have to share s.
function scale.values(site, x, alpha, changes)
  local pair = site.pair
  local shared = { pair.kv_heads, pair.heads // pair.kv_heads, pair.dim }
  local function of_group(values) return core.flush(values:reshape(shared):absmax(2)):reshape { -1 } end
  local s = scales(of_group(x), of_group(largest_weight(site.readers)), alpha)
  channels.fold(changes, site.from, "out", { scale = inverse(s) })
  local wide = s:reshape { shared[1], 1, shared[3] }:expand(shared):reshape { -1 }
  channels.fold(changes, site.readers[1], "in", { scale = core.flush(wide) })
end

-- k / s and q * s with s = (length of the pair)^alpha: the scores stay.
function scale.keys(site, lengths, alpha, changes)
  local half = core.flush(lengths:to "f64":maximum(LEAST) ^ alpha)
  local s = core.concat({ half, half }, 1)
  channels.fold(changes, site.from, "out", { scale = s })
  channels.fold(changes, site.watched, "out", { scale = inverse(s) })
end

-- -- smooth -------------------------------------------------------------------------------------------------

local function check(model, sites)
  local basis, problems, across = basis_module.of(model), {}, {}
  for _, site in ipairs(sites) do
    if basis.rotations[site.rotation] then
      across[site.rotation] = across[site.rotation] or {}
      table.insert(across[site.rotation], site.watched.name)
    end
  end
  for name, layers in pairs(across) do
    problems[#problems + 1] = {
      ("across the rotation %s: the channels that %s reads are mixed; scales are of single ones"):format(name,
        require "wane.fold".text(layers)), "layers = ... names those whose inputs are smoothed" }
  end
  basis_module.check_plain(model, problems, "smooth")
  basis_module.stop(WHERE, problems)
end

-- wane.smooth(model, text, { alpha = 0.5, layers }): a model that computes the same from inputs that are easier to
-- round. layers: those whose inputs are smoothed; by default all that the architecture's tables reach; the head is left.
function M.smooth(model, text, given)
  options.arg(WHERE, 1, "model", model, "model")
  if text == nil then core.fail(WHERE .. ": argument 2 (text) is missing; expected a text") end
  local set = options.check(WHERE, given, { alpha = 0.5 }, { "layers" })
  options.arg(WHERE, nil, "alpha", set.alpha, "number")
  if not (set.alpha >= 0 and set.alpha <= 1) then
    core.fail(("%s: alpha is %s; expected 0 to 1"):format(WHERE, options.describe(set.alpha)))
  end
  local names = {}
  for _, layer in ipairs(pattern.layers(model, set.layers, WHERE)) do names[layer.name] = true end
  local sites = sites_of(model, function(layer) return names[layer.name] end)
  check(model, sites)
  if #sites == 0 then
    core.fail(("%s: %s names no layer whose input can be smoothed"):format(WHERE, pattern.describe(set.layers)))
  end
  local samples = require "wane.text".of(text, WHERE):_samples(model)
  local found, changes, smoothed = observe(model, samples, sites), {}, {}
  for _, site in ipairs(sites) do
    scale[site.kind](site, found[site], set.alpha, changes)
    for _, reader in ipairs(site.readers) do smoothed[reader.name] = true end
    core.check_interrupt()
  end
  return model:_derive(changes, { basis = basis_module.with(basis_module.of(model), nil, smoothed) })
end

return M
