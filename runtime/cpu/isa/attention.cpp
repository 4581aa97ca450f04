// The inner part of attention: one kv head and a run of queries against all blocks of 64 keys. Vectors run
// over keys for the scores and over channels for the values, so every output element has one order of
// summation whatever the vector width is.
#include "runtime/cpu/attention_part.h"

#include "kernels/math.h"

#include <algorithm>
#include <cstring>

namespace wane::WANE_ISA_NAMESPACE {
namespace {

using cpu::AttentionPart;
using cpu::kKeyBlock;

#if defined(__AVX512F__)
constexpr int kWidth = 16, kColumns = 4;
#elif defined(__AVX__)
constexpr int kWidth = 8, kColumns = 2;
#else
constexpr int kWidth = 4, kColumns = 2;
#endif
constexpr int kRows = 4; // queries that share one read of the keys
typedef float Vec __attribute__((vector_size(kWidth * 4), may_alias));
typedef float Loose __attribute__((vector_size(kWidth * 4), aligned(4), may_alias));
typedef int Lanes __attribute__((vector_size(kWidth * 4)));

inline float widen(float x) { return x; }
inline float widen(uint16_t x) { return wane_from_bf16(x); }
inline void store(float x, float* out) { *out = x; }
inline void store(float x, uint16_t* out) { *out = wane_to_bf16(x); }

// rows [count, padded] in f32 from `count` rows of `dim`; the padding and the rows up to 64 become zero.
template <class T>
void load_rows(const T* from, int64_t stride, int64_t count, int64_t total, int64_t dim, int64_t padded,
               float* to) {
  for (int64_t i = 0; i < total; i++, to += padded) {
    if (i >= count) {
      std::fill(to, to + padded, 0.0f);
      continue;
    }
    const T* row = from + i * stride;
    for (int64_t d = 0; d < dim; d++) to[d] = widen(row[d]);
    for (int64_t d = dim; d < padded; d++) to[d] = 0;
  }
}

// Transposes one square of kWidth by perfect shuffles.
inline __attribute__((always_inline)) void transpose_square(const float* from, int64_t stride, float* to) {
  Vec a[kWidth], b[kWidth];
  for (int i = 0; i < kWidth; i++) a[i] = *(const Loose*)(from + i * stride);
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
  for (int i = 0; i < kWidth; i++) *(Vec*)(to + i * kKeyBlock) = a[i];
}

// scores[r][j] = q[r] . k[j], each a plain sum over the channels, for the first `columns` keys.
template <int R>
void score_tile(const float* q, int64_t padded, int64_t dim, const float* keys, int64_t columns,
                float* scores) {
  for (int64_t j = 0; j < columns; j += kWidth * kColumns) {
    Vec sum[R][kColumns] = {};
    for (int64_t d = 0; d < dim; d++) {
      Vec key[kColumns];
      for (int c = 0; c < kColumns; c++) key[c] = *(const Vec*)(keys + d * kKeyBlock + j + c * kWidth);
      for (int r = 0; r < R; r++)
        for (int c = 0; c < kColumns; c++) sum[r][c] += q[r * padded + d] * key[c];
    }
    for (int r = 0; r < R; r++)
      for (int c = 0; c < kColumns; c++) *(Vec*)(scores + r * kKeyBlock + j + c * kWidth) = sum[r][c];
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
          for (int c = 0; c < C; c++) sum[r][c] += weights[r * kKeyBlock + j] * value[c];
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

// Scores become weights exp(score - peak), zero outside the range; their sum runs over 16 lanes, then a tree.
void weigh(float* scores, Range range, float scale, float* peak, float* total) {
  float most[16];
  for (int l = 0; l < 16; l++) most[l] = -WANE_INF;
  for (int j = 0; j < kKeyBlock; j++) {
    float s = scores[j] * scale;
    scores[j] = (j >= range.from) & (j < range.to) ? s : -WANE_INF;
  }
  for (int j = 0; j < kKeyBlock; j += 16)
    for (int l = 0; l < 16; l++) most[l] = scores[j + l] > most[l] ? scores[j + l] : most[l];
  float m = most[0];
  for (int l = 1; l < 16; l++) m = most[l] > m ? most[l] : m;
  for (int j = 0; j < kKeyBlock; j++) {
    float e = wane_exp(scores[j] - m);
    scores[j] = (j >= range.from) & (j < range.to) ? e : 0.0f;
  }
  float sum[16];
  for (int l = 0; l < 16; l++) sum[l] = ((scores[l] + scores[l + 16]) + scores[l + 32]) + scores[l + 48];
  for (int half = 8; half; half /= 2)
    for (int l = 0; l < half; l++) sum[l] += sum[l + half];
  *peak = m;
  *total = sum[0];
}

// What a query has gathered over the blocks so far.
struct State {
  float *peak, *total, *sums; // [rows], [rows], [rows, padded]
};

// One block for R queries, whose states begin at row 0.
template <int R>
void attend_tile(const float* q, int64_t dim, int64_t padded, const float* keys, const float* values,
                 const Range* ranges, float scale, State state, float* block_sums) {
  alignas(64) float scores[R * kKeyBlock];
  int64_t columns = 0, from = 0, to = kKeyBlock;
  for (int r = 0; r < R; r++) {
    columns = std::max(columns, ranges[r].to);
    from = std::max(from, ranges[r].from);
    to = std::min(to, ranges[r].to);
  }
  if (columns < kKeyBlock) std::memset(scores, 0, sizeof scores);
  score_tile<R>(q, padded, dim, keys, columns, scores);
  float peak[R], total[R];
  for (int r = 0; r < R; r++) weigh(scores + r * kKeyBlock, ranges[r], scale, peak + r, total + r);

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
    float less = wane_exp(-WANE_ABS(state.peak[r] - peak[r]));
    bool keeps = state.peak[r] >= peak[r];
    float old_share = keeps ? 1.0f : less, new_share = keeps ? less : 1.0f;
    state.peak[r] = keeps ? state.peak[r] : peak[r];
    state.total[r] = state.total[r] * old_share + total[r] * new_share;
    float *sums = state.sums + r * padded, *block = block_sums + r * padded;
    for (int64_t d = 0; d < padded; d++) sums[d] = sums[d] * old_share + block[d] * new_share;
  }
}

template <class T> void run(const AttentionPart& part, float* scratch) {
  const cpu::AttentionArgs& a = *part.args;
  const int64_t group = a.heads / a.kv_heads, rows = part.count * group, padded = (a.dim + 15) / 16 * 16;
  float* q = scratch;
  State state{q + 2 * rows * padded, nullptr, q + rows * padded};
  state.total = state.peak + (rows + 15) / 16 * 16;
  float* keys = state.total + (rows + 15) / 16 * 16; // [padded, 64]
  float* values = keys + kKeyBlock * padded;         // [64, padded]
  float* block_sums = values + kKeyBlock * padded;   // [kRows, padded]

  const int64_t head = part.kv_head * group;
  for (int64_t t = 0; t < part.count; t++)
    load_rows((const T*)a.q + (part.first + t) * a.q_token_stride + head * a.dim, a.dim, group, group, a.dim,
              padded, q + t * group * padded);
  std::fill(state.peak, state.peak + rows, -WANE_INF);
  std::fill(state.total, state.total + rows, 0.0f);
  std::fill(state.sums, state.sums + rows * padded, 0.0f);

  const int64_t begin = a.start + part.first, end = begin + part.count; // positions of the queries
  auto lowest = [&](int64_t position) {
    return a.window > 0 ? std::max<int64_t>(0, position - a.window + 1) : int64_t(0);
  };
  for (int64_t base = lowest(begin) / kKeyBlock * kKeyBlock; base < end; base += kKeyBlock) {
    const int64_t known = std::min<int64_t>(kKeyBlock, end - base);
    const int64_t offset = base * a.kv_position_stride + part.kv_head * a.dim;
    load_rows((const T*)a.k + offset, a.kv_position_stride, known, kKeyBlock, a.dim, padded, values);
    for (int64_t j = 0; j < kKeyBlock; j += kWidth)
      for (int64_t d = 0; d < padded; d += kWidth)
        transpose_square(values + j * padded + d, padded, keys + d * kKeyBlock + j);
    load_rows((const T*)a.v + offset, a.kv_position_stride, known, kKeyBlock, a.dim, padded, values);

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
      State here{state.peak + r, state.total + r, state.sums + r * padded};
      auto tile = many == 4   ? attend_tile<4>
                  : many == 3 ? attend_tile<3>
                  : many == 2 ? attend_tile<2>
                              : attend_tile<1>;
      tile(q + r * padded, a.dim, padded, keys, values, ranges, a.scale, here, block_sums);
    }
  }
  for (int64_t r = 0; r < rows; r++) {
    T* out = (T*)a.out + (part.first + r / group) * a.out_token_stride + (head + r % group) * a.dim;
    for (int64_t d = 0; d < a.dim; d++) store(state.sums[r * padded + d] / state.total[r], out + d);
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
