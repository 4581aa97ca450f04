// Own matrix kernels (all of f64; f32 below AVX-512, where the library's kernels change bits with the batch),
// the moves that pack weights, and the epilogues. One accumulator per output runs over all of K in order,
// through memory between stretches of K, so neither the tile nor the batch shows in the bits. Nothing here
// may call an inline function of a library header: its copy for one level could end up in all.
// gcc 12 warns of its own intrinsics, which start from a register left undefined on purpose.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include "runtime/cpu/isa/matmul_kernels.h"

#include "kernels/math.h"
#include "runtime/cpu/isa/registers.h"
#include "runtime/cpu/isa/smallrows.h"

namespace wane::WANE_ISA_NAMESPACE {
namespace {

#if defined(__AVX512F__)
constexpr int kRows = 6, kWide = 4; // 24 sums, 4 registers of columns and a broadcast of 32
#else
constexpr int kRows = 6, kWide = 2; // 12 + 2 + 1 of 16
#endif

constexpr int64_t kStretch = 256; // of K: 64 columns of it and the rows stay in the second-level cache

// R rows x W vectors of columns; out is read unless this is the first stretch of K.
template <class V, int R, int W>
inline void micro(const typename V::T* a, int64_t lda, const typename V::T* b, int64_t k, typename V::T* out,
                  int64_t ldo, bool first) {
  V sum[R][W];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int j = 0; j < W; ++j) sum[r][j] = first ? V::all(0) : V::load(out + r * ldo + j * V::kLanes);
  for (int64_t i = 0; i < k; ++i) {
    __builtin_prefetch(a + (R + (i & 7)) * lda + (i & ~7), 0, 2); // the next rows: short pieces, far apart
    V w[W];
#pragma GCC unroll 8
    for (int j = 0; j < W; ++j) w[j] = V::load(b + i * 64 + j * V::kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      V x = V::all(a[r * lda + i]);
#pragma GCC unroll 8
      for (int j = 0; j < W; ++j) sum[r][j].add_product(x, w[j]);
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
    for (int j = 0; j < W; ++j) sum[r][j].store(out + r * ldo + j * V::kLanes);
}

// One row alone takes more registers of columns, or its few sums would wait for each other.
template <class V>
void one_row(const typename V::T* a, const typename V::T* b, int64_t k, typename V::T* out, bool first) {
  constexpr int W = 64 / V::kLanes < 8 ? 4 : 8;
  for (int c = 0; c < 64; c += W * V::kLanes) micro<V, 1, W>(a, 0, b + c, k, out + c, 0, first);
}

template <class V>
void block(const typename V::T* a, int64_t lda, int64_t rows, const typename V::T* b, int64_t k,
           typename V::T* out, int64_t ldo) {
  constexpr int R = kRows, W = kWide;
  for (int64_t begin = 0; begin < k; begin += kStretch, a += kStretch, b += kStretch * 64) {
    int64_t count = k - begin < kStretch ? k - begin : kStretch;
    bool first = begin == 0;
    if (rows % R == 1) one_row<V>(a + (rows - 1) * lda, b, count, out + (rows - 1) * ldo, first);
    for (int64_t c = 0; c < 64; c += W * V::kLanes) {
      int64_t r = 0;
      for (; r + R <= rows; r += R)
        micro<V, R, W>(a + r * lda, lda, b + c, count, out + r * ldo + c, ldo, first);
      const typename V::T* left = a + r * lda;
      typename V::T* last = out + r * ldo + c;
      switch (rows - r) {
      case 5: micro<V, 5, W>(left, lda, b + c, count, last, ldo, first); break;
      case 4: micro<V, 4, W>(left, lda, b + c, count, last, ldo, first); break;
      case 3: micro<V, 3, W>(left, lda, b + c, count, last, ldo, first); break;
      case 2: micro<V, 2, W>(left, lda, b + c, count, last, ldo, first); break;
      default: break;
      }
    }
  }
}

void block_f32(const float* a, int64_t lda, int64_t rows, const float* b, int64_t k, float* out,
               int64_t ldo) {
  block<F32>(a, lda, rows, b, k, out, ldo);
}
void block_f64(const double* a, int64_t lda, int64_t rows, const double* b, int64_t k, double* out,
               int64_t ldo) {
  block<F64>(a, lda, rows, b, k, out, ldo);
}

// ---- packing ----

#if defined(__AVX512F__)
// 16 x 16 words: pairs, then quads, then quarters of registers change places.
inline void transpose_square(__m512i (&x)[16]) {
  __m512i y[16];
  for (int i = 0; i < 16; i += 2) {
    y[i] = _mm512_unpacklo_epi32(x[i], x[i + 1]);
    y[i + 1] = _mm512_unpackhi_epi32(x[i], x[i + 1]);
  }
  for (int i = 0; i < 16; i += 4) {
    x[i] = _mm512_unpacklo_epi64(y[i], y[i + 2]);
    x[i + 1] = _mm512_unpackhi_epi64(y[i], y[i + 2]);
    x[i + 2] = _mm512_unpacklo_epi64(y[i + 1], y[i + 3]);
    x[i + 3] = _mm512_unpackhi_epi64(y[i + 1], y[i + 3]);
  }
  for (int i = 0; i < 4; ++i) { // x[4 g + i]: columns i, 4 + i, 8 + i, 12 + i of rows 4 g .. 4 g + 3
    __m512i low01 = _mm512_shuffle_i32x4(x[i], x[4 + i], 0x88),
            high01 = _mm512_shuffle_i32x4(x[i], x[4 + i], 0xdd);
    __m512i low23 = _mm512_shuffle_i32x4(x[8 + i], x[12 + i], 0x88);
    __m512i high23 = _mm512_shuffle_i32x4(x[8 + i], x[12 + i], 0xdd);
    y[i] = _mm512_shuffle_i32x4(low01, low23, 0x88);
    y[4 + i] = _mm512_shuffle_i32x4(high01, high23, 0x88);
    y[8 + i] = _mm512_shuffle_i32x4(low01, low23, 0xdd);
    y[12 + i] = _mm512_shuffle_i32x4(high01, high23, 0xdd);
  }
  for (int i = 0; i < 16; ++i) x[i] = y[i];
}

void transpose_words(const void* from, int64_t stride, int64_t rows, int64_t words, void* to) {
  auto* src = static_cast<const char*>(from);
  auto* dst = static_cast<char*>(to);
  for (int64_t j = 0; j < words; j += 16) {
    int64_t count = words - j < 16 ? words - j : 16;
    auto mask = __mmask16((1u << count) - 1);
    for (int64_t g = 0; g < 64; g += 16) {
      __m512i x[16];
      for (int64_t i = 0; i < 16; ++i)
        x[i] = g + i < rows ? _mm512_maskz_loadu_epi32(mask, src + (g + i) * stride + j * 4)
                            : _mm512_setzero_si512();
      transpose_square(x);
      for (int64_t i = 0; i < count; ++i) _mm512_storeu_si512(dst + ((j + i) * 64 + g) * 4, x[i]);
    }
  }
}
#else
void transpose_words(const void* from, int64_t stride, int64_t rows, int64_t words, void* to) {
  auto* src = static_cast<const char*>(from);
  auto* dst = static_cast<char*>(to);
  for (int64_t j = 0; j < words;
       j += 8) { // short stretches, so that source and destination stay in the cache
    int64_t end = j + 8 < words ? j + 8 : words;
    for (int64_t i = 0; i < 64; ++i)
      for (int64_t w = j; w < end; ++w) {
        uint32_t word = 0;
        if (i < rows) __builtin_memcpy(&word, src + i * stride + w * 4, 4);
        __builtin_memcpy(dst + (w * 64 + i) * 4, &word, 4);
      }
  }
}
#endif

void interleave_pairs(const uint16_t* src, int64_t src_stride, int64_t columns, int64_t count,
                      uint16_t* dst) {
  auto* out = reinterpret_cast<char*>(dst);
  for (int64_t j = 0; j < count; j += 2, out += 256) {
    const uint16_t *low = src + j * src_stride, *high = low + src_stride;
    uint32_t words[64] = {};
    for (int64_t c = 0; c < columns; ++c) words[c] = low[c];
    if (j + 1 < count)
      for (int64_t c = 0; c < columns; ++c) words[c] |= uint32_t(high[c]) << 16;
    __builtin_memcpy(out, words, sizeof words);
  }
}

void interleave_fours(const int8_t* src, int64_t src_stride, int64_t columns, int64_t count, int8_t* dst) {
  for (int64_t j = 0; j < count; j += 4, dst += 256) {
    uint32_t words[64] = {};
    for (int64_t part = 0; part < 4 && j + part < count; ++part) {
      const int8_t* row = src + (j + part) * src_stride;
      for (int64_t c = 0; c < columns; ++c) words[c] |= uint32_t(uint8_t(row[c])) << (8 * part);
    }
    __builtin_memcpy(dst, words, sizeof words);
  }
}

void column_sums(const int8_t* block, int64_t groups, int32_t* sums) {
  for (int c = 0; c < 64; ++c) sums[c] = 0;
  for (int64_t g = 0; g < groups; ++g, block += 256) {
    uint32_t words[64];
    __builtin_memcpy(words, block, sizeof words);
    for (int c = 0; c < 64; ++c)
      sums[c] += (int32_t(words[c] << 24) >> 24) + (int32_t(words[c] << 16) >> 24)
                 + (int32_t(words[c] << 8) >> 24) + (int32_t(words[c]) >> 24);
  }
}

// ---- epilogues ----

inline uint16_t to_bf16(float value) {
  uint32_t u = __builtin_bit_cast(uint32_t, value);
  uint32_t rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
  uint32_t quiet = (u >> 16) | 0x40;
  return uint16_t((u & 0x7fffffff) > 0x7f800000 ? quiet : rounded);
}

void store_f32(const float* tile, int64_t tile_stride, int64_t rows, int64_t columns, const float* bias,
               float* out, int64_t ldo) {
  for (int64_t r = 0; r < rows; ++r, tile += tile_stride, out += ldo) {
    if (bias)
      for (int64_t c = 0; c < columns; ++c) out[c] = tile[c] + bias[c];
    else
      __builtin_memcpy(out, tile, size_t(columns) * sizeof(float));
  }
}

void store_bf16(const float* tile, int64_t tile_stride, int64_t rows, int64_t columns, const float* bias,
                uint16_t* out, int64_t ldo) {
  for (int64_t r = 0; r < rows; ++r, tile += tile_stride, out += ldo) {
    if (bias)
      for (int64_t c = 0; c < columns; ++c) out[c] = to_bf16(tile[c] + bias[c]);
    else
      for (int64_t c = 0; c < columns; ++c) out[c] = to_bf16(tile[c]);
  }
}

inline float from_bf16(uint16_t half) { return __builtin_bit_cast(float, uint32_t(half) << 16); }

template <class T, class Sum>
void add_rows_of(const void* plus, void* out, int64_t ldo, int64_t rows, int64_t columns, Sum&& sum) {
  for (int64_t r = 0; r < rows; ++r) {
    const T* from = static_cast<const T*>(plus) + r * ldo;
    T* to = static_cast<T*>(out) + r * ldo;
#pragma GCC ivdep
    for (int64_t c = 0; c < columns; ++c) to[c] = sum(from[c], to[c]);
  }
}

void add_rows(bool bf16, const void* plus, void* out, int64_t ldo, int64_t rows, int64_t columns) {
  auto halves = [](uint16_t x, uint16_t y) { return to_bf16(from_bf16(x) + from_bf16(y)); };
  auto words = [](float x, float y) { return x + y; };
  bf16 ? add_rows_of<uint16_t>(plus, out, ldo, rows, columns, halves)
       : add_rows_of<float>(plus, out, ldo, rows, columns, words);
}

// silu of every bf16 number, rounded: 128 KiB, of which common numbers touch a few.
const uint16_t* silu_table() {
  static const auto* table = [] {
    auto* made = new uint16_t[65536 + 1]; // vectors read words of four bytes
    for (uint32_t i = 0; i < 65536; ++i) made[i] = to_bf16(wane_silu(__builtin_bit_cast(float, i << 16)));
    made[65536] = 0;
    return made;
  }();
  return table;
}

#if defined(__AVX512F__)
typedef float Floats __attribute__((vector_size(64), aligned(4), may_alias));
typedef uint32_t Words __attribute__((vector_size(64)));

// to_bf16 of 16 lanes.
inline Words to_bf16(Floats value) {
  auto u = (Words)value;
  return (value != value) ? (u >> 16) | 0x40 : (u + 0x7fff + ((u >> 16) & 1)) >> 16;
}

// 16 columns of gated_row.
inline void gated_vector(Floats gate, Floats up, const uint16_t* table, uint16_t* out) {
  auto silu = (Words)_mm512_mask_i32gather_epi32(_mm512_setzero_si512(), 0xffff, (__m512i)to_bf16(gate),
                                                 table, sizeof *table);
  Words y = to_bf16((Floats)(silu << 16) * (Floats)(to_bf16(up) << 16));
  _mm256_storeu_si256((__m256i_u*)out, _mm512_maskz_cvtepi32_epi16(0xffff, (__m512i)y));
}
#endif

template <bool kBias>
void gated_row(const float* gate, const float* up, int64_t columns, const float* gate_bias,
               const float* up_bias, float* out) {
#pragma GCC ivdep
  for (int64_t c = 0; c < columns; ++c) {
    float g = kBias ? gate[c] + gate_bias[c] : gate[c], u = kBias ? up[c] + up_bias[c] : up[c];
    out[c] = wane_silu(g) * u;
  }
}

template <bool kBias>
void gated_row(const float* gate, const float* up, int64_t columns, const float* gate_bias,
               const float* up_bias, uint16_t* out) {
  const uint16_t* table = silu_table();
  int64_t c = 0;
#if defined(__AVX512F__)
  for (; c + 16 <= columns; c += 16) {
    Floats g = *(const Floats*)(gate + c), u = *(const Floats*)(up + c);
    if (kBias) g += *(const Floats*)(gate_bias + c), u += *(const Floats*)(up_bias + c);
    gated_vector(g, u, table, out + c);
  }
#endif
  for (; c < columns; ++c) {
    float g = kBias ? gate[c] + gate_bias[c] : gate[c], u = kBias ? up[c] + up_bias[c] : up[c];
    float silu = __builtin_bit_cast(float, uint32_t(table[to_bf16(g)]) << 16);
    out[c] = to_bf16(silu * __builtin_bit_cast(float, uint32_t(to_bf16(u)) << 16));
  }
}

void store_gated(const float* gate, const float* up, int64_t tile_stride, int64_t rows, int64_t columns,
                 const float* gate_bias, const float* up_bias, bool bf16, void* out, int64_t ldo) {
  for (int64_t r = 0; r < rows; ++r, gate += tile_stride, up += tile_stride) {
    auto* narrow = static_cast<uint16_t*>(out) + r * ldo;
    auto* wide = static_cast<float*>(out) + r * ldo;
    if (bf16)
      gate_bias ? gated_row<true>(gate, up, columns, gate_bias, up_bias, narrow)
                : gated_row<false>(gate, up, columns, gate_bias, up_bias, narrow);
    else
      gate_bias ? gated_row<true>(gate, up, columns, gate_bias, up_bias, wide)
                : gated_row<false>(gate, up, columns, gate_bias, up_bias, wide);
  }
}

void stream_words(const void* tile, int64_t tile_stride, int64_t rows, int64_t columns, void* out,
                  int64_t ldo) {
  auto* from = static_cast<const uint32_t*>(tile);
  auto* to = static_cast<uint32_t*>(out);
  for (int64_t r = 0; r < rows; ++r, from += tile_stride, to += ldo) {
    int64_t c = 0;
#if defined(__AVX512F__)
    if (reinterpret_cast<uintptr_t>(to) % 64 == 0)
      for (; c + 16 <= columns; c += 16)
        _mm512_stream_si512(reinterpret_cast<__m512i*>(to + c), _mm512_loadu_si512(from + c));
#endif
    __builtin_memcpy(to + c, from + c, size_t(columns - c) * sizeof(uint32_t));
  }
  _mm_sfence();
}

void store_i8(const int32_t* tile, int64_t tile_stride, int64_t rows, int64_t columns, const int32_t* sums,
              int32_t* out, int64_t ldo) {
  for (int64_t r = 0; r < rows; ++r, tile += tile_stride, out += ldo)
    for (int64_t c = 0; c < columns; ++c) out[c] = int32_t(uint32_t(tile[c]) - 128u * uint32_t(sums[c]));
}

void shift_i8(const int8_t* a, uint8_t* out, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = uint8_t(a[i]) ^ 0x80;
}

} // namespace

const MatmulKernels& matmul_kernels() {
  static constexpr MatmulKernels table = {
#if defined(__AVX512F__)
    rows_f32,
    rows_bf16,
    rows_bf16_amx,
    rows_i8_vnni,
    rows_i8_plain,
    tiles_begin,
    tiles_end,
    square_amx,
    strip_amx,
#else
    nullptr,
    nullptr,
    nullptr,
    nullptr,
    rows_i8_plain,
    nullptr,
    nullptr,
    nullptr,
    nullptr,
#endif
    block_f32,
    block_f64,
    transpose_words,
    interleave_pairs,
    interleave_fours,
    column_sums,
    store_f32,
    store_bf16,
#if defined(__AVX512F__)
    store_bf16_native,
#else
    nullptr,
#endif
    add_rows,
    store_gated,
    stream_words,
    store_i8,
    shift_i8
  };
  return table;
}

} // namespace wane::WANE_ISA_NAMESPACE
