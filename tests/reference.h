// Tensors as plain numbers: what the language promises, computed one node and one element at a time. Every
// node is rounded to its own dtype, sums have their one order, operands are promoted and broadcast here by
// code of its own, so that an engine that fuses, splits and vectorises can be held to the same bits.
#pragma once

#include <vector>

#include "runtime/tensor.h"

namespace reference {

using wane::DType;
using wane::Op;
using wane::Reduction;
using wane::Shape;

struct Number { // `real` of a float dtype, else `whole`
  double real = 0;
  int64_t whole = 0;
};
struct Array {
  Shape shape;
  DType dtype = DType::f32;
  std::vector<Number> values; // row-major

  int64_t count() const { return int64_t(values.size()); }
  // Element i as a real number.
  double at(int64_t i) const {
    return wane::is_float(dtype) ? values[size_t(i)].real : double(values[size_t(i)].whole);
  }
};

// -- numbers
// --------------------------------------------------------------------------------------------------
// To nearest, ties to even, in one rounding; beyond the largest to infinity, of e4m3 to NaN.
double rounded(DType dtype, double exact);
// The value of a code of bf16, f16, e4m3 or e5m2, from the definition of the format.
double decoded(DType dtype, unsigned code);
Number converted(Number x, DType from, DType to); // as x:to(dtype)
// The same bits of the dtype; any NaN is any other.
bool alike(DType dtype, Number a, Number b);

// -- arrays
// ---------------------------------------------------------------------------------------------------
Array array_of(const wane::Tensor& t);
wane::Tensor tensor_of(const Array& a); // dense
DType promoted(DType a, DType b);
Array cast(const Array& x, DType dtype);
Array map(Op op, const std::vector<Array>& operands);
Array lookup(const Array& x, const Array& table);
// Along the last dim, which stays with size 1.
Array reduce(Reduction kind, const Array& x);
Array transposed(const Array& x, int a, int b);
Array sliced(const Array& x, int dim, int64_t first, int64_t count);
Array expanded(const Array& x, const Shape& shape);
Array reshaped(Array x, const Shape& shape);

// Where and how the two differ first, or "".
std::string difference(const wane::Tensor& got, const Array& want);

} // namespace reference
