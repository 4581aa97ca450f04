#include "runtime/buffer.h"

#include <cstring>

#include "runtime/cpu/kernels.h"
#include "runtime/node_memory.h"

namespace wane {

MutableArray::MutableArray(const Tensor& initial) : version_(std::make_shared<Version>()) {
  Tensor from = initial.dense();
  tensor_ = empty(from.shape(), from.dtype(), "buffer");
  Strides strides = dense_strides(from.shape());
  cpu::copy_strided(size_of(from.dtype()), from.bytes(), strides.begin(), from.shape().begin(), from.rank(),
                    tensor_.bytes());
}

Tensor MutableArray::view() {
  auto node = make_node(*tensor_.node());
  node->packed = nullptr;
  node->version = version_;
  node->seen_version = version_->number;
  node->origin = current_origin();
  return Tensor(node);
}

void MutableArray::write(std::span<const int64_t> first, std::span<const int64_t> count,
                         const Tensor& value) {
  if (frozen_)
    throw error("this buffer is frozen").hint("freeze gives the tensor; make a new buffer to go on writing");
  Shape box(count);
  Tensor wide = expand(cast(value, dtype()), box).dense();
  if (wide.node()->buffer == tensor_.node()->buffer
      && wide.count() > 0) { // elements of this buffer that move
    Tensor copy = empty(wide.shape(), dtype());
    std::memcpy(copy.bytes(), wide.bytes(), size_t(wide.count()) * size_of(dtype()));
    wide = copy;
  }
  int64_t offset = 0;
  for (int d = 0; d < shape().rank(); ++d) {
    if (first[size_t(d)] < 0 || box[d] < 0 || first[size_t(d)] > shape()[d] - box[d])
      throw error("positions {} to {} of dim {}, which has {}", first[size_t(d)] + 1,
                  first[size_t(d)] + box[d], d + 1, shape()[d]);
    offset += first[size_t(d)] * tensor_.strides()[d];
  }
  cpu::copy_into_strided(size_of(dtype()), wide.bytes(), tensor_.strides().begin(), box.begin(), box.rank(),
                         tensor_.bytes() + offset * int64_t(size_of(dtype())));
  ++version_->number;
  version_->written = current_origin();
}

Tensor MutableArray::freeze() {
  frozen_ = true;
  return tensor_;
}

} // namespace wane
