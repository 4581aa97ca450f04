-- A score: a number with its standard error, the items behind it, its protocol and a hash of the item set.
--
-- Behind the error stands the influence of every item on the value: v_i with sum 0, error = sqrt(sum v_i^2 /
-- (n (n - 1))). A sum or difference of scores on the same items adds influences item by item, which is what makes it
-- paired (reference: the jackknife of a mean; the delta method for exp). Scores of other items are independent: each
-- item set is a part of its own, and the squares of the parts' errors add.
local core = require "wane.core"
local format = require "wane.format"

local score = {}

local Score = { __name = "wane.score" }
local FIELDS = { "value", "error", "items", "protocol", "version", "hash" }

local function is(x) return type(x) == "table" and getmetatable(x) == Score end
score.is = is

local HIDDEN = {}
local function inside(s) return rawget(s, HIDDEN) end

local function error_of(parts)
  local sum = 0
  for _, part in ipairs(parts) do
    local n = #part.influence
    if n < 2 then return 0 / 0 end
    local squares = 0
    for _, v in ipairs(part.influence) do squares = squares + v * v end
    sum = sum + squares / (n * (n - 1))
  end
  return math.sqrt(sum)
end

local function make(fields, parts, signed)
  fields.error = error_of(parts)
  return setmetatable({ [HIDDEN] = { fields = fields, parts = parts, signed = signed } }, Score)
end

-- about: { protocol, version, hash, items (what the error is over) }; influence: one number per item.
function score.new(value, influence, about)
  local fields = { value = value, items = about.items or #influence, protocol = about.protocol,
                   version = about.version, hash = about.hash }
  return make(fields, { { hash = about.hash, influence = influence } })
end

-- The weighted mean of per-item means: items x_i, each standing for n_i tokens. Returns the mean and the influences.
function score.weighted_mean(means, counts)
  local sum, weight = 0, 0
  for i, x in ipairs(means) do sum, weight = sum + x * counts[i], weight + counts[i] end
  local mean, average, influence = sum / weight, weight / #means, {}
  for i, x in ipairs(means) do influence[i] = counts[i] * (x - mean) / average end
  return mean, influence
end

local function scaled(influence, factor)
  local result = {}
  for i, v in ipairs(influence) do result[i] = v * factor end
  return result
end
score.scaled = scaled

local function words(s)
  local f = inside(s).fields
  return ("%s v%d, %d items %s"):format(f.protocol, f.version, f.items, f.hash:sub(1, 4))
end

local function same_items(a, b)
  local x, y = inside(a), inside(b)
  if x.fields.protocol ~= y.fields.protocol or x.fields.version ~= y.fields.version or #x.parts ~= #y.parts then
    return false
  end
  for i, part in ipairs(x.parts) do
    if part.hash ~= y.parts[i].hash or #part.influence ~= #y.parts[i].influence then return false end
  end
  return true
end

local function with_parts(parts, more, factor)
  local result, at = {}, {}
  for i, part in ipairs(parts) do
    result[i], at[part.hash] = part, i
  end
  for _, part in ipairs(more) do
    local i = at[part.hash]
    if i and #result[i].influence == #part.influence then
      local sum = {}
      for k, v in ipairs(result[i].influence) do sum[k] = v + factor * part.influence[k] end
      result[i] = { hash = part.hash, influence = sum }
    else
      result[#result + 1] = { hash = part.hash, influence = scaled(part.influence, factor) }
    end
  end
  return result
end

local function joined(a, b)
  local x, y = inside(a).fields, inside(b).fields
  if x.protocol == y.protocol and x.hash == y.hash then
    return { items = x.items, protocol = x.protocol, version = x.version, hash = x.hash }
  end
  return { items = x.items + y.items, protocol = x.protocol .. " and " .. y.protocol,
           version = math.max(x.version, y.version), hash = core.sha256(x.hash .. y.hash) }
end

local function changed(s, value, factor)
  local old, parts = inside(s), {}
  for i, part in ipairs(old.parts) do
    parts[i] = { hash = part.hash, influence = scaled(part.influence, factor) }
  end
  local f = old.fields
  return make({ value = value, items = f.items, protocol = f.protocol, version = f.version, hash = f.hash }, parts,
              old.signed)
end

local function plain(x, what)
  if type(x) ~= "number" then
    core.fail(("score: %s of a score and a %s; expected a number or a score"):format(what, type(x)))
  end
  return x
end

local function combine(a, b, factor, what)
  if not is(a) then
    local s = changed(b, plain(a, what) + factor * inside(b).fields.value, factor)
    return s
  end
  if not is(b) then return changed(a, inside(a).fields.value + factor * plain(b, what), 1) end
  local fields = joined(a, b)
  fields.value = inside(a).fields.value + factor * inside(b).fields.value
  return make(fields, with_parts(inside(a).parts, inside(b).parts, factor), factor < 0)
end

function Score.__add(a, b) return combine(a, b, 1, "the sum") end

function Score.__sub(a, b)
  if is(a) and is(b) and not same_items(a, b) then
    core.fail("score: a difference of scores on other items says nothing",
              { notes = { { "left", words(a) }, { "right", words(b) } } })
  end
  return combine(a, b, -1, "the difference")
end

function Score.__mul(a, b)
  if is(a) and is(b) then core.fail("score: a product of two scores has no paired error; multiply by a number") end
  if not is(a) then a, b = b, a end
  return changed(a, inside(a).fields.value * plain(b, "the product"), b)
end

function Score.__div(a, b)
  if is(b) then core.fail("score: a score divides by numbers only") end
  return changed(a, inside(a).fields.value / plain(b, "the quotient"), 1 / b)
end

function Score.__unm(a) return changed(a, -inside(a).fields.value, -1) end

local function number(x) return is(x) and inside(x).fields.value or plain(x, "a comparison") end
score.number = number

function Score.__lt(a, b) return number(a) < number(b) end
function Score.__le(a, b) return number(a) <= number(b) end
function Score.__eq(a, b) return is(a) and is(b) and same_items(a, b) and number(a) == number(b) end

function Score.__index(s, key)
  local fields = inside(s).fields
  if fields[key] ~= nil then return fields[key] end
  core.fail(("score: no field '%s'; it has %s"):format(tostring(key), table.concat(FIELDS, ", ")))
end

function Score.__newindex() core.fail("score: a score is a value and cannot be assigned to") end

function Score.__tostring(s)
  local f = inside(s).fields
  return format.measured(f.value, f.error, inside(s).signed)
end

return score
