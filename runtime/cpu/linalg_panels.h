// Matrices as the kernels of linear algebra take them: panels of `width` lanes, each a stack of rows (see
// linalg_kernels.h). Work is cut in tiles of kTile rows and columns; sums are cut there too, so kTile shows
// in the bits and never changes with the machine.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "runtime/cpu/linalg_kernels.h"
#include "runtime/memory.h"

namespace wane::cpu {

inline constexpr int64_t kTile = 192; // a multiple of every width

// Element (i, j) of a matrix in memory lies at data + i * row + j * column; what is added to (i, i), if
// anything, at added + i * step.
template <class T> struct Strided {
  const T* data;
  int64_t row, column;
  const T* added = nullptr;
  int64_t step = 1;
  const T* at(int64_t i, int64_t j) const { return data + i * row + j * column; }
  T diagonal(int64_t i) const { return added ? *at(i, i) + added[i * step] : *at(i, i); }
  // With both orders reversed: (i, j) becomes (n - 1 - i, n - 1 - j).
  Strided reversed(int64_t n) const {
    return {at(n - 1, n - 1), -row, -column, added ? added + (n - 1) * step : nullptr, -step};
  }
  Strided transposed() const { return {data, column, row, added, step}; }
};

// Sizes of an n x n triangle, padded to whole panels.
template <class T> struct Extent {
  int64_t n, width = linalg_kernels<T>().width;
  explicit Extent(int64_t size) : n(size) {}
  int64_t panels() const { return (n + width - 1) / width; }
  int64_t padded() const { return panels() * width; }
  int64_t tiles() const { return (n + kTile - 1) / kTile; }
  int64_t per_tile() const { return kTile / width; }
  int64_t tile_of(int64_t panel) const { return panel / per_tile(); }
  int64_t first_panel(int64_t tile) const { return tile * per_tile(); }
  int64_t last_panel(int64_t tile) const { return std::min(panels(), (tile + 1) * per_tile()); }
};

template <class T> class Panels {
public:
  // Panel p holds rows first(p) to last(p).
  template <class First, class Last> Panels(int64_t count, First first, Last last) {
    int64_t rows = 0;
    const int64_t width = linalg_kernels<T>().width;
    for (int64_t p = 0; p < count; ++p) {
      offsets_.push_back((rows - first(p)) * width);
      rows += last(p) - first(p);
    }
    buffer_ = allocate(size_t(rows * width) * sizeof(T));
    width_ = width;
  }
  int64_t width() const { return width_; }
  int64_t count() const { return int64_t(offsets_.size()); }
  T* at(int64_t panel, int64_t row) const {
    return buffer_->template as<T>() + offsets_[size_t(panel)] + row * width_;
  }

private:
  std::vector<int64_t> offsets_;
  int64_t width_;
  BufferPtr buffer_;
};

// A lower triangle: panel p is `width` of its rows, the panel's rows are the columns up to the diagonal.
template <class T> Panels<T> triangle_panels(const Extent<T>& e) {
  return {e.panels(), [](int64_t) { return 0; }, [&](int64_t p) { return (p + 1) * e.width; }};
}
// `columns` right sides of full height.
template <class T> Panels<T> side_panels(const Extent<T>& e, int64_t columns) {
  return {(columns + e.width - 1) / e.width, [](int64_t) { return 0; }, [&](int64_t) { return e.padded(); }};
}
// The columns of a lower triangle, each panel from the tile of its diagonal down.
template <class T> Panels<T> column_panels(const Extent<T>& e) {
  return {e.panels(), [&](int64_t p) { return e.tile_of(p) * kTile; }, [&](int64_t) { return e.padded(); }};
}

// Panel p of the lower triangle of x, columns [from, to); the identity where the size is padded.
template <class T>
void load_triangle(const Strided<T>& x, const Extent<T>& e, const Panels<T>& l, int64_t p, int64_t from,
                   int64_t to);
// Panel p to rows of out [n, n], zeros above the diagonal.
template <class T> void store_triangle(const Panels<T>& l, const Extent<T>& e, int64_t p, T* out);
// Panel p of the lower triangle that l transposed is with both orders reversed.
template <class T>
void turn_triangle(const Panels<T>& l, const Extent<T>& e, const Panels<T>& out, int64_t p);

// Panel p of right sides b [n, columns], zeros where sizes are padded.
template <class T>
void load_sides(const Strided<T>& b, const Extent<T>& e, int64_t columns, const Panels<T>& x, int64_t p);
// Their row k of all panels to dense memory.
template <class T> void store_side(const Panels<T>& x, int64_t k, int64_t columns, T* out);
// The rows of panel p, as many as are padded, in reversed order.
template <class T> void reverse_sides(const Panels<T>& x, const Extent<T>& e, int64_t p);

} // namespace wane::cpu
