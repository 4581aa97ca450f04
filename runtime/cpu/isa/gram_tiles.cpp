// The moments of tokens on AMX tiles: four tiles of sums are built at a time over a run of tokens that keeps
// one side's operands in the first-level cache, then wait in memory for the next run.
#include "runtime/cpu/gram_tiles.h"

#if defined(__AVX512F__)
#pragma GCC target("avx512bf16,amx-tile,amx-bf16")
#include "runtime/cpu/isa/tiles.h"

#include <algorithm>

namespace wane::isa_v4 {
namespace {

constexpr int64_t kRun = 16;    // blocks of tokens
constexpr int64_t kAhead = 128; // channels

template <bool kFirst>
inline void multiply(const uint32_t* left, const uint32_t* right, int64_t stride, int64_t run, float* out,
                     int64_t width) {
  __asm__ volatile("" ::: "memory"); // the compiler does not know that the tile loads read memory
  float* below = out + 16 * width;
  if constexpr (kFirst) {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  } else {
    _tile_loadd(0, out, width * 4);
    _tile_loadd(1, out + 16, width * 4);
    _tile_loadd(2, below, width * 4);
    _tile_loadd(3, below + 16, width * 4);
  }
  for (int64_t t = 0; t < run; ++t, left += kTileWords, right += kTileWords) {
    _tile_loadd(6, right, 64);
    _tile_loadd(4, left, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, right + stride, 64);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, left + stride, 64);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, out, width * 4);
  _tile_stored(1, out + 16, width * 4);
  _tile_stored(2, below, width * 4);
  _tile_stored(3, below + 16, width * 4);
}

} // namespace

void gram_multiply(const uint32_t* left, const uint32_t* right, int64_t stride, int64_t blocks, int64_t rows,
                   int64_t columns, bool lower, float* out) {
  const Tiles configured;
  const int64_t width = columns * 16;
  for (int64_t t = 0; t < blocks; t += kRun) {
    const int64_t run = std::min(kRun, blocks - t);
    for (int64_t c = 0; c < columns; c += 2)
      for (int64_t r = lower ? c : 0; r < rows; r += 2) {
        const uint32_t *a = left + r * stride + t * kTileWords, *b = right + c * stride + t * kTileWords;
        float* to = out + r * 16 * width + c * 16;
        t ? multiply<false>(a, b, stride, run, to, width) : multiply<true>(a, b, stride, run, to, width);
      }
  }
}

void gram_pack_block(const uint16_t* const* tokens, int64_t channels, int64_t groups, uint32_t* left,
                     uint32_t* right, int64_t stride) {
  alignas(64) uint16_t order[64]; // of the words of two tokens: 0, 32, 1, 33 ...
  for (int i = 0; i < 64; ++i) order[i] = uint16_t(i / 2 + i % 2 * 32);
  const __m512i halves[2] = {_mm512_load_si512(order), _mm512_load_si512(order + 32)};
  for (int64_t g = 0; g < groups; g += 2) {
    const int64_t first = g * 16, count = std::clamp<int64_t>(channels - first, 0, 32);
    __m512i rows[32];
    for (int i = 0; i < 32; ++i) {
      rows[i] = tokens[i] && count ? load_some(tokens[i] + first, count) : _mm512_setzero_si512();
      __builtin_prefetch(tokens[i] + first + kAhead); // 32 streams are more than the processor follows
    }
    for (int h = 0; h < 2; ++h) {
      TileRow pairs[16];
      for (int p = 0; p < 16; ++p)
        pairs[p] = (TileRow)_mm512_permutex2var_epi16(rows[2 * p], halves[h], rows[2 * p + 1]);
      if (right)
        for (int p = 0; p < 16; ++p) *(TileRow*)(right + (g + h) * stride + p * 16) = pairs[p];
      if (left) transpose_words(pairs, left + (g + h) * stride);
    }
  }
}

} // namespace wane::isa_v4
#endif
