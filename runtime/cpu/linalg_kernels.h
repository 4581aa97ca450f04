// The inner loops of linear algebra on one block, compiled once per x86-64 level (isa/linalg_kernels.cpp).
#pragma once

#include <cstdint>

namespace wane::cpu {

template <class T> struct LinalgKernels {
  // Factors the lower triangle of a [n, n] (stride between rows) in place. Gives the first pivot that is not
  // positive (0-based; its value stays on the diagonal), else n.
  int64_t (*factor)(T* a, int64_t stride, int64_t n);
  // x [n, width] = t^-1 x for a triangular t with element (i, j) at t[i * row + j * column]; `lower`: from
  // the top.
  void (*solve)(const T* t, int64_t row, int64_t column, bool lower, int64_t n, T* x, int64_t stride,
                int64_t width);
  // x -= y, both [rows, width].
  void (*subtract)(T* x, int64_t x_stride, const T* y, int64_t y_stride, int64_t rows, int64_t width);
};
struct LinalgTable {
  LinalgKernels<float> f32;
  LinalgKernels<double> f64;
  template <class T> const LinalgKernels<T>& of() const {
    if constexpr (sizeof(T) == 4)
      return f32;
    else
      return f64;
  }
};

} // namespace wane::cpu

namespace wane::isa_v2 {
const cpu::LinalgTable& linalg_kernels();
}
namespace wane::isa_v3 {
const cpu::LinalgTable& linalg_kernels();
}
namespace wane::isa_v4 {
const cpu::LinalgTable& linalg_kernels();
}
