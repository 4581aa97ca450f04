---@meta wane
-- Written by `wane help --library`; changes are lost.

---@alias wane.dtype "f64"|"f32"|"bf16"|"f16"|"e4m3"|"e5m2"|"i64"|"i32"|"i8"|"u8"|"bool"
---@alias wane.device "cpu"|"cuda"
---@alias wane.place (integer|integer[])[]|integer
---@alias wane.pattern string|string[]|wane.list|fun(layer: wane.layer): boolean
---@alias wane.tokens wane.text|wane.tensor|integer[]|integer[][]|string|integer

---@class wane.class
---@overload fun(...): wane.layer
---@field init fun(self: wane.layer, ...)
---@field forward fun(self: wane.layer, x: wane.tensor, ...): wane.tensor

--- a mutable array. Made by wane.buffer(x)
---@class wane.buffer
---@field [wane.place] wane.tensor
---@operator len: integer
---@field shape integer[] Sizes of the dims, a Lua list.
---@field dtype wane.dtype That of its elements.
local buffer = {}

--- All of it as a tensor; writing is an error from here on.
--- - shapes: the buffer's
--- - dtypes: the buffer's
--- - errors: none of its own
--- ```lua
--- b = wane.buffer(wane.zeros(2))
--- b[1] = 3
--- b:freeze()  --> { 3, 0 }
--- ```
---@return wane.tensor
function buffer:freeze() end

--- keys and values of one batch; mutable. Made by model:cache()
---@class wane.cache
---@field position integer|integer[] Tokens kept before the ones being read: a number, or a list of one per sample where they differ.
---@field samples integer Samples of the batch, 0 before its first forward.
---@field bytes integer What is kept now.
local cache = {}

--- Causal attention of q over the keys and values kept for this module, k and v appended; heads in groups.
--- window: how many of the last tokens each one sees, itself among them; scale: 1 / sqrt(dim) unless given.
--- - shapes: q [batch, tokens, heads, dim], k and v [batch, tokens, kv_heads, dim]; the result has q's
--- - dtypes: floats; sums and weights in f32, the result has q's
--- - errors: heads that kv_heads does not divide; shapes that differ from those kept
--- - source: Vaswani et al. 2017, arXiv 1706.03762
--- ```lua
--- cache, x = model:cache(), wane.ones { 1, 2, 1, 4 }
--- cache:attend(model "layers.0.self_attn", x, x, x).shape  --> { 1, 2, 1, 4 }
--- ```
---@param module wane.layer
---@param q wane.tensor
---@param k wane.tensor
---@param v wane.tensor
---@param options? { window?: integer, scale?: number }
---@return wane.tensor
function cache:attend(module, q, k, v, options) end

--- Lets go of the memory now.
--- - errors: none; reading it afterwards is one
--- ```lua
--- cache = model:cache()
--- cache:free()
--- ```
function cache:free() end

--- a picture of a table or of a tensor's values; print draws it. Made by table:chart and x:hist
---@class wane.chart
local chart = {}

--- An .svg file.
--- - errors: another ending; a file that cannot be made (exit code 73)
--- ```lua
--- wane.tensor({ 1, 2, 2 }):hist():save "hist.svg"
--- ```
---@param path string
function chart:save(path) end

--- two models on the same items. Made by wane.compare
---@class wane.comparison
---@field score wane.score That of the model.
---@field base wane.score That of the base model.
---@field delta wane.score score - base, paired.
---@field kl wane.score Mean divergence of the model from the base, with its error.
---@field kl_p99 number Its 99th percentile over tokens.
---@field top1 wane.score How often both would choose the same token.
---@field flips wane.score Tasks with choices: the share of items whose answer changed.
---@field p number Tasks with choices: McNemar's two-sided p-value.
local comparison = {}

--- a part of a model that has a weight. Made by model "name", model:layers(pattern); layer(x) runs it
---@class wane.layer
---@overload fun(x: wane.tensor, ...): wane.tensor
---@field [string] any
---@field name string Its path in the model, without a leading "model.".
---@field class string Linear, Embedding, RMSNorm, or a module's name.
---@field weight wane.tensor Its weight, a tensor; a quantized tensor after wane.quantize; nil for a module.
---@field bias wane.tensor? Its bias, or nil.
local layer = {}

--- What the layer sees while its model reads the text, after its transform and before its input quantizer; samples in order.
--- - shapes: [tokens, channels]
--- - dtypes: that of the computation, bf16 or f32
--- - errors: a layer of no model; a forward that does not come to it
--- ```lua
--- model "layers.0.mlp.down_proj":input(text).shape  --> { 64, 32 }
--- ```
---@param text wane.text|string
---@return wane.tensor
function layer:input(text) end

--- What it gives; samples in order.
--- - shapes: [tokens, channels]
--- - dtypes: that of the computation, bf16 or f32
--- - errors: a layer of no model; a forward that does not come to it
--- ```lua
--- model "layers.0.mlp.down_proj":output(text).shape  --> { 64, 16 }
--- ```
---@param text wane.text|string
---@return wane.tensor
function layer:output(text) end

--- items that can be walked: for x in list do, #list, list[1], list[-1]. Made by model:layers, table:outliers
---@class wane.list
---@operator len: integer
---@field [integer] any
---@overload fun(_: any, last: any): any
local list = {}

--- named modules with weights; a value. Made by wane.load and wane.model; model "name" is a layer
---@class wane.model
---@overload fun(name: string): wane.layer
---@field bits number Mean stored bits per weight, scales included, over the layers that rules gave a weight scheme; else over all.
---@field bytes integer The stored size of all of it.
---@field config table<string, any> The keys of the checkpoint's config.json.
---@field name string The file's or folder's name; of wane.model the architecture's.
---@field dtype wane.dtype What its weights are read as.
---@field architecture string The name in config.json.
---@field tokenizer table? The tokenizer, or nil; model:tokens and model:text use it.
---@field prefix string? The tokens that wane.prefix keeps in front of every text, as a string, or nil.
---@field metrics wane.table? A table with a row for each solved layer: layer, weight, solver, error, sqnr (dB), clipped, damp, dead, tokens, seconds, kl; nil before wane.quantize.
---@field compute wane.dtype The dtype in which its products are computed: bf16 where the weights and the CPU have it, else f32.
local model = {}

--- In model order; without a pattern all.
--- pattern: a glob over whole names (*, ?, {q,k,v}, {0..9}), re: and a regular expression, a class ("Linear"), a list of names, or a function of a layer.
--- - errors: a pattern that matches nothing, with the nearest names
--- ```lua
--- #model:layers "*.{q,k,v}_proj"  --> 6
--- for layer in model:layers "*_proj" do print(layer.name) end
--- ```
---@param pattern? wane.pattern
---@return wane.list
function model:layers(pattern) end

--- The logits. tokens: a text, a list of ids or of lists of ids, a tensor, or a string.
--- - shapes: tokens [samples, length] to [samples, length, vocabulary]
--- - dtypes: tokens i32; logits f32
--- - errors: samples of unequal length; an id outside of the vocabulary; more tokens than the model has positions; a cache of another batch
--- ```lua
--- model:forward({ 1, 2, 3 }).shape  --> { 1, 3, 64 }
--- ```
---@param tokens wane.tokens
---@param cache? wane.cache
---@return wane.tensor
function model:forward(tokens, cache) end

--- `model:generate { prompt = "", samples = 1, length, temperature = 1, top_k, top_p, stop, stream = "generate" } -> text`
---
--- A sample ends at end of text, `stop` or `length`, without a prompt at `length` only (its first token is drawn after bos, else eos, else id 0). The text keeps the prompt or the first token, unscored. temperature 0 is greedy.
--- - units: length counts new tokens; top_p is a share
--- - errors: a length that the model's positions do not hold; no length without a prompt; stop without a tokenizer
--- ```lua
--- text = model:generate { samples = 2, length = 8 }
--- #text  --> 2
--- #text[1]  --> 8
--- ```
---@param options { prompt?: string|wane.text, samples?: integer, length?: integer, temperature?: number, top_k?: integer, top_p?: number, stop?: string|string[], stream?: string }
---@return wane.text
function model:generate(options) end

--- Keys and values of one batch, for model:forward to go on from.
--- - errors: none of its own
--- ```lua
--- cache = model:cache()
--- model:forward({ 1, 2 }, cache).shape  --> { 1, 2, 64 }
--- cache.position  --> 2
--- ```
---@return wane.cache
function model:cache() end

--- Token ids of a text or a string.
--- - shapes: [samples, length]
--- - dtypes: i32
--- - errors: samples of unequal length; a string and no tokenizer
--- ```lua
--- reader:tokens "cab"  --> { { 2, 0, 1 } }
--- ```
---@param text wane.text|string
---@return wane.tensor
function model:tokens(text) end

--- What the ids of one sample stand for; of several, one below the other.
--- - errors: no tokenizer; an id outside of the vocabulary
--- ```lua
--- reader:text { 2, 0, 1 }  --> "cab"
--- ```
---@param tokens wane.tokens
---@return string
function model:text(tokens) end

--- The same model with these layers' weight (a tensor or a function of the layer) or their forward(layer, x) replaced.
--- - errors: a pattern that matches nothing; a weight of another shape or of integers
--- ```lua
--- zero = model:with("lm_head", { weight = function(layer) return layer.weight * 0 end })
--- zero:forward({ 1 }):absmax()  --> 0
--- ```
---@param pattern wane.pattern
---@param options? { weight?: wane.tensor|fun(layer: wane.layer): wane.tensor, forward?: fun(layer: wane.layer, x: wane.tensor): wane.tensor }
---@return wane.model
function model:with(pattern, options) end

--- Compares weights, codes and scales bit by bit.
--- - errors: an argument that is no model
--- ```lua
--- model:same(model)  --> true
--- model:same(model:with("norm", { weight = wane.zeros(16) }))  --> false, "norm"
--- ```
---@param other wane.model
---@return boolean
---@return string?
function model:same(other) end

--- The same values in plain storage; input quantizers stay, as rounding.
--- - errors: none of its own
--- ```lua
--- small:dequantize().bits  --> 32
--- ```
---@return wane.model
function model:dequantize() end

--- format: "safetensors", "compressed-tensors", "gptq" or "gguf". Whole or not at all, reopened and compared; relative to the current folder.
--- - errors: layers that the format cannot hold, all at once, before a byte is written; a folder that cannot be made or is not wane's (exit code 73)
--- ```lua
--- model:save("tiny", "safetensors")
--- ```
---@param path string
---@param format string
function model:save(path, format) end

--- what is learned from numbers that pass. Made by wane.minmax and others, wane.observer
---@class wane.observer
---@overload fun(options: table): wane.observer
---@field [string] any
---@field name string Its name; every option is a field too.
local observer = {}

--- Before the first sample.
--- - errors: what it raises itself
--- ```lua
--- Count = wane.observer("count", { per = "token" })
--- function Count:init() self.tokens = 0 end
--- function Count:see(x) self.tokens = self.tokens + x.shape[1] end
--- function Count:result() return self.tokens end
--- wane.observe(model, text, Count)[1].count  --> 64
--- ```
function observer:init() end

--- Each sample in order, one at a time.
--- - shapes: x and x0 [rows, m]
--- - dtypes: f32
--- - errors: what it raises itself
--- ```lua
--- Last = wane.observer("last", { per = "tensor" })
--- function Last:see(x) self.x = x end
--- function Last:result() return self.x:absmax() end
--- wane.observe(model, text, Last)[1].last > 0  --> true
--- ```
---@param x wane.tensor
---@param x0? wane.tensor
function observer:see(x, x0) end

--- After the last sample.
--- - shapes: a number, [rows, 1], or two of them
--- - dtypes: floats
--- - errors: a result of another kind or shape, NaN or Inf
--- ```lua
--- Two = wane.observer("two", { per = "tensor" })
--- function Two:see() end
--- function Two:result() return 2 end
--- wane.observe(model, text, Two)[1].two  --> 2
--- ```
---@return number|wane.tensor
function observer:result() end

--- a table of what rules do to each layer of a model. Made by rules:plan(model)
---@class wane.plan: wane.table
---@field bits number Mean stored bits per weight over the layers with a weight scheme.
---@field bytes integer The stored size of the whole model.
---@field problems wane.list What wane.quantize would refuse, a list of strings.
---@field model string The name of the model.
local plan = {}

--- a tensor of codes and parameters; in arithmetic it is its values. Made by quantizer:quantize(w)
---@class wane.quantized: wane.tensor
---@field codes wane.tensor The codes, u8 of the tensor's shape.
---@field params table<string, wane.tensor> The parameters as they are stored: a table of tensors [rows, 1] by name.
---@field quantizer wane.quantizer The quantizer that made it.
local quantized = {}

--- The values that the codes stand for, in plain storage.
--- - shapes: the tensor's
--- - dtypes: the tensor's
--- - errors: none of its own
--- ```lua
--- wane.int { bits = 4 }:quantize(wane.tensor { { -7.5, 7.5 } }):dequantize()  --> { { -8, 7 } }
--- ```
---@return wane.tensor
function quantized:dequantize() end

--- how numbers become codes. Made by wane.int, fp8, nf4, wane.quantizer; calling one gives a variant
---@class wane.quantizer
---@overload fun(options: table): wane.quantizer
---@field [string] any
---@field name string Its name; every option is a field too.
local quantizer = {}

--- The parameters of a weight, by the range that the observer finds: a table of tensors.
--- - shapes: w [out, in]; params [rows, 1], a row for each scale
--- - dtypes: w floats; params f32, rounded to what is stored
--- - errors: no matrix; integers; a group_size that does not divide the columns; per = "token" on a weight
--- ```lua
--- wane.int { bits = 4 }:fit(wane.tensor { { -7.5, 7.5 } }).scale  --> { { 1 } }
--- ```
---@param w wane.tensor
---@param seen? table
---@return table<string,wane.tensor>
function quantizer:fit(w, seen) end

--- Whole numbers 0 to 2^bits - 1.
--- - shapes: w [out, in]
--- - dtypes: u8
--- - errors: no matrix; integers; a group_size that does not divide the columns; per = "token" on a weight
--- ```lua
--- q, w = wane.int { bits = 4 }, wane.tensor { { -7.5, 7.5 } }
--- q:encode(w, q:fit(w))  --> { { 0, 15 } }
--- ```
---@param w wane.tensor
---@param params table<string,wane.tensor>
---@return wane.tensor
function quantizer:encode(w, params) end

