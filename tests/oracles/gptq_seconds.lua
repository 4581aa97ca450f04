-- Seconds of a whole wane.gptq, for tests/oracles/gptq_seconds.py: 4 bits in groups of 64 of all Linears in the blocks.
--
--   wane run tests/oracles/gptq_seconds.lua MODEL WINDOWS.json OBSERVER PRECORRECT
local wane = require "wane"
local core = require "wane.core"
local text = require "wane.text"

local path, windows, observer, share = ...
local model, samples = wane.load(path), {}
for i, ids in ipairs(core.parse_json(core.read(windows), windows)) do samples[i] = { ids = ids, first = 2 } end
local weight = wane.int { bits = 4, group_size = 64, observer = wane[observer] }
local rules  = wane.rules { { "*_proj", weight = weight, solver = wane.gptq { precorrect = tonumber(share) } } }
local start = core.seconds()
wane.quantize(model, rules, text.from_samples(samples))
print(("seconds %.3f"):format(core.seconds() - start))
