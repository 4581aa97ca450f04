#include "runtime/shape.h"

#include <algorithm>

#include "runtime/error.h"

namespace wane {

Shape::Shape(std::initializer_list<int64_t> dims)
    : Shape(std::span<const int64_t>(dims.begin(), dims.size())) {}

Shape::Shape(std::span<const int64_t> dims) {
  if (dims.size() > kMaxRank) throw error("a tensor has at most {} dims, not {}", kMaxRank, dims.size());
  for (int64_t size : dims) {
    if (size < 0) throw error("a dim of size {} in [{}]", size, fmt::join(dims, " x "));
    push_back(size);
  }
}

int64_t Shape::count() const {
  int64_t count = 1;
  for (int64_t size : *this)
    if (__builtin_mul_overflow(count, size, &count))
      throw error("{} has too many elements", to_string(*this));
  return count;
}

void Shape::push_back(int64_t size) {
  if (rank_ == kMaxRank) throw error("a tensor has at most {} dims", kMaxRank);
  dims_[size_t(rank_++)] = size;
}

bool Shape::operator==(const Shape& other) const {
  return std::equal(begin(), end(), other.begin(), other.end());
}

Strides dense_strides(const Shape& shape) {
  Strides strides = shape;
  int64_t step = 1;
  for (int d = shape.rank() - 1; d >= 0; --d) {
    strides[d] = step;
    step *= std::max<int64_t>(shape[d], 1);
  }
  return strides;
}

bool is_dense(const Shape& shape, const Strides& strides) {
  int64_t step = 1;
  for (int d = shape.rank() - 1; d >= 0; --d) {
    if (shape[d] == 0) return true;
    if (shape[d] != 1 && strides[d] != step) return false;
    step *= shape[d];
  }
  return true;
}

bool broadcast(const Shape& a, const Shape& b, Shape& out) {
  Shape wide = a.rank() >= b.rank() ? a : b; // `out` may be one of the operands
  for (int d = 1; d <= std::min(a.rank(), b.rank()); ++d) {
    int64_t x = a[a.rank() - d], y = b[b.rank() - d];
    if (x != y && x != 1 && y != 1) return false;
    wide[wide.rank() - d] = x == 1 ? y : x;
  }
  out = wide;
  return true;
}

Strides broadcast_strides(const Shape& shape, const Strides& strides, const Shape& wide) {
  Strides out = wide;
  for (int d = 1; d <= wide.rank(); ++d) {
    bool present = d <= shape.rank() && shape[shape.rank() - d] != 1;
    out[wide.rank() - d] = present ? strides[shape.rank() - d] : 0;
  }
  return out;
}

bool reshape_strides(const Shape& shape, const Strides& strides, const Shape& wanted, Strides& out) {
  if (is_dense(shape, strides)) {
    out = dense_strides(wanted);
    return true;
  }
  // Walk both shapes in groups of equal size; inside a group the old dims must lie densely over one another.
  out = wanted;
  int from = 0, to = 0;
  while (from < shape.rank() || to < wanted.rank()) {
    int first = from, first_to = to;
    int64_t have = 1, want = 1;
    do {
      if (have <= want && from < shape.rank())
        have *= shape[from++];
      else if (to < wanted.rank())
        want *= wanted[to++];
      else
        return false;
    } while (have != want);
    int64_t inner = 1, step = 1;
    bool started = false;
    for (int d = from - 1; d >= first; --d) {
      if (shape[d] == 1) continue;
      if (!started)
        step = strides[d], started = true;
      else if (strides[d] != step * inner)
        return false;
      inner *= shape[d];
    }
    for (int d = to - 1; d >= first_to; --d) {
      out[d] = step;
      step *= wanted[d];
    }
  }
  return true;
}

std::string to_string(const Shape& shape) {
  return fmt::format("[{}]", fmt::join(shape.begin(), shape.end(), " x "));
}

} // namespace wane
