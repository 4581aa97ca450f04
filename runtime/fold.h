// A weight whose elements are another's under linear steps on its channels: scales and Hadamard rotations,
// computed in f64 and rounded once to the weight's dtype, whenever they are read.
#pragma once

#include <vector>

#include "runtime/tensor.h"

namespace wane {

// One step on the input side (the columns of a weight [out, in]) or the output side (its rows): first every
// channel times its scale, then every block of channels rotated, x -> x H / sqrt(block) with the matrix that
// hadamard() has for that size.
struct FoldStep {
  bool output = false;
  Tensor scale;      // floats; repeated along the side when it is shorter; none: 1
  int64_t block = 0; // 0: no rotation
};

// The shape and dtype of `weight`: a matrix [out, in], or a vector, whose channels are of the output side. A
// weight that is folded already gets all steps in one go and is rounded once. Errors: a scale or a block that
// does not divide its side, a block without a transform; when read, a result that is not finite.
Tensor folded(const Tensor& weight, std::vector<FoldStep> steps);

} // namespace wane
