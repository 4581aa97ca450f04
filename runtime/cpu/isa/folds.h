// Reductions on the registers of one x86-64 level, in program.h's tree: blocks of 256 elements, in a block 16
// lanes by position, folded as a tree; blocks in order. Include it only inside runtime/cpu/isa/*.cpp.
#pragma once

#pragma GCC diagnostic ignored "-Wmaybe-uninitialized" // of registers that gcc 12's own header leaves unset

#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include <immintrin.h>

#include "runtime/op.h"
#include "runtime/program.h"

namespace wane::WANE_ISA_NAMESPACE {
namespace {

#if defined(__AVX512F__)
constexpr int kRegister = 64; // bytes
#elif defined(__AVX2__)
constexpr int kRegister = 32;
#else
constexpr int kRegister = 16;
#endif
constexpr int kSmallest = 16; // bytes of the narrowest register

template <class T, int bytes> struct VectorOf { typedef T type __attribute__((vector_size(bytes))); };
template <class T, int bytes> using Vector = typename VectorOf<T, bytes>::type;
template <class T> using Wide = Vector<T, kRegister>;
template <class T> using Narrow = Vector<T, kSmallest>;
template <class T> constexpr int kWideLanes = kRegister / int(sizeof(T));
template <class T> constexpr int kNarrowLanes = kSmallest / int(sizeof(T));

// Of each lane b < a ? b : a and b > a ? b : a, which is what one instruction computes of these operands.
#define WANE_ORDER(T, bytes, min, max)                                                                       \
  inline Vector<T, bytes> lesser(Vector<T, bytes> a, Vector<T, bytes> b) { return min; }                     \
  inline Vector<T, bytes> greater(Vector<T, bytes> a, Vector<T, bytes> b) { return max; }
WANE_ORDER(float, 16, _mm_min_ps(b, a), _mm_max_ps(b, a))
WANE_ORDER(double, 16, _mm_min_pd(b, a), _mm_max_pd(b, a))
#if defined(__AVX2__)
WANE_ORDER(float, 32, _mm256_min_ps(b, a), _mm256_max_ps(b, a))
WANE_ORDER(double, 32, _mm256_min_pd(b, a), _mm256_max_pd(b, a))
#endif
#if defined(__AVX512F__)
WANE_ORDER(float, 64, _mm512_min_ps(b, a), _mm512_max_ps(b, a))
WANE_ORDER(double, 64, _mm512_min_pd(b, a), _mm512_max_pd(b, a))
#endif
#undef WANE_ORDER

// The halves of a register.
template <class T, int bytes> inline Vector<T, bytes / 2> lower(Vector<T, bytes> v) {
#if defined(__AVX512F__)
  if constexpr (bytes == 64) return (Vector<T, 32>)_mm512_castps512_ps256((__m512)v);
#endif
#if defined(__AVX2__)
  if constexpr (bytes == 32) return (Vector<T, 16>)_mm256_castps256_ps128((__m256)v);
#endif
}
template <class T, int bytes> inline Vector<T, bytes / 2> upper(Vector<T, bytes> v) {
#if defined(__AVX512F__)
  if constexpr (bytes == 64) return (Vector<T, 32>)_mm512_extractf32x8_ps((__m512)v, 1);
#endif
#if defined(__AVX2__)
  if constexpr (bytes == 32) return (Vector<T, 16>)_mm256_extractf128_ps((__m256)v, 1);
#endif
}

// A reduction of T: what a lane starts from, what an element counts as, and how two results join. NaN wins a
// minimum or maximum; of equals the first stays. V is T or a vector of T. Whole numbers wrap.
template <Reduction r, class Type> struct Fold {
  using T = Type;
  static constexpr bool whole = std::is_integral_v<T>;
  static constexpr bool lowest_wins = r == Reduction::min || r == Reduction::all;

  static T start() {
    using Limits = std::numeric_limits<T>;
    if constexpr (r == Reduction::min)
      return whole ? Limits::max() : Limits::infinity();
    else if constexpr (r == Reduction::max)
      return whole ? Limits::lowest() : -Limits::infinity();
    else
      return T(r == Reduction::prod || r == Reduction::all);
  }

  template <class V> static inline V take(V x) {
    if constexpr (r == Reduction::sumsq)
      return times(x, x);
    else if constexpr (r == Reduction::absmax)
      return magnitude(x);
    else if constexpr (r == Reduction::any || r == Reduction::all)
      return x != T(0) ? V{} + T(1) : V{};
    else
      return x;
  }

  template <class V> static inline V join(V a, V b) {
    if constexpr (r == Reduction::sum || r == Reduction::sumsq)
      return plus(a, b);
    else if constexpr (r == Reduction::prod)
      return times(a, b);
    else if constexpr (whole)
      return lowest_wins ? (b < a ? b : a) : (b > a ? b : a);
    else if constexpr (!std::is_same_v<V, T>)
      return b != b ? b : lowest_wins ? lesser(a, b) : greater(a, b);
    else
      return lowest_wins ? ((b != b) | (b < a) ? b : a) : ((b != b) | (b > a) ? b : a);
  }

private:
  template <class V> struct UnsignedOf { using type = Vector<uint64_t, sizeof(V)>; };
  template <class V>
  using Unsigned =
      typename std::conditional_t<std::is_same_v<V, T>, std::type_identity<uint64_t>, UnsignedOf<V>>::type;

  template <class V> static inline V plus(V a, V b) {
    if constexpr (whole)
      return (V)((Unsigned<V>)a + (Unsigned<V>)b);
    else
      return a + b;
  }
  template <class V> static inline V times(V a, V b) {
    if constexpr (whole)
      return (V)((Unsigned<V>)a * (Unsigned<V>)b);
    else
      return a * b;
  }
  template <class V> static inline V magnitude(V x) {
    if constexpr (whole)
      return x < T(0) ? (V)(-(Unsigned<V>)x) : x;
    else if constexpr (!std::is_same_v<V, T>) {
      using Bits = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
      return (V)((Vector<Bits, sizeof(V)>)x & std::numeric_limits<Bits>::max());
    } else
      return sizeof(T) == 4 ? T(__builtin_fabsf(float(x))) : T(__builtin_fabs(double(x)));
  }
};

template <class F> inline Wide<typename F::T> wide_start() { return F::start() - Wide<typename F::T>{}; }
template <class T> inline Wide<T> load_wide(const T* x) {
  Wide<T> v;
  std::memcpy(&v, x, sizeof v);
  return v;
}

template <class F, int bytes> inline Narrow<typename F::T> narrowed(Vector<typename F::T, bytes> v) {
  using T = typename F::T;
  if constexpr (bytes == kSmallest)
    return v;
  else
    return narrowed<F, bytes / 2>(F::join(lower<T, bytes>(v), upper<T, bytes>(v)));
}

// The 16 lanes of one block.
template <class F> struct Lanes {
  using T = typename F::T;
  static constexpr int kPieces = kReduceLanes / kWideLanes<T>;

  Wide<T> piece[kPieces];

  Lanes() {
    for (auto& p : piece) p = wide_start<F>();
  }
  void join(const T* x) {
    for (int p = 0; p < kPieces; ++p) piece[p] = F::join(piece[p], F::take(load_wide(x + p * kWideLanes<T>)));
  }
  // Fewer than 16: what is missing is filled with what changes no lane.
  void join_rest(const T* x, int64_t n) {
    T full[kReduceLanes];
    for (T& lane : full) lane = F::start();
    for (int64_t i = 0; i < n; ++i) full[i] = x[i];
    join(full);
  }
  // The first steps of the tree: what is left fills a narrow register.
  Narrow<T> narrow() {
    for (int pieces = kPieces / 2; pieces > 0; pieces /= 2)
      for (int p = 0; p < pieces; ++p) piece[p] = F::join(piece[p], piece[p + pieces]);
    return narrowed<F, kRegister>(piece[0]);
  }
};

// One block of n elements of each of `rows` rows that lie `stride` apart, as far as a narrow register.
template <class F, int rows>
inline void fold_blocks(const typename F::T* x, int64_t stride, int64_t n, Narrow<typename F::T>* out) {
  Lanes<F> lanes[rows];
  int64_t i = 0;
  for (; i + kReduceLanes <= n; i += kReduceLanes)
    for (int r = 0; r < rows; ++r) lanes[r].join(x + r * stride + i);
  if (i < n)
    for (int r = 0; r < rows; ++r) lanes[r].join_rest(x + r * stride + i, n - i);
  for (int r = 0; r < rows; ++r) out[r] = lanes[r].narrow();
}

// The last steps of the trees of as many blocks as a narrow register has lanes: one total each.
template <class F, class T> inline Narrow<T> ends(const Narrow<T>* tree) {
  if constexpr (sizeof(T) == 8)
    return F::join(__builtin_shufflevector(tree[0], tree[1], 0, 2),
                   __builtin_shufflevector(tree[0], tree[1], 1, 3));
  else {
    auto pair = [](Narrow<T> a, Narrow<T> b) { // lanes 0 and 1 of both trees
      return F::join(__builtin_shufflevector(a, b, 0, 1, 4, 5), __builtin_shufflevector(a, b, 2, 3, 6, 7));
    };
    Narrow<T> a = pair(tree[0], tree[1]), b = pair(tree[2], tree[3]);
    return F::join(__builtin_shufflevector(a, b, 0, 2, 4, 6), __builtin_shufflevector(a, b, 1, 3, 5, 7));
  }
}

// The totals of as many rows as a narrow register has lanes, or of one row joined to what came before it.
template <class F> inline Narrow<typename F::T> fold_rows(const typename F::T* x, int64_t n) {
  using T = typename F::T;
  Narrow<T> sums = F::start() - Narrow<T>{};
  for (int64_t i = 0; i < n; i += kReduceBlock) {
    Narrow<T> trees[kNarrowLanes<T>];
    fold_blocks<F, kNarrowLanes<T>>(x + i, n, n - i < kReduceBlock ? n - i : kReduceBlock, trees);
    sums = F::join(sums, ends<F, T>(trees));
  }
  return sums;
}
template <class F> inline typename F::T fold_row(const typename F::T* x, int64_t n, typename F::T before) {
  using T = typename F::T;
  Narrow<T> sum{before};
  for (int64_t i = 0; i < n; i += kReduceBlock) {
    Narrow<T> trees[kNarrowLanes<T>] = {};
    fold_blocks<F, 1>(x + i, 0, n - i < kReduceBlock ? n - i : kReduceBlock, trees);
    sum = F::join(sum, ends<F, T>(trees));
  }
  return sum[0];
}

} // namespace
} // namespace wane::WANE_ISA_NAMESPACE
