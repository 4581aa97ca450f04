// Linear algebra on panels, for one x86-64 level: sums of R rows by N registers of lanes stay in registers.
// gcc 12 warns of its own intrinsics, which start from a register left undefined on purpose.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include "runtime/cpu/linalg_kernels.h"

#include <utility>

#include "runtime/cpu/isa/registers.h"

namespace wane::WANE_ISA_NAMESPACE {
namespace {

#if defined(__AVX512F__)
constexpr int R = 8, N = 3; // 24 sums, 3 lanes and a broadcast of 32 registers
#elif defined(__AVX2__)
constexpr int R = 4, N = 3; // 12 + 3 + 1 of 16
#else
constexpr int R = 4, N = 2; // 8 + 2 + 1 of 16, and one for the product
#endif

// Rows of a: its tile lies in the second-level cache, in pieces too short for the processor to see a stream.
constexpr int64_t kAhead = 16;

template <class V> constexpr int64_t kWidth = N* V::kLanes;

inline float root(float x) { return __builtin_sqrtf(x); }
inline double root(double x) { return __builtin_sqrt(x); }

template <class V> struct Sums { // of R rows
  using T = typename V::T;
  static constexpr int64_t kWidth = N * V::kLanes;
  V sum[R][N];

  [[gnu::always_inline]] Sums(const T* a, const T* b, int64_t depth) {
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r)
#pragma GCC unroll 8
      for (int j = 0; j < N; ++j) sum[r][j] = V::all(0);
    for (int64_t k = 0; k < depth; ++k, a += kWidth, b += kWidth) {
      __builtin_prefetch(a + kAhead * kWidth);
      V lanes[N];
#pragma GCC unroll 8
      for (int j = 0; j < N; ++j) lanes[j] = V::load(b + j * V::kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) add(r, a[r], lanes);
    }
  }
  [[gnu::always_inline]] void add(int r, T factor, const V (&lanes)[N]) {
    const V all = V::all(factor);
#pragma GCC unroll 8
    for (int j = 0; j < N; ++j) sum[r][j].add_product(all, lanes[j]);
  }
  // row - sum, of one row in memory
  [[gnu::always_inline]] void take(int r, const T* row, V (&lanes)[N]) const {
#pragma GCC unroll 8
    for (int j = 0; j < N; ++j) lanes[j].v = V::load(row + j * V::kLanes).v - sum[r][j].v;
  }
};

template <class V> [[gnu::always_inline]] inline void store(typename V::T* row, const V (&lanes)[N]) {
#pragma GCC unroll 8
  for (int j = 0; j < N; ++j) lanes[j].store(row + j * V::kLanes);
}
template <class V> [[gnu::always_inline]] inline void divide(V (&lanes)[N], typename V::T by) {
  const V all = V::all(by);
#pragma GCC unroll 8
  for (int j = 0; j < N; ++j) lanes[j].v /= all.v;
}

template <class V>
void update(typename V::T* c, const typename V::T* a, const typename V::T* b, int64_t rows, int64_t depth) {
  for (int64_t g = 0; g < rows; g += R, c += R * kWidth<V>) {
    const Sums<V> sums(a + g, b, depth);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      V lanes[N];
      sums.take(r, c + r * kWidth<V>, lanes);
      store(c + r * kWidth<V>, lanes);
    }
  }
}

template <class V> void solve(typename V::T* x, const typename V::T* l, int64_t before, int64_t rows) {
  constexpr int64_t W = kWidth<V>;
  for (int64_t g = 0; g < rows; g += R) {
    Sums<V> sums(l + g - before * W, x - before * W, before + g);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      auto* row = x + (g + r) * W;
      const auto* column = l + (g + r) * W + g;
      V lanes[N];
      sums.take(r, row, lanes);
      divide(lanes, column[r]);
      store(row, lanes);
#pragma GCC unroll 8
      for (int s = r + 1; s < R; ++s) sums.add(s, column[s], lanes);
    }
  }
}

template <class V> int64_t factor(typename V::T* x, int64_t before) {
  constexpr int64_t W = kWidth<V>;
  using T = typename V::T;
  for (int64_t g = 0; g < W; g += R) {
    Sums<V> sums(x + g - before * W, x - before * W, before + g);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      T* row = x + (g + r) * W;
      V lanes[N];
      sums.take(r, row, lanes);
      store(row, lanes);
      const T pivot = row[g + r];
      if (!(pivot > T(0)) || pivot - pivot != T(0)) return g + r;
      const T diagonal = root(pivot);
      divide(lanes, diagonal);
      store(row, lanes);
      row[g + r] = diagonal;
#pragma GCC unroll 8
      for (int s = r + 1; s < R; ++s) sums.add(s, row[g + s], lanes);
    }
  }
  return W;
}

// Exchanges, in pairs of registers H apart, the lanes that are H off the diagonal; all H together transpose.
template <class V, int H, size_t... I> inline void exchange(V& x, V& y, std::index_sequence<I...>) {
  constexpr int L = V::kLanes;
  const auto low = __builtin_shufflevector(x.v, y.v, (I & H ? L + int(I) - H : int(I))...);
  y.v = __builtin_shufflevector(x.v, y.v, (I & H ? L + int(I) : int(I) + H)...);
  x.v = low;
}
template <class V, int H> [[gnu::always_inline]] inline void exchange_all(V (&x)[V::kLanes]) {
#pragma GCC unroll 16
  for (int i = 0; i < V::kLanes; ++i)
    if (!(i & H)) exchange<V, H>(x[i], x[i | H], std::make_index_sequence<V::kLanes>());
  if constexpr (H > 1) exchange_all<V, H / 2>(x);
}

template <class V>
void turn(const typename V::T* from, int64_t from_stride, typename V::T* to, int64_t to_stride, int64_t rows,
          int64_t columns) {
  constexpr int L = V::kLanes;
  const int64_t whole_rows = rows / L * L, whole_columns = columns / L * L;
  for (int64_t i = 0; i < whole_rows; i += L)
    for (int64_t j = 0; j < whole_columns; j += L) {
      V square[L];
#pragma GCC unroll 16
      for (int k = 0; k < L; ++k) square[k] = V::load(from + (j + k) * from_stride + i);
      exchange_all<V, L / 2>(square);
#pragma GCC unroll 16
      for (int k = 0; k < L; ++k) square[k].store(to + (i + k) * to_stride + j);
    }
  for (int64_t i = 0; i < rows; ++i)
    for (int64_t j = i < whole_rows ? whole_columns : 0; j < columns; ++j)
      to[i * to_stride + j] = from[j * from_stride + i];
}

template <class V>
constexpr cpu::LinalgKernels<typename V::T> kernels{kWidth<V>, update<V>, solve<V>, factor<V>, turn<V>};

} // namespace

const cpu::LinalgTable& linalg_kernels() {
  static constexpr cpu::LinalgTable table{kernels<F32>, kernels<F64>};
  return table;
}

} // namespace wane::WANE_ISA_NAMESPACE
