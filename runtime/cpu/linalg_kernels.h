// The inner loops of linear algebra, compiled once per x86-64 level (isa/linalg_kernels.cpp). They work on
// panels: `width` lanes side by side and rows one after the other, row k at panel + k * width. A triangle L
// is kept as panels too, of `width` of its rows, with L's columns as the rows k; so that a panel of L can
// stand on either side of a product.
//
// Every sum is of products in the order of k, from zero, and is then taken off what it belongs to; with a
// fused multiply-add where the level has one. Neither width nor the grouping of rows shows in the bits.
#pragma once

#include <cstdint>

namespace wane::cpu {

template <class T> struct LinalgKernels {
  int64_t width;
  // c[r][lane] -= sum over k < depth of a[k * width + r] * b[k][lane], for `rows` rows; rows is a multiple of
  // 8 or width itself.
  void (*update)(T* c, const T* a, const T* b, int64_t rows, int64_t depth);
  // x[r] = (x[r] - sum over -before <= k < r of l[k * width + r] x[k]) / l[r * width + r], r from 0 to rows:
  // a forward substitution whose first `before` rows, in front of x, are done.
  void (*solve)(T* x, const T* l, int64_t before, int64_t rows);
  // The same of a panel by itself, x = l, whose lane r is row r: L of x, `width` rows and columns. What lies
  // above the diagonal is left as anything. Gives the first row whose pivot is not positive and finite, its
  // value still in place, else width.
  int64_t (*factor)(T* x, int64_t before);
  // to[i][j] = from[j][i] for i < rows, j < columns; strides in elements.
  void (*turn)(const T* from, int64_t from_stride, T* to, int64_t to_stride, int64_t rows, int64_t columns);
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

// Of the level chosen at start.
template <class T> const LinalgKernels<T>& linalg_kernels();

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
