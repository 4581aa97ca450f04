// Products on AMX tiles against packed blocks: 32 rows x 32 columns of sums in four tiles, or 16 rows x 64
// columns. Every sum is one accumulator over all of K in steps of 64 bytes, from zero, so no shape shows in
// its bits; the rows are read where they lie, and of the weights every row of a tile is one cache line.
#include "runtime/cpu/isa/matmul_kernels.h"

#include "kernels/narrow.h"

#if defined(__AVX512F__)
#pragma GCC target("avx512bf16,amx-tile,amx-bf16,amx-int8")
#include "runtime/cpu/isa/smallrows.h"
#include "runtime/cpu/isa/tiles.h"

namespace wane::WANE_ISA_NAMESPACE {
namespace {

constexpr int64_t kBlockStride = 256, kHalfTile = 64; // bytes: from pair (four) of K to the next; 16 columns
constexpr int64_t kStep = 16 * kBlockStride;          // of a block that 64 bytes of a row meet

// The compiler does not know that loading a tile reads memory.
inline void settle() { __asm__ volatile("" ::: "memory"); }

#define WANE_ADD_PRODUCT(sum, a, b)                                                                          \
  do {                                                                                                       \
    if constexpr (kBytes)                                                                                    \
      _tile_dpbssd(sum, a, b);                                                                               \
    else                                                                                                     \
      _tile_dpbf16ps(sum, a, b);                                                                             \
  } while (0)

// The rows stay in the first-level cache for all columns that follow; the weights pass by it.
template <bool kBytes>
void square(const char* a, int64_t stride, const char* w, int64_t steps, char* out, int64_t out_stride) {
  settle();
  const char *below = a + 16 * stride, *line = out;
  char* lower = out + 16 * out_stride;
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t s = 0; s < steps; ++s, a += 64, below += 64, w += kStep) {
    _tile_stream_loadd(6, w, kBlockStride);
    _tile_loadd(4, a, stride);
    WANE_ADD_PRODUCT(0, 4, 6);
    if (s < 16) { // the result's lines come while the sums form
      __builtin_prefetch(line, 1, 3);
      __builtin_prefetch(line + 64, 1, 3);
      __builtin_prefetch(line + 16 * out_stride, 1, 3);
      __builtin_prefetch(line + 16 * out_stride + 64, 1, 3);
      line += out_stride;
    }
    _tile_stream_loadd(7, w + kHalfTile, kBlockStride);
    WANE_ADD_PRODUCT(1, 4, 7);
    _tile_loadd(5, below, stride);
    WANE_ADD_PRODUCT(2, 5, 6);
    WANE_ADD_PRODUCT(3, 5, 7);
  }
  _tile_stored(0, out, out_stride);
  _tile_stored(1, out + kHalfTile, out_stride);
  _tile_stored(2, lower, out_stride);
  _tile_stored(3, lower + kHalfTile, out_stride);
}

// Few rows are read-bound: a whole block goes by in the order it lies in memory.
template <bool kBytes>
void strip(const char* a, int64_t stride, const char* w, int64_t steps, char* out, int64_t out_stride) {
  constexpr int64_t kAhead = 2 * kStep;
  settle();
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (int64_t s = 0; s < steps; ++s, a += 64, w += kStep) {
    for (int64_t line = 0; line < kStep; line += 64) _mm_prefetch(w + kAhead + line, _MM_HINT_T0);
    _tile_loadd(4, a, stride);
    _tile_loadd(5, w, kBlockStride);
    WANE_ADD_PRODUCT(0, 4, 5);
    _tile_loadd(6, w + kHalfTile, kBlockStride);
    WANE_ADD_PRODUCT(1, 4, 6);
    _tile_loadd(7, w + 2 * kHalfTile, kBlockStride);
    WANE_ADD_PRODUCT(2, 4, 7);
    _tile_loadd(5, w + 3 * kHalfTile, kBlockStride);
    WANE_ADD_PRODUCT(3, 4, 5);
  }
  _tile_stored(0, out, out_stride);
  _tile_stored(1, out + kHalfTile, out_stride);
  _tile_stored(2, out + 2 * kHalfTile, out_stride);
  _tile_stored(3, out + 3 * kHalfTile, out_stride);
}

#undef WANE_ADD_PRODUCT

} // namespace

// Hardware rounds as to_bf16 does but for subnormals, which it makes zero; sums of tiles have none, biases
// may.
void store_bf16_native(const float* tile, int64_t tile_stride, int64_t rows, int64_t columns,
                       const float* bias, uint16_t* out, int64_t ldo) {
  constexpr int kSubnormal = 0x20;
  for (int64_t r = 0; r < rows; ++r, tile += tile_stride, out += ldo)
    for (int64_t c = 0; c < columns; c += 32) {
      __mmask32 mask = columns - c < 32 ? (1u << (columns - c)) - 1 : ~0u;
      __mmask16 first = __mmask16(mask), second = __mmask16(mask >> 16);
      __m512 x = _mm512_maskz_loadu_ps(first, tile + c), y = _mm512_maskz_loadu_ps(second, tile + c + 16);
      if (bias) {
        x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(first, bias + c));
        y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(second, bias + c + 16));
      }
      if (_mm512_fpclass_ps_mask(x, kSubnormal) | _mm512_fpclass_ps_mask(y, kSubnormal)) {
        alignas(64) float values[32];
        _mm512_store_ps(values, x);
        _mm512_store_ps(values + 16, y);
        for (int64_t i = 0; i < 32 && c + i < columns; ++i) out[c + i] = wane_to_bf16(values[i]);
      } else {
        _mm512_mask_storeu_epi16(out + c, mask, (__m512i)_mm512_cvtne2ps_pbh(y, x));
      }
    }
}

void tiles_begin() { configure_tiles(); }
void tiles_end() { _tile_release(); }

void square_amx(bool bytes, const void* a, int64_t stride, const void* w, int64_t steps, void* out,
                int64_t out_stride) {
  (bytes ? square<true> : square<false>)(static_cast<const char*>(a), stride, static_cast<const char*>(w),
                                         steps, static_cast<char*>(out), out_stride);
}

void strip_amx(bool bytes, const void* a, int64_t stride, const void* w, int64_t steps, void* out,
               int64_t out_stride) {
  (bytes ? strip<true> : strip<false>)(static_cast<const char*>(a), stride, static_cast<const char*>(w),
                                       steps, static_cast<char*>(out), out_stride);
}

} // namespace wane::WANE_ISA_NAMESPACE
#endif
