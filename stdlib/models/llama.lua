-- Llama, Mistral, Qwen2 and Qwen3: decoders of one shape that differ by config. Rotary positions, RMSNorm
-- before each half of a block, grouped queries, SwiGLU. Llama may scale its rotary frequencies (llama3),
-- Mistral sees a window of tokens, Qwen2 adds biases to q, k and v, Qwen3 norms the heads of q and k.
local architecture = require "wane.architecture"
local caches = require "wane.cache"
local core = require "wane.core"
local modules = require "wane.module"
local rope = require "wane.rope"

local MLP = modules.module "MLP"

function MLP:init(c)
  local biased = { bias = c.mlp_bias or false }
  self.gate_proj = modules.Linear(c.hidden_size, c.intermediate_size, biased)
  self.up_proj   = modules.Linear(c.hidden_size, c.intermediate_size, biased)
  self.down_proj = modules.Linear(c.intermediate_size, c.hidden_size, biased)
end

function MLP:forward(x, before)                             -- before: what the result is added to, or nil
  local y = modules.add(self.down_proj, before, modules.gated(self.gate_proj, self.up_proj, x))
  return y
end

local Attention = modules.module "Attention"

-- How many tokens layer `index` (from 0) sees, or nil for all. A window is Mistral's by itself; Qwen files
-- carry one that counts only when use_sliding_window says so, and then from max_window_layers on.
local function window_of(c, index)
  local window = c.sliding_window
  if not window then return nil end
  local kinds = c.layer_types
  if kinds then return kinds[index + 1] == "sliding_attention" and window or nil end
  if c.model_type == "mistral" then return window end
  return c.use_sliding_window and index >= (c.max_window_layers or 0) and window or nil
end

local function frequencies_of(c)
  local scaling = c.rope_scaling
  local kind = scaling and (scaling.rope_type or scaling.type)
  if kind == "llama3" then return rope.llama3(c.head_dim, c.rope_theta, scaling) end
  return core.rope_frequencies(c.head_dim, c.rope_theta)
end

function Attention:init(c, index)
  local queries, keys = c.num_attention_heads * c.head_dim, c.num_key_value_heads * c.head_dim
  local qkv, out = { bias = c.qkv_bias }, { bias = c.out_bias }
  self.head_dim, self.frequencies = c.head_dim, c.frequencies
  self.options = { window = window_of(c, index), scale = 1 / math.sqrt(c.head_dim) }
  self.q_proj = modules.Linear(c.hidden_size, queries, qkv)
  self.k_proj = modules.Linear(c.hidden_size, keys, qkv)
  self.v_proj = modules.Linear(c.hidden_size, keys, qkv)
  self.o_proj = modules.Linear(queries, c.hidden_size, out)
  if c.head_norms then
    self.q_norm = modules.RMSNorm(c.head_dim, c.rms_norm_eps)
    self.k_norm = modules.RMSNorm(c.head_dim, c.rms_norm_eps)
  end
end

function Attention:forward(x, cache, before)                -- x: [batch, tokens, hidden]; before: as in MLP
  local q, k, v = modules.three(self.q_proj, self.k_proj, self.v_proj, x)
  if self.q_norm then
    local shape = x.shape
    local heads = { shape[1], shape[2], -1, self.head_dim }
    q = self.q_norm(q:reshape(heads)):reshape { shape[1], shape[2], -1 }
    k = self.k_norm(k:reshape(heads)):reshape { shape[1], shape[2], -1 }
  end
  local y = caches.attend_turned(cache, self, q, k, v, self.frequencies, self.options)
  y = modules.add(self.o_proj, before, y)
  return y
end

local Block = modules.module "Block"

function Block:init(c, index)
  self.input_layernorm          = modules.RMSNorm(c.hidden_size, c.rms_norm_eps)
  self.self_attn                = Attention(c, index)
  self.post_attention_layernorm = modules.RMSNorm(c.hidden_size, c.rms_norm_eps)
  self.mlp                      = MLP(c)
end

