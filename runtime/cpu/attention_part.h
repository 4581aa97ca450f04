// One part of an attention dispatch, as the per-level kernels take it.
#pragma once

#include "runtime/cpu/kernels.h"

namespace wane::cpu {

inline constexpr int kKeyBlock = 64;

struct AttentionPart {
  const AttentionArgs* args;
  int64_t kv_head, first, count; // queries [first, first + count) of every head of this kv head
};

// Floats of 64-byte aligned scratch that a part needs.
inline int64_t attention_scratch(const AttentionPart& part) {
  const int64_t padded = (part.args->dim + 15) / 16 * 16;
  const int64_t rows = part.count * (part.args->heads / part.args->kv_heads);
  return 2 * rows * padded + 2 * ((rows + 15) / 16 * 16) + 2 * kKeyBlock * padded + 4 * padded;
}

} // namespace wane::cpu

namespace wane::isa_v2 {
void attention_part(const cpu::AttentionPart& part, float* scratch);
}
namespace wane::isa_v3 {
void attention_part(const cpu::AttentionPart& part, float* scratch);
}
namespace wane::isa_v4 {
void attention_part(const cpu::AttentionPart& part, float* scratch);
}
