-- Static input scales of every down_proj on a log axis, the outliers among them, and what exempting them costs.
--
--   wane run scripts/scale-chart.lua smollm2 wiki.train.raw
--   wane run scripts/scale-chart.lua path/to/model any-plain-text
--
-- Seen on the demo model, over WikiText-2: layer 11 stands at 0.89 between neighbours of 0.02 and 0.01, layers 28 and 29 at
-- 0.56 and 0.59 among each other. By neighbours and by token ratio layer 11 alone is an outlier, by the whole stack all
-- three are. (The study's Qwen3-8B: layers 6 and 16 stand 523 and 59 times above their neighbours, layer 35 only 10 times.)
local wane = require "wane"
local path, text_path = ...

local model = wane.rotate(wane.load(path), { "r1", "r2", "r4" })
local calib = wane.text(text_path, { samples = 16, length = 512 })
local seen  = wane.observe(model, calib, { wane.absmax, wane.token_ratio }, { layers = "*.mlp.down_proj" })

local scales = wane.table("down-proj-input-scales", { "layer", "scale", "token_ratio" })
for row in seen do
  scales:add { layer = row.layer, scale = row.absmax / 127, token_ratio = row.token_ratio }
end

-- Above 20 times the median of the 7 layers around it; of the whole stack; the same for token spikes.
local outliers = scales:outliers("scale", { over = 20, among = 7 })
print(scales:chart { x = "scale", y = "layer", log = "x", mark = outliers })
print("by neighbours:  ", outliers)
print("by whole stack: ", scales:outliers("scale", { over = 20 }))
print("by token ratio: ", scales:outliers("token_ratio", { over = 20, among = 7 }))

-- The exemption is one more rule, and the plan tells which layer it took and what it beat.
local rules = wane.rules {
  { "*_proj", weight = wane.int { bits = 4, per = "channel", observer = wane.mse },
              input  = wane.int { bits = 8, per = "tensor", observer = wane.minmax },
              solver = wane.gptq },
  { outliers, input = "keep" },
}
print(rules:plan(model))