--- The values that codes stand for.
--- - shapes: w [out, in]
--- - dtypes: f32
--- - errors: no matrix; integers; a group_size that does not divide the columns; per = "token" on a weight
--- ```lua
--- q, w = wane.int { bits = 4 }, wane.tensor { { -7.5, 7.5 } }
--- q:decode(wane.tensor { { 0, 15 } }, q:fit(w))  --> { { -8, 7 } }
--- ```
---@param codes wane.tensor
---@param params table<string,wane.tensor>
---@return wane.tensor
function quantizer:decode(codes, params) end

--- A quantized tensor of codes and parameters.
--- - shapes: w [out, in]
--- - dtypes: that of its values, "f32" unless given
--- - errors: no matrix; integers; a group_size that does not divide the columns; per = "token" on a weight
--- ```lua
--- q, w = wane.int { bits = 4 }, wane.tensor { { -7.5, 7.5 } }
--- q:pack(wane.tensor { { 0, 15 } }, q:fit(w)) + 1  --> { { -7, 8 } }
--- ```
---@param codes wane.tensor
---@param params table<string,wane.tensor>
---@param dtype? wane.dtype
---@return wane.tensor
function quantizer:pack(codes, params, dtype) end

--- A quantized tensor: q.codes, q.params, q:dequantize(); in arithmetic it counts as its values.
--- - shapes: w [out, in]
--- - dtypes: w floats; the result counts as w's dtype
--- - errors: no matrix; integers; a group_size that does not divide the columns; per = "token" on a weight
--- ```lua
--- wane.int { bits = 4 }:quantize(wane.tensor { { -7.5, 7.5 } }) + 1  --> { { -7, 8 } }
--- ```
---@param w wane.tensor
---@param seen? table
---@return wane.tensor
function quantizer:quantize(w, seen) end

--- what to do to which layer. Made by wane.rules and wane.allocate
---@class wane.rules
local rules = {}

--- Rules with one more at the end.
--- - errors: as wane.rules
--- ```lua
--- rules:with { "*.mlp.down_proj", weight = "keep" }:plan(model).bits  --> 6
--- ```
---@param rule table
---@return wane.rules
function rules:with(rule) end

--- What each layer gets, seen before anything is computed.
--- - errors: a pattern that matches nothing; other problems are .problems
--- ```lua
--- plan = rules:plan(model)
--- print(plan)
--- #plan  --> 21
--- ```
---@param model wane.model
---@return wane.plan
function rules:plan(model) end

--- a number with its standard error. Made by wane.evaluate, wane.compare, table:mean
---@class wane.score
---@operator add(number|wane.score): wane.score
---@operator sub(number|wane.score): wane.score
---@operator mul(number|wane.score): wane.score
---@operator div(number|wane.score): wane.score
---@field value number The number.
---@field error number Its standard error, NaN of one item.
---@field items integer How many items are behind it.
---@field protocol string The task's.
---@field version integer Of the protocol.
---@field hash string SHA-256 of the item set; a difference of scores with other ones is an error.
local score = {}

--- how the codes of one weight are chosen. Made by wane.rtn, wane.gptq, wane.solver
---@class wane.solver
---@overload fun(options: table): wane.solver
---@field [string] any
---@field name string Its name; every option is a field too.
local solver = {}

--- The quantized tensor of a weight; seen holds the statistics of its input that the solver needs. wane.gptq gives a table after it: damp, dead (columns that no token uses), loss (the summed squares of its errors).
--- - shapes: w [out, in]; seen.hessian, seen.cross [in, in]; seen.calm [in, 1]
--- - dtypes: w of any float dtype; the result counts as w's
--- - errors: statistics that are missing, or have NaN or Inf; shapes that do not fit; a group_size that does not divide
--- - source: that of the solver
--- ```lua
--- wane.rtn:solve(wane.tensor { { -7.5, 7.5 } }, wane.int { bits = 4 }).codes  --> { { 0, 15 } }
--- ```
---@param w wane.tensor
---@param quantizer wane.quantizer
---@param seen? table
---@return wane.tensor
function solver:solve(w, quantizer, seen) end

--- rows with named columns. Made by wane.table, wane.observe; t[i], #t, for row in t do
---@class wane.table
---@operator len: integer
---@field [integer] table<string,any>
---@overload fun(_: any, last: any): table<string,any>
---@field name string Its name.
---@field columns wane.list The names of its columns.
local table = {}

--- One more row, { column = value, ... }: strings, numbers, booleans, scores, timings, tensors, values such as quantizers.
--- - errors: an unknown column, with the nearest; a value that is no cell
--- ```lua
--- t = wane.table("t", { "a" })
--- #t:add { a = 1 }  --> 1
--- ```
---@param row table
---@return wane.table
function table:add(row) end

--- `t:outliers(column, { over = 20, among }) -> list`
---
--- First-column names of the rows above `over` times the median of the `among` rows around them, itself in; all rows unless given.
--- - errors: an unknown column; a cell that is no number
--- ```lua
--- t = wane.table("t", { "layer", "x" })
--- for i, x in ipairs { 1, 2, 90, 1, 2 } do t:add { layer = "l" .. i, x = x } end
--- t:outliers("x", { over = 20 })[1]  --> "l3"
--- ```
---@param column string
---@param options? { over?: number, among?: integer }
---@return wane.list
function table:outliers(column, options) end

--- One row per combination of these columns; other numbers are averaged into scores.
--- - errors: an unknown column
--- ```lua
--- t = wane.table("t", { "kind", "x" })
--- for _, x in ipairs { 1, 3 } do t:add { kind = "a", x = x } end
--- t:mean({ "kind" })[1].x.value  --> 2
--- ```
---@param columns string[]
---@return wane.table
function table:mean(columns) end

--- A .csv or .jsonl file; a score takes two columns in a .csv, the second its error.
--- - errors: another ending; a file that cannot be made (exit code 73)
--- ```lua
--- t = wane.table("t", { "a" })
--- t:add { a = 1 }
--- t:save "t.csv"
--- io.open("t.csv"):read "a"  --> "a\n1\n"
--- ```
---@param path string
function table:save(path) end

--- Text on y: a line for each row; numbers on both: points. log = "x" or "y"; label names a column, mark a list of first-column names.
--- - errors: an unknown column; a cell that is no finite number; a logarithm of 0 or less
--- ```lua
--- t = wane.table("t", { "layer", "x" })
--- t:add { layer = "a", x = 3 }
--- print(t:chart { x = "x", y = "layer" })
--- ```
---@param options { x?: string, y?: string, log?: "x"|"y", label?: string, mark?: wane.list|string[] }
---@return wane.chart
function table:chart(options) end

--- a named protocol over data. Made by wane.task
---@class wane.task
---@field protocol string Its name.
---@field version integer Of the protocol; scores of two versions do not compare.
---@field items integer? The size of the drawn subset, or nil: all.
local task = {}

--- an array with shape, dtype and device; a value. Made by wane.tensor, wane.randn, arithmetic, layer.weight
---@class wane.tensor
---@field [wane.place] wane.tensor
---@operator unm: wane.tensor
---@operator len: integer
---@operator add(number|wane.tensor): wane.tensor
---@operator sub(number|wane.tensor): wane.tensor
---@operator mul(number|wane.tensor): wane.tensor
---@operator div(number|wane.tensor): wane.tensor
---@operator mod(number|wane.tensor): wane.tensor
---@operator pow(number|wane.tensor): wane.tensor
---@field shape integer[] Sizes of the dims, a Lua list.
---@field dtype wane.dtype One of f64 f32 bf16 f16 e4m3 e5m2 i64 i32 i8 u8 bool.
---@field device wane.device Where the elements are.
---@field bytes integer Size of all elements, of a quantized tensor too as if it were plain.
local tensor = {}

--- Magnitude. The least integer stays as it is (it wraps).
--- - shapes: x of any shape; the result has it
--- - dtypes: any; the result has x's, or the wider one of x and y (two 16-bit floats: f32); bool counts as i32
--- - errors: none of its own; reading a freed tensor or a stale view says where it was freed or written
--- ```lua
--- wane.tensor { -2, 3 }:abs()  --> { 2, 3 }
--- ```
---@return wane.tensor
function tensor:abs() end

--- Negation. The least integer stays as it is; of bool i32.
--- - shapes: x of any shape; the result has it
--- - dtypes: any; the result has x's, or the wider one of x and y (two 16-bit floats: f32); bool counts as i32
--- - errors: none of its own; reading a freed tensor or a stale view says where it was freed or written
--- ```lua
--- wane.tensor { -2, 3 }:neg()  --> { 2, -3 }
--- ```
---@return wane.tensor
function tensor:neg() end

--- -1, 0 or 1; NaN stays NaN and zero keeps its sign.
--- - shapes: x of any shape; the result has it
--- - dtypes: any; the result has x's, or the wider one of x and y (two 16-bit floats: f32); bool counts as i32
--- - errors: none of its own; reading a freed tensor or a stale view says where it was freed or written
--- ```lua
--- wane.tensor { -2, 0, 3 }:sign()  --> { -1, 0, 1 }
--- ```
---@return wane.tensor
function tensor:sign() end

--- a * a. Integers wrap.
--- - shapes: x of any shape; the result has it
--- - dtypes: any; the result has x's, or the wider one of x and y (two 16-bit floats: f32); bool counts as i32
--- - errors: none of its own; reading a freed tensor or a stale view says where it was freed or written
--- ```lua
--- wane.tensor { -2, 3 }:square()  --> { 4, 9 }
--- ```
---@return wane.tensor
function tensor:square() end

--- Square root, correctly rounded. Of numbers below 0 NaN, of -0 -0.
--- - shapes: x of any shape; the result has it
--- - dtypes: floats keep theirs; integers and bool are computed in f32
--- - errors: none of its own; reading a freed tensor or a stale view says where it was freed or written
--- ```lua
--- wane.tensor { 4, 2 }:sqrt()  --> { 2, 1.414214 }
--- ```
---@return wane.tensor
function tensor:sqrt() end

--- 1 / sqrt(a), two roundings: at most 1.5 ulp. Of 0 infinity with its sign, below 0 NaN.
--- - shapes: x of any shape; the result has it
--- - dtypes: floats keep theirs; integers and bool are computed in f32
--- - errors: none of its own; reading a freed tensor or a stale view says where it was freed or written
--- ```lua
--- wane.tensor { 4, 16 }:rsqrt()  --> { 0.5, 0.25 }
--- ```
---@return wane.tensor
function tensor:rsqrt() end

--- 1 / a, correctly rounded. Of 0 infinity with its sign.
--- - shapes: x of any shape; the result has it
--- - dtypes: floats keep theirs; integers and bool are computed in f32
--- - errors: none of its own; reading a freed tensor or a stale view says where it was freed or written
--- ```lua
--- wane.tensor { 4, -0.5 }:reciprocal()  --> { 0.25, -2 }
--- ```
---@return wane.tensor
function tensor:reciprocal() end

--- e^a, at most 2 ulp. Of -infinity 0; overflows to infinity.
--- - shapes: x of any shape; the result has it
--- - dtypes: floats keep theirs; integers and bool are computed in f32
--- - errors: none of its own; reading a freed tensor or a stale view says where it was freed or written
--- ```lua
--- wane.tensor { 0, 1 }:exp()  --> { 1, 2.718282 }
--- ```
---@return wane.tensor
function tensor:exp() end

--- 2^a, at most 2 ulp; exact for whole a.
--- - shapes: x of any shape; the result has it
--- - dtypes: floats keep theirs; integers and bool are computed in f32
--- - errors: none of its own; reading a freed tensor or a stale view says where it was freed or written
--- ```lua
--- wane.tensor { -1, 10 }:exp2()  --> { 0.5, 1024 }
--- ```
---@return wane.tensor
function tensor:exp2() end

--- e^a - 1 without cancellation, at most 3 ulp (f64: 4).
--- - shapes: x of any shape; the result has it
--- - dtypes: floats keep theirs; integers and bool are computed in f32
--- - errors: none of its own; reading a freed tensor or a stale view says where it was freed or written
--- ```lua
--- wane.tensor { 0, 1 }:expm1()  --> { 0, 1.718282 }
--- ```
---@return wane.tensor
function tensor:expm1() end

--- Natural logarithm, at most 2 ulp. Of 0 -infinity, below 0 NaN.
--- - shapes: x of any shape; the result has it
--- - dtypes: floats keep theirs; integers and bool are computed in f32
--- - errors: none of its own; reading a freed tensor or a stale view says where it was freed or written
--- ```lua
--- wane.tensor { 1, 10 }:log()  --> { 0, 2.302585 }
--- ```
---@return wane.tensor
function tensor:log() end

--- Logarithm to base 2, at most 2 ulp (f64: 3); exact for powers of 2. Of 0 -infinity, below 0 NaN.
--- - shapes: x of any shape; the result has it
--- - dtypes: floats keep theirs; integers and bool are computed in f32
--- - errors: none of its own; reading a freed tensor or a stale view says where it was freed or written
--- ```lua
--- wane.tensor { 8, 0.5 }:log2()  --> { 3, -1 }
--- ```
---@return wane.tensor
function tensor:log2() end

--- log(1 + a) without cancellation, at most 2 ulp (f64: 3). Of -1 -infinity, below NaN.
--- - shapes: x of any shape; the result has it
--- - dtypes: floats keep theirs; integers and bool are computed in f32
--- - errors: none of its own; reading a freed tensor or a stale view says where it was freed or written
--- ```lua
--- wane.tensor { 0, 1 }:log1p()  --> { 0, 0.693147 }
--- ```
---@return wane.tensor
function tensor:log1p() end

--- Sine of radians, at most 2 ulp (f64: 3) for every finite a. Of infinities NaN.
--- - shapes: x of any shape; the result has it
--- - dtypes: floats keep theirs; integers and bool are computed in f32
--- - units: radians
--- - errors: none of its own; reading a freed tensor or a stale view says where it was freed or written
--- ```lua
--- wane.tensor { 0, math.pi / 2 }:sin()  --> { 0, 1 }
--- ```
---@return wane.tensor
function tensor:sin() end

