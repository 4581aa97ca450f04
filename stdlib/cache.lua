-- The cache of a batch: keys and values kept for every layer, the one mutable noun of a model besides a
-- buffer. A forward without a cache gets one that keeps nothing, so that architectures are written once.
local core = require "wane.core"
local modules = require "wane.module"
local options = require "wane.options"

local M = {}

local INSIDE = {}
local Cache = { __name = "cache" }
local getters = {}
local methods = options.methods("cache", function(c) return type(c) == "table" and rawget(c, INSIDE) ~= nil end)

local function new(inside)
  return setmetatable({ [INSIDE] = inside }, Cache)
end

-- A cache for `samples` samples; nil: as many as its first forward has.
function M.new(samples)
  return new { kept = samples and core.cache(samples), keeps = true, first = 0 }
end

-- One that keeps nothing, for a single forward. heard(module, q, k, v): called for every attention.
function M.transient(heard)
  return new { keeps = false, first = 0, heard = heard }
end

-- The cache of some of its samples (1-based), sharing what is kept of them.
function M.subset(cache, samples)
  return new { kept = cache[INSIDE].kept:subset(samples), keeps = true, first = 0 }
end

function M.is(value)
  return type(value) == "table" and rawget(value, INSIDE) ~= nil
end

local function all_equal(positions)
  for _, position in ipairs(positions) do
    if position ~= positions[1] then return false end
  end
  return true
end

-- What `cache.position` tells during the next forward: a number, or a list of one per sample where they
-- differ.
local function place(inside)
  if not inside.kept then return 0, 0 end
  local positions, last = inside.kept:positions(), 0
  for _, position in ipairs(positions) do last = math.max(last, position) end
  if all_equal(positions) then return positions[1] or 0, last end
  return positions, last
end

-- Before a forward of [batch, tokens]: the cache must be of this batch, and its tokens within `limit`
-- positions.
function M.enter(cache, batch, tokens, limit, where)
  local inside = rawget(cache, INSIDE)
  if inside.freed then core.fail(where .. ": the cache was freed") end
  if inside.keeps and not inside.kept then inside.kept = core.cache(batch) end
  if inside.kept and inside.kept.samples ~= batch then
    local held = inside.kept.samples
    core.fail(("%s: the cache holds %d samples, the tokens are of %d"):format(where, held, batch))
  end
  local last
  inside.first, last = place(inside)
  if limit and last + tokens > limit then
    core.fail(("%s: %d tokens after %d: the model has %d positions"):format(where, tokens, last, limit))
  end
  inside.running = true
end

-- After a forward: its tokens count as read.
function M.leave(cache, tokens)
  local inside = rawget(cache, INSIDE)
  inside.running = false
  if inside.kept then inside.kept:advance(tokens) end
end

-- cache:attend(module, q, k, v, { window, scale }): q [batch, tokens, heads, dim], k and v [batch, tokens,
-- kv_heads, dim], appended at each sample's position; causal attention, heads in groups. window: the number
-- of last tokens each one sees, itself among them; scale: 1 / sqrt(dim).
function methods:attend(module, q, k, v, given)
  local inside = rawget(self, INSIDE)
  options.arg("cache:attend", 1, "self", module, "layer")
  options.arg("cache:attend", 2, "q", q, "tensor")
  local set = given and options.check("cache:attend", given, {}, { "window", "scale" }) or {}
  local node = modules.node(module)
  if inside.heard then inside.heard(module, q, k, v) end
  local turn, kv = node.state.turn, node.state.kv
  if turn then q, k = turn.apply(q), turn.apply(k) end
  if kv then k, v = kv.apply(k), kv.apply(v) end
  local shape = q.shape
  local scale = set.scale or 1 / math.sqrt(shape[#shape])
  return core.attend(inside.kept, node.path or tostring(module), q, k, v, set.window or 0, scale)
end

-- The same of q, k and v as their layers give them, [batch, tokens, heads * dim], q and k turned by rope with
-- these frequencies to where the cache stands; given: the options of attend, known to be right.
function M.attend_turned(cache, module, q, k, v, frequencies, given)
  local inside = rawget(cache, INSIDE)
  local node = modules.node(module)
  local state = node.state
  if not (inside.heard or state.turn or state.kv) then
    return core.attend_turned(inside.kept, node.path or tostring(module), q, k, v, frequencies,
      given.window or 0, given.scale)
  end
  local shape = q.shape
  local heads = { shape[1], shape[2], -1, #frequencies * 2 }
  q, k, v = q:reshape(heads), k:reshape(heads), v:reshape(heads)
  q, k = q:rope(cache.position, frequencies), k:rope(cache.position, frequencies)
  return methods.attend(cache, module, q, k, v, given):reshape { shape[1], shape[2], -1 }
end

function methods:free()
  local inside = rawget(self, INSIDE)
  if inside.kept then inside.kept:free() end
  inside.kept, inside.freed = nil, true
end

-- During a forward what it began with, else what is kept now (a subset's forward moves this cache too).
function getters.position(inside)
  if inside.running then return inside.first end
  return (place(inside))
end

function getters.samples(inside) return inside.kept and inside.kept.samples or 0 end
function getters.bytes(inside) return inside.kept and inside.kept.bytes or 0 end

function Cache:__index(key)
  local get = getters[key]
  if get then return get(rawget(self, INSIDE)) end
  local method = methods[key]
  if method then return method end
  options.unknown("cache", "field", key, { "attend", "bytes", "free", "position", "samples" }, "it has")
end

function Cache:__newindex(key)
  core.fail(("cache: assigning to '%s': a cache changes by what a model reads"):format(tostring(key)))
end

function Cache:__close() methods.free(self) end

function Cache:__tostring()
  local inside = rawget(self, INSIDE)
  if inside.freed then return "cache, freed" end
  if not inside.kept then return "cache, empty" end
  return ("cache of %d samples at %s, %.1f MiB"):format(inside.kept.samples,
    table.concat(inside.kept:positions(), ", "), inside.kept.bytes / 2 ^ 20)
end

return M
