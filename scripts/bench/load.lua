-- Loading: a plain matrix from a file in the page cache against memcpy, decoding of Q4_1 against memcpy of as many bytes,
-- and the demo model from the file to packed weights.
local wane  = require "wane"
local core  = require "wane.core"
local bench = require "wane.bench"

bench.machine()

local path  = require "wane.load".find("smollm2", "bench load")
local file  = core.checkpoint(path)
local model = wane.load(path)

-- Reads a whole tensor of a checkpoint; the memory goes back to the allocator, as warm as memcpy's.
local function read(checkpoint, name)
  local flat <close> = checkpoint:tensor(name, "bf16"):reshape { -1 }
  return flat
end

local function report(what, seconds, copy, bytes, bar, rival)
  local function rate(s) return ("%.1f GB/s"):format(bytes / s / 1e9) end
  bench.report(what, copy / seconds, bar, rate(seconds), rate(copy) .. ", " .. rival:describe())
end

local matrices, encoded, decoded = {}, 0, 0
for _, name in ipairs(file:names()) do
  local info = file:info(name)
  if info.dtype == "Q4_1" then
    matrices[#matrices + 1] = name
    encoded, decoded = encoded + info.bytes, decoded + 2 * info.shape[1] * info.shape[2]
  end
end

do
  local folder = core.options.cache .. "/bench-bf16"
  if not core.exists(folder) then model:save(folder, "safetensors") end
  local plain, name = core.checkpoint(folder), "embed_tokens.weight"
  local bytes = plain:info(name).bytes
  local copy = core.rival_copy(bytes)
  local ours, theirs = bench.best { function() read(plain, name) end, function() copy:run() end }
  report("a bf16 matrix read, bytes", ours, theirs, bytes, 0.8, copy)
end

do
  local copy = core.rival_copy((encoded + decoded) // 2)
  local ours, theirs = bench.best {
    function() for _, name in ipairs(matrices) do read(file, name) end end, function() copy:run() end }
  report(("%d matrices Q4_1 to bf16, bytes in and out"):format(#matrices), ours, theirs, encoded + decoded, 0.4, copy)
end

local one = core.tensor({ { 5 } }, { dtype = "i32" })
local whole = bench.best { function()
  local fresh <close> = wane.load(path)
  core.flush(fresh:forward(one))
end }
print(("load, decode and pack of the demo model, with a forward of one token: %.3f s, bar 0.5 s   %s"):format(whole,
  whole <= 0.5 and "met" or "above"))
