// Attention in bf16 on AMX tiles, in blocks of 64 keys. Scores are exact products summed in f32. A weight
// goes into its product as two bf16 that together hold 16 of its bits, so that the result keeps what rounding
// to bf16 leaves. A row of a tile does not depend on the other rows, and keys that a query does not attend
// have weight 0 and finite values, so the bits of a query depend on its keys alone. Subnormals count as zero,
// as the tile instructions have it.
#include "runtime/cpu/attention_part.h"

#if defined(__AVX512F__)
#pragma GCC target("avx512bf16,amx-tile,amx-bf16")
#include "runtime/cpu/isa/attention_vectors.h"
#include "runtime/cpu/isa/tiles.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace wane::isa_v4 {
namespace {

using cpu::AttentionPart;

using cpu::kGroup, cpu::kKeptBlocks, cpu::kTileRows;
constexpr int kTilePairs = 16;

// Rows of bf16 as a left operand, what they lack to the numbers meant beside them (null: nothing).
struct Left {
  const uint16_t* rows;
  int64_t stride; // bytes
  const uint16_t* low;
};

// out[16 T][16 columns] = (kAdd: +=) a * b over `steps` tiles of 32 elements; b's tiles lie b_step and
// b_column words apart.
template <int T, bool kAdd>
INLINE void multiply(const Left& a, const uint32_t* b, int64_t b_step, int64_t b_column, int64_t steps,
                     int64_t columns, float* out, int64_t out_words) {
  __asm__ volatile("" ::: "memory"); // the compiler does not know that the tile loads read memory
  const int64_t lower = a.stride * kTileRows / 2; // elements from one tile of rows to the next
  for (int64_t c = 0; c < columns; c += 2) {
    const bool two = c + 1 < columns;
    float *to = out + c * 16, *below = to + 16 * out_words;
    if constexpr (kAdd) {
      _tile_loadd(0, to, out_words * 4);
      if (two) _tile_loadd(1, to + 16, out_words * 4);
      if (T == 2) _tile_loadd(2, below, out_words * 4);
      if (T == 2 && two) _tile_loadd(3, below + 16, out_words * 4);
    } else {
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
    }
    for (int64_t s = 0; s < steps; ++s) {
      const uint32_t* from = b + s * b_step + c * b_column;
      _tile_loadd(6, from, 64);
      if (two) _tile_loadd(7, from + b_column, 64);
      for (const uint16_t* rows : {a.rows, a.low}) {
        if (!rows) continue;
        _tile_loadd(4, rows + s * 32, a.stride);
        _tile_dpbf16ps(0, 4, 6);
        if (two) _tile_dpbf16ps(1, 4, 7);
        if constexpr (T == 2) {
          _tile_loadd(5, rows + lower + s * 32, a.stride);
          _tile_dpbf16ps(2, 5, 6);
          if (two) _tile_dpbf16ps(3, 5, 7);
        }
      }
    }
    _tile_stored(0, to, out_words * 4);
    if (two) _tile_stored(1, to + 16, out_words * 4);
    if constexpr (T == 2) {
      _tile_stored(2, below, out_words * 4);
      if (two) _tile_stored(3, below + 16, out_words * 4);
    }
  }
}

// Keys as right operands: tile [16 keys][32 channels] after tile, of word p and key j the channels 2p, 2p
// + 1. Keys that are not there are zero.
void pack_keys(const uint16_t* from, int64_t stride, int64_t count, int64_t dim, int64_t steps,
               uint32_t* keys) {
  for (int64_t first = 0; first < kKeyBlock; first += 16)
    for (int64_t s = 0; s < steps; ++s, keys += kTileWords) {
      Lanes rows[16];
      for (int64_t j = 0; j < 16; ++j)
        rows[j] = first + j < count ? (Lanes)load_some(from + (first + j) * stride + s * 32, dim - s * 32)
                                    : Lanes{};
      transpose_words(rows, keys);
    }
}

// Values as right operands: tile [32 keys][16 channels] after tile, of word p and channel c the keys 2p and
// 2p + 1. Only keys in `range` are read, the others are zero. Are all of them finite?
bool pack_values(const uint16_t* from, int64_t stride, Range range, int64_t dim, int64_t columns,
                 uint32_t* values) {
  const __m512i exponent = _mm512_set1_epi16(0x7f80);
  __mmask32 odd = 0;
  alignas(64) uint16_t order[64]; // of the words of two rows: 0, 32, 1, 33 ...
  for (int i = 0; i < 64; ++i) order[i] = uint16_t(i / 2 + i % 2 * 32);
  const __m512i left = _mm512_load_si512(order), right = _mm512_load_si512(order + 32);
  for (int64_t s = 0; s < 2; ++s)
    for (int64_t p = 0; p < kTilePairs; ++p) {
      const int64_t key = 32 * s + 2 * p;
      for (int64_t c = 0; c < columns; c += 2) {
        auto row = [&](int64_t j) {
          return j >= range.from && j < range.to ? load_some(from + j * stride + c * 16, dim - c * 16)
                                                 : _mm512_setzero_si512();
        };
        const __m512i a = row(key), b = row(key + 1);
        odd |= _mm512_cmpeq_epi16_mask(_mm512_and_si512(a, exponent), exponent);
        odd |= _mm512_cmpeq_epi16_mask(_mm512_and_si512(b, exponent), exponent);
        uint32_t* to = values + (s * columns + c) * kTileWords + p * 16;
        _mm512_store_si512(to, _mm512_permutex2var_epi16(a, left, b));
        if (c + 1 < columns) _mm512_store_si512(to + kTileWords, _mm512_permutex2var_epi16(a, right, b));
      }
    }
  return odd == 0;
}

// What is gathered over the keys, and the room that a group of queries needs at one block.
struct Work {
  const cpu::AttentionArgs& a;
  const AttentionPart& part;
  int64_t group, queries, steps, columns, begin; // queries per key; tiles of 32 and of 16 channels; position
  uint16_t *q, *high, *low;                      // [queries, steps * 32]; [kGroup, 64]: weights, their rests
  uint16_t* lone;                                // [2, 16, 64]: one query's weights above zeros
  uint32_t *keys, *values;
  float *peak, *total, *sums; // [queries, 16], [queries, 16], [queries, columns * 16]
  float *scores, *block;      // [kGroup, 64], [16, columns * 16]
  float factor;

