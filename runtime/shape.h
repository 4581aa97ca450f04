// Shapes and strides: pure functions on short lists of sizes. Dims are 0-based in C++ and 1-based in Lua and
// in every message; the conversion happens in the binding alone.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace wane {

inline constexpr int kMaxRank = 8;

class Shape {
public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims);
  explicit Shape(std::span<const int64_t> dims); // an Error above rank 8 or for a negative size

  int rank() const { return rank_; }
  int64_t operator[](int dim) const { return dims_[size_t(dim)]; }
  int64_t& operator[](int dim) { return dims_[size_t(dim)]; }
  int64_t back() const { return rank_ ? dims_[size_t(rank_ - 1)] : 1; }
  int64_t count() const; // product of all dims; 1 for rank 0
  void push_back(int64_t size);
  const int64_t* begin() const { return dims_.data(); }
  const int64_t* end() const { return dims_.data() + rank_; }
  bool operator==(const Shape& other) const;

private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};
using Strides = Shape; // in elements; may be 0 (broadcast) or negative

Strides dense_strides(const Shape& shape);
bool is_dense(const Shape& shape, const Strides& strides);
// numpy's rule, aligned at the last dim. False when the sizes do not fit.
bool broadcast(const Shape& a, const Shape& b, Shape& out);
// Strides of an operand of `shape` read as `wide` (broadcast dims get stride 0).
Strides broadcast_strides(const Shape& shape, const Strides& strides, const Shape& wide);
// Whether a strided view can be read under another shape without a copy; fills `out`.
bool reshape_strides(const Shape& shape, const Strides& strides, const Shape& wanted, Strides& out);
std::string to_string(const Shape& shape); // "[512 x 576]"

} // namespace wane
