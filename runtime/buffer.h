// The mutable array of the language (wane.buffer). Reading gives views that remember the version they were
// taken at; a view read after a later write is an error that names both lines, never a silent change of a
// value.
#pragma once

#include <span>

#include "runtime/tensor.h"

namespace wane {

class Version {
public:
  int64_t number = 0;
  Origin written; // the last write
};

class MutableArray {
public:
  explicit MutableArray(const Tensor& initial); // copies
  const Shape& shape() const { return tensor_.shape(); }
  DType dtype() const { return tensor_.dtype(); }
  Tensor view(); // whole; slice it further
  void write(std::span<const int64_t> first, std::span<const int64_t> count, const Tensor& value);
  Tensor freeze(); // the value; later writes are errors
  bool frozen() const { return frozen_; }

private:
  Tensor tensor_;
  std::shared_ptr<Version> version_;
  bool frozen_ = false;
};

} // namespace wane