--- Cosine of radians, at most 2 ulp (f64: 3) for every finite a. Of infinities NaN.
--- - shapes: x of any shape; the result has it
--- - dtypes: floats keep theirs; integers and bool are computed in f32
--- - units: radians
--- - errors: none of its own; reading a freed tensor or a stale view says where it was freed or written
--- ```lua
--- wane.tensor { 0, math.pi }:cos()  --> { 1, -1 }
--- ```
---@return wane.tensor
function tensor:cos() end

--- Hyperbolic tangent, at most 2 ulp (f64: 5).
--- - shapes: x of any shape; the result has it
--- - dtypes: floats keep theirs; integers and bool are computed in f32
--- - errors: none of its own; reading a freed tensor or a stale view says where it was freed or written
--- ```lua
--- wane.tensor { 0, 1 }:tanh()  --> { 0, 0.761594 }
--- ```
---@return wane.tensor
function tensor:tanh() end

--- Error function, at most 2 ulp (f64: 5).
--- - shapes: x of any shape; the result has it
--- - dtypes: floats keep theirs; integers and bool are computed in f32
--- - errors: none of its own; reading a freed tensor or a stale view says where it was freed or written
--- ```lua
--- wane.tensor { 0, 1 }:erf()  --> { 0, 0.842701 }
--- ```
---@return wane.tensor
function tensor:erf() end

--- 1 / (1 + e^-a), at most 2 ulp (f64: 4).
--- - shapes: x of any shape; the result has it
--- - dtypes: floats keep theirs; integers and bool are computed in f32
--- - errors: none of its own; reading a freed tensor or a stale view says where it was freed or written
--- ```lua
--- wane.tensor { 0, 2 }:sigmoid()  --> { 0.5, 0.880797 }
--- ```
---@return wane.tensor
function tensor:sigmoid() end

--- a * sigmoid(a), at most 4 ulp or 2e-43 (f64: 1e-320). Of -infinity -0.
--- - shapes: x of any shape; the result has it
--- - dtypes: floats keep theirs; integers and bool are computed in f32
--- - errors: none of its own; reading a freed tensor or a stale view says where it was freed or written
--- - source: Elfwing et al. 2017, arXiv 1702.03118
--- ```lua
--- wane.tensor { 0, 2 }:silu()  --> { 0, 1.761594 }
--- ```
---@return wane.tensor
function tensor:silu() end

--- log(1 + e^a) without overflow, at most 3 ulp (f64: 4).
--- - shapes: x of any shape; the result has it
--- - dtypes: floats keep theirs; integers and bool are computed in f32
--- - errors: none of its own; reading a freed tensor or a stale view says where it was freed or written
--- ```lua
--- wane.tensor { 0, 2 }:softplus()  --> { 0.693147, 2.126928 }
--- ```
---@return wane.tensor
function tensor:softplus() end

--- max(a, 0); NaN stays NaN, -0 becomes 0.
--- - shapes: x of any shape; the result has it
--- - dtypes: any; the result has x's, or the wider one of x and y (two 16-bit floats: f32); bool counts as i32
--- - errors: none of its own; reading a freed tensor or a stale view says where it was freed or written
--- ```lua
--- wane.tensor { -1, 2 }:relu()  --> { 0, 2 }
--- ```
---@return wane.tensor
function tensor:relu() end

--- a * Phi(a), by erf, at most 4 ulp or, where the sum cancels below 0, 1e-7 (f64: 1e-15). Of -infinity -0.
--- - shapes: x of any shape; the result has it
--- - dtypes: floats keep theirs; integers and bool are computed in f32
--- - errors: none of its own; reading a freed tensor or a stale view says where it was freed or written
--- - source: Hendrycks and Gimpel 2016, arXiv 1606.08415
--- ```lua
--- wane.tensor { -1, 1 }:gelu()  --> { -0.158655, 0.841345 }
--- ```
---@return wane.tensor
function tensor:gelu() end

--- The tanh form of gelu, at most 4 ulp or, below 0, 5e-8 (f64: 1e-15). Of -infinity -0.
--- - shapes: x of any shape; the result has it
--- - dtypes: floats keep theirs; integers and bool are computed in f32
--- - errors: none of its own; reading a freed tensor or a stale view says where it was freed or written
--- - source: Hendrycks and Gimpel 2016, arXiv 1606.08415
--- ```lua
--- wane.tensor { -1, 1 }:gelu_tanh()  --> { -0.158808, 0.841192 }
--- ```
---@return wane.tensor
function tensor:gelu_tanh() end

--- To the nearest whole number, ties to even. NaN, infinities and the sign of zero stay.
--- - shapes: x of any shape; the result has it
--- - dtypes: any; the result has x's, or the wider one of x and y (two 16-bit floats: f32); bool counts as i32
--- - errors: none of its own; reading a freed tensor or a stale view says where it was freed or written
--- ```lua
--- wane.tensor { 0.5, 1.5, -1.2 }:round()  --> { 0, 2, -1 }
--- ```
---@return wane.tensor
function tensor:round() end

--- Largest whole number not above. NaN, infinities and -0 stay.
--- - shapes: x of any shape; the result has it
--- - dtypes: any; the result has x's, or the wider one of x and y (two 16-bit floats: f32); bool counts as i32
--- - errors: none of its own; reading a freed tensor or a stale view says where it was freed or written
--- ```lua
--- wane.tensor { 1.7, -1.2 }:floor()  --> { 1, -2 }
--- ```
---@return wane.tensor
function tensor:floor() end

--- Least whole number not below. NaN, infinities and -0 stay; above -1 and below 0 gives -0.
--- - shapes: x of any shape; the result has it
--- - dtypes: any; the result has x's, or the wider one of x and y (two 16-bit floats: f32); bool counts as i32
--- - errors: none of its own; reading a freed tensor or a stale view says where it was freed or written
--- ```lua
--- wane.tensor { 1.2, -1.7 }:ceil()  --> { 2, -1 }
--- ```
---@return wane.tensor
function tensor:ceil() end

--- Whole part, towards zero. NaN, infinities and the sign of zero stay.
--- - shapes: x of any shape; the result has it
--- - dtypes: any; the result has x's, or the wider one of x and y (two 16-bit floats: f32); bool counts as i32
--- - errors: none of its own; reading a freed tensor or a stale view says where it was freed or written
--- ```lua
--- wane.tensor { 1.7, -1.7 }:trunc()  --> { 1, -1 }
--- ```
---@return wane.tensor
function tensor:trunc() end

--- True where NaN; never of integers.
--- - shapes: x of any shape; the result has it
--- - dtypes: any numbers; the result is bool
--- - errors: none of its own; reading a freed tensor or a stale view says where it was freed or written
--- ```lua
--- wane.tensor { 0 / 0, 1 }:isnan()  --> { true, false }
--- ```
---@return wane.tensor
function tensor:isnan() end

--- True where neither NaN nor infinite; always of integers.
--- - shapes: x of any shape; the result has it
--- - dtypes: any numbers; the result is bool
--- - errors: none of its own; reading a freed tensor or a stale view says where it was freed or written
--- ```lua
--- wane.tensor { math.huge, 1 }:isfinite()  --> { false, true }
--- ```
---@return wane.tensor
function tensor:isfinite() end

--- Values kept between two bounds; nil leaves one out.
--- NaN stays NaN, and a bound that is NaN gives NaN.
--- - shapes: x and y broadcast: sizes are equal, or one of them is 1, counted from the last dim; y may be a number
--- - dtypes: any; the result has x's, or the wider one of x and the bounds
--- - errors: shapes that do not broadcast; a y that is neither tensor nor number, or a number that x's dtype cannot hold
--- ```lua
--- wane.tensor { -3, 0.5, 9 }:clamp(-1, 1)  --> { -1, 0.5, 1 }
--- ```
---@param lo number|wane.tensor?
---@param hi number|wane.tensor?
---@return wane.tensor
function tensor:clamp(lo, hi) end

--- The larger; NaN wins. Of 0 and -0, which are equal, the second.
--- - shapes: x and y broadcast: sizes are equal, or one of them is 1, counted from the last dim; y may be a number
--- - dtypes: any; the result has x's, or the wider one of x and y (two 16-bit floats: f32); bool counts as i32
--- - errors: shapes that do not broadcast; a y that is neither tensor nor number, or a number that x's dtype cannot hold
--- ```lua
--- wane.tensor { 1, 5 }:maximum(3)  --> { 3, 5 }
--- ```
---@param y number|wane.tensor
---@return wane.tensor
function tensor:maximum(y) end

--- The smaller; NaN wins. Of 0 and -0, which are equal, the second.
--- - shapes: x and y broadcast: sizes are equal, or one of them is 1, counted from the last dim; y may be a number
--- - dtypes: any; the result has x's, or the wider one of x and y (two 16-bit floats: f32); bool counts as i32
--- - errors: shapes that do not broadcast; a y that is neither tensor nor number, or a number that x's dtype cannot hold
--- ```lua
--- wane.tensor { 1, 5 }:minimum(3)  --> { 1, 3 }
--- ```
---@param y number|wane.tensor
---@return wane.tensor
function tensor:minimum(y) end

--- Bitwise and of integers; of bools bool.
--- - shapes: x and y broadcast: sizes are equal, or one of them is 1, counted from the last dim; y may be a number
--- - dtypes: integers and bool; the result has the wider one
--- - errors: shapes that do not broadcast; a y that is neither tensor nor number, or a number that x's dtype cannot hold; floats
--- ```lua
--- wane.tensor({ 12, 7 }, { dtype = "i32" }):band(10)  --> { 8, 2 }
--- ```
---@param y number|wane.tensor
---@return wane.tensor
function tensor:band(y) end

--- Bitwise or of integers; of bools bool.
--- - shapes: x and y broadcast: sizes are equal, or one of them is 1, counted from the last dim; y may be a number
--- - dtypes: integers and bool; the result has the wider one
--- - errors: shapes that do not broadcast; a y that is neither tensor nor number, or a number that x's dtype cannot hold; floats
--- ```lua
--- wane.tensor({ 12, 7 }, { dtype = "i32" }):bor(1)  --> { 13, 7 }
--- ```
---@param y number|wane.tensor
---@return wane.tensor
function tensor:bor(y) end

--- Bitwise exclusive or of integers; of bools bool.
--- - shapes: x and y broadcast: sizes are equal, or one of them is 1, counted from the last dim; y may be a number
--- - dtypes: integers and bool; the result has the wider one
--- - errors: shapes that do not broadcast; a y that is neither tensor nor number, or a number that x's dtype cannot hold; floats
--- ```lua
--- wane.tensor({ 12, 7 }, { dtype = "i32" }):bxor(5)  --> { 9, 2 }
--- ```
---@param y number|wane.tensor
---@return wane.tensor
function tensor:bxor(y) end

--- Shift left; by the width or more, or by less than 0, gives 0. What is shifted out is lost.
--- - shapes: x and y broadcast: sizes are equal, or one of them is 1, counted from the last dim; y may be a number
--- - dtypes: integers and bool; the result has the wider one
--- - units: y counts bits
--- - errors: shapes that do not broadcast; a y that is neither tensor nor number, or a number that x's dtype cannot hold; floats
--- ```lua
--- wane.tensor({ 1, 3 }, { dtype = "i32" }):shl(4)  --> { 16, 48 }
--- ```
---@param y number|wane.tensor
---@return wane.tensor
function tensor:shl(y) end

--- Arithmetic shift right; by the width or more, or by less than 0, only the sign is left.
--- - shapes: x and y broadcast: sizes are equal, or one of them is 1, counted from the last dim; y may be a number
--- - dtypes: integers and bool; the result has the wider one
--- - units: y counts bits
--- - errors: shapes that do not broadcast; a y that is neither tensor nor number, or a number that x's dtype cannot hold; floats
--- ```lua
--- wane.tensor({ 16, -16 }, { dtype = "i32" }):shr(2)  --> { 4, -4 }
--- ```
---@param y number|wane.tensor
---@return wane.tensor
function tensor:shr(y) end

--- Bitwise complement of integers; of bool i32.
--- - shapes: x of any shape; the result has it
--- - dtypes: integers and bool; the result has the wider one
--- - errors: floats
--- ```lua
--- wane.tensor({ 0, 5 }, { dtype = "i32" }):bnot()  --> { -1, -6 }
--- ```
---@return wane.tensor
function tensor:bnot() end

--- Both hold: neither is 0. NaN holds.
--- - shapes: x and y broadcast: sizes are equal, or one of them is 1, counted from the last dim; y may be a number
--- - dtypes: any numbers, of which 0 is false; the result is bool
--- - errors: shapes that do not broadcast; a y that is neither tensor nor number, or a number that x's dtype cannot hold
--- ```lua
--- wane.tensor { true, true }:logical_and(wane.tensor { true, false })  --> { true, false }
--- ```
---@param y number|wane.tensor
---@return wane.tensor
function tensor:logical_and(y) end

--- One holds: is not 0. NaN holds.
--- - shapes: x and y broadcast: sizes are equal, or one of them is 1, counted from the last dim; y may be a number
--- - dtypes: any numbers, of which 0 is false; the result is bool
--- - errors: shapes that do not broadcast; a y that is neither tensor nor number, or a number that x's dtype cannot hold
--- ```lua
--- wane.tensor { true, false }:logical_or(wane.tensor { false, false })  --> { true, false }
--- ```
---@param y number|wane.tensor
---@return wane.tensor
function tensor:logical_or(y) end

--- Does not hold: is 0. NaN holds.
--- - shapes: x of any shape; the result has it
--- - dtypes: any numbers, of which 0 is false; the result is bool
--- - errors: none of its own; reading a freed tensor or a stale view says where it was freed or written
--- ```lua
--- wane.tensor { true, false }:logical_not()  --> { false, true }
--- ```
---@return wane.tensor
function tensor:logical_not() end

--- Entries of a table of at most 256 values; indices count from 0 and are clamped.
--- A fractional index goes towards zero, NaN reads entry 0.
--- - shapes: x of any shape; the result has it
--- - dtypes: x any numbers, read as positions; the result is f32 of a list, else the table's
--- - errors: a table of more than 256 entries or of something other than numbers
--- ```lua
--- wane.tensor { 2, 0, 9 }:lookup { 10, 20, 30 }  --> { 30, 10, 30 }
--- ```
---@param table number[]|wane.tensor
---@return wane.tensor
function tensor:lookup(table) end

