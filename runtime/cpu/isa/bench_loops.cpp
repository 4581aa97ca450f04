// What a careful person would write by hand for one expression; see runtime/bench/rivals.h.
#include <cstring>

#include "kernels/math.h"
#include "runtime/bench/loops.h"

namespace wane::WANE_ISA_NAMESPACE {
namespace {

void silu(float* __restrict out, const float* __restrict a, const float* __restrict b,
          const float* __restrict c, int64_t n) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) out[i] = wane_silu(a[i]) * b[i] + 0.5f * c[i];
}

void read(const std::byte* data, int64_t bytes) {
  typedef int Line __attribute__((vector_size(64), aligned(1), may_alias));
  Line sums[4] = {};
  auto* at = reinterpret_cast<const Line*>(data);
  int64_t count = bytes / 64;
  int64_t i = 0;
  for (; i + 4 <= count; i += 4)
    for (int j = 0; j < 4; ++j) sums[j] += at[i + j];
  Line all = (sums[0] + sums[1]) + (sums[2] + sums[3]);
  asm volatile("" : : "m"(all));
}

} // namespace

const bench::Loops& bench_loops() {
  static const bench::Loops loops{silu, read};
  return loops;
}

} // namespace wane::WANE_ISA_NAMESPACE
