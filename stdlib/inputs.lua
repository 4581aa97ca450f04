-- Input quantizers, executed by rounding: x is replaced by the values its codes would have, in its own dtype.
-- Dynamic: parameters from each row of x itself (a token, or group_size channels of it). Static: from a range that an
-- observer found on the calibration text.
local core = require "wane.core"
local finite = require "wane.finite"
local value = require "wane.value"
local quantizer = require "wane.quantizer"
local observers = require "wane.observers"

local inputs = {}

function inputs.is_static(q) return q.observer ~= nil end

-- What one row of the observation behind a static range is.
function inputs.rows(q) return q.per == "channel" and "channel" or "tensor" end

function inputs.label(q)
  local text = tostring(q)
  if q.observer or q.per or q.group_size then return text end
  return text .. " token"
end

-- Values of f32 rows under these parameters.
local function rounded(q, rows, params) return quantizer.round_rows(q, rows, params) end

local function dynamic(q)
  local user = value.class(q).user
  local both_ends = value.has(q, "symmetric") and (not q.symmetric or q.convention == "full")
  return function(x)
    local rows = x:reshape { -1, q.group_size or x.shape[#x.shape] }:to "f32"
    local params
    if user then
      params = quantizer.params(q, core.flush(rows))
    elseif both_ends then
      params = quantizer.params(q, rows, rows:min(2), rows:max(2))
    else
      local top = rows:absmax(2)
      params = quantizer.params(q, rows, -top, top)
    end
    return core.flush(rounded(q, rows, params):to(x.dtype)):reshape(x.shape)
  end
end

-- params: live, [1, 1] or [1, channels].
local function static(q, params)
  return function(x)
    local rows = x:reshape { -1, x.shape[#x.shape] }:to "f32"
    return core.flush(rounded(q, rows, params):to(x.dtype)):reshape(x.shape)
  end
end

-- The entry of a layer's record for an input that each row scales itself.
function inputs.dynamic(q)
  return { apply = dynamic(q), label = inputs.label(q), quantizer = q }
end

-- The same for a range lo, hi: [1, 1], or [channels, 1] for per = "channel".
function inputs.static(q, lo, hi)
  local params = quantizer.params_of_range(q, lo, hi)
  if inputs.rows(q) == "channel" then
    for name, p in pairs(params) do params[name] = p:t() end
  end
  quantizer.flushed(params)
  return { apply = static(q, params), label = inputs.label(q), quantizer = q, static = params }
end

local function whole_text(samples)
  local total = 0
  for _, sample in ipairs(samples) do total = total + sample.shape[1] end
  return total
end

-- The first NaN or Inf of the samples as words, or nil.
function inputs.first_bad(samples)
  for i, x in ipairs(samples) do
    local good = core.flush(x:to "f32":isfinite())
    if not good:all() then return ("sample %d, token %d"):format(i, (good:to "f32":argmin())) end
  end
end

-- Raises when a result is not finite, by the sample and token that is to blame. originals: the samples in the original
-- model, where the observer saw those too.
function inputs.check_results(observer, where, results, samples, originals)
  for _, result in ipairs(results) do
    if not finite(result:to "f32") then
      local bad = inputs.first_bad(samples) or originals and inputs.first_bad(originals)
      core.fail(("observer '%s': %s: %s"):format(observer.name, where,
        bad and "NaN or Inf in its input, " .. bad or "its result is not finite, its input is"))
    end
  end
end

-- Runs an observer over the inputs of a site, sample by sample: its results as tensors [rows, 1].
function inputs.observe(observer, rows, samples, q, where)
  local self = observers.start(observer, rows, { quantizer = q, total = whole_text(samples) })
  for _, x in ipairs(samples) do observers.see(self, observer, x) end
  local a, b = observers.finish(self, observer)
  inputs.check_results(observer, where, { a, b }, samples)
  return a, b
end

return inputs
