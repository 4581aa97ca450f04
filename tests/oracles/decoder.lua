-- A decoder in float64, written apart from the library's: plain matrices, a loop over heads, one sample. It reads the
-- weights, biases and online rotations of a Llama, Mistral, Qwen2 or Qwen3 model of the library, so that it says
-- what these compute before f32 rounds it. Also small models whose every scale and bias is drawn, and their errors.
local wane = require "wane"

local M = {}

-- cos and sin [tokens, dim / 2] of rotary positions.
local function angles(tokens, dim, theta)
  local rows = {}
  for t = 1, tokens do
    rows[t] = {}
    for i = 1, dim // 2 do rows[t][i] = (t - 1) * theta ^ (-2 * (i - 1) / dim) end
  end
  local table64 = wane.tensor(rows, { dtype = "f64" })
  return table64:cos(), table64:sin()
end

local function rope(x, cosine, sine)
  local half = x.shape[2] // 2
  local a, b = x[{ {}, { 1, half } }], x[{ {}, { half + 1, -1 } }]
  return wane.concat({ a * cosine - b * sine, b * cosine + a * sine }, 2)
end

local function apply(entry, x)
  return entry and entry.apply(x) or x
end

-- Logits [tokens, vocabulary] in f64. `edit`, of negative controls: functions of a name that replace a step:
-- weight(name, w), queries(q), keys(k) of one head before its norm.
function M.logits(model, ids, edit)
  edit = edit or {}
  local c, eps = model.config, model.config.rms_norm_eps
  local dim, heads, groups = c.head_dim, c.num_attention_heads, c.num_attention_heads // c.num_key_value_heads
  local cosine, sine = angles(#ids, dim, c.rope_theta)
  local function weight(name)
    local w = model(name).weight:to "f64"
    return edit.weight and edit.weight(name, w) or w
  end
  local function norm(name, x)
    x = apply(model(name)._state.transform, x)
    return x / ((x * x):mean(2) + eps):sqrt() * weight(name)
  end
  local function linear(name, x)
    local y = apply(model(name)._state.transform, x):matmul(weight(name):t())
    local bias = model(name).bias
    return bias and y + bias:to "f64" or y
  end
  local mask = {}
  for i = 1, #ids do
    mask[i] = {}
    for j = 1, #ids do mask[i][j] = j <= i and 0 or -1e30 end
  end
  mask = wane.tensor(mask, { dtype = "f64" })
  local function attention(block, x)
    local base = block .. ".self_attn"
    local turn = model(base)._state.turn
    local all = { q = linear(base .. ".q_proj", x), k = linear(base .. ".k_proj", x), v = linear(base .. ".v_proj", x) }
    local function head(part, number)
      local y = all[part][{ {}, { (number - 1) * dim + 1, number * dim } }]
      if part == "v" then return y end
      if edit[part] then y = edit[part](y) end
      if model:_architecture().name == "Qwen3ForCausalLM" then y = norm(base .. "." .. part .. "_norm", y) end
      return apply(turn, rope(y, cosine, sine))
    end
    local said = {}
    for h = 1, heads do
      local kv = (h - 1) // groups + 1
      local scores = head("q", h):matmul(head("k", kv):t()) * (1 / math.sqrt(dim)) + mask
      said[h] = scores:softmax(2):matmul(head("v", kv))
    end
    return linear(base .. ".o_proj", wane.concat(said, 2))
  end
  local x = wane.embedding(wane.tensor(ids, { dtype = "i32" }), weight "embed_tokens")
  x = apply(model "embed_tokens"._state.after, x)
  for i = 0, c.num_hidden_layers - 1 do
    local block = "layers." .. i
    x = x + attention(block, norm(block .. ".input_layernorm", x))
    local y = norm(block .. ".post_attention_layernorm", x)
    local gate = linear(block .. ".mlp.gate_proj", y)
    x = x + linear(block .. ".mlp.down_proj", gate * gate:sigmoid() * linear(block .. ".mlp.up_proj", y))
  end
  return linear("lm_head", norm("norm", x))
end

-- A model with scales of norms from 0.5 to 2 and biases that are not 0; `dtype` of all weights.
function M.model(name, config, dtype)
  local model, changes = wane.model(name, config), {}
  for layer in model:layers() do
    local change = { weight = not layer._tied and layer.weight or nil }
    if layer.class == "RMSNorm" then
      change.weight = wane.uniform(layer.weight.shape, { stream = "scales" }) * 1.5 + 0.5
    end
    if layer.bias then change.bias = wane.randn(layer.bias.shape, { stream = "biases" }) * 0.2 end
    for part, value in pairs(change) do change[part] = value:to(dtype or "f32") end
    changes[layer.name] = change
  end
  return model:_derive(changes)
end

-- ||a - b|| / ||b|| over all elements.
function M.distance(a, b)
  local wide, other = a:to "f64":reshape { -1 }, b:to "f64":reshape { -1 }
  return (wide - other):norm() / other:norm()
end

function M.ids(count, vocabulary)
  local ids = {}
  for i = 1, count do ids[i] = (i * 7 + i * i * 3) % vocabulary end
  return ids
end

-- One small model of each architecture, by name, with sizes of several Hadamard orders: 48 = 12 x 4, 80 = 20 x 4,
-- 60 and its half, 112 = 28 x 4, 40 = 20 x 2, 72 = 36 x 2, and heads that are no fraction of the hidden size.
M.CONFIGS = {
  LlamaForCausalLM   = { hidden_size = 48, intermediate_size = 80, num_attention_heads = 4, num_key_value_heads = 2,
                         head_dim = 12 },
  MistralForCausalLM = { hidden_size = 60, intermediate_size = 112, num_attention_heads = 3, num_key_value_heads = 1,
                         head_dim = 20 },
  Qwen2ForCausalLM   = { hidden_size = 40, intermediate_size = 72, num_attention_heads = 2, num_key_value_heads = 2,
                         head_dim = 20 },
  Qwen3ForCausalLM   = { hidden_size = 36, intermediate_size = 120, num_attention_heads = 6, num_key_value_heads = 2,
                         head_dim = 16 },
}
for _, config in pairs(M.CONFIGS) do
  config.vocab_size, config.num_hidden_layers, config.rms_norm_eps, config.rope_theta = 53, 2, 1e-6, 1e4
end

function M.config(name, changes)
  local config = {}
  for key, value in pairs(M.CONFIGS[name]) do config[key] = value end
  for key, value in pairs(changes or {}) do config[key] = value end
  return config
end

return M
