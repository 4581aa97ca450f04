-- The calibration windows that wane draws, for other people's programs: a list of lists of token ids.
--
--   wane run tests/oracles/gptq_windows.lua TEXT OUT.json [MODEL]
local wane = require "wane"
local core = require "wane.core"

local path, out, name = ...
local model = wane.load(name or "smollm2")
local windows = {}
for i, ids in ipairs(wane.text(path, { samples = 64, length = 512 }):_samples(model)) do windows[i] = ids.ids end
core.publish(out, core.json(windows))
print(("%d windows of %d tokens"):format(#windows, #windows[1]))
