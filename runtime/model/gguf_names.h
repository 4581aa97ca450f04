// GGUF's tensor names beside those of HF checkpoints, and the row order of llama's q and k projections. HF
// names are without a leading "model.", as layers are named everywhere in wane.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace wane {

// "blk.3.attn_q.weight" -> "layers.3.self_attn.q_proj.weight"; nothing for a name that no llama, qwen2 or
// qwen3 file has. rope_freqs.weight (llama3's frequency factors) is "rope_freqs".
std::optional<std::string> hf_name_of_gguf(std::string_view gguf_name);
// The inverse; a leading "model." is allowed.
std::optional<std::string> gguf_name_of_hf(std::string_view hf_name);

// Files of architecture "llama" store the rows of q_proj and k_proj, weights and biases, so that the two
// halves of a rotary pair are neighbours: inside a head of D rows, HF row j * D/2 + i is GGUF row 2 * i + j,
// j in {0, 1}. Returns the number of heads of a tensor in that order, 0 for all others.
int64_t permuted_heads(std::string_view architecture, std::string_view gguf_name, int64_t heads,
                       int64_t kv_heads);
inline int64_t gguf_row_of(int64_t hf_row, int64_t head_dim) {
  int64_t head = hf_row / head_dim, in_head = hf_row % head_dim, half = head_dim / 2;
  return head * head_dim + 2 * (in_head % half) + in_head / half;
}
// Whole rows from GGUF order into HF order (`to_hf`) or back. `rows` is a multiple of `heads`, each head
// even.
void permute_rows(std::span<const std::byte> source, std::span<std::byte> target, int64_t rows, int64_t heads,
                  bool to_hf);

} // namespace wane