--- The same values in another dtype, rounded once to nearest even; to bool "not 0", so NaN is true.
--- x:to "cpu" and x:to "cuda" choose a device.
--- - shapes: x of any shape; the result has it
--- - dtypes: any to any. A float beyond the range of f16 or e5m2 becomes infinite, of e4m3 NaN; to an integer it is cut towards zero and kept within its range, NaN is 0; an integer to a narrower one keeps its low bits
--- - errors: a dtype that is not one; a device that is not there (exit code 69)
--- ```lua
--- wane.tensor { 1.0009765625 }:to "bf16"  --> { 1 }
--- ```
---@param dtype wane.dtype|wane.device
---@return wane.tensor
function tensor:to(dtype) end

--- a < b; false where either is NaN.
--- - shapes: x and y broadcast: sizes are equal, or one of them is 1, counted from the last dim; y may be a number
--- - dtypes: any numbers; the result is bool
--- - errors: shapes that do not broadcast; a y that is neither tensor nor number, or a number that x's dtype cannot hold
--- ```lua
--- wane.tensor { 1, 2, 3 }:lt(2)  --> { true, false, false }
--- ```
---@param y number|wane.tensor
---@return wane.tensor
function tensor:lt(y) end

--- a <= b; false where either is NaN.
--- - shapes: x and y broadcast: sizes are equal, or one of them is 1, counted from the last dim; y may be a number
--- - dtypes: any numbers; the result is bool
--- - errors: shapes that do not broadcast; a y that is neither tensor nor number, or a number that x's dtype cannot hold
--- ```lua
--- wane.tensor { 1, 2, 3 }:le(2)  --> { true, true, false }
--- ```
---@param y number|wane.tensor
---@return wane.tensor
function tensor:le(y) end

--- a > b; false where either is NaN.
--- - shapes: x and y broadcast: sizes are equal, or one of them is 1, counted from the last dim; y may be a number
--- - dtypes: any numbers; the result is bool
--- - errors: shapes that do not broadcast; a y that is neither tensor nor number, or a number that x's dtype cannot hold
--- ```lua
--- wane.tensor { 1, 2, 3 }:gt(2)  --> { false, false, true }
--- ```
---@param y number|wane.tensor
---@return wane.tensor
function tensor:gt(y) end

--- a >= b; false where either is NaN.
--- - shapes: x and y broadcast: sizes are equal, or one of them is 1, counted from the last dim; y may be a number
--- - dtypes: any numbers; the result is bool
--- - errors: shapes that do not broadcast; a y that is neither tensor nor number, or a number that x's dtype cannot hold
--- ```lua
--- wane.tensor { 1, 2, 3 }:ge(2)  --> { false, true, true }
--- ```
---@param y number|wane.tensor
---@return wane.tensor
function tensor:ge(y) end

--- a == b; false where either is NaN, true of 0 and -0.
--- - shapes: x and y broadcast: sizes are equal, or one of them is 1, counted from the last dim; y may be a number
--- - dtypes: any numbers; the result is bool
--- - errors: shapes that do not broadcast; a y that is neither tensor nor number, or a number that x's dtype cannot hold
--- ```lua
--- wane.tensor { 1, 2, 3 }:eq(2)  --> { false, true, false }
--- ```
---@param y number|wane.tensor
---@return wane.tensor
function tensor:eq(y) end

--- a ~= b; true where either is NaN.
--- - shapes: x and y broadcast: sizes are equal, or one of them is 1, counted from the last dim; y may be a number
--- - dtypes: any numbers; the result is bool
--- - errors: shapes that do not broadcast; a y that is neither tensor nor number, or a number that x's dtype cannot hold
--- ```lua
--- wane.tensor { 1, 2, 3 }:ne(2)  --> { true, false, true }
--- ```
---@param y number|wane.tensor
---@return wane.tensor
function tensor:ne(y) end

--- Sum.
--- Of no elements 0.
--- - shapes: a reduced dim stays with size 1, so that w / w:absmax(2) broadcasts; -1 is the last dim. Without a dim: one Lua number over all elements, which computes what is pending
--- - dtypes: 16- and 8-bit floats give f32; integers and bool give i64
--- - errors: a dim that x does not have, or one given twice
--- ```lua
--- wane.tensor { { 1, 2 }, { 3, 4 } }:sum(2)  --> { { 3 }, { 7 } }
--- wane.tensor { { 1, 2 }, { 3, 4 } }:sum()  --> 10
--- ```
---@param dim? integer|integer[]
---@return wane.tensor|number
function tensor:sum(dim) end

--- Mean.
--- Of no elements along a dim NaN.
--- - shapes: a reduced dim stays with size 1, so that w / w:absmax(2) broadcasts; -1 is the last dim. Without a dim: one Lua number over all elements, which computes what is pending
--- - dtypes: floats of 16 and 8 bits and integers give f32
--- - errors: a dim that x does not have, or one given twice; without a dim: no elements
--- ```lua
--- wane.tensor { { 1, 2 }, { 3, 4 } }:mean(1)  --> { { 2, 3 } }
--- ```
---@param dim? integer|integer[]
---@return wane.tensor|number
function tensor:mean(dim) end

--- Least; NaN wins.
--- - shapes: a reduced dim stays with size 1, so that w / w:absmax(2) broadcasts; -1 is the last dim. Without a dim: one Lua number over all elements, which computes what is pending
--- - dtypes: 16- and 8-bit floats give f32, all others keep theirs
--- - errors: a dim that x does not have, or one given twice; no elements
--- ```lua
--- wane.tensor { 3, -1, 2 }:min()  --> -1
--- ```
---@param dim? integer|integer[]
---@return wane.tensor|number
function tensor:min(dim) end

--- Largest; NaN wins.
--- - shapes: a reduced dim stays with size 1, so that w / w:absmax(2) broadcasts; -1 is the last dim. Without a dim: one Lua number over all elements, which computes what is pending
--- - dtypes: 16- and 8-bit floats give f32, all others keep theirs
--- - errors: a dim that x does not have, or one given twice; no elements
--- ```lua
--- wane.tensor { 3, -1, 2 }:max()  --> 3
--- ```
---@param dim? integer|integer[]
---@return wane.tensor|number
function tensor:max(dim) end

--- Largest magnitude; NaN wins.
--- Of no elements 0.
--- - shapes: a reduced dim stays with size 1, so that w / w:absmax(2) broadcasts; -1 is the last dim. Without a dim: one Lua number over all elements, which computes what is pending
--- - dtypes: 16- and 8-bit floats give f32, all others keep theirs
--- - errors: a dim that x does not have, or one given twice
--- ```lua
--- wane.tensor { { 1, -5 }, { 3, 4 } }:absmax(2)  --> { { 5 }, { 4 } }
--- ```
---@param dim? integer|integer[]
---@return wane.tensor|number
function tensor:absmax(dim) end

--- Square root of the sum of squares.
--- Of no elements 0.
--- - shapes: a reduced dim stays with size 1, so that w / w:absmax(2) broadcasts; -1 is the last dim. Without a dim: one Lua number over all elements, which computes what is pending
--- - dtypes: floats of 16 and 8 bits and integers give f32
--- - errors: a dim that x does not have, or one given twice
--- ```lua
--- wane.tensor { 3, 4 }:norm()  --> 5
--- ```
---@param dim? integer|integer[]
---@return wane.tensor|number
function tensor:norm(dim) end

--- Mean square distance from the mean (divided by n).
--- - shapes: a reduced dim stays with size 1, so that w / w:absmax(2) broadcasts; -1 is the last dim. Without a dim: one Lua number over all elements, which computes what is pending
--- - dtypes: floats of 16 and 8 bits and integers give f32
--- - errors: a dim that x does not have, or one given twice; no elements
--- ```lua
--- wane.tensor { 1, 3 }:var()  --> 1
--- ```
---@param dim? integer|integer[]
---@return wane.tensor|number
function tensor:var(dim) end

--- Square root of var.
--- - shapes: a reduced dim stays with size 1, so that w / w:absmax(2) broadcasts; -1 is the last dim. Without a dim: one Lua number over all elements, which computes what is pending
--- - dtypes: floats of 16 and 8 bits and integers give f32
--- - errors: a dim that x does not have, or one given twice; no elements
--- ```lua
--- wane.tensor { 1, 5 }:std()  --> 2
--- ```
---@param dim? integer|integer[]
---@return wane.tensor|number
function tensor:std(dim) end

--- Product.
--- Of no elements 1.
--- - shapes: a reduced dim stays with size 1, so that w / w:absmax(2) broadcasts; -1 is the last dim. Without a dim: one Lua number over all elements, which computes what is pending
--- - dtypes: 16- and 8-bit floats give f32; integers and bool give i64
--- - errors: a dim that x does not have, or one given twice
--- ```lua
--- wane.tensor { 2, 3, 4 }:prod()  --> 24
--- ```
---@param dim? integer|integer[]
---@return wane.tensor|number
function tensor:prod(dim) end

--- Whether one holds.
--- Of no elements false.
--- - shapes: a reduced dim stays with size 1, so that w / w:absmax(2) broadcasts; -1 is the last dim. Without a dim: one Lua number over all elements, which computes what is pending
--- - dtypes: any; the result is bool
--- - errors: a dim that x does not have, or one given twice
--- ```lua
--- wane.tensor { 0, 2 }:gt(1):any()  --> true
--- ```
---@param dim? integer|integer[]
---@return wane.tensor|number
function tensor:any(dim) end

--- Whether all hold.
--- Of no elements true.
--- - shapes: a reduced dim stays with size 1, so that w / w:absmax(2) broadcasts; -1 is the last dim. Without a dim: one Lua number over all elements, which computes what is pending
--- - dtypes: any; the result is bool
--- - errors: a dim that x does not have, or one given twice
--- ```lua
--- wane.tensor { 0, 2 }:gt(1):all()  --> false
--- ```
---@param dim? integer|integer[]
---@return wane.tensor|number
function tensor:all(dim) end

--- Position of the largest, the first of equals.
--- Without a dim: one number for each dim of x.
--- - shapes: a reduced dim stays with size 1, so that w / w:absmax(2) broadcasts; -1 is the last dim. Without a dim: one Lua number over all elements, which computes what is pending
--- - dtypes: any; positions are i64, counted from 1
--- - errors: a dim that x does not have, or one given twice; no elements
--- ```lua
--- wane.tensor { { 1, 9 }, { 3, 4 } }:argmax()  --> 1, 2
--- wane.tensor { { 1, 9 }, { 3, 4 } }:argmax(2)  --> { { 2 }, { 2 } }
--- ```
---@param dim? integer
---@return wane.tensor
function tensor:argmax(dim) end

--- Position of the least, the first of equals.
--- Without a dim: one number for each dim of x.
--- - shapes: a reduced dim stays with size 1, so that w / w:absmax(2) broadcasts; -1 is the last dim. Without a dim: one Lua number over all elements, which computes what is pending
--- - dtypes: any; positions are i64, counted from 1
--- - errors: a dim that x does not have, or one given twice; no elements
--- ```lua
--- wane.tensor { 4, 1, 1 }:argmin()  --> 2
--- ```
---@param dim? integer
---@return wane.tensor
function tensor:argmin(dim) end

--- log of the sum of exp, without overflow.
--- - shapes: a reduced dim stays with size 1, so that w / w:absmax(2) broadcasts; -1 is the last dim. Without a dim: one Lua number over all elements, which computes what is pending
--- - dtypes: floats of 16 and 8 bits and integers give f32
--- - units: nats
--- - errors: a dim that x does not have, or one given twice; no elements
--- ```lua
--- wane.tensor { 1000, 1000 }:logsumexp()  --> 1000.693147
--- ```
---@param dim? integer|integer[]
---@return wane.tensor|number
function tensor:logsumexp(dim) end

--- The p-quantile, 0 <= p <= 1, between two values linearly.
--- - shapes: a reduced dim stays with size 1, so that w / w:absmax(2) broadcasts; -1 is the last dim. Without a dim: one Lua number over all elements, which computes what is pending
--- - dtypes: floats of 16 and 8 bits and integers give f32
--- - units: p is a share: 0.5 is the median
--- - errors: a dim that x does not have, or one given twice; a p outside 0 to 1; no elements
--- ```lua
--- wane.tensor { 1, 2, 3, 10 }:quantile(0.5)  --> 2.5
--- ```
---@param p number
---@param dim? integer|integer[]
---@return wane.tensor|number
function tensor:quantile(p, dim) end

--- exp(x) over its sum along a dim, by default the last.
--- - shapes: x of any shape with a dim; the result has it
--- - dtypes: floats keep theirs, integers give f32; computed in f32 at least
--- - errors: a dim that x does not have; a tensor without dims
--- ```lua
--- wane.tensor { 0, math.log(3) }:softmax()  --> { 0.25, 0.75 }
--- ```
---@param dim? integer
---@return wane.tensor
function tensor:softmax(dim) end

--- Running sum along a dim, by default the last.
--- - shapes: x of any shape with a dim; the result has it
--- - dtypes: 16- and 8-bit floats give f32; integers and bool give i64
--- - errors: a dim that x does not have; a tensor without dims
--- ```lua
--- wane.tensor { 1, 2, 3 }:cumsum()  --> { 1, 3, 6 }
--- ```
---@param dim? integer
---@return wane.tensor
function tensor:cumsum(dim) end

--- Sorted along a dim; equal ones keep their order.
--- - shapes: x of any shape with a dim; the result has it
--- - dtypes: any; the result has x's. NaN counts as the largest
--- - errors: a dim that x does not have; an order other than "rising" or "falling"
--- ```lua
--- wane.tensor { 2, 3, 1 }:sort(1, "falling")  --> { 3, 2, 1 }
--- ```
---@param dim? integer
---@param order? "rising"|"falling"
---@return wane.tensor
function tensor:sort(dim, order) end

--- The positions that sort a dim.
--- - shapes: x of any shape with a dim; the result has it
--- - dtypes: any; positions are i32, counted from 1
--- - errors: a dim that x does not have; an order other than "rising" or "falling"
--- ```lua
--- wane.tensor { 2, 3, 1 }:argsort()  --> { 3, 1, 2 }
--- ```
---@param dim? integer
---@param order? "rising"|"falling"
---@return wane.tensor
function tensor:argsort(dim, order) end

--- The k largest along a dim, largest first.
--- - shapes: the dim has size k in both results
--- - dtypes: values have x's; positions are i32, counted from 1
--- - errors: a k below 0 or above the dim's size
--- ```lua
--- wane.tensor { 2, 9, 4 }:topk(2)  --> { 9, 4 }, { 2, 3 }
--- ```
---@param k integer
---@param dim? integer
---@return wane.tensor
---@return wane.tensor
function tensor:topk(k, dim) end

