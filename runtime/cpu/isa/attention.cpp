// The inner part of attention: one kv head and a run of queries against all blocks of 64 keys. Vectors run
// over keys for the scores and over channels for the values, so every output element has one order of
// summation whatever the vector width is. From v3 on every product is added by one fused operation, so v3 and
// v4 agree in every bit; v2 has none, rounds twice and differs in the last places. The scale carries log2(e),
// so weights are powers of 2.
#include "runtime/cpu/attention_part.h"

#include "kernels/math.h"

#include <algorithm>
#include <cstring>
#include <immintrin.h>
#include <type_traits>

namespace wane::WANE_ISA_NAMESPACE {
namespace {

using cpu::AttentionPart;
using cpu::kKeyBlock;

// kRows queries share one read of the keys; kRows * kColumns sums fill the registers.
#if defined(__AVX512F__)
constexpr int kWidth = 16, kColumns = 4, kRows = 6;
#elif defined(__FMA__)
constexpr int kWidth = 8, kColumns = 2, kRows = 6;
#else
constexpr int kWidth = 4, kColumns = 2, kRows = 4;
#endif
constexpr int kVecs = kKeyBlock / kWidth, kLanes = 16; // vectors of a block; a query's partial totals
typedef float Vec __attribute__((vector_size(kWidth * 4), may_alias));
typedef float Loose __attribute__((vector_size(kWidth * 4), aligned(4), may_alias));
typedef int Lanes __attribute__((vector_size(kWidth * 4), may_alias));
typedef int LooseLanes __attribute__((vector_size(kWidth * 4), aligned(1), may_alias));

#define INLINE inline __attribute__((always_inline))

#if defined(__AVX512F__)
INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
INLINE Vec larger(Vec a, Vec b) { return _mm512_mask_max_ps(a, 0xffff, a, b); } // of which gcc 12 warns not
#elif defined(__FMA__)
INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm256_fmadd_ps(a, b, c); }
INLINE Vec larger(Vec a, Vec b) { return _mm256_max_ps(a, b); }
#else
INLINE Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
INLINE Vec larger(Vec a, Vec b) { return _mm_max_ps(a, b); } // a > b ? a : b, so b where one is NaN
#endif
INLINE Vec all(float x) { return x - Vec{}; }

// 2^x for x <= 0, never less than 2^-125; NaN stays NaN. At most 2 ulp. The polynomial is that of wane_exp2.
INLINE Vec power_of_two(Vec x) {
  x = larger(all(-125.0f), x);
  const Vec t = x + 12582912.0f, r = x - (t - 12582912.0f);
  Vec p = fma(all(0.000154763009f), r, all(0.00134002697f));
  p = fma(p, r, all(0.00961800385f));
  p = fma(p, r, all(0.055503279f));
  p = fma(p, r, all(0.240226507f));
  p = fma(p, r, all(0.693147182f));
  p = fma(p, r, all(1.0f));
  return p * (Vec)(((Lanes)t << 23) + 0x3f800000); // by multiplying, which keeps a NaN
}

// The largest lane; a NaN is passed over unless all of its half are.
template <int half = kWidth / 2> INLINE float largest(Vec x) {
  Lanes turn;
  for (int i = 0; i < kWidth; i++) turn[i] = (i + half) % kWidth;
  x = larger(x, __builtin_shuffle(x, turn));
  if constexpr (half > 1) return largest<half / 2>(x);
  return x[0];
}

inline float widen(float x) { return x; }
inline float widen(uint16_t x) { return wane_from_bf16(x); }
inline void store(float x, float* out) { *out = x; }
inline void store(float x, uint16_t* out) { *out = wane_to_bf16(x); }

// rows [count, padded] in f32 times `factor` from `count` rows of `dim`; the padding becomes zero.
template <class T>
void load_rows(const T* from, int64_t stride, int64_t count, int64_t dim, int64_t padded, float factor,
               float* to) {
  for (int64_t i = 0; i < count; i++, to += padded) {
    const T* row = from + i * stride;
    for (int64_t d = 0; d < dim; d++) to[d] = widen(row[d]) * factor;
    for (int64_t d = dim; d < padded; d++) to[d] = 0;
  }
}

// kWidth keys of kWidth words each to columns of [channel, 64]: perfect shuffles transpose the words, then a word
// of two bf16 becomes two channels.
template <class T> INLINE void transpose_square(const T* from, int64_t stride, float* to) {
  Lanes a[kWidth], b[kWidth];
  for (int i = 0; i < kWidth; i++) a[i] = *(const LooseLanes*)(from + i * stride);
  Lanes low, high;
  for (int i = 0; i < kWidth; i++) {
    low[i] = (i & 1) * kWidth + i / 2;
    high[i] = low[i] + kWidth / 2;
  }
  for (int step = 1; step < kWidth; step *= 2) {
    for (int i = 0; i < kWidth / 2; i++) {
      b[2 * i] = __builtin_shuffle(a[i], a[i + kWidth / 2], low);
      b[2 * i + 1] = __builtin_shuffle(a[i], a[i + kWidth / 2], high);
    }
    for (int i = 0; i < kWidth; i++) a[i] = b[i];
  }
  for (int i = 0; i < kWidth; i++) {
    if constexpr (std::is_same_v<T, float>) {
      *(Lanes*)(to + i * kKeyBlock) = a[i];
    } else {
      *(Lanes*)(to + 2 * i * kKeyBlock) = a[i] << 16;
      *(Lanes*)(to + (2 * i + 1) * kKeyBlock) = a[i] & int(0xffff0000);
    }
  }
}

// keys[d][j] = row j's channel d in f32 for j < count; columns beyond are left as they are or zero. `room` holds
// 64 rows of `wide` channels, a multiple of 32.
template <class T>
void pack_keys(const T* from, int64_t stride, int64_t count, int64_t dim, int64_t wide, T* room,
               float* keys) {
  if (count % kWidth || dim != wide) {
    for (int64_t j = 0; j < (count + kWidth - 1) / kWidth * kWidth; j++) {
      const int64_t many = j < count ? dim : 0;
      std::memcpy(room + j * wide, from + j * stride, size_t(many) * sizeof(T));
      std::memset(room + j * wide + many, 0, size_t(wide - many) * sizeof(T));
    }
    from = room, stride = wide;
  }
  for (int64_t j = 0; j < count; j += kWidth)
    for (int64_t d = 0; d < wide; d += kWidth * int64_t(4 / sizeof(T)))
      transpose_square(from + j * stride + d, stride, keys + d * kKeyBlock + j);
}

// scores[r][j] = q[r] . k[j], each one chain over the channels, for C vectors of keys.
template <int R, int C>
INLINE void score_columns(const float* q, int64_t padded, int64_t dim, const float* keys, float* scores) {
  Vec sum[R][C] = {};
  for (int64_t d = 0; d < dim; d++) {
    Vec key[C];
    for (int c = 0; c < C; c++) key[c] = *(const Vec*)(keys + d * kKeyBlock + c * kWidth);
    for (int r = 0; r < R; r++)
      for (int c = 0; c < C; c++) sum[r][c] = fma(all(q[r * padded + d]), key[c], sum[r][c]);
  }
  for (int r = 0; r < R; r++)
    for (int c = 0; c < C; c++) *(Vec*)(scores + r * kKeyBlock + c * kWidth) = sum[r][c];
}

// The same for at least the keys [from, to) of the block.
template <int R>
void score_tile(const float* q, int64_t padded, int64_t dim, const float* keys, int64_t from, int64_t to,
                float* scores) {
  for (int64_t j = from / (2 * kWidth) * (2 * kWidth); j < to;) {
    if (j + 2 * kWidth < to && j + kColumns * kWidth <= kKeyBlock) {
      score_columns<R, kColumns>(q, padded, dim, keys + j, scores + j);
      j += kColumns * kWidth;
    } else {
      score_columns<R, 2>(q, padded, dim, keys + j, scores + j);
      j += 2 * kWidth;
    }
  }
}

// sums[r] += weights[r][j] values[j] for j in [from, to), in order.
template <int R>
void value_tile(const float* weights, const float* values, int64_t padded, int64_t from, int64_t to,
                float* sums) {
  if (from >= to) return;
  int64_t d = 0;
  auto run = [&]<int C>() {
    for (; d + C * kWidth <= padded; d += C * kWidth) {
      Vec sum[R][C];
      for (int r = 0; r < R; r++)
        for (int c = 0; c < C; c++) sum[r][c] = *(const Vec*)(sums + r * padded + d + c * kWidth);
      for (int64_t j = from; j < to; j++) {
        Vec value[C];
        for (int c = 0; c < C; c++) value[c] = *(const Vec*)(values + j * padded + d + c * kWidth);
        for (int r = 0; r < R; r++)
          for (int c = 0; c < C; c++) sum[r][c] = fma(all(weights[r * kKeyBlock + j]), value[c], sum[r][c]);
      }
      for (int r = 0; r < R; r++)
        for (int c = 0; c < C; c++) *(Vec*)(sums + r * padded + d + c * kWidth) = sum[r][c];
    }
  };
  run.template operator()<kColumns>();
  run.template operator()<1>();
}

struct Range {
  int64_t from, to; // keys of the block that a query attends
  bool empty() const { return from >= to; }
};

// Scores become weights 2^(score - peak), zero outside the range; lanes[l] sums every 16th of them from l.
// Returns the peak.
INLINE float weigh(float* scores, Range range, float* lanes) {
  Lanes index;
  for (int i = 0; i < kWidth; i++) index[i] = i;
  const bool whole = range.from == 0 && range.to == kKeyBlock;
  const Lanes from = index - int(range.from), to = index - int(range.to);
  auto inside = [&](int i) { return (from + i * kWidth >= 0) & (to + i * kWidth < 0); };
  Vec s[kVecs], most = all(-WANE_INF);
  for (int i = 0; i < kVecs; i++) s[i] = *(const Vec*)(scores + i * kWidth);
  if (!whole)
    for (int i = 0; i < kVecs; i++) s[i] = inside(i) ? s[i] : all(-WANE_INF);
  for (int i = 0; i < kVecs; i++) most = larger(s[i], most);
  const float peak = largest(most);
  for (int i = 0; i < kVecs; i++) s[i] = power_of_two(s[i] - peak);
  if (!whole)
    for (int i = 0; i < kVecs; i++) s[i] = inside(i) ? s[i] : Vec{};
  for (int i = 0; i < kVecs; i++) *(Vec*)(scores + i * kWidth) = s[i];
  constexpr int step = kLanes / kWidth;
  for (int l = 0; l < step; l++) {
    Vec sum = s[l];
    for (int i = l + step; i < kVecs; i += step) sum += s[i];
    *(Vec*)(lanes + l * kWidth) = sum;
  }
  return peak;
}

// What a query has gathered over the blocks so far.
struct State {
  float *peak, *total, *sums; // [rows], [rows, 16], [rows, padded]
};

// into = into * old_share + more * new_share
INLINE void merge(float* into, const float* more, int64_t n, float old_share, float new_share) {
  for (int64_t i = 0; i < n; i += kWidth)
    *(Vec*)(into + i) = fma(*(Vec*)(into + i), all(old_share), *(const Vec*)(more + i) * new_share);
}

// One block for R queries, whose states begin at row 0.
template <int R>
void attend_tile(const float* q, int64_t dim, int64_t padded, const float* keys, const float* values,
                 const Range* ranges, State state, float* block_sums) {
  alignas(64) float scores[R * kKeyBlock], lanes[R * kLanes];
  int64_t low = kKeyBlock, high = 0, from = 0, to = kKeyBlock;
  for (int r = 0; r < R; r++) {
    if (!ranges[r].empty()) low = std::min(low, ranges[r].from), high = std::max(high, ranges[r].to);
    from = std::max(from, ranges[r].from);
    to = std::min(to, ranges[r].to);
  }
  if (low > 0 || high < kKeyBlock) std::memset(scores, 0, sizeof scores);
  score_tile<R>(q, padded, dim, keys, low, high, scores);
  alignas(64) float was[kWidth] = {}, is[kWidth] = {}, old_share[kWidth], new_share[kWidth], peak[kWidth];
  for (int r = 0; r < R; r++) {
    was[r] = state.peak[r];
    is[r] = weigh(scores + r * kKeyBlock, ranges[r], lanes + r * kLanes);
  }
  const Vec most = larger(*(Vec*)is, *(Vec*)was);
  *(Vec*)peak = most;
  *(Vec*)old_share = power_of_two(*(Vec*)was - most);
  *(Vec*)new_share = power_of_two(*(Vec*)is - most);

  // The keys that all rows attend go together; what is a row's own before and after goes alone, in the same
  // order.
  std::fill(block_sums, block_sums + R * padded, 0.0f);
  to = std::max(from, to);
  for (int r = 0; r < R; r++)
    value_tile<1>(scores + r * kKeyBlock, values, padded, ranges[r].from, std::min(from, ranges[r].to),
                  block_sums + r * padded);
  value_tile<R>(scores, values, padded, from, to, block_sums);
  for (int r = 0; r < R; r++)
    value_tile<1>(scores + r * kKeyBlock, values, padded, std::max(to, ranges[r].from), ranges[r].to,
                  block_sums + r * padded);

  for (int r = 0; r < R; r++) {
    if (ranges[r].empty()) continue;
    state.peak[r] = peak[r];
    merge(state.total + r * kLanes, lanes + r * kLanes, kLanes, old_share[r], new_share[r]);
    merge(state.sums + r * padded, block_sums + r * padded, padded, old_share[r], new_share[r]);
  }
}

using Tile = void (*)(const float*, int64_t, int64_t, const float*, const float*, const Range*, State,
                      float*);
template <int... R> Tile tile_of(int rows, std::integer_sequence<int, R...>) {
  constexpr Tile tiles[] = {attend_tile<R + 1>...};
  return tiles[rows - 1];
}

template <class T> void run(const AttentionPart& part, float* scratch) {
  const cpu::AttentionArgs& a = *part.args;
  const int64_t group = a.heads / a.kv_heads, rows = part.count * group;
  const int64_t padded = cpu::padded_to(a.dim, 16), wide = cpu::padded_to(a.dim, 32);
  float* q = scratch;
  State state{q + 2 * rows * padded, nullptr, q + rows * padded};
  state.total = state.peak + cpu::padded_to(rows, 16);
  float* keys = state.total + rows * kLanes; // [wide, 64]
  float* values = keys + kKeyBlock * wide;   // [64, padded], and the room to pack the keys
  float* block_sums = values + kKeyBlock * wide; // [kRows, padded]

  const int64_t head = part.kv_head * group;
  const float factor = float(a.scale * 1.44269504088896340736);
  for (int64_t t = 0; t < part.count; t++)
    load_rows((const T*)a.q + (part.first + t) * a.q_token_stride + head * a.dim, a.dim, group, a.dim, padded,
              factor, q + t * group * padded);
  std::fill(state.peak, state.peak + rows, -WANE_INF);
  std::fill(state.total, state.total + rows * kLanes, 0.0f);
  std::fill(state.sums, state.sums + rows * padded, 0.0f);

  const int64_t begin = a.start + part.first, end = begin + part.count; // positions of the queries
  auto lowest = [&](int64_t position) {
    return a.window > 0 ? std::max<int64_t>(0, position - a.window + 1) : int64_t(0);
  };
  for (int64_t base = lowest(begin) / kKeyBlock * kKeyBlock; base < end; base += kKeyBlock) {
    const int64_t known = std::min<int64_t>(kKeyBlock, end - base);
    const int64_t offset = base * a.kv_position_stride + part.kv_head * a.dim;
    pack_keys((const T*)a.k + offset, a.kv_position_stride, known, a.dim, wide, (T*)values, keys);
    load_rows((const T*)a.v + offset, a.kv_position_stride, known, a.dim, padded, 1.0f, values);

    for (int64_t r = 0; r < rows; r += kRows) {
      const int many = int(std::min<int64_t>(kRows, rows - r));
      Range ranges[kRows];
      bool any = false;
      for (int i = 0; i < many; i++) {
        int64_t position = begin + (r + i) / group;
        ranges[i] = {std::max<int64_t>(0, lowest(position) - base),
                     std::min<int64_t>(kKeyBlock, position + 1 - base)};
        any |= !ranges[i].empty();
      }
      if (!any) continue;
      State here{state.peak + r, state.total + r * kLanes, state.sums + r * padded};
      tile_of(many, std::make_integer_sequence<int, kRows>())(q + r * padded, a.dim, padded, keys, values,
                                                              ranges, here, block_sums);
    }
  }
  for (int64_t r = 0; r < rows; r++) {
    T* out = (T*)a.out + (part.first + r / group) * a.out_token_stride + (head + r % group) * a.dim;
    float* lanes = state.total + r * kLanes;
    for (int half = kLanes / 2; half; half /= 2)
      for (int l = 0; l < half; l++) lanes[l] += lanes[l + half];
    for (int64_t d = 0; d < a.dim; d++) store(state.sums[r * padded + d] / lanes[0], out + d);
  }
}

} // namespace

void attention_part(const AttentionPart& part, float* scratch) {
  if (part.args->dtype == DType::f32)
    run<float>(part, scratch);
  else
    run<uint16_t>(part, scratch);
}

} // namespace wane::WANE_ISA_NAMESPACE
