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

// Bytes. Without it the sums and the reading take turns (measured: 12 of 16 GB/s; with 1, 2, 4, 8 KiB 12, 15,
// 16, 14).
constexpr int64_t kAhead = 4096;

// W lines that will be wanted kAhead from here; past the end it is a hint without effect.
template <int W> inline void prefetch(const void* at) {
  auto* line = static_cast<const char*>(at) + kAhead;
#pragma GCC unroll 4
  for (int j = 0; j < W; ++j) _mm_prefetch(line + j * 64, _MM_HINT_T0);
}

// R rows times W of the block's four vectors of columns; sums to out, or on top of what is there.
template <int R, int W> inline void store_sums(float* out, const __m512 (&sum)[R][W], bool first) {
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int j = 0; j < W; ++j) {
      float* at = out + r * 64 + j * 16;
      _mm512_storeu_ps(at, first ? sum[r][j] : _mm512_add_ps(_mm512_loadu_ps(at), sum[r][j]));
    }
}

template <int R, int W> inline void clear(__m512 (&sum)[R][W]) {
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int j = 0; j < W; ++j) sum[r][j] = _mm512_setzero_ps();
}

template <int R, int W>
void f32_group(const float* a, int64_t lda, const float* block, int64_t k, int64_t chunk, float* out) {
  for (int64_t begin = 0; begin < k; begin += chunk) {
    int64_t end = begin + chunk < k ? begin + chunk : k;
    __m512 sum[R][W];
    clear(sum);
    for (int64_t i = begin; i < end; ++i) {
      const float* at = block + i * 64;
      prefetch<W>(at);
      __m512 w[W];
#pragma GCC unroll 4
      for (int j = 0; j < W; ++j) w[j] = _mm512_loadu_ps(at + j * 16);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        __m512 x = _mm512_set1_ps(a[r * lda + i]);
#pragma GCC unroll 4
        for (int j = 0; j < W; ++j) sum[r][j] = _mm512_fmadd_ps(x, w[j], sum[r][j]);
      }
    }
    store_sums(out, sum, begin == 0);
  }
}

inline int32_t word(const void* at) {
  int32_t value;
  __builtin_memcpy(&value, at, sizeof value);
  return value;
}

template <int R, int W>
__attribute__((target("avx512bf16"))) void bf16_group(const uint16_t* a, int64_t lda, const uint16_t* block,
                                                      int64_t k, int64_t chunk, float* out) {
  for (int64_t begin = 0; begin < k; begin += chunk) {
    int64_t end = begin + chunk < k ? begin + chunk : k;
    __m512 sum[R][W];
    clear(sum);
    for (int64_t i = begin; i < end; i += 2) {
      const uint16_t* at = block + i * 64;
      prefetch<W>(at);
      __m512bh w[W];
#pragma GCC unroll 4
      for (int j = 0; j < W; ++j) w[j] = (__m512bh)_mm512_loadu_si512(at + j * 32);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        auto x = (__m512bh)_mm512_set1_epi32(word(a + r * lda + i));
#pragma GCC unroll 4
        for (int j = 0; j < W; ++j) sum[r][j] = _mm512_dpbf16_ps(sum[r][j], x, w[j]);
      }
    }
    store_sums(out, sum, begin == 0);
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
      prefetch<4>(w);
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

template <int R, int W>
__attribute__((target("avx512vnni"))) void i8_group(const int8_t* a, int64_t lda, const int8_t* block,
                                                    int64_t k, int32_t* out) {
  const __m512i shift = _mm512_set1_epi32(int(0x80808080));
  __m512i sum[R][W], columns[W];
  for (int j = 0; j < W; ++j) {
    columns[j] = _mm512_setzero_si512();
    for (int r = 0; r < R; ++r) sum[r][j] = _mm512_setzero_si512();
  }
  for (int64_t g = 0; g < (k + 3) / 4; ++g) {
    const int8_t* at = block + g * 256;
    prefetch<W>(at);
    __m512i w[W];
#pragma GCC unroll 4
    for (int j = 0; j < W; ++j) {
      w[j] = _mm512_loadu_si512(at + j * 64);
      columns[j] = _mm512_dpbusd_epi32(columns[j], shift, w[j]); // 128 times the column sum
    }
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      __m512i x = _mm512_xor_si512(_mm512_set1_epi32(word(a + r * lda + 4 * g)), shift); // a + 128
#pragma GCC unroll 4
      for (int j = 0; j < W; ++j) sum[r][j] = _mm512_dpbusd_epi32(sum[r][j], x, w[j]);
    }
  }
  for (int r = 0; r < R; ++r)
    for (int j = 0; j < W; ++j)
      _mm512_storeu_si512(out + r * 64 + j * 16, _mm512_sub_epi32(sum[r][j], columns[j]));
}

} // namespace

