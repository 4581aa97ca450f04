-- Best seconds of a prompt (logits of its last token only) and of decoding a token after one, for llamacpp_speed.py.
--
--   wane run tests/oracles/llamacpp_speed.lua MODEL PROMPT DECODED ROUNDS
local wane = require "wane"
local core = require "wane.core"

local name, prompt, decoded, rounds = ...
prompt, decoded, rounds = tonumber(prompt), tonumber(decoded), tonumber(rounds)
local model = wane.load(name)

local ids = {}
for i = 1, prompt do ids[i] = (i * 37) % (model.config.vocab_size - 100) end

-- Reads the ids into a new cache and gives the next token; all of it is computed on return.
local function next_token(ids, cache)
  return model:_logits(model:_hidden({ ids }, cache)[{ {}, -1, {} }]):argmax(2):item() - 1
end

local function read()
  local cache <close> = model:cache()
  next_token(ids, cache)
end

local function decode()
  local cache <close> = model:cache()
  local id = next_token({ ids[1] }, cache)
  local started = core.seconds()
  for _ = 1, decoded do id = next_token({ id }, cache) end
  return (core.seconds() - started) / decoded
end

local reading, step = math.huge, math.huge
read()
decode()
for _ = 1, rounds do
  local started = core.seconds()
  read()
  reading = math.min(reading, core.seconds() - started)
  step = math.min(step, decode())
end
print(core.json { prompt = reading, token = step })
