// Few rows against one packed 64-column block: read-bound, so the weights are streamed once per group of rows
// while all sums stay in registers. The orders of summation are those found in oneDNN's kernels, and so are
// the bits. Nothing here may call an inline function of a library header: its copy for one level could end up
// in all.
// gcc 12 warns of its own intrinsics, which start from a register left undefined on purpose.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include "runtime/cpu/isa/smallrows.h"

#include <immintrin.h>

namespace wane::WANE_ISA_NAMESPACE {

namespace {

// 16-bit products added by pairs: what every level can do exactly. One vector holds kColumns columns, two
// sums each.
#if defined(__AVX2__)
struct Pairs {
  static constexpr int kColumns = 4;
  using V = __m256i;
  static V zero() { return _mm256_setzero_si256(); }
  static V weights(const int8_t* at) { return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i*)at)); }
  static V all(__m128i four) { return _mm256_broadcastq_epi64(four); }
  static V add(V sum, V x, V w) { return _mm256_add_epi32(sum, _mm256_madd_epi16(x, w)); }
  static void store(int32_t* out, V v) { _mm256_storeu_si256((__m256i*)out, v); }
};
#else
struct Pairs {
  static constexpr int kColumns = 2;
  using V = __m128i;
  static V zero() { return _mm_setzero_si128(); }
  static V weights(const int8_t* at) { return _mm_cvtepi8_epi16(_mm_loadl_epi64((const __m128i*)at)); }
  static V all(__m128i four) { return _mm_unpacklo_epi64(four, four); }
  static V add(V sum, V x, V w) { return _mm_add_epi32(sum, _mm_madd_epi16(x, w)); }
  static void store(int32_t* out, V v) { _mm_storeu_si128((__m128i*)out, v); }
};
#endif

inline int32_t word(const void* at) {
  int32_t value;
  __builtin_memcpy(&value, at, sizeof value);
  return value;
}

// Four bytes as four 16-bit numbers.
inline __m128i widen(const int8_t* a) { return _mm_cvtepi8_epi16(_mm_cvtsi32_si128(word(a))); }

// R rows times two vectors of columns.
template <int R>
inline void pairs_group(const int8_t* a, int64_t lda, const int8_t* block, int64_t groups, int32_t* out) {
  constexpr int C = Pairs::kColumns;
  Pairs::V sum[R][2];
  for (int r = 0; r < R; ++r) sum[r][0] = sum[r][1] = Pairs::zero();
  for (int64_t g = 0; g < groups; ++g) {
    Pairs::V w0 = Pairs::weights(block + g * 256), w1 = Pairs::weights(block + g * 256 + 4 * C);
#pragma GCC unroll 4
    for (int r = 0; r < R; ++r) {
      Pairs::V x = Pairs::all(widen(a + r * lda + 4 * g));
      sum[r][0] = Pairs::add(sum[r][0], x, w0);
      sum[r][1] = Pairs::add(sum[r][1], x, w1);
    }
  }
  for (int r = 0; r < R; ++r)
    for (int j = 0; j < 2; ++j) {
      int32_t halves[2 * C];
      Pairs::store(halves, sum[r][j]);
      for (int c = 0; c < C; ++c) out[r * 64 + j * C + c] = halves[2 * c] + halves[2 * c + 1];
    }
}

} // namespace

void rows_i8_plain(const int8_t* a, int64_t lda, int rows, const int8_t* block, int64_t k, int32_t* out) {
  int64_t groups = (k + 3) / 4;
  for (; rows >= 4; rows -= 4, a += 4 * lda, out += 256)
    for (int c = 0; c < 64; c += 2 * Pairs::kColumns) pairs_group<4>(a, lda, block + 4 * c, groups, out + c);
  for (; rows >= 1; --rows, a += lda, out += 64)
    for (int c = 0; c < 64; c += 2 * Pairs::kColumns) pairs_group<1>(a, lda, block + 4 * c, groups, out + c);
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
    alignas(64) float x[R][16], y[R][16];
    for (int r = 0; r < R; ++r) {
      __m512i pairs = _mm512_loadu_si512(a + r * lda + begin);
      _mm512_store_ps(x[r], first_of(pairs));
      _mm512_store_ps(y[r], second_of(pairs));
    }
    for (int i = 0; i < 16; ++i) {
      const uint16_t* w = block + (begin + 2 * i) * 64;
      prefetch<4>(w);
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        __m512i pair = _mm512_loadu_si512(w + j * 32);
        __m512 u = first_of(pair), v = second_of(pair);
        for (int r = 0; r < R; ++r) {
          even[r][j] = _mm512_fmadd_ps(_mm512_set1_ps(x[r][i]), u, even[r][j]);
          odd[r][j] = _mm512_fmadd_ps(_mm512_set1_ps(y[r][i]), v, odd[r][j]);
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
