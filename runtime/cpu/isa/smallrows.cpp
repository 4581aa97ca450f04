// Few rows against one packed 64-column block: read-bound, so the weights are streamed once per group of rows
// while all sums stay in registers. The orders of summation are those found in oneDNN's kernels, and so are
// the bits. Nothing here may call an inline function of a library header: its copy for one level could end up
// in all.
// gcc 12 warns of its own intrinsics, which start from a register left undefined on purpose.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include "runtime/cpu/isa/smallrows.h"

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace wane::WANE_ISA_NAMESPACE {

// The same sum with any instruction set: 32-bit integers do not round.
void rows_i8_plain(const int8_t* a, int64_t lda, int rows, const int8_t* block, int64_t k, int32_t* out) {
  for (int r = 0; r < rows; ++r, a += lda, out += 64) {
    for (int c = 0; c < 64; ++c) out[c] = 0;
    for (int64_t g = 0; g < (k + 3) / 4; ++g) {
      const int8_t* w = block + g * 256;
      int a0 = a[4 * g], a1 = a[4 * g + 1], a2 = a[4 * g + 2], a3 = a[4 * g + 3];
      for (int c = 0; c < 64; ++c)
        out[c] += a0 * w[4 * c] + a1 * w[4 * c + 1] + a2 * w[4 * c + 2] + a3 * w[4 * c + 3];
    }
  }
}

#if defined(__AVX512F__)
namespace {

inline void store_sum(float* out, __m512 sum, bool first) {
  _mm512_storeu_ps(out, first ? sum : _mm512_add_ps(_mm512_loadu_ps(out), sum));
}

template <int R>
void f32_group(const float* a, int64_t lda, const float* block, int64_t k, int64_t chunk, float* out) {
  for (int64_t begin = 0; begin < k; begin += chunk) {
    int64_t end = begin + chunk < k ? begin + chunk : k;
    __m512 sum[R][4];
    for (int r = 0; r < R; ++r)
      for (int j = 0; j < 4; ++j) sum[r][j] = _mm512_setzero_ps();
    for (int64_t i = begin; i < end; ++i) {
      const float* w = block + i * 64;
      __m512 w0 = _mm512_loadu_ps(w), w1 = _mm512_loadu_ps(w + 16);
      __m512 w2 = _mm512_loadu_ps(w + 32), w3 = _mm512_loadu_ps(w + 48);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        __m512 x = _mm512_set1_ps(a[r * lda + i]);
        sum[r][0] = _mm512_fmadd_ps(x, w0, sum[r][0]);
        sum[r][1] = _mm512_fmadd_ps(x, w1, sum[r][1]);
        sum[r][2] = _mm512_fmadd_ps(x, w2, sum[r][2]);
        sum[r][3] = _mm512_fmadd_ps(x, w3, sum[r][3]);
      }
    }
    for (int r = 0; r < R; ++r)
      for (int j = 0; j < 4; ++j) store_sum(out + r * 64 + j * 16, sum[r][j], begin == 0);
  }
}

inline int32_t word(const void* at) {
  int32_t value;
  __builtin_memcpy(&value, at, sizeof value);
  return value;
}

template <int R>
__attribute__((target("avx512bf16"))) void bf16_group(const uint16_t* a, int64_t lda, const uint16_t* block,
                                                      int64_t k, int64_t chunk, float* out) {
  for (int64_t begin = 0; begin < k; begin += chunk) {
    int64_t end = begin + chunk < k ? begin + chunk : k;
    __m512 sum[R][4];
    for (int r = 0; r < R; ++r)
      for (int j = 0; j < 4; ++j) sum[r][j] = _mm512_setzero_ps();
    for (int64_t i = begin; i < end; i += 2) {
      const uint16_t* w = block + i * 64;
      auto w0 = (__m512bh)_mm512_loadu_si512(w), w1 = (__m512bh)_mm512_loadu_si512(w + 32);
      auto w2 = (__m512bh)_mm512_loadu_si512(w + 64), w3 = (__m512bh)_mm512_loadu_si512(w + 96);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        auto x = (__m512bh)_mm512_set1_epi32(word(a + r * lda + i));
        sum[r][0] = _mm512_dpbf16_ps(sum[r][0], x, w0);
        sum[r][1] = _mm512_dpbf16_ps(sum[r][1], x, w1);
        sum[r][2] = _mm512_dpbf16_ps(sum[r][2], x, w2);
        sum[r][3] = _mm512_dpbf16_ps(sum[r][3], x, w3);
      }
    }
    for (int r = 0; r < R; ++r)
      for (int j = 0; j < 4; ++j) store_sum(out + r * 64 + j * 16, sum[r][j], begin == 0);
  }
}

// Of two bf16 in a word: the first and the second as f32.
inline __m512 first_of(__m512i pair) { return _mm512_castsi512_ps(_mm512_slli_epi32(pair, 16)); }
inline __m512 second_of(__m512i pair) {
  return _mm512_castsi512_ps(_mm512_and_si512(pair, _mm512_set1_epi32(int(0xffff0000))));
}

