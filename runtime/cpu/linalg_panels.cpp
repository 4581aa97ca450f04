#include "runtime/cpu/linalg_panels.h"

#include <cstring>

#include "runtime/cpu/isa.h"

namespace wane::cpu {
namespace {

// `count` elements of a stride to lanes of a panel, the rest zero.
template <class T> void load_lanes(T* lanes, int64_t width, const T* from, int64_t stride, int64_t count) {
  if (stride == 1)
    std::memcpy(lanes, from, size_t(count) * sizeof(T));
  else if (stride == -1)
    for (int64_t i = 0; i < count; ++i) lanes[i] = from[-i];
  else
    for (int64_t i = 0; i < count; ++i) lanes[i] = from[i * stride];
  std::fill(lanes + count, lanes + width, T(0));
}

} // namespace

template <class T> const LinalgKernels<T>& linalg_kernels() {
  static const LinalgTable& chosen = isa_level() == IsaLevel::v4   ? isa_v4::linalg_kernels()
                                     : isa_level() == IsaLevel::v3 ? isa_v3::linalg_kernels()
                                                                   : isa_v2::linalg_kernels();
  return chosen.of<T>();
}

template <class T>
void load_triangle(const Strided<T>& x, const Extent<T>& e, const Panels<T>& l, int64_t p, int64_t from,
                   int64_t to) {
  const int64_t first = p * e.width, rows = std::min(e.width, e.n - first), below = std::min(to, first);
  if (x.column == 1 && rows == e.width && from < below)
    linalg_kernels<T>().turn(x.at(first, from), x.row, l.at(p, from), e.width, below - from, rows);
  else
    for (int64_t j = from; j < below; ++j) load_lanes(l.at(p, j), e.width, x.at(first, j), x.row, rows);
  for (int64_t j = std::max(from, first); j < std::min(to, first + e.width); ++j) {
    T* lanes = l.at(p, j);
    std::fill(lanes, lanes + e.width, T(0));
    for (int64_t i = j; i < first + rows; ++i) lanes[i - first] = *x.at(i, j);
    if (j < e.n) lanes[j - first] = x.diagonal(j);
    if (j >= e.n) lanes[j - first] = T(1);
  }
}

template <class T> void store_triangle(const Panels<T>& l, const Extent<T>& e, int64_t p, T* out) {
  const int64_t n = e.n, first = p * e.width, rows = std::min(e.width, n - first);
  linalg_kernels<T>().turn(l.at(p, 0), e.width, out + first * n, n, rows, first);
  for (int64_t i = first; i < first + rows; ++i) {
    T* row = out + i * n;
    for (int64_t j = first; j <= i; ++j) row[j] = l.at(p, j)[i - first];
    std::fill(row + i + 1, row + n, T(0));
  }
}

template <class T>
void load_sides(const Strided<T>& b, const Extent<T>& e, int64_t columns, const Panels<T>& x, int64_t p) {
  const int64_t first = p * e.width, count = std::min(e.width, columns - first);
  for (int64_t k = 0; k < e.n; ++k) load_lanes(x.at(p, k), e.width, b.at(k, first), b.column, count);
  std::fill(x.at(p, e.n), x.at(p, e.padded()), T(0));
}

template <class T> void store_side(const Panels<T>& x, int64_t k, int64_t columns, T* out) {
  for (int64_t p = 0; p < x.count(); ++p)
    std::copy_n(x.at(p, k), std::min(x.width(), columns - p * x.width()), out + p * x.width());
}

template <class T> void reverse_sides(const Panels<T>& x, const Extent<T>& e, int64_t p) {
  const int64_t size = e.padded();
  std::fill(x.at(p, e.n), x.at(p, size), T(0)); // 0 times infinity may have come there
  for (int64_t k = 0; k < size / 2; ++k) std::swap_ranges(x.at(p, k), x.at(p, k + 1), x.at(p, size - 1 - k));
}

template <class T>
void turn_triangle(const Panels<T>& l, const Extent<T>& e, const Panels<T>& out, int64_t p) {
  const int64_t w = e.width, column = e.padded() - (p + 1) * w; // where the rows of panel p come from
  std::vector<T> block(size_t(w * w));
  for (int64_t q = 0; q <= p; ++q) {
    linalg_kernels<T>().turn(l.at(e.panels() - 1 - q, column), w, block.data(), w, w, w);
    std::reverse_copy(block.begin(), block.end(), out.at(p, q * w));
  }
}

#define WANE_OF(T)                                                                                           \
  template const LinalgKernels<T>& linalg_kernels<T>();                                                      \
  template void load_triangle(const Strided<T>&, const Extent<T>&, const Panels<T>&, int64_t, int64_t,       \
                              int64_t);                                                                      \
  template void store_triangle(const Panels<T>&, const Extent<T>&, int64_t, T*);                             \
  template void turn_triangle(const Panels<T>&, const Extent<T>&, const Panels<T>&, int64_t);                \
  template void load_sides(const Strided<T>&, const Extent<T>&, int64_t, const Panels<T>&, int64_t);         \
  template void reverse_sides(const Panels<T>&, const Extent<T>&, int64_t);                                  \
  template void store_side(const Panels<T>&, int64_t, int64_t, T*);
WANE_OF(float)
WANE_OF(double)
#undef WANE_OF

} // namespace wane::cpu
