// CUDA text of a column sweep with a traced quantizer built in (kernels/sweep.cuh): one kernel that codes a
// run of columns and one that repays their errors in later ones.
#pragma once

#include <string>

#include "runtime/sweep.h"

namespace wane::cuda {

struct SweepKernelNames {
  std::string code, update;               // __global__ functions
  std::string code_launch, update_launch; // the types of their one parameter
};
// A complete translation unit. The names hold a hash of the quantizer's steps. second: for a sweep with a
// second triangle.
std::string emit_sweep(const SweepQuantizer& quantizer, SweepKernelNames& names, bool second = false);

} // namespace wane::cuda
