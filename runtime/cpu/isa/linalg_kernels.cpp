// Linear algebra on one block, for one x86-64 level: every inner loop runs over independent columns.
#include "runtime/cpu/linalg_kernels.h"

namespace wane::WANE_ISA_NAMESPACE {
namespace {

inline float root(float x) { return __builtin_sqrtf(x); }
inline double root(double x) { return __builtin_sqrt(x); }

template <class T> int64_t factor(T* a, int64_t stride, int64_t n) {
  T column[256]; // column j below the diagonal, so that the update reads it in order
  for (int64_t j = 0; j < n; j++) {
    const T pivot = a[j * stride + j];
    if (!(pivot > T(0)) || pivot - pivot != T(0)) return j;
    const T diagonal = root(pivot);
    a[j * stride + j] = diagonal;
    for (int64_t i = j + 1; i < n; i++) column[i] = a[i * stride + j] = a[i * stride + j] / diagonal;
    for (int64_t i = j + 1; i < n; i++) {
      T* row = a + i * stride;
      const T factor = column[i];
#pragma GCC ivdep
      for (int64_t k = j + 1; k <= i; k++) row[k] -= factor * column[k];
    }
  }
  return n;
}

template <class T>
void solve(const T* t, int64_t row, int64_t column, bool lower, int64_t n, T* x, int64_t stride,
           int64_t width) {
  for (int64_t step = 0; step < n; step++) {
    const int64_t j = lower ? step : n - 1 - step;
    T* solved = x + j * stride;
    const T diagonal = t[j * (row + column)];
    for (int64_t c = 0; c < width; c++) solved[c] /= diagonal;
    const int64_t from = lower ? j + 1 : 0, to = lower ? n : j;
    for (int64_t i = from; i < to; i++) {
      const T factor = t[i * row + j * column];
      T* other = x + i * stride;
#pragma GCC ivdep
      for (int64_t c = 0; c < width; c++) other[c] -= factor * solved[c];
    }
  }
}

template <class T>
void subtract(T* x, int64_t x_stride, const T* y, int64_t y_stride, int64_t rows, int64_t width) {
  for (int64_t r = 0; r < rows; r++, x += x_stride, y += y_stride) {
#pragma GCC ivdep
    for (int64_t c = 0; c < width; c++) x[c] -= y[c];
  }
}

template <class T> constexpr cpu::LinalgKernels<T> kernels{factor<T>, solve<T>, subtract<T>};

} // namespace

const cpu::LinalgTable& linalg_kernels() {
  static const cpu::LinalgTable table{kernels<float>, kernels<double>};
  return table;
}

} // namespace wane::WANE_ISA_NAMESPACE