  Work(const AttentionPart& p, float* scratch) : a(*p.args), part(p) {
    group = a.heads / a.kv_heads;
    queries = p.count * group;
    steps = (a.dim + 31) / 32, columns = (a.dim + 15) / 16;
    begin = a.start + p.first;
    factor = float(a.scale * 1.44269504088896340736);
    const int64_t rows = cpu::padded_to(queries, kTileRows);
    auto take = [&](int64_t words) { return std::exchange(scratch, scratch + words); };
    q = (uint16_t*)take(rows * steps * 16), high = (uint16_t*)take(kGroup * 32);
    low = (uint16_t*)take(kGroup * 32), lone = (uint16_t*)take(2 * kTileRows * 32);
    keys = (uint32_t*)take(kKeptBlocks * key_words()), values = (uint32_t*)take(2 * columns * kTileWords);
    peak = take(rows * 16), total = take(rows * 16), sums = take(rows * columns * 16);
    scores = take(kGroup * kKeyBlock), block = take(kTileRows * columns * 16);
  }

  int64_t key_words() const { return 4 * steps * kTileWords; }
  int64_t width() const { return columns * 16; }
  int64_t lowest(int64_t position) const {
    return a.window > 0 ? std::max<int64_t>(0, position - a.window + 1) : int64_t(0);
  }
  // Keys of the block at `base` that the query of a row attends.
  Range range_of(int64_t row, int64_t base) const {
    const int64_t position = begin + int(row) / int(group);
    return {std::max<int64_t>(0, lowest(position) - base), std::min<int64_t>(kKeyBlock, position + 1 - base)};
  }

  void load_queries() {
    const int64_t rows = cpu::padded_to(queries, kTileRows);
    std::memset(q, 0, size_t(rows * steps * 32) * 2);
    for (int64_t r = 0; r < queries; ++r)
      std::memcpy(q + r * steps * 32,
                  (const uint16_t*)a.q + (part.first + r / group) * a.q_token_stride
                      + (part.kv_head * group + r % group) * a.dim,
                  size_t(a.dim) * 2);
    std::fill(peak, peak + rows * 16, -WANE_INF);
    std::fill(total, total + rows * 16, 0.0f);
    std::fill(sums, sums + rows * width(), 0.0f);
  }

