-- An architecture from a script is of equal rank: the example's decoder is Qwen3 written by a user.
local wane = require "wane"
local core = require "wane.core"

local MLP = wane.module "MLP"

function MLP:init(c)
  self.gate_proj = wane.Linear(c.hidden_size, c.intermediate_size)
  self.up_proj   = wane.Linear(c.hidden_size, c.intermediate_size)
  self.down_proj = wane.Linear(c.intermediate_size, c.hidden_size)
end

function MLP:forward(x)
  return self.down_proj(self.gate_proj(x):silu() * self.up_proj(x))
end

local Attention = wane.module "Attention"

function Attention:init(c)
  self.head_dim, self.theta = c.head_dim, c.rope_theta
  self.q_proj = wane.Linear(c.hidden_size, c.num_attention_heads * c.head_dim)
  self.k_proj = wane.Linear(c.hidden_size, c.num_key_value_heads * c.head_dim)
  self.v_proj = wane.Linear(c.hidden_size, c.num_key_value_heads * c.head_dim)
  self.o_proj = wane.Linear(c.num_attention_heads * c.head_dim, c.hidden_size)
  self.q_norm = wane.RMSNorm(c.head_dim, c.rms_norm_eps)
  self.k_norm = wane.RMSNorm(c.head_dim, c.rms_norm_eps)
end

function Attention:forward(x, cache)
  local batch, tokens = table.unpack(x.shape)
  local function heads(y) return y:reshape { batch, tokens, -1, self.head_dim } end
  local q = self.q_norm(heads(self.q_proj(x))):rope(cache.position, self.theta)
  local k = self.k_norm(heads(self.k_proj(x))):rope(cache.position, self.theta)
  local v = heads(self.v_proj(x))
  local y = cache:attend(self, q, k, v)
  return self.o_proj(y:reshape { batch, tokens, -1 })
end

local Block = wane.module "Block"

function Block:init(c)
  self.input_layernorm          = wane.RMSNorm(c.hidden_size, c.rms_norm_eps)
  self.self_attn                = Attention(c)
  self.post_attention_layernorm = wane.RMSNorm(c.hidden_size, c.rms_norm_eps)
  self.mlp                      = MLP(c)
end

function Block:forward(x, cache)
  x = x + self.self_attn(self.input_layernorm(x), cache)
  return x + self.mlp(self.post_attention_layernorm(x))
end

-- A decoder whose forward may go on after its head: `cap` bends the logits.
local function decoder(cap)
  local Decoder = wane.module "Decoder"
  function Decoder:init(c)
    self.embed_tokens = wane.Embedding(c.vocab_size, c.hidden_size)
    self.layers       = wane.stack(c.num_hidden_layers, Block, c)
    self.norm         = wane.RMSNorm(c.hidden_size, c.rms_norm_eps)
    local tied        = c.tie_word_embeddings and self.embed_tokens
    self.lm_head      = wane.Linear(c.hidden_size, c.vocab_size, { tied = tied })
  end
  function Decoder:forward(tokens, cache)
    local x = self.embed_tokens(tokens)
    for block in self.layers do x = block(x, cache) end
    local logits = self.lm_head(self.norm(x))
    return cap and cap * (logits / cap):tanh() or logits
  end
  return Decoder
end

local READS = {
  ["*.input_layernorm"]          = "*.self_attn.{q,k,v}_proj",
  ["*.post_attention_layernorm"] = "*.mlp.{gate,up}_proj",
  ["norm"]                       = "lm_head",
}

wane.architecture("MyQwen3ForCausalLM", {
  model   = decoder(),
  gguf    = "qwen3",
  writes  = { "embed_tokens", "*.self_attn.o_proj", "*.mlp.down_proj" },
  reads   = READS,
  values  = { "*.self_attn.v_proj", "*.self_attn.o_proj" },
  product = { "*.mlp.up_proj", "*.mlp.down_proj" },
})
wane.architecture("CappedForCausalLM", { model = decoder(2.5) })
wane.architecture("WrongForCausalLM", { model = decoder(), reads = { ["*.input_layernorm"] = "*.mlp.{gate,up}_proj" } })

local CONFIG = {
  vocab_size = 256, hidden_size = 64, intermediate_size = 192, num_hidden_layers = 2, num_attention_heads = 4,
  num_key_value_heads = 2, head_dim = 32, rms_norm_eps = 1e-6, rope_theta = 1e6, tie_word_embeddings = true,
}

-- The weights of one model in another of the same names.
local function filled(model, weights)
  return model:with("*", { weight = function(layer) return weights(layer.name).weight end })
end

