// What a careful person would write by hand for an expression or a row; see runtime/bench/rivals.h.
#include <cstring>

#include "kernels/math.h"
#include "runtime/bench/loops.h"
#include "runtime/cpu/isa/vectors.h"

namespace wane::WANE_ISA_NAMESPACE {
namespace {

void silu(float* __restrict out, const float* __restrict a, const float* __restrict b,
          const float* __restrict c, int64_t n) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) out[i] = wane_silu(a[i]) * b[i] + 0.5f * c[i];
}

// The result past the caches: out aligned to 64 bytes, n a multiple of 16.
void silu_streaming(float* __restrict out, const float* __restrict a, const float* __restrict b,
                    const float* __restrict c, int64_t n) {
  alignas(64) float line[16];
  for (int64_t i = 0; i < n; i += 16) {
    for (int l = 0; l < 16; ++l) line[l] = wane_silu(a[i + l]) * b[i + l] + 0.5f * c[i + l];
#if defined(__AVX512F__)
    _mm512_stream_ps(out + i, _mm512_load_ps(line));
#else
    for (int l = 0; l < 16; l += 4) _mm_stream_ps(out + i + l, _mm_load_ps(line + l));
#endif
  }
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

void mul_add(float* __restrict out, const float* __restrict a, const float* __restrict b,
             const float* __restrict c, int64_t n) {
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) out[i] = a[i] * b[i] + c[i];
}

// Four vectors of partial results, folded at the end: what a loop written for speed does, and no compiler
// may.
template <class F> float folded(const float* x, int64_t n, float start, F&& join) {
  using V = Vectors<float>;
  V::Vec all[4] = {V::all(start), V::all(start), V::all(start), V::all(start)};
  int64_t i = 0;
  for (; i + 4 * V::width <= n; i += 4 * V::width)
    for (int v = 0; v < 4; ++v) all[v] = join(all[v], V::load(x + i + v * V::width));
  for (; i + V::width <= n; i += V::width) all[0] = join(all[0], V::load(x + i));
  float result = start;
  for (; i < n; ++i) result = join(result, x[i]);
  for (auto& part : all)
    for (int l = 0; l < V::width; ++l) result = join.fold(result, part[l]);
  return result;
}
struct Squares {
  template <class V> V operator()(V sum, V x) const { return sum + x * x; }
  float fold(float sum, float part) const { return sum + part; }
};
struct Largest {
  template <class V> V operator()(V most, V x) const { return x > most ? x : most; }
  float fold(float most, float part) const { return part > most ? part : most; }
};
struct Magnitude : Largest {
  template <class V> V operator()(V most, V x) const { return Largest::operator()(most, x < 0 ? -x : x); }
};
struct Sum : Squares {
  template <class V> V operator()(V sum, V x) const { return sum + x; }
};

void rms_norm(float* __restrict out, const float* __restrict x, const float* __restrict w, int64_t n) {
  const float scale = 1 / __builtin_sqrtf(folded(x, n, 0, Squares()) / float(n) + 1e-6f);
  for (int64_t i = 0; i < n; ++i) out[i] = x[i] * scale * w[i];
}

void softmax(float* __restrict out, const float* __restrict x, int64_t n) {
  const float top = folded(x, n, x[0], Largest());
  for (int64_t i = 0; i < n; ++i) out[i] = wane_exp(x[i] - top);
  const float sum = folded(out, n, 0, Sum());
  for (int64_t i = 0; i < n; ++i) out[i] /= sum; // quotients, as the other side's: a reciprocal rounds twice
}

void fake_quant(float* __restrict out, const float* __restrict x, int64_t n, int64_t group) {
  for (int64_t at = 0; at < n; at += group) {
    float scale = folded(x + at, group, 0, Magnitude()) / 15 * 2;
    scale = scale == 0 ? 1 : scale;
    for (int64_t i = at; i < at + group; ++i) {
      const float step = __builtin_rintf(x[i] / scale), low = step < -8 ? -8 : step;
      out[i] = (low > 7 ? 7 : low) * scale;
    }
  }
}

} // namespace

const bench::Loops& bench_loops() {
  static const bench::Loops loops{silu, silu_streaming, read, mul_add, rms_norm, softmax, fake_quant};
  return loops;
}

} // namespace wane::WANE_ISA_NAMESPACE
