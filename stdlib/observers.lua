-- Observers: what is learned from numbers that pass. An observation is a fresh instance of an observer's value with
-- init(), see(x, x0) and result(); rows of x are what shares one result. Built-in ones are given [.., ..] and whether
-- all of it is one row (`whole`): they reduce in two steps then, which keeps both threads busy.
-- Batches: see is called with one sample at a time, in order, whatever the batch was.
local core = require "wane.core"
local moments = require "wane.moments"
local value = require "wane.value"
local quantizer = require "wane.quantizer"

local observers = {}

local PER = { "tensor", "channel", "token" }

local reduce = quantizer.reduce

local function define(spec)
  local order, defaults = { "per" }, {}
  for _, option in ipairs(spec.options or {}) do
    order[#order + 1] = option[1]
    defaults[option[1]] = option[2]
  end
  return value.define {
    kind = "observer", name = spec.name, order = order, defaults = defaults, methods = spec.methods,
    range = spec.range, serves = spec.serves, raw = spec.raw, original = spec.original, weighs = spec.weighs,
    by_block = spec.by_block,
    unsupported = spec.unsupported, open = { ema = true, needs = true },
    check = function(where, o)
      if o.per ~= nil then value.one_of(where, "per", o.per, PER) end
      if spec.check then spec.check(where, o) end
    end,
    label = function(v)
      local words = value.differences(v, { per = true })
      if v.per then table.insert(words, 1, v.per) end
      table.insert(words, 1, v.name)
      return table.concat(words, " ")
    end,
  }
end

-- -- minmax, absmax ---------------------------------------------------------------------------------------------

observers.minmax = define {
  name = "minmax", range = true, options = { { "ema" } },
  check = function(where, o) if o.ema ~= nil then value.number(where, "ema", o.ema, 0, 1) end end,
  methods = {
    see = function(self, x)
      local lo, hi = reduce(x, "min", self.whole), reduce(x, "max", self.whole)
      if not self.lo then
        self.lo, self.hi = lo, hi
      elseif self.ema then -- the running mean of compressed-tensors' observers; the order of the samples counts
        self.lo, self.hi = self.lo + self.ema * (lo - self.lo), self.hi + self.ema * (hi - self.hi)
      else
        self.lo, self.hi = self.lo:minimum(lo), self.hi:maximum(hi)
      end
      core.flush(self.lo)
      core.flush(self.hi)
    end,
    result = function(self) return self.lo, self.hi end,
  },
}

observers.absmax = define {
  name = "absmax", range = true,
  methods = {
    see = function(self, x)
      local top = reduce(x, "absmax", self.whole)
      self.top = core.flush(self.top and self.top:maximum(top) or top)
    end,
    result = function(self) return self.top end,
  },
}

-- -- percentile -------------------------------------------------------------------------------------------------

-- Exact: of `total` magnitudes only those above the percentile are kept, sample after sample, so memory is their
-- number. Between two neighbours it interpolates, as quantile does.
local function largest(x, keep)
  if x.shape[2] <= keep then return x end
  return (x:topk(keep, 2))
end

observers.percentile = define {
  name = "percentile", range = true, options = { { "p", 99.99 } },
  check = function(where, o) value.number(where, "p", o.p, 0, 100) end,
  methods = {
    see = function(self, x)
      x = core.flush(x:abs())
      if self.whole then x = x:reshape { 1, -1 } end
      local row = self.total and (self.whole and self.total * self.channels or self.total) or x.shape[2]
      local keep = row - math.floor((row - 1) * (self.p / 100))
      local top = largest(x, keep)
      self.top = self.top and largest(core.concat({ self.top, top }, 2), keep) or top
      self.seen = (self.seen or 0) + x.shape[2]
    end,
    result = function(self)
      local place = (self.seen - 1) * (self.p / 100)
      local below = math.floor(place)
      local sorted = self.top:sort(2)
      local from = sorted.shape[2] - (self.seen - below) + 1
      local low = sorted[{ {}, { from, from } }]
      if below + 1 > self.seen - 1 then return low end
      local high = sorted[{ {}, { from + 1, from + 1 } }]
      return core.flush(low + (high - low) * (place - below))
    end,
  },
}

-- -- mse --------------------------------------------------------------------------------------------------------

-- |x|^norm. Through exp2 and log2 in f32, at a fraction of pow's price; the sums are only compared.
local function power(x, norm)
  if norm == 2 then return x:square() end
  if norm == 1 then return x:abs() end
  return (x:abs():log2() * norm):exp2()
end

-- weights (or nil): one like each x.
local function sum_of(xs, weights, whole, each)
  local sum
  for i, x in ipairs(xs) do
    local terms = each(x)
    if weights then terms = terms * weights[i] end
    local part = core.flush(reduce(terms, "sum", whole))
    sum = sum and core.flush(sum + part) or part
  end
  return sum
end

-- Which rows can no smaller range improve? What lies beyond the largest value that the codes reach is off by at least
-- the distance, and a smaller range reaches less: where that alone is more than a row's least error, its search is
-- over. (The thousandth covers the rounding of the sums.) nil where the quantizer cannot tell.
local function over(s)
  local reach = value.class(s.q).row.reach
  local limit = reach and reach(s.q, s.params)
  if not limit then return nil end
  core.flush(limit)
  local beyond = sum_of(s.xs, s.weights, s.whole, function(x) return power((x:abs() - limit):maximum(0), s.norm) end)
  return core.flush((beyond * 0.999):gt(s.least):logical_or(s.least:eq(0)))
end

observers.in_engine = true -- tests see that the loop in Lua, which quantizers of a user's own take, gives the same

local FIRST_CHECK, CHECK_EVERY = 11, 4

-- One search: the rows still in it, and what was found for those that left.
local function begin(q, xs, weights, whole, lo, hi, options)
  local rows = lo.shape[1]
  return { q = q, xs = xs, weights = weights, whole = whole, lo = lo, hi = hi, norm = options.norm, rows = rows,
           found = {},
           place = core.arange(1, rows):to "f32":reshape { rows, 1 }, shrinks = #xs == 1 and not whole }
end

-- Tries the range p * (lo, hi) for all rows.
local function try(s, p)
  local low, high = s.lo * p, s.hi * p
  local sum = sum_of(s.xs, s.weights, s.whole, function(x)
    s.params = quantizer.flushed(quantizer.params(s.q, x, low, high))
    return power(quantizer.round_rows(s.q, x, s.params) - x, s.norm)
  end)
  if not s.least then
    s.least, s.best = sum, core.flush(sum * 0 + 1)
    return
  end
  local wins = core.flush(sum:lt(s.least))
  s.best, s.least = core.flush(core.where(wins, p, s.best)), core.flush(core.where(wins, sum, s.least))
end

local function leave(s, positions)
  local function pick(x) return x:gather(1, positions) end
  table.insert(s.found, { place = pick(s.place), best = pick(s.best) })
end

-- Takes the rows whose search is over out of it; false when none is left.
local function drop_rows(s)
  local out = over(s)
  if not out then return true end
  local left = s.rows - math.tointeger(out:to "f32":sum())
  if left == 0 then return false end
  if not s.shrinks or left > s.rows * 0.8 then return true end
  local order = out:to "f32":reshape { -1 }:argsort(1)
  leave(s, order[{ { left + 1, s.rows } }])
  local stay = order[{ { 1, left } }]
  for _, key in ipairs { "lo", "hi", "place", "best", "least" } do s[key] = s[key]:gather(1, stay) end
  s.xs, s.rows = { s.xs[1]:gather(1, stay) }, left
  if s.weights then s.weights = { s.weights[1]:gather(1, stay) } end
  return true
end

-- The same search of one matrix of rows in the engine, by the quantizer's own maps: the same bits.
local function search_rows(q, x, weights, lo, hi, options, tries)
  local row, names = value.class(q).row, {}
  for name in pairs(quantizer.params(q, nil, core.zeros { 1, 1 }, core.zeros { 1, 1 })) do names[#names + 1] = name end
  table.sort(names)
  local reach = row.reach and row.reach(q, quantizer.params(q, nil, core.zeros { 1, 1 }, core.zeros { 1, 1 }))
  local function fit(low, high)
    local params, list = quantizer.params(q, nil, low, high), {}
    for i, name in ipairs(names) do list[i] = params[name] end
    if reach then list[#list + 1] = row.reach(q, params) end
    return table.unpack(list)
  end
  local function counted(terms, w) return weights and terms * w or terms end
  local function off(x, w, ...)
    local params = {}
    for i, name in ipairs(names) do params[name] = (select(i, ...)) end
    return counted(power(quantizer.round_rows(q, x, params) - x, options.norm), w)
  end
  local function beyond(x, w, limit) return counted(power((x:abs() - limit):maximum(0), options.norm), w) end
  local maps = core.range_maps(fit, off, reach and beyond or nil)
  return core.search_ranges(maps, x, weights, lo, hi, tries, options.grid)
end

-- Of the ranges p * (lo, hi), p = 1 - i / grid, the one with the least sum of |rounded - x|^norm, row by row; of equals
-- the largest (the search of GPTQ's reference code). xs: f32 rows, all with the same rows; weights: nil, or one like
-- each of xs, by which an element's error counts.
local function search(q, xs, weights, whole, lo, hi, options)
  local tries = math.floor(options.shrink * options.grid + 1e-9)
  if observers.in_engine and #xs == 1 and not whole and not value.class(q).user then
    local best = search_rows(q, xs[1], weights and weights[1], lo, hi, options, tries)
    return core.flush(lo * best), core.flush(hi * best)
  end
  local s = begin(q, xs, weights, whole, lo, hi, options)
  for i = 0, tries - 1 do
    try(s, 1 - i / options.grid)
    local check = i >= FIRST_CHECK and (i - FIRST_CHECK) % CHECK_EVERY == 0
    if check and not drop_rows(s) then break end
  end
  table.insert(s.found, { place = s.place, best = s.best })
  local places, bests = {}, {}
  for i, part in ipairs(s.found) do places[i], bests[i] = part.place, part.best end
  local best = bests[1]
  if #bests > 1 then
    best = core.concat(bests, 1):gather(1, core.concat(places, 1):reshape { -1 }:argsort(1))
  end
  return core.flush(lo * best), core.flush(hi * best)
end

observers.mse = define {
  name = "mse", range = true, serves = true,
  options = { { "grid", 100 }, { "shrink", 0.8 }, { "norm", 2.4 } },
  check = function(where, o)
    value.whole(where, "grid", o.grid, 1, 10000)
    value.number(where, "shrink", o.shrink, 0, 1)
    value.number(where, "norm", o.norm, 0.1, 100)
    if math.floor(o.shrink * o.grid + 1e-9) < 1 then
      core.fail(("%s: shrink = %g of grid = %d leaves no candidate"):format(where, o.shrink, o.grid))
    end
  end,
  methods = {
    init = function(self) self.kept = {} end,
    see = function(self, x)
      local lo, hi = reduce(x, "min", self.whole), reduce(x, "max", self.whole)
      self.lo = core.flush(self.lo and self.lo:minimum(lo) or lo)
      self.hi = core.flush(self.hi and self.hi:maximum(hi) or hi)
      self.kept[#self.kept + 1] = x
    end,
    result = function(self) return search(self.quantizer, self.kept, nil, self.whole, self.lo, self.hi, self) end,
  },
}

-- The same search with every weight's error counted by the mean square of its input channel, as llama.cpp's importance
-- matrix does; weights only.
local IMATRIX = { grid = 100, shrink = 0.8 }

observers.imatrix = define {
  name = "imatrix", range = true, serves = true, weighs = true, options = { { "norm", 3 } },
  check = function(where, o) value.number(where, "norm", o.norm, 0.1, 100) end,
  methods = {
    see = function(self, x) self.x = x end,
    result = function(self)
      local x, weights = self.x, self.seen and self.seen.mean_square
      if not weights then
        core.fail("observer 'imatrix': the mean square of the input channels is not known here; wane.quantize with a "
                  .. "text knows it")
      end
      local lo, hi = core.flush(reduce(x, "min", self.whole)), core.flush(reduce(x, "max", self.whole))
      return search(self.quantizer, { x }, { core.flush(weights) }, self.whole, lo, hi,
                    { grid = IMATRIX.grid, shrink = IMATRIX.shrink, norm = self.norm })
    end,
  },
}

-- -- statistics -------------------------------------------------------------------------------------------------

observers.mean_square = define {
  name = "mean_square",
  methods = {
    see = function(self, x)
      local sum = reduce(x:square(), "sum", self.whole)
      self.sum = core.flush(self.sum and self.sum + sum or sum)
      self.count = (self.count or 0) + (self.whole and x.shape[1] or 1) * x.shape[2]
    end,
    result = function(self) return core.flush(self.sum / self.count) end,
  },
}

observers.token_ratio = define {
  name = "token_ratio",
  check = function(where, o)
    if o.per and o.per ~= "tensor" then
      core.fail(("%s: per is '%s'; the ratio is one number, of tokens"):format(where, o.per))
    end
  end,
  methods = {
    init = function(self) self.ratios = {} end,
    see = function(self, x)
      local tops = core.flush(x:absmax(2))
      self.ratios[#self.ratios + 1] = tops:max() / tops:quantile(0.5)
    end,
    result = function(self)
      local sum = 0
      for _, ratio in ipairs(self.ratios) do sum = sum + ratio end
      return sum / #self.ratios
    end,
  },
}

-- Results of another shape than a column: they are taken as they come, and see gets x as the model has it.
for name, methods in pairs { hessian = moments.hessian, cross = moments.cross, calm = moments.calm } do
  observers[name] = define {
    name = name, methods = methods, raw = true, original = name == "cross",
    options = name == "calm" and { { "spikes", 64 } } or nil,
    check = function(where, o)
      if o.per ~= nil then core.fail(("%s: per is '%s'; its result is of all channels"):format(where, o.per)) end
    end,
  }
end

-- The range of a static input whose rounding changes its block's output least; wane.quantize runs the search, for it
-- takes the block (calibrate.lua).
observers.block_mse = define { name = "block_mse", range = true, serves = true, by_block = true, methods = {} }

-- The lowest and highest of all samples, as tensors [rows, 1]; rows: "tensor" or "channel".
function observers.extremes(samples, rows)
  local self = observers.start(observers.minmax, rows, {})
  for _, x in ipairs(samples) do observers.see(self, observers.minmax, x) end
  return observers.finish(self, observers.minmax)
end

-- -- a user's own -----------------------------------------------------------------------------------------------

local OPEN = { init = true, see = true, result = true, needs = true }

-- wane.observer(name, { per =, ... }): init, see and result are assigned to it.
function observers.own(name, options)
  if type(name) ~= "string" then core.fail(("wane.observer: name is a %s, expected a string"):format(type(name))) end
  if value.is(observers[name], "observer") then
    core.fail(("wane.observer: '%s' is built in; results go by the name, so it needs another"):format(name))
  end
  options = options or {}
  local order, defaults = { "per" }, {}
  for _, key in ipairs(value.own_options("wane.observer", options, { per = true })) do order[#order + 1] = key end
  for key, default in pairs(options) do defaults[key] = default end
  return value.define {
    kind = "observer", name = name, order = order, defaults = defaults, user = true, open = OPEN, range = true,
    check = function(where, o) if o.per ~= nil then value.one_of(where, "per", o.per, PER) end end,
    define = function(class, key, new)
      if key ~= "needs" and type(new) ~= "function" then
        core.fail(("%s: %s is a %s, expected a function"):format(class.name, key, type(new)))
      end
    end,
    label = function(v)
      return table.concat({ name, table.unpack(value.differences(v)) }, " ")
    end,
  }
end

-- -- running one ------------------------------------------------------------------------------------------------

-- x [tokens, channels] as the rows that an observation sees.
local function rows_of(self, x)
  if self.rows == "channel" then return x:t() end
  if self.rows == "tensor" and not self.whole then return x:reshape { 1, -1 } end
  return x
end

-- One observation of an input. rows: "tensor", "channel" or "token"; given: { quantizer =, total = tokens in all }.
-- Its see takes [tokens, channels] in the model's dtype; its result is normalised by observers.finish.
function observers.start(observer, rows, given)
  local class = value.class(observer, "observer")
  if class.unsupported then core.fail("not supported yet: wane." .. class.name) end
  if class.serves and not given.quantizer then
    core.fail(("wane.%s: it needs the quantizer it serves"):format(class.name),
              { hint = "give it as the observer of an input or a weight" })
  end
  local self = value.instance(observer, {
    rows = rows, whole = rows == "tensor" and not class.user, quantizer = given.quantizer, total = given.total,
  })
  for _, name in ipairs { "see", "result" } do
    if not class.methods[name] then
      core.fail(("observer '%s': it has no %s; define function %s:%s"):format(class.name, name, class.name, name))
    end
  end
  if class.methods.init then class.methods.init(self) end
  return self
end

local function see(self, class, x, x0)
  self.channels = x.shape[2]
  -- "token" rows are new with every sample: each is an observation of its own.
  if self.rows == "token" and not class.user and class.name ~= "token_ratio" then
    local part = setmetatable({}, { __index = self })
    if class.methods.init then class.methods.init(part) end
    part.total = nil
    class.methods.see(part, x)
    self.parts = self.parts or {}
    self.parts[#self.parts + 1] = { class.methods.result(part) }
    return
  end
  class.methods.see(self, rows_of(self, x), x0 and rows_of(self, x0))
end

-- x: [tokens, channels] of one sample; x0 the same in the original model, or nil.
function observers.see(self, observer, x, x0)
  local class = value.class(observer)
  if class.raw then return class.methods.see(self, x, x0) end
  see(self, class, x:to "f32", x0 and x0:to "f32")
end

local function kind_of(x) return core.is_tensor(x) and "tensor" or type(x) end

-- A number or a tensor with one column as a tensor [rows, 1].
local function column(observer, x)
  if type(x) == "number" then return core.tensor({ { x } }, { dtype = "f32" }) end
  if core.is_tensor(x) then
    if #x.shape == 2 and x.shape[2] == 1 then return x end
    if #x.shape == 1 then return x:reshape { -1, 1 } end
    if #x.shape == 0 then return x:reshape { 1, 1 } end
    core.fail(("observer '%s': its result is [%s], expected a number or [rows, 1]"):format(
      observer.name, table.concat(x.shape, " x ")))
  end
  core.fail(("observer '%s': its result is a %s, expected a number or a tensor [rows, 1]"):format(
    observer.name, kind_of(x)))
end

-- The results as tensors [rows, 1]: one (t, or a statistic) or two (lo, hi).
function observers.finish(self, observer)
  local class = value.class(observer)
  if self.parts then
    local first, second = {}, {}
    for _, part in ipairs(self.parts) do first[#first + 1], second[#second + 1] = part[1], part[2] end
    return core.concat(first, 1), second[1] and core.concat(second, 1) or nil
  end
  local a, b = class.methods.result(self)
  if class.raw then return a end
  a = column(observer, a)
  if b ~= nil then b = column(observer, b) end
  return a, b
end

-- A range from what an observer gave: t is -t to t.
function observers.as_range(a, b)
  if b then return a:to "f32", b:to "f32" end
  a = a:to "f32"
  return core.flush(-a), a
end

-- A range for `rows` rows: one that is for all of them is spread; any other number of rows is an error, said of `who`.
function observers.of_rows(who, lo, hi, rows)
  for _, x in ipairs { lo, hi } do
    if x.shape[1] ~= rows and x.shape[1] ~= 1 then
      core.fail(("%s: its result has %d rows, expected %d"):format(who, x.shape[1], rows))
    end
  end
  if lo.shape[1] ~= rows then lo, hi = lo + core.zeros { rows, 1 }, hi + core.zeros { rows, 1 } end
  return lo, hi
end

-- The range of weight rows x (f32), by the quantizer's observer or their extremes: lo, hi [rows, 1].
function observers.range(q, x, whole, seen)
  local observer = q.observer or observers.minmax
  local class = value.class(observer)
  if class.unsupported then core.fail("not supported yet: wane." .. class.name) end
  if not class.range then
    core.fail(("%s: observer %s gives no range; expected one such as wane.mse"):format(tostring(q), class.name))
  end
  if class.by_block then
    core.fail(("%s: observer %s is for inputs; a weight has wane.mse or wane.imatrix"):format(tostring(q), class.name))
  end
  if class.user and whole then x, whole = x:reshape { 1, -1 }, false end
  local self = value.instance(observer, {
    whole = whole, quantizer = q, rows = "weight", channels = x.shape[2], seen = seen,
  })
  if class.methods.init then class.methods.init(self) end
  class.methods.see(self, x)
  local a, b = class.methods.result(self)
  local lo, hi = observers.as_range(column(observer, a), b ~= nil and column(observer, b) or nil)
  local rows = whole and 1 or x.shape[1]
  lo, hi = observers.of_rows(("observer '%s'"):format(observer.name), lo, hi, rows)
  return core.flush(lo), core.flush(hi)
end

observers.is_range = function(observer) return value.class(observer).range end

return observers
