// The inner loops of reductions, compiled once per x86-64 level (isa/fold_kernels.cpp). They follow
// program.h's tree: blocks of 256 elements, in a block 16 lanes by position, folded as a tree; blocks in
// order.
#pragma once

#include <cstdint>

#include "runtime/op.h"
#include "runtime/program.h"

namespace wane::cpu {

inline constexpr int kFoldKinds = 8; // Reduction without argmax and argmin

template <class T> struct FoldKernels {
  // lanes[c], lanes[width + c] ... = the start value.
  void (*start)(T* values, int64_t n);
  // Row r of at most 256 joins lane r % 16: lanes [16, width], x has `stride` elements between rows.
  void (*rows)(const T* x, int64_t count, int64_t width, int64_t stride, T* lanes);
  // Folds the lanes [16, width] and joins them to total [width].
  void (*finish)(T* lanes, int64_t width, T* total);
  // One block of at most 256 consecutive elements joins *total.
  void (*block)(const T* x, int64_t count, T* total);
  // total[c] = join(total[c], x[c]), for block sums that were kept apart.
  void (*join)(const T* x, int64_t width, T* total);
};
struct FoldTable {
  FoldKernels<float> f32[kFoldKinds];
  FoldKernels<double> f64[kFoldKinds];
  FoldKernels<int64_t> i64[kFoldKinds];
  template <class T> const FoldKernels<T>& of(Reduction r) const {
    if constexpr (sizeof(T) == 4)
      return f32[size_t(r)];
    else if constexpr (T(0.5) == T(0))
      return i64[size_t(r)];
    else
      return f64[size_t(r)];
  }
};
const FoldTable& fold_kernels();

} // namespace wane::cpu
