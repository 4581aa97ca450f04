// Reduction loops for one x86-64 level. Columns are independent, so the loops over them vectorise and every
// element keeps its order of summation; along a row the 16 lanes are the vector.
#include "runtime/cpu/fold_kernels.h"

#include <limits>
#include <type_traits>

namespace wane::WANE_ISA_NAMESPACE {
namespace {

template <class T>
constexpr T kHighest = std::is_integral_v<T> ? std::numeric_limits<T>::max()
                                             : std::numeric_limits<T>::infinity();
template <class T>
constexpr T kLowest = std::is_integral_v<T> ? std::numeric_limits<T>::lowest()
                                            : -std::numeric_limits<T>::infinity();

// Whole numbers wrap.
template <class T> inline T plus(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return T(uint64_t(a) + uint64_t(b));
  else
    return a + b;
}
template <class T> inline T times(T a, T b) {
  if constexpr (std::is_integral_v<T>)
    return T(uint64_t(a) * uint64_t(b));
  else
    return a * b;
}
template <class T> inline T magnitude(T x) {
  if constexpr (std::is_integral_v<T>)
    return x < 0 ? T(-uint64_t(x)) : x;
  else
    return sizeof(T) == 4 ? T(__builtin_fabsf(float(x))) : T(__builtin_fabs(double(x)));
}

template <Reduction r, class T> struct Fold {
  static T start() {
    if constexpr (r == Reduction::min)
      return kHighest<T>;
    else if constexpr (r == Reduction::max)
      return kLowest<T>;
    else
      return T(r == Reduction::prod || r == Reduction::all ? 1 : 0);
  }
  static T take(T x) {
    if constexpr (r == Reduction::sumsq)
      return times(x, x);
    else if constexpr (r == Reduction::absmax)
      return magnitude(x);
    else if constexpr (r == Reduction::any || r == Reduction::all)
      return x != T(0) ? T(1) : T(0);
    else
      return x;
  }
  static T join(T a, T b) {
    if constexpr (r == Reduction::sum || r == Reduction::sumsq)
      return plus(a, b);
    else if constexpr (r == Reduction::prod)
      return times(a, b);
    else if constexpr (r == Reduction::min || r == Reduction::all)
      return (b != b) | (b < a) ? b : a;
    else
      return (b != b) | (b > a) ? b : a;
  }
};

template <class F, class T> void start(T* values, int64_t n) {
  for (int64_t i = 0; i < n; i++) values[i] = F::start();
}

template <class F, class T> void rows(const T* x, int64_t count, int64_t width, int64_t stride, T* lanes) {
  for (int64_t r = 0; r < count; r++, x += stride, lanes += width) {
#pragma GCC ivdep
    for (int64_t c = 0; c < width; c++) lanes[c] = F::join(lanes[c], F::take(x[c]));
  }
}

template <class F, class T> void join(const T* x, int64_t width, T* total) {
#pragma GCC ivdep
  for (int64_t c = 0; c < width; c++) total[c] = F::join(total[c], x[c]);
}

template <class F, class T> void finish(T* lanes, int64_t width, T* total) {
  for (int half = kReduceLanes / 2; half; half /= 2) {
#pragma GCC ivdep
    for (int64_t c = 0; c < half * width; c++) lanes[c] = F::join(lanes[c], lanes[half * width + c]);
  }
  join<F>(lanes, width, total);
}

template <class F, class T> void block(const T* x, int64_t count, T* total) {
  T lanes[kReduceLanes];
  for (T& lane : lanes) lane = F::start();
  int64_t i = 0;
  for (; i + kReduceLanes <= count; i += kReduceLanes)
    for (int l = 0; l < kReduceLanes; l++) lanes[l] = F::join(lanes[l], F::take(x[i + l]));
  for (int l = 0; i + l < count; l++) lanes[l] = F::join(lanes[l], F::take(x[i + l]));
  finish<F>(lanes, 1, total);
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
