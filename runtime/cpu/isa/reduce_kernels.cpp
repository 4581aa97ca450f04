// Reductions along rows for one x86-64 level. Short rows are folded several at a time: the last steps of
// their trees, which would use a part of a register only, share one.
#include "runtime/cpu/isa/reduce_kernels.h"

#include "runtime/cpu/isa/folds.h"

namespace wane::WANE_ISA_NAMESPACE {
namespace {

template <Reduction r, class T> void reduce(const void* in, int64_t n, void* total, bool first) {
  using F = Fold<r, T>;
  T& sum = *static_cast<T*>(total);
  sum = fold_row<F>(static_cast<const T*>(in), n, first ? F::start() : sum);
}

template <Reduction r, class T> void reduce_rows(const void* in, int64_t rows, int64_t n, void* totals) {
  using F = Fold<r, T>;
  constexpr int kRows = kNarrowLanes<T>;
  const T* x = static_cast<const T*>(in);
  T* out = static_cast<T*>(totals);
  int64_t row = 0;
  for (; row + kRows <= rows; row += kRows, x += kRows * n) {
    Narrow<T> sums = fold_rows<F>(x, n);
    std::memcpy(out + row, &sums, sizeof sums);
  }
  for (; row < rows; ++row, x += n) out[row] = fold_row<F>(x, n, F::start());
}

template <Reduction r> void fill_reduction(cpu::MapKernels& k) {
  k.reduce[int(r)][0] = reduce<r, float>;
  k.reduce[int(r)][1] = reduce<r, double>;
  k.reduce_rows[int(r)][0] = reduce_rows<r, float>;
  k.reduce_rows[int(r)][1] = reduce_rows<r, double>;
}

} // namespace

void fill_reductions(cpu::MapKernels& k) {
  fill_reduction<Reduction::sum>(k);
  fill_reduction<Reduction::min>(k);
  fill_reduction<Reduction::max>(k);
  fill_reduction<Reduction::absmax>(k);
  fill_reduction<Reduction::sumsq>(k);
}

} // namespace wane::WANE_ISA_NAMESPACE