function Block:forward(x, cache)
  if modules.alone() then
    x = self.self_attn(self.input_layernorm(x), cache, x)
    x = self.mlp(self.post_attention_layernorm(x), x)
    return x
  end
  x = x + self.self_attn(self.input_layernorm(x), cache)
  core.flush(x) -- two read it: the norm need not form the sum for itself
  return x + self.mlp(self.post_attention_layernorm(x))
end

local Decoder = modules.module "Decoder"

function Decoder:init(config)
  local c = {}
  for key, value in pairs(config) do c[key] = value end
  c.frequencies = frequencies_of(c)
  self.embed_tokens = modules.Embedding(c.vocab_size, c.hidden_size)
  self.layers       = modules.stack(c.num_hidden_layers, Block, c)
  self.norm         = modules.RMSNorm(c.hidden_size, c.rms_norm_eps)
  local tied        = c.tie_word_embeddings and self.embed_tokens
  self.lm_head      = modules.Linear(c.hidden_size, c.vocab_size, { tied = tied })
end

function Decoder:forward(tokens, cache)                     -- [batch, tokens] -> [batch, tokens, vocabulary]
  local x = self.embed_tokens(tokens)
  for block in self.layers do x = block(x, cache) end
  return self.lm_head(self.norm(x))
end

-- -- what a config may say ----------------------------------------------------------------------------------

local COUNTS = { "hidden_size", "intermediate_size", "num_attention_heads", "num_key_value_heads", "head_dim",
                 "num_hidden_layers", "vocab_size" }
local LARGEST = { num_hidden_layers = 512, vocab_size = 2 ^ 24 }
local ROPE_KEYS = { "factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings" }

-- A bad file is exit code 65; a config written in a script is the script's own error.
local function bad(where, message, expected)
  core.fail(("%s: %s"):format(where, message), {
    fault = where:find "^wane%.load" and 65 or 1, notes = expected and { { "expected", expected } } })
end

local function shown(value)
  return type(value) == "string" and ("'%s'"):format(value) or tostring(value)
end

local function check_counts(c, where)
  if not c.head_dim and math.type(c.hidden_size) and math.type(c.num_attention_heads) then
    bad(where, ("num_attention_heads %s does not divide hidden_size %s, and there is no head_dim"):format(
      c.num_attention_heads, c.hidden_size))
  end
  for _, key in ipairs(COUNTS) do
    local value = math.tointeger(c[key])
    if not value or type(c[key]) ~= "number" or value < 1 or value > (LARGEST[key] or 2 ^ 20) then
      bad(where, ("%s is %s"):format(key, shown(c[key])), "a whole number from 1 to " ..
        math.tointeger(LARGEST[key] or 2 ^ 20))
    end
    c[key] = value
  end
  if c.num_attention_heads % c.num_key_value_heads ~= 0 then
    bad(where, ("num_key_value_heads %d does not divide num_attention_heads %d"):format(c.num_key_value_heads,
      c.num_attention_heads))
  end
  if c.head_dim % 2 ~= 0 then bad(where, ("head_dim is %d"):format(c.head_dim), "an even number") end
  if type(c.rms_norm_eps) ~= "number" or c.rms_norm_eps <= 0 then
    bad(where, ("rms_norm_eps is %s"):format(shown(c.rms_norm_eps)), "a number above 0")
  end
end

local function check_rope(c, where)
  if type(c.rope_theta) ~= "number" or c.rope_theta <= 0 then
    bad(where, ("rope_theta is %s"):format(shown(c.rope_theta)), "a number above 0")
  end
  if c.partial_rotary_factor and c.partial_rotary_factor ~= 1 then
    bad(where, ("not supported: partial_rotary_factor %s"):format(shown(c.partial_rotary_factor)))
  end
  for _, key in ipairs { "rope_scaling", "rope_parameters" } do
    if c[key] and type(c[key]) ~= "table" then bad(where, ("%s is %s"):format(key, shown(c[key])), "an object") end
  end
  local scaling = c.rope_scaling
  if not scaling then return end
  local kind = scaling.rope_type or scaling.type or "default"
  if kind ~= "default" and kind ~= "llama3" then
    bad(where, ("not supported: rope kind %s"):format(shown(kind)), "'default' or 'llama3'")
  end
  if kind == "default" then return end
  for _, key in ipairs(ROPE_KEYS) do
    if type(scaling[key]) ~= "number" or scaling[key] <= 0 then
      bad(where, ("%s of rope_scaling is %s"):format(key, shown(scaling[key])), "a number above 0")
    end
  end