case("a user's decoder computes what the built-in one does, bit for bit", function()
  local mine = wane.model("MyQwen3ForCausalLM", CONFIG)
  local ours = filled(wane.model("Qwen3ForCausalLM", CONFIG), mine)
  local ids = { 3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5 }
  check(mine:forward(ids):same(ours:forward(ids)))
  check(mine:same(ours))
  check(tostring(mine):find "layers.{0..1}" ~= nil)
  local text = mine:generate { samples = 4, length = 20, stream = "probe" }
  check(mine "layers.1.mlp.down_proj":input(text):same(ours "layers.1.mlp.down_proj":input(text)))
  equal(#require "wane.stages".sites(mine), #require "wane.stages".sites(ours))
end)

case("wane.load knows a registered architecture", function()
  local mine = wane.model("MyQwen3ForCausalLM", CONFIG)
  local folder = scratch "mine"
  mine:save(folder, "safetensors")
  local again = wane.load(folder)
  equal(again.architecture, "MyQwen3ForCausalLM")
  check(again:same(mine))
end)

case("a forward that goes on after its head is run whole", function()
  local capped = wane.model("CappedForCausalLM", CONFIG)
  local ids = { 3, 1, 4, 1, 5 }
  local logits = capped:forward(ids)
  check(logits:absmax() <= 2.5)
  local rows = capped:_logits(capped:_hidden({ ids }):reshape { 5, -1 })
  check(rows:same(logits:reshape { 5, -1 }))
  local cache <close> = capped:cache()
  local first = capped:_logits(capped:_hidden({ { 3, 1, 4 } }, cache):reshape { 3, -1 })
  equal(cache.position, 3)
  check(first:same(logits:reshape { 5, -1 }[{ { 1, 3 }, {} }]))
  equal(#capped:generate({ samples = 2, length = 5 })[2], 5)
end)

case("a wrong `reads` shows at the first stage", function()
  local wrong = wane.model("WrongForCausalLM", CONFIG)
  fails(function() wrong "norm":input(wrong:generate { length = 3 }) end,
    "architecture 'WrongForCausalLM': reads says that 'layers.0.mlp.gate_proj' reads 'layers.0.input_layernorm'")
end)

-- A decoder that runs its second half only on texts of some lengths.
local function moody(least, most)
  local Moody = wane.module "Moody"
  function Moody:init(c)
    self.embed_tokens = wane.Embedding(c.vocab_size, c.hidden_size)
    self.first        = wane.Linear(c.hidden_size, c.hidden_size)
    self.second       = wane.Linear(c.hidden_size, c.hidden_size)
    self.lm_head      = wane.Linear(c.hidden_size, c.vocab_size)
  end
  function Moody:forward(tokens)
    local x = self.first(self.embed_tokens(tokens))
    local length = tokens.shape[2]
    if length >= least and length <= most then x = self.second(x) end
    return self.lm_head(x)
  end
  return Moody
end

case("a forward that depends on its text is told from one that does not", function()
  wane.architecture("MoodyForCausalLM", { model = moody(4, 9) })
  local model = wane.model("MoodyForCausalLM", { vocab_size = 9, hidden_size = 6 })
  local texts = require "wane.text"
  local text = texts.from_samples { { ids = { 1, 2, 3, 4 }, first = 2 }, { ids = { 1, 2 }, first = 2 } }
  fails(function() model "second":input(text) end, "stage: the forward does not come to 'second'")
  equal(model "first":input(text).shape[1], 6)
  wane.architecture("MoodyForCausalLM", { model = moody(1, 3) })
  local other = wane.model("MoodyForCausalLM", { vocab_size = 9, hidden_size = 6 })
  fails(function() other "second":input(text) end,
    "stage: the forward of sample 1 comes to its end, expected 'second'")
  equal(require "wane.stages".active, 0)
  local override = model:with("first", { forward = function(layer, x)
    return x.shape[2] > 2 and layer(x) or layer(model "first"(x))
  end })
  equal(override "lm_head":input(text).shape[1], 6)
end)

case("modules and layers outside of a model", function()
  local linear = wane.Linear(6, 4, { bias = true })
  equal(linear(wane.ones { 3, 6 }).shape[2], 4)
  check(linear(wane.ones { 1, 6 }):same(linear(wane.ones { 1, 6 })))
  local norm = wane.RMSNorm(6, 0)
  near(norm(wane.full({ 1, 6 }, 3)):max(), 1, 1e-6)
  local mlp = MLP { hidden_size = 6, intermediate_size = 10 }
  equal(mlp(wane.ones { 2, 6 }).shape[2], 6)
  fails(function() mlp.down_proj = linear end, "MLP: assigning to 'down_proj': a layer is a value")
  fails(function() linear:input "x" end, "layer:input: the layer belongs to no model")
  local Bare = wane.module "Bare"
  fails(function() Bare()(wane.ones { 1 }) end, "Bare: class 'Bare' has no forward")
end)

case("what the parts refuse", function()
  fails(function() wane.module "mlp" end, "does not start with a capital")
  fails(function() wane.Linear(0, 4) end, "wane.Linear: in is an integer 0; expected a whole number from 1")
  fails(function() wane.Linear(4, 4, { bais = true }) end,
    "wane.Linear: no option 'bais'; did you mean 'bias'?")
  fails(function() wane.Linear(4, 4, { tied = wane.Embedding(3, 4) }) end,
    "wane.Linear: tied to a weight of another shape: [3 x 4], expected [4 x 4]")
  fails(function() wane.RMSNorm(4) end, "wane.RMSNorm: argument 2 (eps) is missing; expected a number")
  fails(function() wane.stack(2, {}, {}) end, "wane.stack: argument 2 (Class) is a table; expected a class")
  fails(function() wane.architecture("X", { model = MLP, read = {} }) end,
    "no option 'read'; did you mean 'reads'?")
  fails(function() wane.architecture("X", {}) end, "option 'model' is missing; expected a class")
  fails(function() wane.architecture("X", { model = MLP, writes = { 3 } }) end,
    "option 'writes' holds an integer 3")
end)

case("the core stays out of a script's way", function()
  check(core.same_node ~= nil)
  fails(function() return wane.core end, "wane: no 'core'")
end)