--- The order along a dim turned round.
--- - shapes: x of any shape with a dim; the result has it
--- - dtypes: any; the result has x's
--- - errors: a dim that x does not have; a tensor without dims
--- ```lua
--- wane.tensor { 1, 2, 3 }:flip()  --> { 3, 2, 1 }
--- ```
---@param dim? integer
---@return wane.tensor
function tensor:flip(dim) end

--- The orthonormal Hadamard transform along a dim.
--- - shapes: x of any shape with a dim; the result has it. Sizes: powers of two times orders of Paley's matrices: 12, 20, 28, 36, 60, 108, 140 ...
--- - dtypes: floats; the result has x's, computed in f32 at least
--- - errors: integers; a size without a transform
--- - source: Sylvester; Paley 1933; on channels: QuaRot, arXiv 2404.00456
--- ```lua
--- wane.tensor { 1, 1, 1, 1 }:hadamard()  --> { 2, 0, 0, 0 }
--- ```
---@param dim? integer
---@return wane.tensor
function tensor:hadamard(dim) end

--- The same elements in another shape; one size may be -1.
--- - shapes: any to any of as many elements, in row-major order; a view where that can be
--- - dtypes: any; the result has x's
--- - errors: sizes of another number of elements; more than one -1
--- ```lua
--- wane.arange(6):reshape { 2, -1 }  --> { { 1, 2, 3 }, { 4, 5, 6 } }
--- ```
---@param list integer[]
---@return wane.tensor
function tensor:reshape(list) end

--- Dims of size 1 repeated without a copy; -1 keeps a size.
--- - shapes: sizes that x broadcasts to; a view
--- - dtypes: any; the result has x's
--- - errors: a size other than 1 that would change
--- ```lua
--- wane.tensor { { 1 }, { 2 } }:expand { -1, 3 }  --> { { 1, 1, 1 }, { 2, 2, 2 } }
--- ```
---@param list integer[]
---@return wane.tensor
function tensor:expand(list) end

--- The tensor repeated along each dim.
--- - shapes: each dim times its repeats, which count from the last dim
--- - dtypes: any; the result has x's
--- - errors: repeats below 0
--- ```lua
--- wane.tensor { 1, 2 }:tile { 2 }  --> { 1, 2, 1, 2 }
--- ```
---@param list integer[]
---@return wane.tensor
function tensor:tile(list) end

--- The last two dims exchanged.
--- - shapes: [.., m, n] to [.., n, m]; a view
--- - dtypes: any; the result has x's
--- - errors: fewer than two dims
--- ```lua
--- wane.tensor { { 1, 2 }, { 3, 4 } }:t()  --> { { 1, 3 }, { 2, 4 } }
--- ```
---@return wane.tensor
function tensor:t() end

--- Two dims exchanged.
--- - shapes: x with dims d1 and d2 exchanged; a view
--- - dtypes: any; the result has x's
--- - errors: a dim that x does not have
--- ```lua
--- wane.zeros({ 2, 3, 4 }):transpose(1, 3).shape  --> { 4, 3, 2 }
--- ```
---@param d1 integer
---@param d2 integer
---@return wane.tensor
function tensor:transpose(d1, d2) end

--- `x:split(n [, dim = 1]) -> list of tensors`
---
--- n equal parts along a dim.
--- - shapes: n parts, the dim n times smaller; views
--- - dtypes: any; the result has x's
--- - errors: a size that n does not divide
--- ```lua
--- wane.arange(4):split(2)[2]  --> { 3, 4 }
--- ```
---@param n integer
---@param dim? integer
---@return wane.tensor[]
function tensor:split(n, dim) end

--- What lies at these positions of a dim: a list picks slices, a tensor of x's rank picks elements.
--- - shapes: a list of n positions: the dim gets size n; a tensor of positions: its shape
--- - dtypes: any; the result has x's
--- - errors: a position outside of the dim; positions that are no integers
--- ```lua
--- wane.tensor { 10, 20, 30 }:gather(1, { 3, 1 })  --> { 30, 10 }
--- ```
---@param dim integer
---@param positions integer[]|wane.tensor
---@return wane.tensor
function tensor:gather(dim, positions) end

--- The tensor with other values there.
--- x itself stays as it is. A place is a position, a { first, last } or {} for each dim.
--- - shapes: the value broadcasts to the place
--- - dtypes: any; the result has x's
--- - errors: a position outside of x; a value that does not broadcast
--- ```lua
--- wane.zeros({ 2, 2 }):with({ 1, {} }, 7)  --> { { 7, 7 }, { 0, 0 } }
--- ```
---@param at wane.place
---@param value number|wane.tensor
---@return wane.tensor
function tensor:with(at, value) end

--- The one element.
--- - shapes: any of one element
--- - dtypes: integers give a Lua integer, bool true or false, floats a float
--- - errors: another number of elements than one
--- ```lua
--- wane.tensor { { 7 } }:item()  --> 7
--- ```
---@return number|boolean
function tensor:item() end

--- All elements as Lua numbers.
--- - shapes: any; the lists are nested like the dims, a tensor without dims gives a number
--- - dtypes: integers give Lua integers, bool true or false, floats floats
--- - errors: none of its own
--- ```lua
--- wane.tensor({ { 1, 2 } }):totable()  --> { { 1, 2 } }
--- ```
---@return table
function tensor:totable() end

--- Whether shape, dtype and all bits are equal.
--- - shapes: any two; false where they differ
--- - dtypes: any two; false where they differ
--- - errors: a y that is no tensor
--- ```lua
--- wane.tensor({ 1 }):same(wane.tensor { 1 })  --> true
--- ```
---@param y wane.tensor
---@return boolean
function tensor:same(y) end

--- How often each value stands in x: a bar for each whole number, or 24 equal ranges.
--- - shapes: any with elements
--- - dtypes: any
--- - errors: no elements; NaN or Inf
--- ```lua
--- wane.tensor({ 1, 2, 2, 3 }):hist()
--- ```
---@return wane.chart
function tensor:hist() end

--- Lets go of the memory now; reading the tensor afterwards is an error.
--- - shapes: any
--- - dtypes: any
--- - errors: none; what reads x afterwards names this line
--- ```lua
--- x = wane.zeros(4)
--- x:free()
--- ```
function tensor:free() end

--- x [.., m, k] by y [.., k, n]; i8 by i8 gives i32.
--- - shapes: x [.., m, k] by y [.., k, n]; leading dims broadcast
--- - dtypes: floats: the wider of the two, sums in f32 at least; i8 by i8 gives i32
--- - errors: inner sizes that differ; integers other than i8 by i8
--- ```lua
--- wane.tensor({ { 1, 2 } }):matmul(wane.tensor { { 3 }, { 4 } })  --> { { 11 } }
--- ```
---@param y wane.tensor
---@return wane.tensor
function tensor:matmul(y) end

--- Of a matrix its diagonal, of a vector the matrix.
--- - shapes: [m, n] to [min(m, n)]; [n] to [n, n]
--- - dtypes: any; the result has x's
--- - errors: three dims and more
--- ```lua
--- wane.tensor({ { 1, 2 }, { 3, 4 } }):diag()  --> { 1, 4 }
--- ```
---@return wane.tensor
function tensor:diag() end

--- Sum of the diagonal.
--- - shapes: x [m, n] to a Lua number
--- - dtypes: any
--- - errors: no matrix
--- ```lua
--- wane.tensor({ { 1, 2 }, { 3, 4 } }):trace()  --> 5
--- ```
---@return number
function tensor:trace() end

--- x_i * y_j of two vectors.
--- - shapes: x [m], y [n] to [m, n]
--- - dtypes: any; the wider of the two
--- - errors: no vectors
--- ```lua
--- wane.tensor({ 1, 2 }):outer(wane.tensor { 3, 4 })  --> { { 3, 4 }, { 6, 8 } }
--- ```
---@param y wane.tensor
---@return wane.tensor
function tensor:outer(y) end

--- l, lower, with l l^T = x [.., n, n]; f64 stays, other floats give f32. Only x's lower triangle is read. Error: x is not positive definite, with the first pivot that is not positive.
--- - shapes: x [.., n, n] to the same
--- - dtypes: f64 stays; other floats give f32
--- - errors: no square matrix; integers; x is not positive definite: the pivot that fails is named
--- - source: blocked, as in LAPACK's potrf
--- ```lua
--- wane.tensor({ { 4, 2 }, { 2, 5 } }):cholesky()  --> { { 2, 0 }, { 1, 2 } }
--- ```
---@return wane.tensor
function tensor:cholesky() end

--- x^-1 of a positive definite x [.., n, n], exactly symmetric. Error: as cholesky.
--- - shapes: x [.., n, n] to the same
--- - dtypes: f64 stays; other floats give f32
--- - errors: no square matrix; integers; x is not positive definite: the pivot that fails is named
--- - source: by Cholesky
--- ```lua
--- wane.tensor({ { 2, 0 }, { 0, 4 } }):inverse()  --> { { 0.5, 0 }, { 0, 0.25 } }
--- ```
---@return wane.tensor
function tensor:inverse() end

--- u, upper, with u^T u = x^-1, of a positive definite x [.., n, n], as GPTQ needs it: one Cholesky of x reversed and one triangular inverse. Error: as cholesky; pivots come from the last on.
--- - shapes: x [.., n, n] to the same
--- - dtypes: f64 stays; other floats give f32
--- - errors: no square matrix; integers; x is not positive definite: the pivot that fails is named
--- - source: the factor that GPTQ sweeps with, arXiv 2210.17323
--- ```lua
--- wane.tensor({ { 4, 0 }, { 0, 16 } }):inverse_upper()  --> { { 0.5, 0 }, { 0, 0.25 } }
--- ```
---@return wane.tensor
function tensor:inverse_upper() end

--- x^-1 b of a positive definite x [.., n, n] and b [.., n, m]. Error: as cholesky.
--- - shapes: x [.., n, n], b [.., n, m]; the result has b's
--- - dtypes: f64 stays; other floats give f32
--- - errors: no square matrix; integers; x is not positive definite: the pivot that fails is named; a b of other rows
--- ```lua
--- wane.tensor({ { 2, 0 }, { 0, 4 } }):solve(wane.tensor { { 2 }, { 2 } })  --> { { 1 }, { 0.5 } }
--- ```
---@param b wane.tensor
---@return wane.tensor
function tensor:solve(b) end

--- x^-1 b of a lower triangular x; what lies above is not read. Error: a zero on the diagonal.
--- - shapes: x [.., n, n], b [.., n, m]; the result has b's
--- - dtypes: f64 stays; other floats give f32
--- - errors: no square matrix; integers; a b of other rows; a zero on the diagonal
--- ```lua
--- wane.tensor({ { 2, 0 }, { 1, 1 } }):solve_lower(wane.tensor { { 2 }, { 3 } })  --> { { 1 }, { 2 } }
--- ```
---@param b wane.tensor
---@return wane.tensor
function tensor:solve_lower(b) end

--- x^-1 b of an upper triangular x; what lies below is not read. Error: a zero on the diagonal.
--- - shapes: x [.., n, n], b [.., n, m]; the result has b's
--- - dtypes: f64 stays; other floats give f32
--- - errors: no square matrix; integers; a b of other rows; a zero on the diagonal
--- ```lua
--- wane.tensor({ { 1, 1 }, { 0, 2 } }):solve_upper(wane.tensor { { 3 }, { 4 } })  --> { { 1 }, { 2 } }
--- ```
---@param b wane.tensor
---@return wane.tensor
function tensor:solve_upper(b) end

--- Rotary embedding of [batch, tokens, heads, dim]; theta is a number or a tensor of frequencies.
--- position: that of the first token, 0 where a text begins; a list of one per sample, or i32 [batch, tokens].
--- factor multiplies the result.
--- - shapes: x [batch, tokens, heads, dim], dim even; frequencies [dim / 2]; the result has x's
--- - dtypes: floats; the result has x's
--- - units: positions count tokens; frequencies are radians per token
--- - errors: another number of dims; an odd dim; another number of positions than samples
--- - source: RoFormer, arXiv 2104.09864; halves paired as in the HF Llama
--- ```lua
--- wane.ones({ 1, 1, 1, 2 }):rope(0, 10000)  --> { { { { 1, 1 } } } }
--- ```
---@param position integer|integer[]|wane.tensor
---@param theta number|wane.tensor
---@param factor? number
---@return wane.tensor
function tensor:rope(position, theta, factor) end

--- samples to calibrate on or to score. Made by wane.text and model:generate
---@class wane.text
---@operator len: integer
---@field [integer] integer[]
local text = {}

--- seconds, usable as a number. Made by wane.time
---@class wane.timing
---@operator add(number|wane.timing): wane.timing
---@operator sub(number|wane.timing): wane.timing
---@operator mul(number|wane.timing): wane.timing
---@operator div(number|wane.timing): wane.timing
---@field seconds number The seconds, where it still is seconds.
---@field value number The number, whatever was computed.
local timing = {}

---@class wane
local wane = {}

--- `wane.zeros(shape, { dtype = "f32" }) -> tensor`
---
--- All 0.
--- - shapes: shape: a list of sizes, or one number
--- - dtypes: the option dtype, "f32" unless given
--- - errors: a size below 0 or no whole number; a dtype that is not one
--- ```lua
--- wane.zeros({ 2, 2 })  --> { { 0, 0 }, { 0, 0 } }
--- ```
---@param shape integer|integer[]
---@param options? { dtype?: wane.dtype }
---@return wane.tensor
function wane.zeros(shape, options) end

--- `wane.ones(shape, { dtype = "f32" }) -> tensor`
---
--- All 1.
--- - shapes: shape: a list of sizes, or one number
--- - dtypes: the option dtype, "f32" unless given
--- - errors: a size below 0 or no whole number; a dtype that is not one
--- ```lua
--- wane.ones(2, { dtype = "i32" })  --> { 1, 1 }
--- ```
---@param shape integer|integer[]
---@param options? { dtype?: wane.dtype }
---@return wane.tensor
function wane.ones(shape, options) end

