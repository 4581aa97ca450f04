// A tensor whose elements are an expression, computed whenever they are read and never kept: the values of a
// quantized weight, decoded from its codes and parameters.
#pragma once

#include "runtime/tensor.h"

namespace wane {

// The same shape and dtype as `expression`, whose pending maps are copied, so that reading the one does not
// materialise the other.
Tensor from_expression(const Tensor& expression);

} // namespace wane
