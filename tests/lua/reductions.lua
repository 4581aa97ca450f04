-- Every reduction over every dim and over everything, the calls along a dim, and products, in every dtype they take,
-- over dense and strided operands, against plain Lua numbers.
local core = require "wane.core"

local nan = 0 / 0
local all_dtypes = { "f64", "f32", "bf16", "f16", "e4m3", "e5m2", "i64", "i32", "i8", "u8", "bool" }
local floats = { f64 = true, f32 = true, bf16 = true, f16 = true, e4m3 = true, e5m2 = true }

-- -- reductions -----------------------------------------------------------------------------------------------------
local sizes = { 3, 17, 5 }

-- The elements of x [3 x 17 x 5] as lists along `dim`, in the order of the other dims.
local function lines(x, dim)
  local lists = {}
  for i, plane in ipairs(x) do
    for j, row in ipairs(plane) do
      for k, v in ipairs(row) do
        local key = dim == 1 and (j - 1) * sizes[3] + k or dim == 2 and (i - 1) * sizes[3] + k or (i - 1) * sizes[2] + j
        lists[key] = lists[key] or {}
        table.insert(lists[key], v)
      end
    end
  end
  return lists
end

local function total(list, f)
  local s = 0
  for _, v in ipairs(list) do s = s + (f and f(v) or v) end
  return s
end
local function variance(list)
  local m = total(list) / #list
  return total(list, function(v) return (v - m) ^ 2 end) / #list
end
local function best(list, better)
  local at = 1
  for i, v in ipairs(list) do if better(v, list[at]) then at = i end end
  return at
