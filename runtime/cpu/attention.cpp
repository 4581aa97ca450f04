// Cuts a batch of attentions into parts: a kv head and up to 64 queries each, the longest first.
#include "runtime/cpu/attention_part.h"

#include "runtime/cpu/isa.h"
#include "runtime/cpu/pool.h"
#include "runtime/error.h"

#include <algorithm>
#include <memory>
#include <vector>

namespace wane::cpu {
namespace {

void check(const AttentionArgs& a) {
  if (a.dtype != DType::f32 && a.dtype != DType::bf16)
    throw error("attention: not supported: {}; f32 and bf16 are", name_of(a.dtype));
  if (a.kv_heads < 1 || a.heads % a.kv_heads != 0)
    throw error("attention: {} heads do not share {} heads of keys evenly", a.heads, a.kv_heads);
  if (a.dim < 1 || a.start < 0 || a.tokens < 0 || a.window < 0)
    throw error(Fault::internal, "attention: dim {}, start {}, tokens {}, window {}", a.dim, a.start,
                a.tokens, a.window);
}

// A worker's scratch lives as long as the worker; fresh pages for every part would cost more than the part.
float* scratch_of(int64_t floats) {
  thread_local std::vector<float> memory;
  if (int64_t(memory.size()) < floats + 16) memory.resize(size_t(floats + 16));
  auto address = reinterpret_cast<uintptr_t>(memory.data());
  return reinterpret_cast<float*>((address + 63) / 64 * 64);
}

bool on_tiles(DType dtype) { return cpu_features().amx && dtype == DType::bf16; }

} // namespace

const char* attention_form() { return on_tiles(DType::bf16) ? "amx" : "f32"; }

void attention(std::span<const AttentionArgs> sequences) {
  std::vector<AttentionPart> parts;
  for (const AttentionArgs& a : sequences) {
    check(a);
    for (int64_t first = 0; first < a.tokens;) {
      // Ends fall on multiples of 64 of the absolute position, where the diagonal's blocks end.
      int64_t end = std::min(a.tokens, (a.start + first) / kKeyBlock * kKeyBlock + kKeyBlock - a.start);
      for (int64_t head = 0; head < a.kv_heads; head++) parts.push_back({&a, head, first, end - first});
      first = end;
    }
  }
  std::stable_sort(parts.begin(), parts.end(), [](const AttentionPart& x, const AttentionPart& y) {
    return x.args->start + x.first > y.args->start + y.first;
  });
  const IsaLevel level = isa_level();
  auto run = level == IsaLevel::v4   ? isa_v4::attention_part
             : level == IsaLevel::v3 ? isa_v3::attention_part
                                     : isa_v2::attention_part;
  parallel_parts(int64_t(parts.size()), [&](int64_t i, int) {
    const AttentionPart& part = parts[size_t(i)];
    if (on_tiles(part.args->dtype))
      isa_v4::attention_part_amx(part, scratch_of(attention_scratch_amx(part)));
    else
      run(part, scratch_of(attention_scratch(part)));
  });
}

} // namespace wane::cpu
