// The vectors of attention at one x86-64 level and the arithmetic that both of its forms share.
#pragma once

#include "kernels/math.h"
#include "runtime/cpu/attention_part.h"
#include "runtime/cpu/isa/registers.h"

#include <immintrin.h>

namespace wane::WANE_ISA_NAMESPACE {
namespace {

using cpu::kKeyBlock;

constexpr int kWidth = F32::kLanes;
constexpr int kVecs = kKeyBlock / kWidth, kLanes = 16; // vectors of a block; a query's partial totals
using Vec = decltype(F32::v);
typedef float Loose __attribute__((vector_size(kWidth * 4), aligned(4), may_alias));
typedef int Lanes __attribute__((vector_size(kWidth * 4), may_alias));
typedef unsigned Words __attribute__((vector_size(kWidth * 4), may_alias));
typedef int LooseLanes __attribute__((vector_size(kWidth * 4), aligned(1), may_alias));

#define INLINE inline __attribute__((always_inline))

// a * b + c, by the arithmetic of the level.
INLINE Vec fma(Vec a, Vec b, Vec c) {
  F32 sum{c};
  sum.add_product({a}, {b});
  return sum.v;
}

// a > b ? a : b, so b where one is NaN.
INLINE Vec larger(Vec a, Vec b) {
#if defined(__AVX512F__)
  return _mm512_mask_max_ps(a, 0xffff, a, b); // gcc 12 warns of the plain one
#elif defined(__AVX2__)
  return _mm256_max_ps(a, b);
#else
  return _mm_max_ps(a, b);
#endif
}
INLINE Vec all(float x) { return x - Vec{}; }

// 2^x for x <= 0, never less than 2^-125; NaN stays NaN. At most 1.3 ulp, 1 where
// products are fused. The polynomial is that of wane_exp2.
INLINE Vec power_of_two(Vec x) {
  x = larger(all(-125.0f), x);
  const Vec t = x + 12582912.0f, r = x - (t - 12582912.0f);
  Vec p = fma(all(0.000154763009f), r, all(0.00134002697f));
  p = fma(p, r, all(0.00961800385f));
  p = fma(p, r, all(0.055503279f));
  p = fma(p, r, all(0.240226507f));
  p = fma(p, r, all(0.693147182f));
  p = fma(p, r, all(1.0f));
  return p * (Vec)(((Words)t << 23) + 0x3f800000u); // by multiplying, which keeps a NaN
}

// The largest lane; none is NaN.
template <int half = kWidth / 2> INLINE float largest(Vec x) {
  Lanes turn;
  for (int i = 0; i < kWidth; i++) turn[i] = (i + half) % kWidth;
  x = larger(x, __builtin_shuffle(x, turn));
  if constexpr (half > 1) return largest<half / 2>(x);
  return x[0];
}

inline float widen(float x) { return x; }
inline float widen(uint16_t x) { return wane_from_bf16(x); }
inline void store(float x, float* out) { *out = x; }
inline void store(float x, uint16_t* out) { *out = wane_to_bf16(x); }

INLINE Vec load(const float* x) { return *(const Loose*)x; }
INLINE Vec load(const uint16_t* x) {
#if defined(__AVX512F__)
  return (Vec)((Lanes)_mm512_maskz_cvtepu16_epi32(0xffff, _mm256_loadu_si256((const __m256i_u*)x)) << 16);
#elif defined(__FMA__)
  return (Vec)(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i_u*)x)), 16));
#else
  return (Vec)(_mm_slli_epi32(_mm_cvtepu16_epi32(_mm_loadu_si64(x)), 16));
#endif
}

struct Range {
  int64_t from, to; // keys of the block that a query attends
  bool empty() const { return from >= to; }
  bool whole() const { return from == 0 && to == kKeyBlock; }
};

// Lanes of vector i of a block within the range.
INLINE Lanes inside(Range range, int i) {
  Lanes index;
  for (int l = 0; l < kWidth; l++) index[l] = l + i * kWidth;
  return (index >= int(range.from)) & (index < int(range.to));
}

// into = into * old_share + more * new_share
INLINE void merge(float* into, const float* more, int64_t n, float old_share, float new_share) {
  for (int64_t i = 0; i < n; i += kWidth)
    *(Vec*)(into + i) = fma(*(Vec*)(into + i), all(old_share), *(const Vec*)(more + i) * new_share);
}

} // namespace
} // namespace wane::WANE_ISA_NAMESPACE
