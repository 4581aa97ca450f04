// Reductions of columns where they lie, for one x86-64 level. Columns are independent, so registers hold
// neighbouring ones and every column keeps its order of summation.
#include "runtime/cpu/fold_kernels.h"

#include "runtime/cpu/isa/folds.h"

namespace wane::WANE_ISA_NAMESPACE {
namespace {

constexpr int64_t kGroups = 4;       // rows 16 apart that are read side by side
constexpr int64_t kAheadBytes = 512; // of a row, asked for together

template <class F, class T> void start(T* values, int64_t n) {
  for (int64_t i = 0; i < n; i++) values[i] = F::start();
}

// lanes[c] = join(lanes[c], x[c], x[c + apart] ...), each element of x taken.
template <class F, int groups, class T>
inline void join_columns(const T* x, int64_t apart, int64_t width, T* lanes) {
  int64_t c = 0;
  for (; c + kWideLanes<T> <= width; c += kWideLanes<T>) {
    Wide<T> lane = load_wide(lanes + c);
    for (int g = 0; g < groups; g++) lane = F::join(lane, F::take(load_wide(x + g * apart + c)));
    std::memcpy(lanes + c, &lane, sizeof lane);
  }
  for (; c < width; c++)
    for (int g = 0; g < groups; g++) lanes[c] = F::join(lanes[c], F::take(x[g * apart + c]));
}

// The same on pieces of the rows; of each the piece of the next row is asked for before. A row of a large
// matrix lies on a page of its own, which the processor does not read ahead by itself.
template <class F, int groups, class T>
inline void join_row(const T* x, int64_t stride, int64_t width, T* lanes) {
  constexpr int64_t kPiece = kAheadBytes / int64_t(sizeof(T));
  const int64_t apart = kReduceLanes * stride;
  for (int64_t c = 0; c < width; c += kPiece) {
    const int64_t many = width - c < kPiece ? width - c : kPiece;
    for (int g = 0; g < groups; g++) {
      const auto next = reinterpret_cast<uintptr_t>(x) + uintptr_t(g * apart + stride + c) * sizeof(T);
      for (int64_t byte = 0; byte < many * int64_t(sizeof(T)); byte += 64)
        _mm_prefetch(reinterpret_cast<const char*>(next + uintptr_t(byte)), _MM_HINT_T0);
    }
    join_columns<F, groups>(x + c, apart, many, lanes + c);
  }
}

template <class F, class T> void rows(const T* x, int64_t count, int64_t width, int64_t stride, T* lanes) {
  int64_t r = 0;
  for (; r + kGroups * kReduceLanes <= count; r += kGroups * kReduceLanes)
    for (int64_t l = 0; l < kReduceLanes; l++)
      join_row<F, kGroups>(x + (r + l) * stride, stride, width, lanes + l * width);
  for (; r < count; r++) join_row<F, 1>(x + r * stride, stride, width, lanes + r % kReduceLanes * width);
}

// a[c] = join(a[c], b[c]).
template <class F, class T> inline void join_pairs(T* a, const T* b, int64_t n) {
  int64_t c = 0;
  for (; c + kWideLanes<T> <= n; c += kWideLanes<T>) {
    Wide<T> joined = F::join(load_wide(a + c), load_wide(b + c));
    std::memcpy(a + c, &joined, sizeof joined);
  }
  for (; c < n; c++) a[c] = F::join(a[c], b[c]);
}

template <class F, class T> void join(const T* x, int64_t width, T* total) { join_pairs<F>(total, x, width); }

template <class F, class T> void finish(T* lanes, int64_t width, T* total) {
  for (int half = kReduceLanes / 2; half; half /= 2) join_pairs<F>(lanes, lanes + half * width, half * width);
  join_pairs<F>(total, lanes, width);
}

template <class F, class T> void block(const T* x, int64_t count, T* total) {
  *total = fold_row<F>(x, count, *total);
}

template <Reduction r, class T> void fill(cpu::FoldKernels<T>* table) {
  using F = Fold<r, T>;
  table[size_t(r)] = {start<F, T>, rows<F, T>, finish<F, T>, block<F, T>, join<F, T>};
}

template <Reduction... r> cpu::FoldTable all_folds() {
  cpu::FoldTable table{};
  (fill<r>(table.f32), ...);
  (fill<r>(table.f64), ...);
  (fill<r>(table.i64), ...);
  return table;
}

} // namespace

const cpu::FoldTable& fold_kernels() {
  using enum Reduction;
  static const cpu::FoldTable table = all_folds<sum, min, max, absmax, sumsq, prod, any, all>();
  return table;
}

} // namespace wane::WANE_ISA_NAMESPACE
