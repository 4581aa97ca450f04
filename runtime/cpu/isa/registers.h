// One vector register of the x86-64 level that includes this, in f32 and f64. Fused multiply-add where the
// level has it; that is part of its class. Include it only inside runtime/cpu/isa/*.cpp.
#pragma once

#include <cstdint>

#include <immintrin.h>

namespace wane::WANE_ISA_NAMESPACE {
namespace {

#if defined(__AVX512F__)
struct F32 {
  using T = float;
  static constexpr int kLanes = 16;
  __m512 v;
  static F32 load(const float* p) { return {_mm512_loadu_ps(p)}; }
  static F32 all(float x) { return {_mm512_set1_ps(x)}; }
  void store(float* p) const { _mm512_storeu_ps(p, v); }
  void add_product(F32 x, F32 y) { v = _mm512_fmadd_ps(x.v, y.v, v); }
};
struct F64 {
  using T = double;
  static constexpr int kLanes = 8;
  __m512d v;
  static F64 load(const double* p) { return {_mm512_loadu_pd(p)}; }
  static F64 all(double x) { return {_mm512_set1_pd(x)}; }
  void store(double* p) const { _mm512_storeu_pd(p, v); }
  void add_product(F64 x, F64 y) { v = _mm512_fmadd_pd(x.v, y.v, v); }
};
#elif defined(__AVX2__)
struct F32 {
  using T = float;
  static constexpr int kLanes = 8;
  __m256 v;
  static F32 load(const float* p) { return {_mm256_loadu_ps(p)}; }
  static F32 all(float x) { return {_mm256_set1_ps(x)}; }
  void store(float* p) const { _mm256_storeu_ps(p, v); }
  void add_product(F32 x, F32 y) { v = _mm256_fmadd_ps(x.v, y.v, v); }
};
struct F64 {
  using T = double;
  static constexpr int kLanes = 4;
  __m256d v;
  static F64 load(const double* p) { return {_mm256_loadu_pd(p)}; }
  static F64 all(double x) { return {_mm256_set1_pd(x)}; }
  void store(double* p) const { _mm256_storeu_pd(p, v); }
  void add_product(F64 x, F64 y) { v = _mm256_fmadd_pd(x.v, y.v, v); }
};
#else
struct F32 {
  using T = float;
  static constexpr int kLanes = 4;
  __m128 v;
  static F32 load(const float* p) { return {_mm_loadu_ps(p)}; }
  static F32 all(float x) { return {_mm_set1_ps(x)}; }
  void store(float* p) const { _mm_storeu_ps(p, v); }
  void add_product(F32 x, F32 y) { v = _mm_add_ps(v, _mm_mul_ps(x.v, y.v)); }
};
struct F64 {
  using T = double;
  static constexpr int kLanes = 2;
  __m128d v;
  static F64 load(const double* p) { return {_mm_loadu_pd(p)}; }
  static F64 all(double x) { return {_mm_set1_pd(x)}; }
  void store(double* p) const { _mm_storeu_pd(p, v); }
  void add_product(F64 x, F64 y) { v = _mm_add_pd(v, _mm_mul_pd(x.v, y.v)); }
};
#endif

} // namespace
} // namespace wane::WANE_ISA_NAMESPACE
