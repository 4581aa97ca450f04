// One part of an attention dispatch, as the per-level kernels take it.
#pragma once

#include "runtime/cpu/kernels.h"

namespace wane::cpu {

inline constexpr int kKeyBlock = 64, kMostTileRows = 6;

struct AttentionPart {
  const AttentionArgs* args;
  int64_t kv_head, first, count; // queries [first, first + count) of every head of this kv head
};

inline constexpr int64_t padded_to(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// Floats of 64-byte aligned scratch that a part needs: queries and their sums, peaks, totals by 16 lanes; a
// block of keys and of values; a tile's sums over a block.
inline int64_t attention_scratch(const AttentionPart& part) {
  const int64_t padded = padded_to(part.args->dim, 16), wide = padded_to(part.args->dim, 32);
  const int64_t rows = part.count * (part.args->heads / part.args->kv_heads);
  return 2 * rows * padded + padded_to(rows, 16) + 16 * rows + 2 * kKeyBlock * wide + kMostTileRows * padded;
}

// The form on AMX tiles: 16 rows of 16 4-byte words, two of them at a time; so many blocks of packed keys are
// kept for the second walk.
inline constexpr int kTileRows = 16, kTileWords = 256, kGroup = 2 * kTileRows;
inline constexpr int64_t kKeptBlocks = 32;
inline constexpr int64_t attention_scratch_amx(const AttentionPart& part) {
  const int64_t steps = padded_to(part.args->dim, 32) / 32, columns = padded_to(part.args->dim, 16) / 16;
  const int64_t rows = padded_to(part.count * (part.args->heads / part.args->kv_heads), kTileRows);
  const int64_t packed = (kKeptBlocks * 4 * steps + 2 * columns) * kTileWords;
  const int64_t room = kGroup * (32 + 32 + 32 + kKeyBlock) + kTileRows * columns * 16;
  return rows * (steps * 16 + columns * 16 + 32) + packed + room;
}

// Which form computes bf16 here: "amx" or "f32".
const char* attention_form();

} // namespace wane::cpu

namespace wane::isa_v2 {
void attention_part(const cpu::AttentionPart& part, float* scratch);
}
namespace wane::isa_v3 {
void attention_part(const cpu::AttentionPart& part, float* scratch);
}
namespace wane::isa_v4 {
void attention_part(const cpu::AttentionPart& part, float* scratch);
void attention_part_amx(const cpu::AttentionPart& part,
                        float* scratch); // bf16; the CPU and the system allow AMX
} // namespace wane::isa_v4