--- `wane.full(shape, value, { dtype = "f32" }) -> tensor`
---
--- All the same number.
--- - shapes: shape: a list of sizes, or one number
--- - dtypes: the option dtype, "f32" unless given
--- - errors: a size below 0 or no whole number; a dtype that is not one; a value the dtype cannot hold
--- ```lua
--- wane.full({ 1, 2 }, 7)  --> { { 7, 7 } }
--- ```
---@param shape integer|integer[]
---@param value number
---@param options? { dtype?: wane.dtype }
---@return wane.tensor
function wane.full(shape, value, options) end

--- `wane.eye(n, { dtype = "f32" }) -> tensor`
---
--- The identity matrix.
--- - shapes: [n, n]
--- - dtypes: the option dtype, "f32" unless given
--- - errors: a size below 0 or no whole number; a dtype that is not one
--- ```lua
--- wane.eye(2)  --> { { 1, 0 }, { 0, 1 } }
--- ```
---@param n integer
---@param options? { dtype?: wane.dtype }
---@return wane.tensor
function wane.eye(n, options) end

--- `wane.arange(first [, last [, step]], { dtype = "i32" }) -> tensor`
---
--- Whole numbers in steps, both ends included; of one argument 1 to it.
--- - shapes: [count]
--- - dtypes: "i32" unless given
--- - errors: numbers that are not whole; a step of 0
--- ```lua
--- wane.arange(4)  --> { 1, 2, 3, 4 }
--- wane.arange(9, 3, -3)  --> { 9, 6, 3 }
--- ```
---@param first integer
---@param last? integer
---@param step? integer
---@param options? { dtype?: wane.dtype }
---@return wane.tensor
function wane.arange(first, last, step, options) end

--- The numbers, or true and false, of nested lists.
--- - shapes: that of the lists
--- - dtypes: the option dtype; "f32" of numbers and "bool" of true and false unless given
--- - errors: lists of unequal length; a number the dtype cannot hold; other things than numbers, true and false
--- ```lua
--- wane.tensor({ { 1, 2 }, { 3, 4 } }).shape  --> { 2, 2 }
--- ```
---@param values number|boolean|table
---@param options? { dtype?: wane.dtype }
---@return wane.tensor
function wane.tensor(values, options) end

--- `wane.randn(shape, { dtype = "f32", stream = "randn" }) -> tensor`
---
--- Standard normal numbers of a named stream.
--- A repeated draw continues its stream; a draw of another stream never shifts it.
--- - shapes: shape: a list of sizes, or one number
--- - dtypes: the option dtype, "f32" unless given
--- - errors: a size below 0 or no whole number; a dtype that is not one
--- - source: Philox 4x32-10 (Salmon et al. 2011), Box and Muller
--- ```lua
--- wane.randn({ 64, 64 }):mean() < 0.2  --> true
--- ```
---@param shape integer|integer[]
---@param options? { dtype?: wane.dtype, stream?: string }
---@return wane.tensor
function wane.randn(shape, options) end

--- `wane.uniform(shape, { dtype = "f32", stream = "uniform" }) -> tensor`
---
--- Even numbers in [0, 1) of a named stream.
--- - shapes: shape: a list of sizes, or one number
--- - dtypes: the option dtype, "f32" unless given
--- - errors: a size below 0 or no whole number; a dtype that is not one
--- - source: Philox 4x32-10 (Salmon et al. 2011)
--- ```lua
--- wane.uniform({ 100 }):max() < 1  --> true
--- ```
---@param shape integer|integer[]
---@param options? { dtype?: wane.dtype, stream?: string }
---@return wane.tensor
function wane.uniform(shape, options) end

--- A mutable array that starts as x: b[{ rows, cols }] = v writes, reading gives a tensor.
--- - shapes: x's
--- - dtypes: x's
--- - errors: an x that is no tensor
--- ```lua
--- b = wane.buffer(wane.zeros { 2, 2 })
--- b[{ 1, 2 }] = 5
--- b[{ 1, {} }]  --> { 0, 5 }
--- ```
---@param x wane.tensor
---@return wane.buffer
function wane.buffer(x) end

--- a where the mask holds, else b.
--- - shapes: all three broadcast; a and b may be numbers
--- - dtypes: mask any, 0 is false; the result has the wider one of a and b
--- - errors: shapes that do not broadcast; a mask that is no tensor
--- ```lua
--- x = wane.tensor { -1, 2 }
--- wane.where(x:lt(0), 0, x)  --> { 0, 2 }
--- ```
---@param mask wane.tensor
---@param a number|wane.tensor
---@param b number|wane.tensor
---@return wane.tensor
function wane.where(mask, a, b) end

--- `wane.concat(list [, dim = 1]) -> tensor`
---
--- Tensors one behind the other along a dim.
--- - shapes: all dims but this one are equal
--- - dtypes: any; the result has the widest; quantized tensors join with their parameters, among others they count as their values
--- - errors: an empty list; dims that differ; a dim that they do not have; quantized tensors whose quantizers, dtypes or parameters one tensor cannot hold
--- ```lua
--- wane.concat({ wane.ones { 1, 2 }, wane.zeros { 1, 2 } })  --> { { 1, 1 }, { 0, 0 } }
--- ```
---@param list wane.tensor[]
---@param dim? integer
---@return wane.tensor
function wane.concat(list, dim) end

--- Pairs { first, last } that cover 1 to n.
--- - errors: an n below 0, a step below 1, or no whole numbers
--- ```lua
--- wane.ranges(5, 2)  --> { { 1, 2 }, { 3, 4 }, { 5, 5 } }
--- ```
---@param n integer
---@param step integer
---@return integer[][]
function wane.ranges(n, step) end

--- The product of a layer; the kernel follows from how x and w are stored.
--- - shapes: x [.., in], w [out, in], bias [out]; the result is [.., out]
--- - dtypes: floats, sums in f32 at least; the result has the wider one, or out_dtype; i8 by i8 gives i32
--- - errors: inner sizes that differ; other integers
--- ```lua
--- wane.linear(wane.tensor { { 1, 2 } }, wane.tensor { { 3, 4 }, { 0, 1 } })  --> { { 11, 2 } }
--- ```
---@param x wane.tensor
---@param w wane.tensor
---@param bias? wane.tensor
---@param out_dtype? wane.dtype
---@return wane.tensor
function wane.linear(x, w, bias, out_dtype) end

--- Rows of w by token ids, which count from 0.
--- - shapes: tokens [..], w [ids, width]; the result is [.., width]
--- - dtypes: tokens integers; the result has w's
--- - errors: an id outside of w
--- ```lua
--- wane.embedding(wane.tensor({ 1 }, { dtype = "i32" }), wane.tensor { { 1, 2 }, { 3, 4 } })  --> { { 3, 4 } }
--- ```
---@param tokens wane.tensor
---@param w wane.tensor
---@return wane.tensor
function wane.embedding(tokens, w) end

--- x / sqrt(mean(x^2) + eps) * w over the last dim.
--- - shapes: x [.., n], w [n]; the result has x's
--- - dtypes: any; computed in f32, rounded once to x's
--- - errors: a w of another length
--- - source: Zhang and Sennrich 2019, arXiv 1910.07467
--- ```lua
--- wane.rms_norm(wane.tensor { { 3, 4 } }, wane.ones(2), 0)  --> { { 0.848528, 1.131371 } }
--- ```
---@param x wane.tensor
---@param w wane.tensor
---@param eps number
---@return wane.tensor
function wane.rms_norm(x, w, eps) end

--- The negative log-likelihood of each token; token -1 is left out and gives 0.
--- - shapes: logits [rows, vocabulary], one token for each row; the result is [rows]
--- - dtypes: logits floats, tokens integers or a list of ids; the result is f64
--- - units: nats
--- - errors: another number of tokens than rows; an id outside of the vocabulary
--- ```lua
--- wane.cross_entropy(wane.zeros { 1, 4 }, { 2 })  --> { 1.386294 }
--- ```
---@param logits wane.tensor
---@param tokens wane.tensor|integer[]
---@return wane.tensor
function wane.cross_entropy(logits, tokens) end

--- `wane.explain(x [, { source = false }]) -> string`
---
--- What is still pending behind a tensor and how it would run: tree, limits, bytes, program, loops, CUDA text.
--- - options: source: all of the CUDA text, also the part that every kernel has
--- - shapes: any
--- - dtypes: any
--- - errors: an x that is no tensor
--- ```lua
--- print(wane.explain(wane.ones(2) + 1))
--- ```
---@param x wane.tensor
---@param options? { source?: boolean }
---@return string
function wane.explain(x, options) end

--- live, cached, peak and ceiling of tensors; resident and resident_peak of the process.
--- - units: bytes
--- - errors: none of its own
--- ```lua
--- wane.memory().live <= wane.memory().ceiling  --> true
--- ```
---@return table<string,integer>
function wane.memory() end

--- An HF folder, a .gguf file, a saved model or a known name ("smollm2").
--- Weights stay on disk until used.
--- - dtypes: "f32", "bf16" or "f16"; by default the file's, bf16 for block-quantized GGUF
--- - errors: nothing there (exit code 66); a malformed file (65): which tensor, expected and found; an architecture that is not known
--- ```lua
--- model:save("tiny", "safetensors")
--- wane.load("tiny"):same(model)  --> true
--- ```
---@param path string
---@param options? { dtype?: wane.dtype }
---@return wane.model
function wane.load(path, options) end

--- A model of random weights, drawn from stream "weights". config has the keys of a config.json.
--- - dtypes: config.torch_dtype: "float32" (the default), "bfloat16" or "float16"
--- - errors: an architecture that is not known, with the nearest; sizes that do not fit together
--- ```lua
--- model "layers.1.mlp.down_proj".weight.shape  --> { 16, 32 }
--- ```
---@param architecture string
---@param config table
---@return wane.model
function wane.model(architecture, config) end

--- `wane.text(path, { samples, length, stream = "text" }) -> text`
---
--- Windows of exactly `length` tokens at drawn places; with `length` alone consecutive ones; without options all of the file. A Lua string where a text is wanted is the text itself. Tokens are made by the model that reads it.
--- - units: length counts tokens
--- - errors: no such file (exit code 66); fewer tokens than one window, told when a model reads it; samples without a length
--- ```lua
--- file = io.open("abc.txt", "w")
--- file:write "abc abc abc"
--- file:close()
--- #reader:tokens(wane.text("abc.txt", { samples = 2, length = 4 }))  --> 2
--- ```
---@param path string
---@param options? { samples?: integer, length?: integer, stream?: string }
---@return wane.text
function wane.text(path, options) end

--- A class of modules: function C:init(config) sets fields, function C:forward(x, ...) computes; C(config) builds.
--- Field names are layer names.
--- - errors: a name that does not start with a capital
--- ```lua
--- Double = wane.module "Double"
--- function Double:forward(x) return 2 * x end
--- Double()(wane.ones(2))  --> { 2, 2 }
--- ```
---@param name string
---@return wane.class
function wane.module(name) end

--- `wane.Linear(inputs, outputs, { bias = false, tied }) -> layer`
---
--- A layer x [.., in] to [.., out]. tied: the layer whose weight it shares.
--- - shapes: weight [out, in], bias [out]
--- - dtypes: weights f32 until a model gives others
--- - errors: sizes below 1; a tied layer of another shape
--- ```lua
--- wane.Linear(4, 2)(wane.ones { 3, 4 }).shape  --> { 3, 2 }
--- ```
---@param inputs integer
---@param outputs integer
---@param options? { bias?: boolean, tied?: wane.layer }
---@return wane.layer
function wane.Linear(inputs, outputs, options) end

--- Token ids, which count from 0, to rows of its weight.
--- - shapes: weight [rows, width]; [..] to [.., width]
--- - dtypes: ids i32; the result has the weight's
--- - errors: sizes below 1
--- ```lua
--- wane.Embedding(8, 4)(wane.tensor({ { 0, 7 } }, { dtype = "i32" })).shape  --> { 1, 2, 4 }
--- ```
---@param rows integer
---@param width integer
---@return wane.layer
function wane.Embedding(rows, width) end

--- x / sqrt(mean(x^2) + eps) * weight over the last dim.
--- - shapes: weight [width]; [.., width] to the same
--- - dtypes: floats; computed in f32, the result has x's
--- - errors: a width below 1; no eps
--- - source: Zhang and Sennrich 2019, arXiv 1910.07467
--- ```lua
--- wane.RMSNorm(2, 0)(wane.tensor { { 3, 4 } })  --> { { 0.848528, 1.131371 } }
--- ```
---@param width integer
---@param eps number
---@return wane.layer
function wane.RMSNorm(width, eps) end

--- n instances, named .0, .1, ...; `for block in stack do` walks them. Each is built as Class(config, its number).
--- - errors: an n below 0; a Class that wane.module did not make
--- ```lua
--- Half = wane.module "Half"
--- function Half:forward(x) return x / 2 end
--- #wane.stack(3, Half)  --> 3
--- ```
---@param n integer
---@param Class wane.class
---@param config table?
---@return wane.layer
function wane.stack(n, Class, config) end

--- Registers what wane.load and wane.model make of a config.json that names it. gguf: its name in GGUF files. What rotations and smoothing rely on: writes, patterns of the layers that add to the residual stream, its embedding among them; reads, norm = the layers that read it; values, the pair of v and o (R2); product, a layer whose rows scale the columns of the next (R4); keys, the norms of the heads of q and k.
--- - errors: a model that is no class; names that are no patterns
--- ```lua
--- Copy = wane.module "Copy"
--- function Copy:init(c) self.embed_tokens = wane.Embedding(c.vocab_size, c.vocab_size) end
--- function Copy:forward(tokens) return self.embed_tokens(tokens) end
--- wane.architecture("CopyForCausalLM", { model = Copy })
--- wane.model("CopyForCausalLM", { vocab_size = 8 }):forward({ 1, 2 }).shape  --> { 1, 2, 8 }
--- ```
---@param name string
---@param options? { model?: wane.class, gguf?: string, writes?: string[], reads?: table<string,string>, values?: string[], product?: string[], keys?: string[] }
function wane.architecture(name, options) end

--- A rule is { pattern, weight =, input =, kv =, solver =, optional = }. Rules apply in order; a later one overrides only the fields it names. Layers that no rule names are kept. weight: a quantizer, a dtype or "keep"; input and kv: a quantizer or "keep"; optional: true may match nothing.
--- - errors: a field of another kind or name, by the number of its rule
--- ```lua
--- wane.rules { { "*_proj", weight = wane.int { bits = 4 } } }:plan(model).bits  --> 4.9
--- ```
---@param list table[]
---@return wane.rules
function wane.rules(list) end

