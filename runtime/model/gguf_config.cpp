// The config.json that a GGUF file would have had. Keys: the metadata names of llama, qwen2 and qwen3 files.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "runtime/model/config.h"
#include "runtime/model/json.h"

namespace wane {
namespace {

using nlohmann::json;

// The shortest decimal that reads back as this f32: 1e-05, where the f32 as a double
// prints 9.999999747378752e-06.
double as_written(double value) {
  char text[32];
  auto end = std::to_chars(text, text + sizeof text, float(value)).ptr;
  if (!std::isfinite(value) || double(float(value)) != value) return value;
  std::from_chars(text, end, value);
  return value;
}

// One model's keys: "llama.block_count" by "block_count".
class Keys {
public:
  Keys(const GgufFile& file, std::string architecture)
      : file_(file), architecture_(std::move(architecture)) {}

  std::optional<int64_t> integer(const char* name) const {
    auto key = full(name);
    if (!file_.is_array(key)) return file_.integer(key);
    auto each = *file_.integers(key);
    if (each.empty()) return std::nullopt;
    if (std::any_of(each.begin(), each.end(), [&](int64_t value) { return value != each[0]; }))
      throw error("not supported: {}: {} differs from layer to layer", file_.path(), key);
    return each[0];
  }
  int64_t needed(const char* name) const {
    auto value = integer(name);
    if (!value) throw bad_file(file_.path(), fmt::format("has no metadata key {}", full(name)));
    return *value;
  }
  std::optional<double> number(const char* name) const {
    auto value = file_.number(full(name));
    return value ? std::optional(as_written(*value)) : std::nullopt;
  }
  std::optional<std::string> text(const char* name) const { return file_.text(full(name)); }
  std::string full(const char* name) const { return architecture_ + "." + name; }

private:
  const GgufFile& file_;
  std::string architecture_;
};

struct Names {
  const char *model, *architecture;
};

Names names_of(const std::string& architecture, bool windowed) {
  if (architecture == "llama")
    return windowed ? Names{"mistral", "MistralForCausalLM"} : Names{"llama", "LlamaForCausalLM"};
  if (architecture == "qwen2") return {"qwen2", "Qwen2ForCausalLM"};
  return {"qwen3", "Qwen3ForCausalLM"};
}

bool is_known(const std::string& architecture) {
  return architecture == "llama" || architecture == "qwen2" || architecture == "qwen3";
}

const TensorEntry* find(const std::vector<TensorEntry>& tensors, std::string_view name) {
  auto found = std::find_if(tensors.begin(), tensors.end(), [&](auto& entry) { return entry.name == name; });
  return found == tensors.end() ? nullptr : &*found;
}

// bfloat16 as soon as a matrix is stored in blocks, else the type that most numbers of the matrices have.
std::string torch_dtype(const std::vector<TensorEntry>& tensors) {
  std::map<StoredType, uint64_t> numbers;
  for (auto& entry : tensors)
    if (entry.shape.size() > 1) numbers[entry.type] += entry.bytes / info(entry.type).type_size;
  auto most = StoredType::f32;
  uint64_t count = 0;
  for (auto& [type, total] : numbers) {
    if (!is_plain(type)) return "bfloat16";
    if (total > count) most = type, count = total;
  }
  return most == StoredType::bf16 ? "bfloat16" : most == StoredType::f16 ? "float16" : "float32";
}

// llama3's scaling of rotary frequencies (as transformers computes it): what frequency i is divided by.
double llama3_factor(double theta, int64_t i, int64_t head_dim, double factor, double low, double high,
                     double context) {
  double wavelength = 2 * M_PI * std::pow(theta, 2.0 * double(i) / double(head_dim));
  if (wavelength < context / high) return 1;
  if (wavelength > context / low) return factor;
  double smooth = (context / wavelength - low) / (high - low);
  return 1 / ((1 - smooth) / factor + smooth);
}

// GGUF keeps the divisors, not the four numbers they came from: those are searched among the ones in use.
json llama3_scaling(const GgufFile& file, const std::vector<float>& factors, double theta, int64_t head_dim) {
  double largest = factors.empty() ? 0 : *std::max_element(factors.begin(), factors.end());
  for (double context : {8192.0, 4096.0, 2048.0, 16384.0, 32768.0})
    for (double high : {4.0, 8.0, 2.0}) {
      bool same = int64_t(factors.size()) == head_dim / 2;
      for (int64_t i = 0; same && i < head_dim / 2; ++i)
        same = std::abs(llama3_factor(theta, i, head_dim, largest, 1, high, context) / factors[size_t(i)] - 1)
               < 1e-5;
      if (same)
        return {{"rope_type", "llama3"},
                {"factor", as_written(largest)},
                {"low_freq_factor", 1.0},
                {"high_freq_factor", high},
                {"original_max_position_embeddings", int64_t(context)}};
    }
  throw error("not supported: {}: the {} factors of rope_freqs.weight follow no known llama3 scaling",
              file.path(), factors.size());
}

json rope_scaling(const GgufFile& file, const Keys& keys, const std::vector<float>& factors, double theta,
                  int64_t head_dim) {
  auto type = keys.text("rope.scaling.type").value_or("none");
  if (type != "none") {
    json scaling = {{"rope_type", type}};
    if (auto factor = keys.number("rope.scaling.factor")) scaling["factor"] = *factor;
    if (auto context = keys.integer("rope.scaling.original_context_length"))
      scaling["original_max_position_embeddings"] = *context;
    return scaling;
  }
  return factors.empty() ? json() : llama3_scaling(file, factors, theta, head_dim);
}

void add_attention(json& config, const GgufFile& file, const Keys& keys, const std::string& architecture) {
  int64_t hidden = keys.needed("embedding_length"), heads = keys.needed("attention.head_count");
  if (heads <= 0)
    throw bad_file(file.path(), fmt::format("{} is {}", keys.full("attention.head_count"), heads));
  config["num_attention_heads"] = heads;
  config["num_key_value_heads"] = keys.integer("attention.head_count_kv").value_or(heads);
  auto rotated = keys.integer("rope.dimension_count");
  auto key_length = keys.integer("attention.key_length"),
       value_length = keys.integer("attention.value_length");
  if (!key_length && hidden % heads != 0)
    throw bad_file(file.path(), fmt::format("{} heads do not divide a hidden size of {}", heads, hidden));
  int64_t head_dim = key_length.value_or(hidden / heads);
  if (value_length && *value_length != head_dim)
    throw error("not supported: {}: keys have {} channels per head, values {}", file.path(), head_dim,
                *value_length);
  if (rotated && *rotated != head_dim)
    throw error("not supported: {}: {} of {} channels per head are rotated", file.path(), *rotated, head_dim);
  config["head_dim"] = head_dim;
  if (auto window = keys.integer("attention.sliding_window"); window && architecture == "llama")
    config["sliding_window"] = *window;
}

void add_tokens(json& config, const GgufFile& file) {
  for (auto& [hf, gguf] : {std::pair("bos_token_id", "tokenizer.ggml.bos_token_id"),
                           std::pair("eos_token_id", "tokenizer.ggml.eos_token_id"),
                           std::pair("pad_token_id", "tokenizer.ggml.padding_token_id")})
    if (auto id = file.integer(gguf)) config[hf] = *id;
}

void add_vocabulary(json& config, const GgufFile& file, const Keys& keys,
                    const std::vector<TensorEntry>& tensors) {
  auto* embedding = find(tensors, "token_embd.weight");
  auto said = keys.integer("vocab_size");
  if (!said && file.has("tokenizer.ggml.tokens"))
    said = int64_t(file.length("tokenizer.ggml.tokens").value_or(0));
  if (embedding && said && *said != embedding->rows())
    throw bad_file(file.path(), fmt::format("has {} rows in token_embd.weight for a vocabulary of {}",
                                            embedding->rows(), *said));
  if (!embedding && !said) throw bad_file(file.path(), "says nowhere how large its vocabulary is");
  config["vocab_size"] = embedding ? embedding->rows() : *said;
  config["tie_word_embeddings"] = find(tensors, "output.weight") == nullptr;
}

} // namespace

std::string config_of_gguf(const GgufFile& file, const std::vector<TensorEntry>& tensors,
                           const std::vector<float>& rope_factors) {
  auto architecture = file.text("general.architecture");
  if (!architecture) throw bad_file(file.path(), "has no metadata key general.architecture");
  json config;
  if (!is_known(*architecture)) { // whoever reads this refuses it, or knows it, by its name
    config["model_type"] = *architecture;
    config["architectures"] = json::array({*architecture});
    return config.dump(2);
  }
  Keys keys(file, *architecture);
  add_attention(config, file, keys, *architecture);
  auto names = names_of(*architecture, config.contains("sliding_window"));
  config["model_type"] = names.model;
  config["architectures"] = json::array({names.architecture});
  config["hidden_size"] = keys.needed("embedding_length");
  config["intermediate_size"] = keys.needed("feed_forward_length");
  config["num_hidden_layers"] = keys.needed("block_count");
  config["max_position_embeddings"] = keys.needed("context_length");
  auto epsilon = keys.number("attention.layer_norm_rms_epsilon");
  if (!epsilon)
    throw bad_file(file.path(), "has no metadata key " + keys.full("attention.layer_norm_rms_epsilon"));
  config["rms_norm_eps"] = *epsilon;
  double theta = keys.number("rope.freq_base").value_or(10000.0);
  config["rope_theta"] = theta;
  auto scaling = rope_scaling(file, keys, rope_factors, theta, config["head_dim"].get<int64_t>());
  if (!scaling.is_null()) config["rope_scaling"] = scaling;
  config["hidden_act"] = "silu";
  if (*architecture != "qwen2") // there the biases are part of the architecture
    config["attention_bias"] = find(tensors, "blk.0.attn_q.bias") != nullptr;
  if (*architecture == "llama") config["mlp_bias"] = find(tensors, "blk.0.ffn_up.bias") != nullptr;
  config["torch_dtype"] = torch_dtype(tensors);
  add_vocabulary(config, file, keys, tensors);
  add_tokens(config, file);
  return config.dump(2);
}

} // namespace wane