// Up to four rows take the whole width; more take half of it, so that every line is still read once.
void rows_f32(const float* a, int64_t lda, int rows, const float* block, int64_t k, int64_t chunk,
              float* out) {
  switch (rows) {
  case 1: return f32_group<1, 4>(a, lda, block, k, chunk, out);
  case 2: return f32_group<2, 4>(a, lda, block, k, chunk, out);
  case 3: return f32_group<3, 4>(a, lda, block, k, chunk, out);
  case 4: return f32_group<4, 4>(a, lda, block, k, chunk, out);
  default: break;
  }
  for (int c = 0; c < 64; c += 32) switch (rows) {
    case 5: f32_group<5, 2>(a, lda, block + c, k, chunk, out + c); break;
    case 6: f32_group<6, 2>(a, lda, block + c, k, chunk, out + c); break;
    case 7: f32_group<7, 2>(a, lda, block + c, k, chunk, out + c); break;
    default: f32_group<8, 2>(a, lda, block + c, k, chunk, out + c); break;
    }
}

void rows_bf16(const uint16_t* a, int64_t lda, int rows, const uint16_t* block, int64_t k, int64_t chunk,
               float* out) {
  switch (rows) {
  case 1: return bf16_group<1, 4>(a, lda, block, k, chunk, out);
  case 2: return bf16_group<2, 4>(a, lda, block, k, chunk, out);
  case 3: return bf16_group<3, 4>(a, lda, block, k, chunk, out);
  case 4: return bf16_group<4, 4>(a, lda, block, k, chunk, out);
  default: break;
  }
  for (int c = 0; c < 64; c += 32) switch (rows) {
    case 5: bf16_group<5, 2>(a, lda, block + 2 * c, k, chunk, out + c); break;
    case 6: bf16_group<6, 2>(a, lda, block + 2 * c, k, chunk, out + c); break;
    case 7: bf16_group<7, 2>(a, lda, block + 2 * c, k, chunk, out + c); break;
    default: bf16_group<8, 2>(a, lda, block + 2 * c, k, chunk, out + c); break;
    }
}

void rows_bf16_amx(const uint16_t* a, int64_t lda, int rows, const uint16_t* block, int64_t k, float* out) {
  unsigned mode = _mm_getcsr();
  _mm_setcsr(mode | 0x8040); // flush to zero, subnormals are zero
  for (; rows >= 2; rows -= 2, a += 2 * lda, out += 128) amx_group<2>(a, lda, block, k, out);
  if (rows == 1) amx_group<1>(a, lda, block, k, out);
  _mm_setcsr(mode);
}

void rows_i8_vnni(const int8_t* a, int64_t lda, int rows, const int8_t* block, int64_t k, int32_t* out) {
  switch (rows) {
  case 1: return i8_group<1, 4>(a, lda, block, k, out);
  case 2: return i8_group<2, 4>(a, lda, block, k, out);
  case 3: return i8_group<3, 4>(a, lda, block, k, out);
  case 4: return i8_group<4, 4>(a, lda, block, k, out);
  default: break;
  }
  for (int c = 0; c < 64; c += 32) switch (rows) {
    case 5: i8_group<5, 2>(a, lda, block + 4 * c, k, out + c); break;
    case 6: i8_group<6, 2>(a, lda, block + 4 * c, k, out + c); break;
    case 7: i8_group<7, 2>(a, lda, block + 4 * c, k, out + c); break;
    default: i8_group<8, 2>(a, lda, block + 4 * c, k, out + c); break;
    }
}
#endif

} // namespace wane::WANE_ISA_NAMESPACE