--- Applies the plan: weights by their solvers, then static inputs on what the quantized layers before give. text may be left out when nothing needs one. watch: a task; its kl after each block becomes a column of .metrics. In a run these rows go to metrics.jsonl, each with call (the first wane.quantize of the run is 1) and line (where the script called it).
--- - options: watch: nothing is watched by default
--- - units: error: of the outputs under the Hessian, relative; sqnr in dB; clipped: a share; kl in nats per token
--- - errors: all problems of the plan at once before any compute; NaN or Inf: layer, sample, token
--- ```lua
--- small = wane.quantize(model, rules)
--- small.bits  --> 6
--- #small.metrics  --> 14
--- ```
---@param model wane.model
---@param rules wane.rules
---@param text? wane.text|string
---@param options? { watch?: wane.task }
---@return wane.model
function wane.quantize(model, rules, text, options) end

--- `wane.observe(model, text, observers, { layers = "Linear" }) -> table`
---
--- What observers see in the inputs of layers, in one pass: a column for each.
--- - errors: a pattern that matches nothing; NaN or Inf: layer, sample, token; an observer that serves a quantizer only
--- ```lua
--- seen = wane.observe(model, text, { wane.absmax, wane.token_ratio }, { layers = "*.mlp.down_proj" })
--- #seen  --> 2
--- seen[1].absmax > 0  --> true
--- ```
---@param model wane.model
---@param text wane.text|string
---@param observers wane.observer|wane.observer[]
---@param options? { layers?: wane.pattern }
---@return wane.table
function wane.observe(model, text, observers, options) end

---@class wane.int_quantizer: wane.quantizer
---@overload fun(options: { bits?: number, per?: "tensor"|"channel"|"token", group_size?: integer, symmetric?: boolean, observer?: wane.observer, convention?: "half"|"qmax"|"full", scale_dtype?: wane.dtype, zero_dtype?: wane.dtype }): wane.int_quantizer

--- `wane.int { bits = 8, per, group_size, symmetric = true, observer, convention = "half", scale_dtype = "bf16", zero_dtype = "i8" } -> quantizer`
---
--- Whole-number codes of 2 to 8 bits. convention, the scale of symmetric codes: "half" absmax / (2^bits - 1) * 2, "qmax" absmax / (2^(bits-1) - 1), "full" a signed scale on the lowest code. symmetric = false: a zero point per scale.
--- - options: per ("tensor", "channel", "token") or group_size; giving one drops the other. Default: a weight per channel, an input per token
--- - shapes: w [out, in]; an input is [tokens, in]
--- - dtypes: codes u8; scale and zero in scale_dtype and zero_dtype
--- - units: bits per code
--- - errors: an unknown option, with the valid ones and the nearest; a value outside of its range; per together with group_size
--- - source: half: GPTQ, compressed-tensors; qmax: QuaRot, AWQ; full: AutoRound
--- ```lua
--- int4 = wane.int { bits = 4, group_size = 64 }
--- int4 { observer = wane.mse }  --> "int4 g64 mse"
--- ```
---@type wane.int_quantizer
wane.int = {}

---@class wane.fp8_quantizer: wane.quantizer
---@overload fun(options: { format?: string, per?: "tensor"|"channel"|"token", group_size?: integer, observer?: wane.observer, scale_dtype?: wane.dtype }): wane.fp8_quantizer

--- `wane.fp8 { format = "e4m3", per, group_size, observer, scale_dtype = "bf16" } -> quantizer`
---
--- Floats of 8 bits with a scale, "e4m3" (largest 448) or "e5m2" (largest 57344); values beyond saturate.
--- - options: per ("tensor", "channel", "token") or group_size; giving one drops the other. Default: a weight per channel, an input per token
--- - shapes: w [out, in]; an input is [tokens, in]
--- - dtypes: codes u8, the bytes of the format
--- - errors: an unknown option, with the valid ones and the nearest; a value outside of its range; per together with group_size
--- - source: OCP 8-bit floating point specification
--- ```lua
--- wane.fp8:quantize(wane.tensor { { 448, 17 } }):dequantize()  --> { { 448, 16 } }
--- ```
---@type wane.fp8_quantizer
wane.fp8 = {}

---@class wane.nf4_quantizer: wane.quantizer
---@overload fun(options: { per?: "tensor"|"channel"|"token", group_size?: integer, observer?: wane.observer, scale_dtype?: wane.dtype }): wane.nf4_quantizer

--- `wane.nf4 { per, group_size = 64, observer, scale_dtype = "bf16" } -> quantizer`
---
--- 16 levels at quantiles of the normal distribution, scaled by the absmax of a group.
--- - options: per ("tensor", "channel", "token") or group_size; giving one drops the other. Default: a weight per channel, an input per token
--- - shapes: w [out, in]; an input is [tokens, in]
--- - dtypes: codes u8
--- - errors: an unknown option, with the valid ones and the nearest; a value outside of its range; per together with group_size
--- - source: QLoRA, arXiv 2305.14314
--- ```lua
--- wane.nf4 { group_size = 2 }:quantize(wane.tensor { { 1, -1 } }):dequantize()  --> { { 1, -1 } }
--- ```
---@type wane.nf4_quantizer
wane.nf4 = {}

---@class wane.nvfp4_quantizer: wane.quantizer
---@overload fun(options: { observer?: wane.observer }): wane.nvfp4_quantizer

--- e2m1 codes in blocks of 16 with an e4m3 scale, and an f32 scale for the tensor.
--- - options: the blocks of the format
--- - shapes: w [out, in]; an input is [tokens, in]
--- - dtypes: codes of 4 bits
--- - errors: an unknown option, with the valid ones and the nearest; a value outside of its range; per together with group_size
--- - source: NVIDIA's NVFP4
--- ```lua
--- wane.nvfp4  --> "nvfp4"
--- ```
---@type wane.nvfp4_quantizer
wane.nvfp4 = {}

---@class wane.mxfp4_quantizer: wane.quantizer
---@overload fun(options: { observer?: wane.observer }): wane.mxfp4_quantizer

--- e2m1 codes in blocks of 32 with a power of two as scale.
--- - options: the blocks of the format
--- - shapes: w [out, in]; an input is [tokens, in]
--- - dtypes: codes of 4 bits
--- - errors: an unknown option, with the valid ones and the nearest; a value outside of its range; per together with group_size
--- - source: OCP Microscaling formats 1.0
--- ```lua
--- wane.mxfp4  --> "mxfp4"
--- ```
---@type wane.mxfp4_quantizer
wane.mxfp4 = {}

---@class wane.gguf_quantizer: wane.quantizer
---@overload fun(options: { type?: string, observer?: wane.observer }): wane.gguf_quantizer

--- `wane.gguf { type = "Q8_0", observer } -> quantizer`
---
--- A GGUF block type by its own name: "Q4_0", "Q4_K", "Q6_K", "IQ4_NL" ...
--- - options: the blocks of the type
--- - shapes: w [out, in]; an input is [tokens, in]
--- - dtypes: the type's own codes and scales
--- - errors: an unknown option, with the valid ones and the nearest; a value outside of its range; per together with group_size
--- - source: llama.cpp's GGUF
--- ```lua
--- wane.gguf { type = "Q4_K" }.type  --> "Q4_K"
--- ```
---@type wane.gguf_quantizer
wane.gguf = {}

--- `wane.quantizer(name, { bits = 8, per, group_size, observer, scale_dtype = "bf16", zero_dtype = "i8", ... }) -> quantizer`
---
--- A quantizer of one's own: function Q:fit(w, seen) gives params, a table of tensors [rows, 1]; Q:encode(w, params) whole numbers 0 to 2^bits - 1; Q:decode(codes, params) values. A row of w is what shares one set of parameters. encode and decode are maps only, traced once: no reductions, and no `if` or `==` on tensors. Options of one's own are fields of self.
--- - options: per ("tensor", "channel", "token") or group_size; giving one drops the other. Default: a weight per channel, an input per token
--- - shapes: w [rows, m]
--- - dtypes: w f32; codes u8; params in scale_dtype, zero in zero_dtype
--- - errors: a value asked for while tracing, at its line; params or codes of another kind or shape; codes outside of 0 to 2^bits - 1
--- ```lua
--- Sign = wane.quantizer("sign", { bits = 1 })
--- function Sign:fit(w) return { scale = w:abs():mean(2) } end
--- function Sign:encode(w, p) return wane.where(w:lt(0), 0, 1) end
--- function Sign:decode(codes, p) return (codes * 2 - 1) * p.scale end
--- Sign:quantize(wane.tensor { { 1, -3 } }):dequantize()  --> { { 2, -2 } }
--- ```
---@param name string
---@param options? { bits?: number, per?: "tensor"|"channel"|"token", group_size?: integer, observer?: wane.observer, scale_dtype?: wane.dtype, zero_dtype?: wane.dtype, [any]: any }
---@return wane.quantizer
function wane.quantizer(name, options) end

---@class wane.minmax_observer: wane.observer
---@overload fun(options: { ema?: number, per?: "tensor"|"channel"|"token" }): wane.minmax_observer

--- Lowest and highest. ema: a moving range, each sample weighing this much; nil: the true extremes.
--- - options: per = "tensor", "channel" or "token": what one row is; "tensor" in wane.observe unless it says otherwise, else the rows of the quantizer it serves
--- - shapes: x [rows, m]; one result for each row, a Lua number where there is one
--- - dtypes: x f32; results f32
--- - errors: an unknown option; NaN or Inf in what it sees: layer, sample, token
--- - source: ema: compressed-tensors' observers
--- ```lua
--- seen = wane.observe(model, text, wane.minmax)
--- seen[1].minmax.shape  --> { 1, 2 }
--- ```
---@type wane.minmax_observer
wane.minmax = {}

---@class wane.absmax_observer: wane.observer
---@overload fun(options: { per?: "tensor"|"channel"|"token" }): wane.absmax_observer

--- Largest magnitude.
--- - options: per = "tensor", "channel" or "token": what one row is; "tensor" in wane.observe unless it says otherwise, else the rows of the quantizer it serves
--- - shapes: x [rows, m]; one result for each row, a Lua number where there is one
--- - dtypes: x f32; results f32
--- - errors: an unknown option; NaN or Inf in what it sees: layer, sample, token
--- ```lua
--- seen = wane.observe(model, text, wane.absmax { per = "channel" })
--- seen[1].absmax.shape  --> { 16, 1 }
--- ```
---@type wane.absmax_observer
wane.absmax = {}

---@class wane.percentile_observer: wane.observer
---@overload fun(options: { p?: number, per?: "tensor"|"channel"|"token" }): wane.percentile_observer

--- `wane.percentile { p = 99.99, per } -> observer`
---
--- The range of the p-th percentile of magnitudes, exact; interpolated between neighbours.
--- - options: per = "tensor", "channel" or "token": what one row is; "tensor" in wane.observe unless it says otherwise, else the rows of the quantizer it serves
--- - shapes: x [rows, m]; one result for each row, a Lua number where there is one
--- - dtypes: x f32; results f32
--- - units: p in percent
--- - errors: an unknown option; NaN or Inf in what it sees: layer, sample, token; a p outside of 0 to 100
--- ```lua
--- seen = wane.observe(model, text, { wane.percentile { p = 50 }, wane.absmax })
--- seen[1].percentile < seen[1].absmax  --> true
--- ```
---@type wane.percentile_observer
wane.percentile = {}

---@class wane.mse_observer: wane.observer
---@overload fun(options: { grid?: integer, shrink?: number, norm?: number, per?: "tensor"|"channel"|"token" }): wane.mse_observer

--- `wane.mse { grid = 100, shrink = 0.8, norm = 2.4, per } -> observer`
---
--- Of the ranges p * (lo, hi), p = 1 - i / grid down to 1 - shrink, the one with the least sum of |rounded - x|^norm.
--- - options: per = "tensor", "channel" or "token": what one row is; "tensor" in wane.observe unless it says otherwise, else the rows of the quantizer it serves
--- - shapes: x [rows, m]; one result for each row, a Lua number where there is one
--- - dtypes: x f32; results f32
--- - errors: an unknown option; NaN or Inf in what it sees: layer, sample, token; alone in wane.observe: it needs the quantizer it serves
--- - source: the search of GPTQ's reference code
--- ```lua
--- w = wane.randn { 8, 64 }
--- q = wane.int { bits = 3 }
--- function off(q) return (q:quantize(w) - w):norm() end
--- off(q { observer = wane.mse }) < off(q)  --> true
--- ```
---@type wane.mse_observer
wane.mse = {}

---@class wane.imatrix_observer: wane.observer
---@overload fun(options: { norm?: number, per?: "tensor"|"channel"|"token" }): wane.imatrix_observer

--- `wane.imatrix { norm = 3, per } -> observer`
---
--- As wane.mse, each column weighing the mean square of its input channel; weights only, needs a text.
--- - options: per = "tensor", "channel" or "token": what one row is; "tensor" in wane.observe unless it says otherwise, else the rows of the quantizer it serves
--- - shapes: x [rows, m]; one result for each row, a Lua number where there is one
--- - dtypes: x f32; results f32
--- - errors: an unknown option; NaN or Inf in what it sees: layer, sample, token
--- - source: llama.cpp's importance matrix
--- ```lua
--- wane.int { bits = 4, observer = wane.imatrix }  --> "int4 imatrix"
--- ```
---@type wane.imatrix_observer
wane.imatrix = {}

---@class wane.block_mse_observer: wane.observer
---@overload fun(options: { per?: "tensor"|"channel"|"token" }): wane.block_mse_observer

--- The range with the least error of the block's output; inputs only.
--- - options: per = "tensor", "channel" or "token": what one row is; "tensor" in wane.observe unless it says otherwise, else the rows of the quantizer it serves
--- - shapes: x [rows, m]; one result for each row, a Lua number where there is one
--- - dtypes: x f32; results f32
--- - errors: an unknown option; NaN or Inf in what it sees: layer, sample, token
--- ```lua
--- wane.int { per = "tensor", observer = wane.block_mse }  --> "int8 tensor block_mse"
--- ```
---@type wane.block_mse_observer
wane.block_mse = {}

---@class wane.token_ratio_observer: wane.observer
---@overload fun(options: { per?: "tensor"|"channel"|"token" }): wane.token_ratio_observer