end

-- What may be left out, but not be of another kind.
local KINDS = { tie_word_embeddings = "boolean", attention_bias = "boolean", use_sliding_window = "boolean",
                layer_types = "table", torch_dtype = "string" }

local function check_optional(c, where)
  for key, kind in pairs(KINDS) do
    if c[key] ~= nil and type(c[key]) ~= kind then
      bad(where, ("%s is %s"):format(key, shown(c[key])), kind == "boolean" and "true or false" or "a " .. kind)
    end
  end
  local positions = c.max_position_embeddings
  if positions ~= nil and (type(positions) ~= "number" or not math.tointeger(positions) or positions < 1) then
    bad(where, ("max_position_embeddings is %s"):format(shown(positions)), "a whole number from 1")
  end
end

local function check_kinds(c, where)
  if c.hidden_act and c.hidden_act ~= "silu" and c.hidden_act ~= "swish" then
    bad(where, ("not supported: hidden_act %s"):format(shown(c.hidden_act)), "'silu'")
  end
  if c.sliding_window and (not math.tointeger(c.sliding_window) or c.sliding_window < 1) then
    bad(where, ("sliding_window is %s"):format(shown(c.sliding_window)), "a whole number from 1")
  end
  for _, kind in ipairs(c.layer_types or {}) do
    if kind ~= "full_attention" and kind ~= "sliding_attention" then
      bad(where, ("not supported: a layer of type %s"):format(shown(kind)))
    end
  end
  if c.layer_types and #c.layer_types ~= c.num_hidden_layers then
    bad(where, ("layer_types names %d layers, num_hidden_layers is %d"):format(#c.layer_types,
      c.num_hidden_layers))
  end
  if c.pretraining_tp and c.pretraining_tp ~= 1 then
    bad(where, ("not supported: pretraining_tp %s"):format(shown(c.pretraining_tp)))
  end
end

-- Judges settings before anything is built from them and adds what the classes above read.
local function check(kind)
  return function(c, where)
    c.model_type = kind
    check_counts(c, where)
    check_optional(c, where)
    check_rope(c, where)
    check_kinds(c, where)
    c.qkv_bias = kind == "qwen2" or c.attention_bias or false
    c.out_bias = kind ~= "qwen2" and c.attention_bias or false
    c.head_norms = kind == "qwen3"
    if (kind == "qwen2" or kind == "qwen3") and not c.use_sliding_window then c.sliding_window = nil end
    if kind == "llama" then c.sliding_window = nil end
  end
end

for name, kind in pairs {
  LlamaForCausalLM = "llama", MistralForCausalLM = "mistral",
  Qwen2ForCausalLM = "qwen2", Qwen3ForCausalLM = "qwen3",
} do
  architecture.register(name, {
    model   = Decoder,
    check   = check(kind),
    gguf    = kind == "mistral" and "llama" or kind,
    writes  = { "embed_tokens", "*.self_attn.o_proj", "*.mlp.down_proj" },
    reads   = { ["*.input_layernorm"]          = "*.self_attn.{q,k,v}_proj",
                ["*.post_attention_layernorm"] = "*.mlp.{gate,up}_proj",
                ["norm"]                       = "lm_head" },
    values  = { "*.self_attn.v_proj", "*.self_attn.o_proj" },
    product = { "*.mlp.up_proj", "*.mlp.down_proj" },
    keys    = { "*.self_attn.q_norm", "*.self_attn.k_norm" },
  })
end
