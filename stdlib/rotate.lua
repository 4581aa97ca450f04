-- wane.rotate: the rotations of QuaRot (Ashkboos et al. 2024) and SpinQuant (Liu et al. 2024), random Hadamard
-- matrices that leave the function of a model as it is and spread a channel's outliers over all channels.
--
--   r1  the residual stream: writers and readers are folded, after the scales of the norms, which then are 1
--   r2  the channels of each head between v and o, folded into both
--   r3  queries and keys of each head, online, after rotary positions: what the cache holds is turned
--   r4  what the second layer of a product reads, online; signs in the first layer's rows, the rest in its columns
--
-- Row vectors: x' = x R, R = diag(signs) H / sqrt(block). A tied embedding stays tied: r1 turns what it gives, and
-- back what the final norm reads, whose scales stay. Which layers these are, the architecture's tables say.
local core = require "wane.core"
local basis_module = require "wane.basis"
local channels = require "wane.channels"
local fold = require "wane.fold"
local options = require "wane.options"
local turn = require "wane.turn"

local M = {}

local WHERE = "wane.rotate"
local NAMES = { "r1", "r2", "r3", "r4" }

-- -- what is asked ------------------------------------------------------------------------------------------

-- The rotations of the list part, in the order of NAMES, and the options.
local function split(given)
  local named, set, problems = {}, {}, {}
  for key, value in pairs(given) do
    if math.type(key) ~= "integer" then
      set[key] = value
    else
      local known = false
      for _, name in ipairs(NAMES) do known = known or name == value end
      if not known then options.unknown(WHERE, "rotation", value, NAMES, "there are") end
      if named[value] then problems[#problems + 1] = { ("%s is named twice"):format(value) } end
      named[value] = true
    end
  end
  if not next(named) then core.fail(WHERE .. ": no rotation is named", { notes = { { "there are", "r1, r2, r3, r4" } } }) end
  return named, set, problems
end

local function settings(given)
  local set = options.check(WHERE, given, { kind = "hadamard", signs = true, stream = "rotate" }, { "block" })
  options.choice(WHERE, "kind", set.kind, { "hadamard" })
  options.arg(WHERE, nil, "signs", set.signs, "boolean")
  options.arg(WHERE, nil, "stream", set.stream, "string")
  if set.block ~= nil then set.block = options.count(WHERE, "block", set.block, 2) end
  return set
end

-- -- sizes --------------------------------------------------------------------------------------------------

-- The largest block below `size` that divides it and has a transform.
local function best_block(size)
  for block = size // 2, 2, -1 do
    if size % block == 0 and core.has_hadamard(block) then return block end
  end
end

-- The block that channels of `size` are turned in: all of them, or `block`, where that is less. What stands in
-- the way is added to the problems, once for each size.
local function block_for(size, asked, name, job)
  local block = asked and asked < size and asked or size
  local text
  if size % block ~= 0 then
    text = ("block %d does not divide the %d channels of %s"):format(block, size, name)
  elseif not core.has_hadamard(block) then
    text = ("no Hadamard transform of size %d, for %s"):format(block, name)
  end
  if text and not job.told[text] then
    job.told[text] = true
    local other = best_block(size)
    job.problems[#job.problems + 1] = { text, other and ("block = %d turns blocks of %d channels"):format(other, other) }
  end
  return block
end

-- -- where each rotation acts: { name, layers = those that may not be smoothed, ... } -----------------------

local find = {}

local function one_width(sizes, entry)
  local first
  for _, item in ipairs(sizes) do
    first = first or item
    if item.size ~= first.size then
      core.fail(("architecture '%s': r1 turns one residual stream, but '%s' has %d channels and '%s' %d"):format(
        entry.name, first.name, first.size, item.name, item.size))
    end
  end
  return first.size
end

function find.r1(model, job)
  local act = { writers = channels.writers(model, WHERE .. ": r1"), sites = channels.norms(model, WHERE .. ": r1"),
                layers = {} }
  local sizes = {}
  for _, writer in ipairs(act.writers) do
    if writer.class ~= "Linear" and writer.class ~= "Embedding" then
      core.fail(("architecture '%s': writes names '%s', a %s; only a Linear or an Embedding writes"):format(
        model:_architecture().name, writer.name, writer.class))
    end
    sizes[#sizes + 1] = { name = writer.name, size = channels.width(writer) }
  end
  for _, site in ipairs(act.sites) do
    sizes[#sizes + 1] = { name = site.norm.name, size = site.norm._shapes.weight[1] }
    for _, reader in ipairs(site.readers) do act.layers[#act.layers + 1] = reader.name end
  end
  act.size = one_width(sizes, model:_architecture())
  act.block = block_for(act.size, job.set.block, "r1", job)
  return act
end

-- Pairs of layers whose channels between them are turned, as many as `field` of a pair says.
local function between(name, found, field, job)
  local act = { pairs = found, layers = {} }
  for i, pair in ipairs(found) do
    act.layers[i] = pair[2].name
    pair.block = block_for(pair[field], job.set.block, name, job)
  end
  return act
end

function find.r2(model, job) return between("r2", channels.values(model, WHERE .. ": r2"), "dim", job) end

function find.r3(model, job)
  local act = { attentions = channels.attentions(model), layers = {} }
  if #act.attentions == 0 then core.fail(WHERE .. ": r3: the forward of the model attends nowhere") end
  for _, attention in ipairs(act.attentions) do
    attention.block = block_for(attention.dim, job.set.block, "r3", job)
  end
  for _, pair in ipairs(channels.keys(model, WHERE)) do act.layers[#act.layers + 1] = pair[2].name end
  return act
end

function find.r4(model, job) return between("r4", channels.products(model, WHERE .. ": r4"), "size", job) end

-- -- signs --------------------------------------------------------------------------------------------------

-- f64 +-1 [size], or nil. Each rotation has a stream of its own, so that naming one more changes no other.
local function draw(name, size, set)
  if not set.signs then return nil end
  local key = core.next_draw(set.stream .. "/" .. name)
  local low = core.uniform({ size }, "f32", key):lt(0.5)
  return core.flush(core.where(low, core.ones({ size }, { dtype = "f64" }), -1))
end

-- -- the folds ----------------------------------------------------------------------------------------------

local function ones_like(norm)
  local weight = norm.weight
  return core.ones(weight.shape, { dtype = weight.dtype })
end

-- A site's norm becomes 1, and its readers take its scales and the rotation.
local function fold_site(changes, site, rotation)
  for _, reader in ipairs(site.readers) do
    channels.fold(changes, reader, "in", { scale = site.norm.weight })
    channels.fold(changes, reader, "in", rotation)
  end
  channels.change(changes, site.norm).weight = ones_like(site.norm)
end

local function is_tied(site)
  for _, reader in ipairs(site.readers) do
    if reader._tied then return true end
  end
  return false
end

local apply = {}

function apply.r1(act, set, changes)
  local signs = draw("r1", act.size, set)
  local rotation, tied = { scale = signs, block = act.block }, {}
  for _, site in ipairs(act.sites) do
    if is_tied(site) then
      for _, reader in ipairs(site.readers) do
        if reader._tied then tied[reader._tied.name] = true end
      end
      channels.change(changes, site.norm).transform = turn.back("r1 back", act.block, signs)
    else
      fold_site(changes, site, rotation)
    end
  end
  for _, writer in ipairs(act.writers) do
    if tied[writer.name] then
      channels.change(changes, writer).after = turn.forward("r1", act.block, signs)
      tied[writer.name] = nil
    else
      channels.fold(changes, writer, "out", rotation)
    end
  end
  local stray = next(tied)
  if stray then
    core.fail(("%s: not supported: r1: a reader is tied to '%s', which writes does not name"):format(WHERE, stray))
  end
  return { size = act.size, block = act.block, signs = signs }
end

function apply.r2(act, set, changes)
  for _, pair in ipairs(act.pairs) do
    local rotation = { scale = draw("r2", pair.dim, set), block = pair.block }
    channels.fold(changes, pair[1], "out", rotation)
    channels.fold(changes, pair[2], "in", rotation)
  end
  return {}
end

function apply.r3(act, set, changes)
  for _, attention in ipairs(act.attentions) do
    local signs = draw("r3", attention.dim, set)
    channels.change(changes, attention.module).turn = turn.forward("r3", attention.block, signs)
  end
  return { online = true }
end

function apply.r4(act, set, changes)
  for _, pair in ipairs(act.pairs) do
    local signs = draw("r4", pair.size, set)
    if signs then channels.fold(changes, pair[1], "out", { scale = signs }) end
    channels.fold(changes, pair[2], "in", { scale = signs, block = pair.block })
    channels.change(changes, pair[2]).transform = turn.forward("r4", pair.block)
  end
  return { online = true }
end

-- -- rotate -------------------------------------------------------------------------------------------------

local function check(model, named, job)
  local basis, acts = basis_module.of(model), {}
  for _, name in ipairs(NAMES) do
    if named[name] then
      if basis.rotations[name] then
        job.problems[#job.problems + 1] = { ("the model is rotated by %s already"):format(name) }
      end
      acts[name] = find[name](model, job)
      local scaled = basis_module.smoothed_among(basis, acts[name].layers)
      if scaled then
        job.problems[#job.problems + 1] = {
          ("%s after wane.smooth across it: the channels that %s reads have scales, and would be mixed"):format(name,
            scaled), "rotate the model as it was before wane.smooth" }
      end
    end
  end
  basis_module.check_plain(model, job.problems, "rotate")
  basis_module.stop(WHERE, job.problems)
  return acts
end

-- wane.rotate(model, { "r1", "r2", "r3", "r4", kind = "hadamard", signs = true, block, stream = "rotate" }): a model
-- that computes the same in other bases. Weights are folded in f64, rounded once to their dtype, when they are
-- read. block: turn blocks of that many channels (a head with fewer is turned whole). Signs are drawn from streams
-- "rotate/r1" ...; of r2, r3 and r4 each layer has its own.
function M.rotate(model, given)
  options.arg(WHERE, 1, "model", model, "model")
  options.arg(WHERE, 2, "rotations", given, "table")
  local named, extra, problems = split(given)
  local set = settings(extra)
  local acts = check(model, named, { set = set, problems = problems, told = {} })
  local rotations, changes = {}, {}
  for _, name in ipairs(NAMES) do
    if acts[name] then rotations[name] = apply[name](acts[name], set, changes) end
  end
  return model:_derive(changes, { basis = basis_module.with(basis_module.of(model), rotations) })
end

-- -- saving -------------------------------------------------------------------------------------------------

-- The layers that are turned online by r3 and r4, which files of weights cannot hold: names, and rotations.
function M.online(model)
  local names, labels, seen = {}, {}, {}
  for _, layer in ipairs(model:_everything()) do
    local entry = layer._state.turn or layer._state.transform
    if entry and entry.label ~= "r1 back" then
      names[#names + 1] = layer.name
      if not seen[entry.label] then seen[entry.label], labels[#labels + 1] = true, entry.label end
    end
  end
  return names, labels
end

-- The model as a file of plain weights holds it, and the tied layers that had to part: where r1 turns tied
-- embeddings online, both weights are folded.
function M.plain(model)
  local r1 = basis_module.of(model).rotations.r1
  local changes, parted = {}, {}
  local rotation = r1 and { scale = r1.signs, block = r1.block }
  for _, site in ipairs(r1 and channels.norms(model, "model:save") or {}) do
    if site.norm._state.transform then
      fold_site(changes, site, rotation)
      channels.change(changes, site.norm).transform = false
    end
  end
  for _, layer in ipairs(model:_leaves()) do
    if layer._state.after then
      channels.fold(changes, layer, "out", rotation)
      channels.change(changes, layer).after = false
      parted[#parted + 1] = layer.name
    end
  end
  if #parted == 0 then return model end
  return model:_derive(changes), fold.text(parted)
end

return M