--- The largest token over the median token, by absmax; the mean over samples.
--- - options: per = "tensor", "channel" or "token": what one row is; "tensor" in wane.observe unless it says otherwise, else the rows of the quantizer it serves
--- - shapes: x [rows, m]; one result for each row, a Lua number where there is one
--- - dtypes: x f32; results f32
--- - errors: an unknown option; NaN or Inf in what it sees: layer, sample, token; a per other than "tensor"
--- - source: PrefixQuant, arXiv 2410.05265
--- ```lua
--- seen = wane.observe(model, text, wane.token_ratio)
--- seen[1].token_ratio >= 1  --> true
--- ```
---@type wane.token_ratio_observer
wane.token_ratio = {}

---@class wane.mean_square_observer: wane.observer
---@overload fun(options: { per?: "tensor"|"channel"|"token" }): wane.mean_square_observer

--- Mean of x^2.
--- - options: per = "tensor", "channel" or "token": what one row is; "tensor" in wane.observe unless it says otherwise, else the rows of the quantizer it serves
--- - shapes: x [rows, m]; one result for each row, a Lua number where there is one
--- - dtypes: x f32; results f32
--- - errors: an unknown option; NaN or Inf in what it sees: layer, sample, token
--- ```lua
--- seen = wane.observe(model, text, wane.mean_square)
--- seen[1].mean_square > 0  --> true
--- ```
---@type wane.mean_square_observer
wane.mean_square = {}

---@class wane.hessian_observer: wane.observer
---@overload fun(options: { per?: "tensor"|"channel"|"token" }): wane.hessian_observer

--- Mean of x x^T over the tokens, for solvers.
--- - options: none: its result is of all channels
--- - shapes: x [tokens, channels] to [channels, channels]
--- - dtypes: x f32; results f32
--- - errors: an unknown option; NaN or Inf in what it sees: layer, sample, token
--- - source: GPTQ, arXiv 2210.17323
--- ```lua
--- wane.observe(model, text, wane.hessian, { layers = "layers.0.mlp.down_proj" })[1].hessian.shape  --> { 32, 32 }
--- ```
---@type wane.hessian_observer
wane.hessian = {}

---@class wane.cross_observer: wane.observer
---@overload fun(options: { per?: "tensor"|"channel"|"token" }): wane.cross_observer

--- Mean of x0 x^T over the tokens, x0 the input in the original model, for solvers.
--- - options: none: its result is of all channels
--- - shapes: x0 and x [tokens, channels] to [channels, channels]
--- - dtypes: x f32; results f32
--- - errors: an unknown option; NaN or Inf in what it sees: layer, sample, token
--- - source: GPTAQ, arXiv 2504.02692
--- ```lua
--- wane.cross.name  --> "cross"
--- ```
---@type wane.cross_observer
wane.cross = {}

--- An observer of one's own: function O:init(), O:see(x, x0) with x [rows, m] and x0 the same in the original model (inside wane.quantize only), O:result() a number, a tensor [rows, 1], or lo and hi. The order and size of batches must not matter.
--- - options: per = "tensor", "channel" or "token": what one row is; "tensor" in wane.observe unless it says otherwise, else the rows of the quantizer it serves
--- - shapes: x [rows, m]; one result for each row, a Lua number where there is one
--- - dtypes: x f32; results f32
--- - errors: an unknown option; NaN or Inf in what it sees: layer, sample, token; a result of another kind or shape
--- ```lua
--- Mean = wane.observer("mean", { per = "tensor" })
--- function Mean:init() self.sum, self.count = 0, 0 end
--- function Mean:see(x) self.sum, self.count = self.sum + x:sum(), self.count + x.shape[1] * x.shape[2] end
--- function Mean:result() return self.sum / self.count end
--- math.abs(wane.observe(model, text, Mean)[1].mean) < 1  --> true
--- ```
---@param name string
---@param options? { per?: "tensor"|"channel"|"token", [any]: any }
---@return wane.observer
function wane.observer(name, options) end

---@class wane.rtn_solver: wane.solver
---@overload fun(options: table): wane.rtn_solver

--- Rounds to nearest, with the range that the quantizer's observer finds. It needs no text.
--- - options: none
--- - errors: an unknown option, with the valid ones and the nearest
--- - source: project
--- ```lua
--- q, w = wane.int { bits = 4 }, wane.randn { 4, 8 }
--- wane.rtn:solve(w, q):same(q:quantize(w))  --> true
--- ```
---@type wane.rtn_solver
wane.rtn = {}

---@class wane.gptq_solver: wane.solver
---@overload fun(options: { damp?: number, act_order?: "static"|"group"|"none", precorrect?: number, spikes?: number|false }): wane.gptq_solver

--- `wane.gptq { damp = 0.01, act_order = "static", precorrect = 0.5, spikes = 64 } -> solver`
---
--- Column by column; each error is repaid by the columns that follow. act_order: "static" columns by falling diagonal, group parameters fitted once; "group" whole groups by their largest diagonal; "none" as they stand. precorrect: the share of the correction for inputs changed by earlier layers. spikes: tokens above this ratio are left out of the damping's mean.
--- - options: precorrect = 0 keeps no original inputs; spikes = false leaves none out
--- - dtypes: solved in f32; in f64 where weight and Hessian are f64
--- - units: damp: a share of the Hessian's mean diagonal; precorrect: a share, 0 to 1; spikes: a ratio of a token's norm to the median
--- - errors: no text; NaN or Inf in weights or inputs, with layer, sample and token; a Cholesky that fails after damp was raised 4 times, which is recorded; scales that their dtype cannot hold
--- - source: GPTQ, arXiv 2210.17323; GPTAQ, arXiv 2504.02692
--- ```lua
--- x, w = wane.randn { 64, 8 }, wane.randn { 4, 8 }
--- q = wane.gptq:solve(w, wane.int { bits = 4 }, { hessian = x:t():matmul(x) / 64 })
--- q.shape  --> { 4, 8 }
--- ```
---@type wane.gptq_solver
wane.gptq = {}

--- A solver of one's own: S.needs = { observers }, function S:solve(w, quantizer, seen) gives a quantized tensor of w's shape.
--- quantizer.group_size is always the columns of w that share parameters (per channel and per tensor: in); seen.hessian and so on are the results of needs. Layers that share an input and a scheme come stacked, as one w, where needs asks for something.
--- - shapes: w [out, in]; seen.hessian and seen.cross [in, in]; others as the observer gives them
--- - dtypes: f32
--- - errors: a result that is no quantized tensor of w's shape
--- - source: project
--- ```lua
--- Plain = wane.solver("plain", { scale = 1 })
--- function Plain:solve(w, quantizer) return quantizer:quantize(w * self.scale) end
--- Plain { scale = 2 }.scale  --> 2
--- ```
---@param name string
---@param options? { [any]: any }
---@return wane.solver
function wane.solver(name, options) end

--- For each column j: code it, e_j = (w_j - value) / u_jj, w_k -= e_j u_jk for k > j; quantizer:fit at each group's entry on the updated weights, unless params are given. order: positions; second: a further triangle, applied to w_j.
--- - shapes: w [out, in], u [in, in] upper; errors [out, in]
--- - dtypes: w of any float dtype, swept in f32; f64 in f64
--- - errors: shapes that do not fit; NaN or Inf in w; an order that mixes the columns of groups, without params; a quantizer whose maps take more than 64 operations
--- - source: GPTQ, arXiv 2210.17323; second: GPTAQ, arXiv 2504.02692
--- ```lua
--- q, w = wane.int { bits = 4 }, wane.randn { 4, 8 }
--- rounded = wane.sweep(w, wane.eye(8), q)
--- rounded:same(q:quantize(w))  --> true
--- ```
---@param w wane.tensor
---@param u wane.tensor
---@param quantizer wane.quantizer
---@param options? { order?: wane.tensor|integer[], params?: table<string,wane.tensor>, second?: wane.tensor }
---@return wane.tensor
---@return wane.tensor
function wane.sweep(w, u, quantizer, options) end

--- `wane.rotate(model, { ..., kind = "hadamard", signs = true, block, stream = "rotate" }) -> model`
---
--- The same function in other bases: random Hadamard matrices spread what stands out in one channel over all. "r1" the residual stream, after the scales of the norms; "r2" the channels of heads between v and o; both folded into the weights in f64, rounded once when read. "r3" queries and keys, "r4" the inputs of down_proj: turned while the model runs. A tied embedding stays tied; saving parts it and says so.
--- wane.rotate(model, { "r1", "r2" })
--- - options: block: turns blocks of so many channels, a head with fewer whole; signs: random signs, drawn from the streams rotate/r1 ...; kind: "hadamard" is all there is
--- - shapes: channels of any size 2^k h, h the order of a Hadamard matrix of Paley's, or of 1; others by block
--- - dtypes: weights keep theirs
--- - errors: twice the same; a size without a transform, with the block that would do; after wane.smooth across it; quantized weights or inputs; an architecture without the table it needs
--- - source: QuaRot, arXiv 2404.00456; SpinQuant, arXiv 2405.16406
--- ```lua
--- turned = wane.rotate(model, { "r1" })
--- (turned:forward({ 1, 2 }) - model:forward({ 1, 2 })):absmax() < 1e-3  --> true
--- ```
---@param model wane.model
---@param options? { kind?: string, signs?: boolean, block?: integer, stream?: string, [any]: any }
---@return wane.model
function wane.rotate(model, options) end

--- `wane.smooth(model, text, { alpha = 0.5, layers }) -> model`
---
--- Channels of inputs divided by s = max|x|^alpha / max|w|^(1 - alpha), the columns that read them multiplied. Folded: into the norms before q, k, v, gate and up, the rows of up before down, those of v before o (one s for the heads that share a key), and the norms of q and k heads against each other.
--- - options: layers: those whose inputs are smoothed, by default all but the head
--- - dtypes: weights keep theirs
--- - units: alpha is the share that weights take
--- - errors: an alpha outside of 0 to 1; across a rotation: a site carries scales or a rotation, not both; quantized weights or inputs; NaN or Inf, with layer, sample and token
--- - source: SmoothQuant, arXiv 2211.10438
--- ```lua
--- smooth = wane.smooth(model, text, { alpha = 0.5 })
--- (smooth:forward({ 1, 2 }) - model:forward({ 1, 2 })):absmax() < 1e-3  --> true
--- ```
---@param model wane.model
---@param text wane.text|string
---@param options? { alpha?: number, layers?: wane.pattern }
---@return wane.model
function wane.smooth(model, text, options) end

--- `wane.prefix(model, text, { over = 64 }) -> model`
---
--- The model with the tokens that spike, above `over` times the median, kept in front of every text: computed once, keys and values in 16 bits, statistics and scores without them.
--- - units: over is a ratio of activations
--- - errors: an over of 0 or less
--- - source: PrefixQuant, arXiv 2410.05265
--- ```lua
--- wane.prefix(model, text).name  --> model.name
--- ```
---@param model wane.model
---@param text wane.text|string
---@param options? { over?: number }
---@return wane.model
function wane.prefix(model, text, options) end

--- The KL of the whole model with one group of layers quantized and all others left alone: layers, choice, bits, bytes, kl.
--- tie: the layers of a block that one of these patterns matches choose together.
--- - units: kl in nats per token
--- - errors: a pattern that matches nothing; no choices
--- ```lua
--- scores = wane.sensitivity(model, text, { layers = "*.mlp.down_proj", choices = { wane.int { bits = 4 }, wane.int } })
--- #scores  --> 4
--- ```
---@param model wane.model
---@param text wane.text|string
---@param options? { layers?: wane.pattern, tie?: string[], choices?: wane.quantizer[] }
---@return wane.table
function wane.sensitivity(model, text, options) end

--- The choices with the least summed kl within a budget of mean bits or of bytes.
--- - units: bits per weight, or bytes
--- - errors: no choice fits: the least that would; neither bits nor bytes
--- - source: Lagrangian, then exact
--- ```lua
--- scores = wane.sensitivity(model, text, { layers = "*.mlp.down_proj", choices = { wane.int { bits = 4 }, wane.int } })
--- wane.allocate(scores, { bits = 7 }):plan(model).bits <= 7  --> true
--- ```
---@param scores wane.table
---@param options? { bits?: number, bytes?: integer }
---@return wane.rules
function wane.allocate(scores, options) end

--- "perplexity" takes a text, each sample one window; "wikitext2-gptq-2048" (papers: windows of 2,048) and "wikitext2-llamacpp-512" (llama.cpp: the last 255 of 512) a path. items: a fixed drawn subset. Nothing is downloaded.
--- - errors: a protocol that is not known, with the nearest; no such file (exit code 66)
--- ```lua
--- wane.task("perplexity", text)  --> "perplexity v1"
--- ```
---@param protocol string
---@param data wane.text|string
---@param options? { items?: integer }
---@return wane.task
function wane.task(protocol, data, options) end

--- The score of a model on a task. Every window is read alone.
--- - units: perplexity is exp of nats per token
--- - errors: a token beyond the model's vocabulary; nothing to score
--- ```lua
--- wane.evaluate(model, task).value > 1  --> true
--- ```
---@param model wane.model
---@param task wane.task
---@return wane.score
function wane.evaluate(model, task) end

--- One pass of both.
--- - units: kl in nats per token
--- - errors: models of different tokenizers or vocabularies
--- ```lua
--- wane.compare(model, model, task).kl.value  --> 0
--- ```
---@param model wane.model
---@param base wane.model
---@param task wane.task
---@return wane.comparison
function wane.compare(model, base, task) end

--- The seconds a call takes, and its results; what f leaves pending among them is computed before the clock stops.
--- - units: seconds
--- - errors: an f that cannot be called; what f raises
--- ```lua
--- seconds, x = wane.time(wane.eye, 2)
--- x  --> { { 1, 0 }, { 0, 1 } }
--- seconds >= 0 * seconds  --> true
--- ```
---@param f function
---@param ... any
---@return wane.timing
---@return any
function wane.time(f, ...) end

--- Rows with columns. In a run every added row goes to NAME.jsonl at once.
--- - errors: a name used twice in a run; a column named twice
--- ```lua
--- t = wane.table("sizes", { "layer", "bits" })
--- t:add { layer = "norm", bits = 16 }
--- t[1].bits  --> 16
--- ```
---@param name string
---@param columns string[]
---@return wane.table
function wane.table(name, columns) end

return wane