end
local function more(a, b) return a > b end
local function less(a, b) return a < b end
local function ordered(list) local copy = table.move(list, 1, #list, 1, {}) table.sort(copy) return copy end
local function middle(list, p)
  local sorted, at = ordered(list), p * (#list - 1)
  local low = sorted[at // 1 + 1 | 0]
  return low + (at % 1) * (sorted[math.min(at // 1 + 2, #list) | 0] - low)
end

local reductions = {
  sum = total,
  mean = function(list) return total(list) / #list end,
  min = function(list) return list[best(list, less)] end,
  max = function(list) return list[best(list, more)] end,
  absmax = function(list) return math.max(math.abs(list[best(list, more)]), math.abs(list[best(list, less)])) end,
  norm = function(list) return math.sqrt(total(list, function(v) return v * v end)) end,
  var = variance,
  std = function(list) return math.sqrt(variance(list)) end,
  prod = function(list) local p = 1 for _, v in ipairs(list) do p = p * v end return p end,
  any = function(list) for _, v in ipairs(list) do if v ~= 0 then return true end end return false end,
  all = function(list) for _, v in ipairs(list) do if v == 0 then return false end end return true end,
  argmax = function(list) return best(list, more) end,
  argmin = function(list) return best(list, less) end,
  logsumexp = function(list) return math.log(total(list, math.exp)) end,
}

local function drawn(dtype)
  local x = core.uniform(sizes, "f32", 77) * 4 - 2
  if dtype == "bool" then return core.flush(x:gt(0)) end
  return core.flush((floats[dtype] and x or x:round() + (dtype == "u8" and 2 or 0)):to(dtype))
end

for _, dtype in ipairs(all_dtypes) do
  case("reductions in " .. dtype, function()
    local x = drawn(dtype)
    local plain = x:to "f64":totable()
    local tolerance = dtype == "f64" and 1e-12 or 4e-6
    local turned = core.flush(x:transpose(1, 3):to(dtype)):transpose(1, 3) -- the same values, strided
    for name, reduce in pairs(reductions) do
      local everything = {}
      for dim = 1, 3 do
        local want = {}
        for i, list in ipairs(lines(plain, dim)) do
          want[i] = reduce(list)
          if dim == 3 then table.move(list, 1, #list, #everything + 1, everything) end
        end
        local y = x[name](x, dim)
        local shape = { 3, 17, 5 }
        shape[dim] = 1
        equal(y.shape, shape, name)
        local label = ("%s of %s along dim %d"):format(name, dtype, dim)
        if type(want[1]) == "boolean" then equal(y:reshape { #want }:totable(), want, label)
        else near(y:reshape { #want }, want, tolerance, label) end
        check(turned[name](turned, dim):same(y), ("%s of %s along dim %d, strided"):format(name, dtype, dim))
        check(x[{ { 2, 3 } }][name](x[{ { 2, 3 } }], 3):same(x[name](x, 3)[{ { 2, 3 } }]), name .. " of a slice")
      end
      if name == "argmax" or name == "argmin" then
        local i, j, k = x[name](x)
        equal(((i - 1) * 17 + j - 1) * 5 + k, reduce(everything), name .. " of all in " .. dtype)
      elseif not (name == "prod" and floats[dtype]) then
        local got = x[name](x)
        local want = reduce(everything)
        if type(want) == "number" then near(got, want, 4 * tolerance, name .. " of all in " .. dtype)
        else equal(got, want, name .. " of all in " .. dtype) end
        if name ~= "prod" then equal(turned[name](turned), got, name .. " of all, strided") end
      end
    end
    for _, p in ipairs { 0, 0.25, 0.5, 0.9, 1 } do
      for dim = 1, 3 do
        local want = {}
        for i, list in ipairs(lines(plain, dim)) do want[i] = middle(list, p) end
        near(x:quantile(p, dim):reshape { #want }, want, tolerance, "quantile of " .. dtype)
      end
    end
  end)
end

case("reductions of nothing, of one, of numbers with NaN, of long and of exact integers", function()
  local none = core.zeros { 2, 0 }
  equal(none:sum(2):totable(), { { 0.0 }, { 0.0 } })
  equal(none:prod(2):totable(), { { 1.0 }, { 1.0 } })
  equal(none:sum(), 0.0)
  equal(none:any(), false)
  equal(none:all(), true)
  equal(none:sum(1).shape, { 1, 0 })
  for _, name in ipairs { "min", "max", "argmax" } do fails(function() none[name](none, 2) end, name .. ": nothing to reduce") end
  local one = core.full({}, -3.5)
  equal({ one:sum(), one:min(), one:absmax() }, { -3.5, -3.5, 3.5 })
  local holes = core.tensor { 1, nan, 3 }
  for _, name in ipairs { "sum", "min", "max", "absmax", "mean" } do check(holes[name](holes) ~= holes[name](holes), name) end
  for _, n in ipairs { 4095, 4096, 4097, 70001 } do
    local ramp = core.arange(n)
    equal(ramp:sum(), n * (n + 1) // 2)
    near(ramp:to "f32":sum(), n * (n + 1) / 2, 1e-6)
    equal(ramp:max(), n)
    equal(ramp:argmax(), n)
  end
  local big = 2 ^ 53 | 0
  equal(core.tensor({ big, 1, 0 }, { dtype = "i64" }):sum(), big + 1)
  equal(core.tensor({ big + 1, -big - 3 }, { dtype = "i64" }):max(), big + 1)
  equal(core.tensor({ big + 1, -big - 3 }, { dtype = "i64" }):absmax(), big + 3)
  equal(core.full({ 500 }, big + 1, { dtype = "i64" }):sum(), 500 * (big + 1))
end)

-- -- along a dim ----------------------------------------------------------------------------------------------------
case("softmax, cumsum, sort, argsort, topk and flip along every dim", function()
  for _, dtype in ipairs { "f64", "f32", "bf16", "i32" } do
    local x = drawn(dtype)
    local turned = core.flush(x:transpose(2, 3):to(dtype)):transpose(2, 3)
    for dim = 1, 3 do
      -- The dim in question last, so that the lists come out one behind the other.
      local function last(t) return dim == 3 and t or dim == 2 and t:transpose(2, 3) or t:transpose(1, 2):transpose(2, 3) end
      local function lists(t) local y = last(t) return y:reshape { x.shape[1] * x.shape[2] * x.shape[3] // sizes[dim], sizes[dim] }:totable() end
      local source = lists(x)
      local up, places = lists(x:sort(dim)), lists(x:argsort(dim))
      local down, flipped, running = lists(x:sort(dim, "falling")), lists(x:flip(dim)), lists(x:cumsum(dim))
      local top = x:topk(2, dim)
      local soft = floats[dtype] and lists(x:softmax(dim))
      for i, list in ipairs(source) do
        local sorted = ordered(list)
        equal(up[i], sorted, "sort")
        local sum, weight = 0, total(list, math.exp)
        for j, v in ipairs(list) do
          sum = sum + v
          equal(down[i][j], sorted[#list + 1 - j], "sort falling")
          equal(list[places[i][j]], sorted[j], "argsort")
          equal(flipped[i][j], list[#list + 1 - j], "flip")
          near(running[i][j], sum, dtype == "bf16" and 0.02 or 2e-6, "cumsum in " .. dtype)
          if soft then near(soft[i][j], math.exp(v) / weight, dtype == "bf16" and 0.01 or 1e-6, "softmax in " .. dtype) end
        end
      end
      check(top:same(x:sort(dim, "falling")[{ dim == 1 and { 1, 2 } or {}, dim == 2 and { 1, 2 } or {}, dim == 3 and { 1, 2 } or {} }]), "topk")
      for _, name in ipairs { "sort", "argsort", "flip", "cumsum" } do
        check(turned[name](turned, dim):same(x[name](x, dim)), name .. " of a strided operand")
      end
    end
  end
end)

-- -- products -------------------------------------------------------------------------------------------------------
local function product(a, b)
  local y = {}
  for i, row in ipairs(a) do
    y[i] = {}
    for j = 1, #b[1] do y[i][j] = total(row, nil) * 0 end
    for k, v in ipairs(row) do for j, w in ipairs(b[k]) do y[i][j] = y[i][j] + v * w end end
  end
  return y
end

case("matmul and linear in every dtype, strided and batched", function()
  for _, dtype in ipairs { "f64", "f32", "bf16", "f16", "i8" } do
    for _, size in ipairs { { 1, 1, 1 }, { 3, 7, 5 }, { 9, 70, 65 }, { 2, 33, 130 } } do
      local m, k, n = table.unpack(size)
      local function draw(shape, key)
        local x = core.uniform(shape, "f32", key) * 4 - 2
        return core.flush((dtype == "i8" and (x * 50):round() or x):to(dtype))
      end
      local a, b = draw({ m, k }, m + k), draw({ k, n }, n + k + 5)
      local want = product(a:to "f64":totable(), b:to "f64":totable())
      local tolerance = ({ f64 = 1e-12, f32 = 2e-6, i8 = 0, bf16 = 0.01, f16 = 0.002 })[dtype] * (1 + math.sqrt(k))
      local y = a:matmul(b)
      equal(y.dtype, dtype == "i8" and "i32" or dtype)
      near(y, want, tolerance, "matmul in " .. dtype)
      local at, bt = core.flush(a:t():to(dtype) + 0):t(), core.flush(b:t() + 0)
      check(at:matmul(bt:t()):same(y), "strided operands in " .. dtype)
      near(core.linear(a, bt), want, tolerance, "linear in " .. dtype)
      local batch = core.concat({ a:reshape { 1, m, k }, (a + a):reshape { 1, m, k } }, 1)
      local both = batch:matmul(b)
      check(both[1]:same(y), "a batch, " .. dtype)
      check(both[2]:same((a + a):matmul(b)), "a batch, " .. dtype)
    end
    equal(core.zeros({ 0, 4 }, { dtype = dtype }):matmul(core.zeros({ 4, 3 }, { dtype = dtype })).shape, { 0, 3 })
    equal(core.zeros({ 2, 0 }, { dtype = dtype }):matmul(core.zeros({ 0, 3 }, { dtype = dtype })):absmax(), dtype == "i8" and 0 or 0.0)
  end
end)
