-- Memory: what wane.memory tells; every operation of the language again and again without a leak; what happens under a
-- ceiling. The operations come from the method tables, so that a new one is covered or named here as missing.
local core = require "wane.core"
local wane = require "wane"

local function settled()
  for _ = 1, 3 do collectgarbage() end
  return core.memory().live, collectgarbage "count"
end

local x = core.tensor({ { 4, 1, 0.5, 0 }, { 1, 5, 1, 0.25 }, { 0.5, 1, 6, 1 }, { 0, 0.25, 1, 7 } })
local subjects = { x, core.flush(x:to "i32"), core.flush(x:gt(1)), x[1], x[{ 1, { 1, 1 } }], x:reshape { 1, 2, 2, 4 } }

-- Argument lists that some method or function takes; the first that does not raise is used.
local function candidates()
  local positions = core.arange(2)
  return {
    {}, { x }, { x:to "i32" }, { 1 }, { 2, 1 }, { 1, 2 }, { 0.5, 1 }, { "f32" }, { { 16 } }, { 1, positions }, { x[1] }, { 3, 10000 },
    { { 1, 2, 3 } }, { { {}, { 1, 2 } }, core.zeros { 4, 2 } }, { 4, 4, 4 }, { x, x }, { x, x, x },
    { x:reshape { 1, 2, 2, 4 }, 1 }, { { x, x }, 1 }, { 4, 10000 }, { "name" }, { 7, 1 }, { { 2, 2 }, "f32", 7 },
    { { 2, 2 }, 3 }, { function() end }, { "x", { "x", "y" } }, { { a = 1 } }, { "{\"a\": 1}", "test" }, { x, { 1, 2, 3, 0 } },
    { x, 1, 1, 0, 1, 0.5 }, { x, 0, 8, 4 }, { x, x, { 1, 2, 3, 0 } }, { x, core.ones { 4 }, 1e-5 },
    { x:reshape { 1, 2, 2, 4 }, core.arange(2):reshape { 1, 2 }, core.rope_frequencies(4, 10000) },
    { nil, "a", x:reshape { 1, 2, 2, 4 }, x:reshape { 1, 2, 2, 4 }, x:reshape { 1, 2, 2, 4 }, 0, 1 },
    { core.tensor({ 0, 1, 2 }, { dtype = "i32" }), x }, { x + 1, { shape = { 16 } } }, { x:gt(1), x, 0 }, { x, nil, 4 },
    { x, x[1] }, { x, core.arange(4) }, { function(lo, hi) return hi - lo end, function(t, w, p) return (t - p) * w end },
    { core.range_maps(function(lo, hi) return hi - lo end, function(t, _, p) return (t - p):abs() end), x, nil,
      x[{ {}, { 1, 1 } }], x[{ {}, { 2, 2 } }], 3, 10 },
    { function(t, p) return (t / p.scale):round(), t * p.scale end, { scale = 1 }, "f32", 4 },
  }
end

-- f and the arguments it is called with, or nil.
local function way_to_call(f, subject_list)
  for _, arguments in ipairs(candidates()) do
    for _, subject in ipairs(subject_list) do
      local list, n = { table.unpack(arguments, 1, 7) }, 7
      while n > 0 and arguments[n] == nil do n = n - 1 end
      if subject ~= false then
        list, n = { subject, table.unpack(arguments, 1, n) }, n + 1
      end
      if pcall(f, table.unpack(list, 1, n)) then return list, n end
    end
  end
end

local ROUNDS = tonumber(core.environment "WANE_LEAK_ROUNDS" or "10000")
local FEWER = { describe = 20 } -- a picture of a tensor is made of a dozen operations

