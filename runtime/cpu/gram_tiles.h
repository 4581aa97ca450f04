// Sums of products of tokens, y^T x of bf16 rows, on AMX tiles. Tokens are packed once into two kinds of
// tiles, 32 tokens of 16 channels each: a left operand (word (c, p): tokens 2p and 2p + 1 of channel c) and a
// right one (word (p, c)). Every sum is the chain of TDPBF16PS over the tokens in order, from zero: the bits
// of the library's product of the same tokens.
#pragma once

#include <cstdint>
#include <span>

#include "runtime/memory.h"

namespace wane::cpu {

inline constexpr int64_t kGramBlock = 32, kGramGroup = 16; // tokens and channels of a tile
inline constexpr int64_t kGramTileWords = 256;

// One operand: tile (group, block) at words + group * stride + block * 256. The stride is no power of two, so
// that the groups of one block lie in different places of a cache.
struct GramPanels {
  int64_t groups = 0, blocks = 0, stride = 0; // groups: even
  BufferPtr buffer;
  GramPanels() = default;
  GramPanels(int64_t channels, int64_t tokens);
  uint32_t* at(int64_t group) const { return buffer->as<uint32_t>() + group * stride; }
};

// Packs tokens (rows of bf16 channels) into left and right, either of which may have no buffer.
void gram_pack(std::span<const uint16_t* const> tokens, int64_t channels, const GramPanels& left,
               const GramPanels& right);

// sum[r][c] += the products of channel r of left and channel c of right, over all tokens. lower: only those
// with c <= r are needed.
struct GramProduct {
  const GramPanels& left;
  const GramPanels& right;
  float* sum; // [rows, columns]
  int64_t rows, columns;
  bool lower;
};
void gram_add(std::span<const GramProduct> products); // in one dispatch

} // namespace wane::cpu

namespace wane::isa_v4 {
// 32 tokens (null: zeros) of `groups` groups of channels, at left and right (either may be null).
void gram_pack_block(const uint16_t* const* tokens, int64_t channels, int64_t groups, uint32_t* left,
                     uint32_t* right, int64_t stride);
// out[16 rows][16 columns] (dense rows of 16 * columns) = products over `blocks` tiles of tokens; rows and
// columns are groups, even. lower: blocks of 2 x 2 groups above the diagonal are left as they are.
void gram_multiply(const uint32_t* left, const uint32_t* right, int64_t stride, int64_t blocks, int64_t rows,
                   int64_t columns, bool lower, float* out);
} // namespace wane::isa_v4
