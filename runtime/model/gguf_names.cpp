#include "runtime/model/gguf_names.h"

#include <array>
#include <charconv>
#include <cstring>
#include <utility>

#include "runtime/error.h"

namespace wane {
namespace {

using Pair = std::pair<std::string_view, std::string_view>;

constexpr std::array<Pair, 4> kWhole{{{"token_embd.weight", "embed_tokens.weight"},
                                      {"output_norm.weight", "norm.weight"},
                                      {"output.weight", "lm_head.weight"},
                                      {"rope_freqs.weight", "rope_freqs"}}};
constexpr std::array<Pair, 11> kInBlock{{{"attn_norm", "input_layernorm"},
                                         {"attn_q_norm", "self_attn.q_norm"},
                                         {"attn_k_norm", "self_attn.k_norm"},
                                         {"attn_q", "self_attn.q_proj"},
                                         {"attn_k", "self_attn.k_proj"},
                                         {"attn_v", "self_attn.v_proj"},
                                         {"attn_output", "self_attn.o_proj"},
                                         {"ffn_norm", "post_attention_layernorm"},
                                         {"ffn_gate", "mlp.gate_proj"},
                                         {"ffn_up", "mlp.up_proj"},
                                         {"ffn_down", "mlp.down_proj"}}};

struct BlockName {
  std::string_view number, layer, part; // "3", "attn_q", "weight"
};

// Splits PREFIX.N.LAYER.weight or .bias; N has no leading zeros.
std::optional<BlockName> split(std::string_view name, std::string_view prefix) {
  if (!name.starts_with(prefix)) return std::nullopt;
  name.remove_prefix(prefix.size());
  size_t first = name.find('.'), last = name.rfind('.');
  if (first == std::string_view::npos || first == last || first == 0) return std::nullopt;
  BlockName out{name.substr(0, first), name.substr(first + 1, last - first - 1), name.substr(last + 1)};
  int32_t number = 0;
  auto [end, problem] = std::from_chars(out.number.data(), out.number.data() + out.number.size(), number);
  if (problem != std::errc() || end != out.number.data() + out.number.size() || number < 0)
    return std::nullopt;
  if (out.number.size() > 1 && out.number.front() == '0') return std::nullopt;
  if (out.part != "weight" && out.part != "bias") return std::nullopt;
  return out;
}

} // namespace

std::optional<std::string> hf_name_of_gguf(std::string_view gguf_name) {
  for (auto& [gguf, hf] : kWhole)
    if (gguf == gguf_name) return std::string(hf);
  auto name = split(gguf_name, "blk.");
  if (!name) return std::nullopt;
  for (auto& [gguf, hf] : kInBlock)
    if (gguf == name->layer) return fmt::format("layers.{}.{}.{}", name->number, hf, name->part);
  return std::nullopt;
}

std::optional<std::string> gguf_name_of_hf(std::string_view hf_name) {
  if (hf_name.starts_with("model.")) hf_name.remove_prefix(6);
  for (auto& [gguf, hf] : kWhole)
    if (hf == hf_name) return std::string(gguf);
  auto name = split(hf_name, "layers.");
  if (!name) return std::nullopt;
  for (auto& [gguf, hf] : kInBlock)
    if (hf == name->layer) return fmt::format("blk.{}.{}.{}", name->number, gguf, name->part);
  return std::nullopt;
}

int64_t permuted_heads(std::string_view architecture, std::string_view gguf_name, int64_t heads,
                       int64_t kv_heads) {
  if (architecture != "llama") return 0;
  auto name = split(gguf_name, "blk.");
  if (!name) return 0;
  return name->layer == "attn_q" ? heads : name->layer == "attn_k" ? kv_heads : 0;
}

void permute_rows(std::span<const std::byte> source, std::span<std::byte> target, int64_t rows, int64_t heads,
                  bool to_hf) {
  if (heads <= 0 || rows % (2 * heads) != 0 || source.size() != target.size()
      || source.size() % size_t(rows) != 0)
    throw error(Fault::internal, "permute_rows: {} rows of {} bytes do not split into {} heads of even size",
                rows, source.size(), heads);
  size_t width = source.size() / size_t(rows);
  for (int64_t row = 0; row < rows; ++row) {
    size_t other = size_t(gguf_row_of(row, rows / heads));
    size_t from = to_hf ? other : size_t(row), to = to_hf ? size_t(row) : other;
    std::memcpy(target.data() + to * width, source.data() + from * width, width);
  }
}

} // namespace wane
