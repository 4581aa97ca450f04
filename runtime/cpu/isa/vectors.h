// Vectors of the x86-64 level that includes this, as the compiler's own types: arithmetic, comparisons and
// shuffles without a name per level. Include it only inside runtime/cpu/isa/*.cpp.
#pragma once

#include <cstdint>
#include <type_traits>

#include <immintrin.h>

namespace wane::WANE_ISA_NAMESPACE {
namespace {

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

template <class T> struct Vectors {
  static constexpr int width = kVectorBytes / int(sizeof(T));
  using Whole = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  typedef T Vec __attribute__((vector_size(kVectorBytes), may_alias));
  typedef T Loose __attribute__((vector_size(kVectorBytes), aligned(sizeof(T)), may_alias));
  typedef Whole Lanes __attribute__((vector_size(kVectorBytes), may_alias)); // comparisons give 0 or -1 each
  static Vec load(const T* p) { return *(const Loose*)p; }
  static void store(T* p, Vec v) { *(Loose*)p = v; }
  static void stream(T* p, Vec v) { // past the caches, to an aligned place
#if defined(__AVX512F__)
    _mm512_stream_si512((__m512i*)p, (__m512i)v);
#elif defined(__AVX2__)
    _mm256_stream_si256((__m256i*)p, (__m256i)v);
#else
    _mm_stream_si128((__m128i*)p, (__m128i)v);
#endif
  }
  static Vec all(T x) { return x - Vec{}; } // x - 0 is x, also for -0
};

} // namespace
} // namespace wane::WANE_ISA_NAMESPACE