local function churn(name, f, arguments, n)
  local function rounds(count)
    for _ = 1, count do
      local y = f(table.unpack(arguments, 1, n))
      if core.is_tensor(y) then core.flush(y) end
    end
  end
  rounds(3) -- what is pending in the arguments is computed by then
  local live, lua = settled()
  rounds(ROUNDS // (FEWER[name] or 1))
  local live_after, lua_after = settled()
  equal(live_after - live, 0, name .. ": live bytes after " .. ROUNDS .. " calls")
  check(lua_after - lua < 64, ("%s: Lua's memory grew by %.0f KiB"):format(name, lua_after - lua))
end

case("nothing leaks: every method of a tensor", function()
  local missing = {}
  for _, name in ipairs(core.tensor_fields()) do
    local f = x[name]
    if type(f) == "function" and name ~= "free" then
      local arguments, n = way_to_call(f, subjects)
      if arguments then churn(name, f, arguments, n) else missing[#missing + 1] = name end
    end
  end
  equal(missing, {}, "methods that no argument list here fits; add one")
end)

-- What is no operation: files, the terminal, the session's own tables, downloads; and what has cases below.
local NO_OPERATION = {}
for word in ([[append attached attend_turned cache checkpoint deviation document exists fail fetch file_bytes flush function_info gram help is_folder
  layer_key list metatable method mkdir model_fetch note profile_report progress publish raise_with read regex
  rivals rival_silu rival_mul_add rival_rows rival_gptq rival_lapack rival_matmul rival_products in_folder rotate set_fusing set_threads sha256_file sweep tokenizer trace
  writer attach remove rename copy link]]):gmatch "%S+" do NO_OPERATION[word] = true end

case("nothing leaks: every function of the engine", function()
  local missing = {}
  for name, f in pairs(core) do
    if type(f) == "function" and not NO_OPERATION[name] then
      local arguments, n = way_to_call(f, { false })
      if arguments then churn(name, f, arguments, n) else missing[#missing + 1] = name end
    end
  end
  equal(missing, {}, "functions that no argument list here fits; add one")
end)

case("nothing leaks: operators, slices, buffers, caches, freed and closed tensors", function()
  local ways = {
    arithmetic = function() return (-x + 1) * x / 2 - x % 3 + x ^ 2 end,
    slice = function() return x[{ { 2, 3 }, 1 }] end,
    with = function() return x:with({ 2, {} }, 0) end,
    buffer = function()
      local b = core.buffer(x)
      b[{ 1, {} }] = 7
      return b:freeze()
    end,
    cache = function()
      local q = x:reshape { 1, 4, 1, 4 }
      local cache <close> = core.cache(1)
      local y = core.attend(cache, "layer", q, q, q, 0, 1)
      cache:advance(4)
      return y
    end,
    turned = function()
      local q = x:reshape { 1, 4, 4 }
      local cache <close> = core.cache(1)
      return core.attend_turned(cache, "layer", q, q, q, core.rope_frequencies(4, 100), 0, 1)
    end,
    free = function() (x + 1):free() end,
    close = function() local y <close> = core.flush(x + 1) end,
    trace = function() return core.trace(function(t) return t:abs() * 2 end, x) end,
    quantized = function() return wane.int:quantize(x):dequantize() end,
    rotate = function() return core.rotate(x, nil, 4) end,
    gram = function()
      local sum = core.gram(true, true)
      sum:add(x, x)
      return sum:square_mean() + sum:cross_mean()
    end,
    sweep = function() return (wane.sweep(x, core.eye(4), wane.int { bits = 4 })):dequantize() end,
    failure = function()
      local y = x + 1
      pcall(function() return y:matmul(core.ones { 3, 3 }) end)
      pcall(function() return y:with({ 9, {} }, 1) end)
    end,
  }
  for name, f in pairs(ways) do churn(name, f, {}, 0) end
end)

case("wane.memory tells live, cached and peak bytes", function()
  collectgarbage()
  local before = wane.memory()
  local held = core.flush(core.zeros { 1024, 1024 } + 1)
  local during = wane.memory()
  check(during.live >= before.live + 2 ^ 22 and during.peak >= during.live, "a tensor of 4 MiB is live")
  held:free()
  collectgarbage() -- other handles of it
  local after = wane.memory()
  check(after.live <= during.live - 2 ^ 22, "and not any more")
  check(after.cached >= 2 ^ 22 or core.environment "WANE_MEMORY", "its block is kept for the next one")
  for _, field in ipairs { "live", "cached", "peak", "ceiling", "resident", "resident_peak" } do
    equal(math.type(after[field]), "integer", field)
  end
end)
