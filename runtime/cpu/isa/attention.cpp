// The inner part of attention: one kv head and a run of queries against all blocks of 64 keys. Vectors run
// over keys for the scores and over channels for the values, so every output element has one order of
// summation whatever the vector width is. From v3 on every product is added by one fused operation, so v3 and
// v4 agree in every bit; v2 has none, rounds twice and differs in the last places. The scale carries log2(e),
// so weights are powers of 2.
#include "runtime/cpu/isa/attention_vectors.h"

#include <algorithm>
#include <cstring>
#include <span>
#include <type_traits>

namespace wane::WANE_ISA_NAMESPACE {
namespace {

using cpu::AttentionPart;

// kRows queries share one read of the keys; kRows * kColumns sums fill the registers.
#if defined(__AVX512F__)
constexpr int kColumns = 4, kRows = 6;
#elif defined(__FMA__)
constexpr int kColumns = 2, kRows = 6;
#else
constexpr int kColumns = 2, kRows = 4;
#endif
static_assert(kRows <= cpu::kMostTileRows && kRows <= kWidth);

#define ALONE __attribute__((noinline)) // a loop whose addresses all fit the registers only on its own

// rows [count, padded] in f32 times `factor` from `count` rows of `dim`; the padding becomes zero.
template <class T>
void load_rows(const T* from, int64_t stride, int64_t count, int64_t dim, int64_t padded, float factor,
               float* to) {
  for (int64_t i = 0; i < count; i++, to += padded) {
    const T* row = from + i * stride;
    int64_t d = 0;
    for (; d + kWidth <= dim; d += kWidth) *(Vec*)(to + d) = load(row + d) * factor;
    for (; d < dim; d++) to[d] = widen(row[d]) * factor;
    for (; d < padded; d++) to[d] = 0;
  }
}

// kWidth keys of kWidth words each to columns of [channel, 64]: perfect shuffles transpose the words, then a
// word of two bf16 becomes two channels.
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

// keys[d][j] = row j's channel d in f32 for j < count; columns beyond are left as they are or zero. `room`
// holds 64 rows of `wide` channels, a multiple of 32.
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
ALONE void score_columns(const float* q, int64_t padded, int64_t dim, const float* keys, float* scores) {
  Vec sum[R][C];
  for (int r = 0; r < R; r++)
    for (int c = 0; c < C; c++) sum[r][c] = Vec{};
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

// sums[r] = (kFresh) or += weights[r][j] values[j] for `many` keys in order, for C vectors of channels.
template <int R, int C, bool kFresh>
ALONE void value_columns(const float* weights, const float* values, int64_t padded, int64_t many,
                         float* sums) {
  Vec sum[R][C];
  for (int r = 0; r < R; r++)
    for (int c = 0; c < C; c++)
      if constexpr (kFresh)
        sum[r][c] = Vec{};
      else
        sum[r][c] = *(const Vec*)(sums + r * padded + c * kWidth);
  for (int64_t j = 0; j < many; j++, values += padded) {
    Vec value[C];
    for (int c = 0; c < C; c++) value[c] = *(const Vec*)(values + c * kWidth);
    for (int r = 0; r < R; r++)
      for (int c = 0; c < C; c++) sum[r][c] = fma(all(weights[r * kKeyBlock + j]), value[c], sum[r][c]);
  }
  for (int r = 0; r < R; r++)
    for (int c = 0; c < C; c++) *(Vec*)(sums + r * padded + c * kWidth) = sum[r][c];
}

// The same for all channels and the keys [from, to).
template <int R, bool kFresh>
void value_tile(const float* weights, const float* values, int64_t padded, int64_t from, int64_t to,
                float* sums) {
  if (from >= to && !kFresh) return;
  weights += from, values += from * padded;
  int64_t d = 0;
  for (; d + kColumns * kWidth <= padded; d += kColumns * kWidth)
    value_columns<R, kColumns, kFresh>(weights, values + d, padded, to - from, sums + d);
  for (; d < padded; d += kWidth)
    value_columns<R, 1, kFresh>(weights, values + d, padded, to - from, sums + d);
}

// The largest score in the range, -inf if there is none.
INLINE float peak_of(const float* scores, Range range) {
  Vec most = all(-WANE_INF);
  if (range.whole())
    for (int i = 0; i < kVecs; i++) most = larger(*(const Vec*)(scores + i * kWidth), most);
  else
    for (int i = 0; i < kVecs; i++)
      most = larger(inside(range, i) ? *(const Vec*)(scores + i * kWidth) : all(-WANE_INF), most);
  return largest(most);
}

// Scores become weights 2^(score - peak), zero outside the range; lanes[l] sums every 16th of them from l.
INLINE void weigh_row(float* scores, Range range, float peak, float* lanes) {
  Vec s[kVecs];
  for (int i = 0; i < kVecs; i++) s[i] = power_of_two(*(const Vec*)(scores + i * kWidth) - peak);
  if (!range.whole())
    for (int i = 0; i < kVecs; i++) s[i] = inside(range, i) ? s[i] : Vec{};
  for (int i = 0; i < kVecs; i++) *(Vec*)(scores + i * kWidth) = s[i];
  constexpr int step = kLanes / kWidth;
  for (int l = 0; l < step; l++) {
    Vec sum = s[l];
    for (int i = l + step; i < kVecs; i += step) sum += s[i];
    *(Vec*)(lanes + l * kWidth) = sum;
  }
}

// What a query has gathered over the blocks so far.
struct State {
  float *peak, *total, *sums; // [rows], [rows, 16], [rows, padded]
};

// Up to kRows queries at one block.
struct Tile {
  alignas(64) float scores[kRows * kKeyBlock], lanes[kRows * kLanes];
  alignas(64) float peak[kLanes], old_share[kLanes], new_share[kLanes];
  Range ranges[kRows];
  int64_t row;
  int rows;
};

// What all tiles of a part read at one block; `sums` holds one tile's sums over it.
struct Block {
  const float *q, *keys, *values; // [rows, padded], [dim, 64], [64, padded]
  int64_t dim, padded;
  State state;
  float* sums; // [kRows, padded]
};

template <int R> void score(const Block& block, Tile& tile) {
  int64_t from = kKeyBlock, to = 0;
  for (int r = 0; r < R; r++)
    if (!tile.ranges[r].empty())
      from = std::min(from, tile.ranges[r].from), to = std::max(to, tile.ranges[r].to);
  score_tile<R>(block.q + tile.row * block.padded, block.padded, block.dim, block.keys, from, to,
                tile.scores);
}

// Scores to weights, and the shares that the queries' sums so far and the block's have from now on.
template <int R> void weigh(const Block& block, Tile& tile) {
  alignas(64) float was[kWidth] = {}, is[kWidth] = {};
  for (int r = 0; r < R; r++) was[r] = block.state.peak[tile.row + r];
  for (int r = 0; r < R; r++) is[r] = peak_of(tile.scores + r * kKeyBlock, tile.ranges[r]);
  for (int r = 0; r < R; r++)
    weigh_row(tile.scores + r * kKeyBlock, tile.ranges[r], is[r], tile.lanes + r * kLanes);
  const Vec most = larger(*(Vec*)is, *(Vec*)was);
  *(Vec*)tile.peak = most;
  *(Vec*)tile.old_share = power_of_two(*(Vec*)was - most);
  *(Vec*)tile.new_share = power_of_two(*(Vec*)is - most);
}

// The block's weighted values join what the queries gathered before.
template <int R> void gather(const Block& block, const Tile& tile) {
  // The keys that all rows attend go together; what is a row's own before and after goes alone, in the same
  // order.
  int64_t from = 0, to = kKeyBlock;
  for (const Range& range : std::span(tile.ranges, R))
    from = std::max(from, range.from), to = std::min(to, range.to);
  to = std::max(from, to);
  const float *weights = tile.scores, *values = block.values;
  const int64_t padded = block.padded;
  if (from == 0) {
    value_tile<R, true>(weights, values, padded, 0, to, block.sums);
  } else {
    for (int r = 0; r < R; r++)
      value_tile<1, true>(weights + r * kKeyBlock, values, padded, tile.ranges[r].from,
                          std::min(from, tile.ranges[r].to), block.sums + r * padded);
    value_tile<R, false>(weights, values, padded, from, to, block.sums);
  }
  for (int r = 0; r < R; r++)
    value_tile<1, false>(weights + r * kKeyBlock, values, padded, std::max(to, tile.ranges[r].from),
                         tile.ranges[r].to, block.sums + r * padded);

  for (int r = 0; r < R; r++) {
    if (tile.ranges[r].empty()) continue;
    const float old_share = tile.old_share[r], new_share = tile.new_share[r];
    const State& state = block.state;
    state.peak[tile.row + r] = tile.peak[r];
    merge(state.total + (tile.row + r) * kLanes, tile.lanes + r * kLanes, kLanes, old_share, new_share);
    merge(state.sums + (tile.row + r) * padded, block.sums + r * padded, padded, old_share, new_share);
  }
}

// Calls body.operator()<rows>().
template <int R = kRows, class F> INLINE void with_rows(int rows, F&& body) {
  if constexpr (R > 1)
    if (rows < R) return with_rows<R - 1>(rows, body);
  body.template operator()<R>();
}

// All queries at one block. A tile's scores are formed between the weights of the tile before it and their
// use, so that neither waits for the end of the step that it needs.
template <class F> void attend(const Block& block, int64_t rows, F&& range_of) {
  Tile tiles[2], *ready = nullptr;
  for (int64_t row = 0; row < rows; row += kRows) {
    Tile& next = tiles[ready == tiles];
    next.row = row, next.rows = int(std::min<int64_t>(kRows, rows - row));
    bool any = false;
    for (int r = 0; r < next.rows; r++) {
      next.ranges[r] = range_of();
      any |= !next.ranges[r].empty();
    }
    if (!any) continue;
    if (ready) with_rows(ready->rows, [&]<int R>() { weigh<R>(block, *ready); });
    with_rows(next.rows, [&]<int R>() { score<R>(block, next); });
    if (ready) with_rows(ready->rows, [&]<int R>() { gather<R>(block, *ready); });
    ready = &next;
  }
  if (ready)
    with_rows(ready->rows, [&]<int R>() {
      weigh<R>(block, *ready);
      gather<R>(block, *ready);
    });
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
  const Block block{q, keys, values, a.dim, padded, state, values + kKeyBlock * wide};

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

    int64_t position = begin, of_position = 0; // of the next row
    attend(block, rows, [&] {
      Range range{std::max<int64_t>(0, lowest(position) - base),
                  std::min<int64_t>(kKeyBlock, position + 1 - base)};
      if (++of_position == group) of_position = 0, position++;
      return range;
    });
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
