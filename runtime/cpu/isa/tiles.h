// AMX tiles as products, attention and the moments of tokens use them: all eight of 16 rows of 64 bytes.
// Included by sources of level v4 only.
#pragma once

#include <cstdint>
#include <immintrin.h>

namespace wane::isa_v4 {
namespace {

typedef int TileRow __attribute__((vector_size(64), may_alias)); // 16 words
inline constexpr int kTileWords = 256;

struct alignas(64) TileShapes {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

inline void configure_tiles() {
  static constexpr TileShapes shapes;
  _tile_loadconfig(&shapes);
}

struct Tiles {
  Tiles() { configure_tiles(); }
  ~Tiles() { _tile_release(); }
};

// words[i][j] = rows[j][i] of 16 x 16 4-byte words, by four perfect shuffles.
inline __attribute__((always_inline)) void transpose_words(const TileRow (&rows)[16], uint32_t* words) {
  TileRow a[16], b[16], low, high;
  for (int i = 0; i < 16; ++i) {
    a[i] = rows[i];
    low[i] = (i & 1) * 16 + i / 2;
    high[i] = low[i] + 8;
  }
  for (int step = 0; step < 4; ++step) {
    for (int i = 0; i < 8; ++i) {
      b[2 * i] = __builtin_shuffle(a[i], a[i + 8], low);
      b[2 * i + 1] = __builtin_shuffle(a[i], a[i + 8], high);
    }
    for (int i = 0; i < 16; ++i) a[i] = b[i];
  }
  for (int i = 0; i < 16; ++i) *(TileRow*)(words + 16 * i) = a[i];
}

// `count` 16-bit values from `from`, the rest of 32 zero.
inline __attribute__((always_inline)) __m512i load_some(const uint16_t* from, int64_t count) {
  return _mm512_maskz_loadu_epi16(count >= 32 ? ~0u : (1u << count) - 1, from);
}

} // namespace
} // namespace wane::isa_v4
