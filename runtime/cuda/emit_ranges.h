// CUDA text of the search for ranges with a traced quantizer built in (kernels/ranges.cuh).
#pragma once

#include <string>

#include "runtime/range_search.h"

namespace wane::cuda {

struct RangeKernelNames {
  std::string kernel,
      launch; // the __global__ function, for blocks of (16, rows) threads, and its parameter's type
};
// A complete translation unit. The names hold a hash of the quantizer's steps.
std::string emit_ranges(const RangeQuantizer& quantizer, RangeKernelNames& names);

} // namespace wane::cuda