// Not inlined: the floating-point mode is changed around the call.
template <int R>
__attribute__((noinline)) void amx_group(const uint16_t* a, int64_t lda, const uint16_t* block, int64_t k,
                                         float* out) {
  __m512 total[R][4];
  for (int r = 0; r < R; ++r)
    for (int j = 0; j < 4; ++j) total[r][j] = _mm512_setzero_ps();
  for (int64_t begin = 0; begin < k; begin += 32) {
    __m512 even[R][4], odd[R][4];
    for (int r = 0; r < R; ++r)
      for (int j = 0; j < 4; ++j) even[r][j] = odd[r][j] = _mm512_setzero_ps();
    for (int64_t i = begin; i < begin + 32; i += 2) {
      const uint16_t* w = block + i * 64;
      __m512 x[R], y[R];
      for (int r = 0; r < R; ++r) {
        __m512i pair = _mm512_set1_epi32(word(a + r * lda + i));
        x[r] = first_of(pair);
        y[r] = second_of(pair);
      }
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        __m512i pair = _mm512_loadu_si512(w + j * 32);
        __m512 u = first_of(pair), v = second_of(pair);
        for (int r = 0; r < R; ++r) {
          even[r][j] = _mm512_fmadd_ps(x[r], u, even[r][j]);
          odd[r][j] = _mm512_fmadd_ps(y[r], v, odd[r][j]);
        }
      }
    }
    for (int r = 0; r < R; ++r)
      for (int j = 0; j < 4; ++j)
        total[r][j] = _mm512_add_ps(total[r][j], _mm512_add_ps(even[r][j], odd[r][j]));
  }
  for (int r = 0; r < R; ++r)
    for (int j = 0; j < 4; ++j) _mm512_storeu_ps(out + r * 64 + j * 16, total[r][j]);
}

template <int R>
__attribute__((target("avx512vnni"))) void i8_group(const int8_t* a, int64_t lda, const int8_t* block,
                                                    int64_t k, int32_t* out) {
  const __m512i shift = _mm512_set1_epi32(int(0x80808080)), ones = _mm512_set1_epi8(-128);
  __m512i sum[R][4], columns[4];
  for (int j = 0; j < 4; ++j) {
    columns[j] = _mm512_setzero_si512();
    for (int r = 0; r < R; ++r) sum[r][j] = _mm512_setzero_si512();
  }
  for (int64_t g = 0; g < (k + 3) / 4; ++g) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {
      __m512i w = _mm512_loadu_si512(block + g * 256 + j * 64);
      columns[j] = _mm512_dpbusd_epi32(columns[j], ones, w); // 128 times the column sum
      for (int r = 0; r < R; ++r) {
        __m512i x = _mm512_xor_si512(_mm512_set1_epi32(word(a + r * lda + 4 * g)), shift); // a + 128
        sum[r][j] = _mm512_dpbusd_epi32(sum[r][j], x, w);
      }
    }
  }
  for (int r = 0; r < R; ++r)
    for (int j = 0; j < 4; ++j)
      _mm512_storeu_si512(out + r * 64 + j * 16, _mm512_sub_epi32(sum[r][j], columns[j]));
}

} // namespace

void rows_f32(const float* a, int64_t lda, int rows, const float* block, int64_t k, int64_t chunk,
              float* out) {
  for (; rows >= 4; rows -= 4, a += 4 * lda, out += 256) f32_group<4>(a, lda, block, k, chunk, out);
  if (rows == 3) f32_group<3>(a, lda, block, k, chunk, out);
  if (rows == 2) f32_group<2>(a, lda, block, k, chunk, out);
  if (rows == 1) f32_group<1>(a, lda, block, k, chunk, out);
}

void rows_bf16(const uint16_t* a, int64_t lda, int rows, const uint16_t* block, int64_t k, int64_t chunk,
               float* out) {
  for (; rows >= 4; rows -= 4, a += 4 * lda, out += 256) bf16_group<4>(a, lda, block, k, chunk, out);
  if (rows == 3) bf16_group<3>(a, lda, block, k, chunk, out);
  if (rows == 2) bf16_group<2>(a, lda, block, k, chunk, out);
  if (rows == 1) bf16_group<1>(a, lda, block, k, chunk, out);
}

void rows_bf16_amx(const uint16_t* a, int64_t lda, int rows, const uint16_t* block, int64_t k, float* out) {
  unsigned mode = _mm_getcsr();
  _mm_setcsr(mode | 0x8040); // flush to zero, subnormals are zero
  for (; rows >= 2; rows -= 2, a += 2 * lda, out += 128) amx_group<2>(a, lda, block, k, out);
  if (rows == 1) amx_group<1>(a, lda, block, k, out);
  _mm_setcsr(mode);
}

void rows_i8_vnni(const int8_t* a, int64_t lda, int rows, const int8_t* block, int64_t k, int32_t* out) {
  for (; rows >= 4; rows -= 4, a += 4 * lda, out += 256) i8_group<4>(a, lda, block, k, out);
  if (rows == 3) i8_group<3>(a, lda, block, k, out);
  if (rows == 2) i8_group<2>(a, lda, block, k, out);
  if (rows == 1) i8_group<1>(a, lda, block, k, out);
}
#endif

} // namespace wane::WANE_ISA_NAMESPACE