  // The packed keys of the block at `base`; the first blocks of a part are kept from one walk to the next.
  const uint32_t* keys_of(int64_t base, bool again) {
    const int64_t index = (base - lowest(begin) / kKeyBlock * kKeyBlock) / kKeyBlock;
    uint32_t* to = keys + std::min(index, kKeptBlocks - 1) * key_words();
    if (!again || index >= kKeptBlocks - 1)
      pack_keys((const uint16_t*)a.k + base * a.kv_position_stride + part.kv_head * a.dim,
                a.kv_position_stride, std::min(kKeyBlock + int64_t(0), begin + part.count - base), a.dim,
                steps, to);
    return to;
  }

  // Calls body(T, row, whole) for 16 T queries after the other; whole: all attend all keys of the block.
  template <class F> void each_group(int64_t base, F&& body) const {
    for (int64_t row = 0; row < queries; row += kGroup) {
      const int64_t last = std::min(row + kGroup, queries) - 1;
      const bool whole = range_of(row, base).whole() && range_of(last, base).whole();
      if (last - row >= kTileRows)
        whole ? body.template operator()<2, true>(row) : body.template operator()<2, false>(row);
      else
        whole ? body.template operator()<1, true>(row) : body.template operator()<1, false>(row);
    }
  }

  template <int T> void score(int64_t row, const uint32_t* block_keys) {
    multiply<T, false>({q + row * steps * 32, steps * 64, nullptr}, block_keys, kTileWords,
                       steps * kTileWords, steps, kKeyBlock / 16, scores, kKeyBlock);
  }
};

// Bit j: key j is in the range.
INLINE uint64_t bits_of(Range range) {
  return range.empty() ? 0 : ~uint64_t(0) >> (kKeyBlock - range.to) & ~uint64_t(0) << range.from;
}

// The largest score that each query has seen, in 16 lanes; NaN counts as none.
void find_peaks(Work& w, int64_t base) {
  const uint32_t* keys = w.keys_of(base, false);
  w.each_group(base, [&]<int T, bool whole>(int64_t row) {
    w.score<T>(row, keys);
    for (int64_t r = 0; r < std::min<int64_t>(16 * T, w.queries - row); ++r) {
      const float* scores = w.scores + r * kKeyBlock;
      const uint64_t bits = whole ? ~uint64_t(0) : bits_of(w.range_of(row + r, base));
      Vec& most = *(Vec*)(w.peak + (row + r) * 16);
      for (int i = 0; i < 4; ++i)
        most = _mm512_mask_max_ps(most, __mmask16(bits >> 16 * i), *(const Vec*)(scores + 16 * i), most);
    }
  });
}

// A row of scores to weights 2^(score * factor - peak) as two bf16 each, zero for keys outside.
template <bool whole>
INLINE void weigh(const float* scores, uint64_t bits, float factor, const float* peak, uint16_t* high,
                  uint16_t* low, float* total, __m512i upper) {
  Vec s[4], rest[4];
  for (int i = 0; i < 4; ++i) {
    s[i] = power_of_two(fma(*(const Vec*)(scores + 16 * i), all(factor), -*(const Vec*)peak));
    if (!whole) s[i] = _mm512_maskz_mov_ps(__mmask16(bits >> 16 * i), s[i]);
    rest[i] = s[i] - (Vec)((Words)s[i] & 0xffff0000u);
  }
  *(Vec*)total += (s[0] + s[1]) + (s[2] + s[3]);
  for (int i = 0; i < 4; i += 2) {
    _mm512_store_si512(high + 16 * i, _mm512_permutex2var_epi16((__m512i)s[i], upper, (__m512i)s[i + 1]));
    _mm512_store_si512(low + 16 * i, (__m512i)_mm512_cvtne2ps_pbh((__m512)rest[i + 1], (__m512)rest[i]));
  }
}

// The sums of one query alone: what it does not attend is not read, for 0 * NaN is NaN.
void add_alone(Work& w, int64_t row, int64_t r, int64_t base, const uint16_t* from) {
  const Range range = w.range_of(row + r, base);
  if (range.empty()) return;
  pack_values(from, w.a.kv_position_stride, range, w.a.dim, w.columns, w.values);
  std::memset(w.lone, 0, 2 * kTileRows * kKeyBlock * 2);
  std::memcpy(w.lone, w.high + r * kKeyBlock, kKeyBlock * 2);
  std::memcpy(w.lone + kTileRows * kKeyBlock, w.low + r * kKeyBlock, kKeyBlock * 2);
  float* sums = w.sums + (row + r) * w.width();
  std::memset(w.block, 0, size_t(kTileRows * w.width()) * 4);
  std::memcpy(w.block, sums, size_t(w.width()) * 4);
  multiply<1, true>({w.lone, kKeyBlock * 2, w.lone + kTileRows * kKeyBlock}, w.values, w.columns * kTileWords,
                    kTileWords, 2, w.columns, w.block, w.width());
  std::memcpy(sums, w.block, size_t(w.width()) * 4);
}

// The weighted values of a block join what the queries gathered.
void add_values(Work& w, int64_t base) {
  const uint32_t* keys = w.keys_of(base, true);
  const auto* from = (const uint16_t*)w.a.v + base * w.a.kv_position_stride + w.part.kv_head * w.a.dim;
  const int64_t known = std::min<int64_t>(kKeyBlock, w.begin + w.part.count - base);
  const bool finite = pack_values(from, w.a.kv_position_stride, {0, known}, w.a.dim, w.columns, w.values);
  alignas(64) uint16_t order[32]; // the upper halves of 2 x 16 words
  for (int i = 0; i < 32; ++i) order[i] = uint16_t(2 * i + 1);
  const __m512i upper = _mm512_load_si512(order);
  w.each_group(base, [&]<int T, bool whole>(int64_t row) {
    w.score<T>(row, keys);
    const int64_t many = std::min<int64_t>(16 * T, w.queries - row);
    for (int64_t r = 0; r < many; ++r)
      weigh<whole>(w.scores + r * kKeyBlock, whole ? 0 : bits_of(w.range_of(row + r, base)), w.factor,
                   w.peak + (row + r) * 16, w.high + r * kKeyBlock, w.low + r * kKeyBlock,
                   w.total + (row + r) * 16, upper);
    if (finite)
      multiply<T, true>({w.high, kKeyBlock * 2, w.low}, w.values, w.columns * kTileWords, kTileWords, 2,
                        w.columns, w.sums + row * w.width(), w.width());
    else
      for (int64_t r = 0; r < many; ++r) add_alone(w, row, r, base, from);
  });
}

void store_rows(const Work& w) {
  for (int64_t r = 0; r < w.queries; ++r) {
    auto* out = (uint16_t*)w.a.out + (w.part.first + r / w.group) * w.a.out_token_stride
                + (w.part.kv_head * w.group + r % w.group) * w.a.dim;
    float* lanes = w.total + r * 16;
    for (int half = 8; half; half /= 2)
      for (int l = 0; l < half; ++l) lanes[l] += lanes[l + half];
    const float share = 1 / lanes[0], *sums = w.sums + r * w.width();
    for (int64_t d = 0; d < w.a.dim; ++d) out[d] = wane_to_bf16(sums[d] * share);
  }
}

} // namespace

// Two walks over the keys: the first finds each query's largest score, so that the second needs no sums to be
// rescaled; scores are cheap on tiles and formed in both.
void attention_part_amx(const AttentionPart& part, float* scratch) {
  Work w(part, scratch);
  w.load_queries();
  const Tiles configured;
  const int64_t first = w.lowest(w.begin) / kKeyBlock * kKeyBlock, end = w.begin + part.count;
  for (int64_t base = first; base < end; base += kKeyBlock) find_peaks(w, base);
  for (int64_t r = 0; r < w.queries; ++r) {
    Vec& peak = *(Vec*)(w.peak + r * 16);
    peak = all(largest(peak) * w.factor);
  }
  for (int64_t base = first; base < end; base += kKeyBlock) add_values(w, base);
  store_rows(w);
}

} // namespace wane::isa_v4
#endif
