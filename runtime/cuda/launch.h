// What a generated kernel is started with: its arguments as bytes and the shape of the grid. Both depend on
// sizes, the kernel does not.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "runtime/program.h"

namespace wane::cuda {

struct Grid {
  uint32_t blocks = 1;
  uint32_t threads_x = 1, threads_y = 1; // of a block
};

// Enough blocks to fill `multiprocessors`, no more; the kernels step over the rest. Rows longer than 512 get
// a block each, shorter ones 16 lanes each.
Grid grid_of(const Program& program, const Launch& launch, int multiprocessors);

// The kernel's one parameter, WaneLaunch of kernels/lanes.cuh; pointers as they are in `launch`. An Error for
// 2^32 rows or more.
std::vector<std::byte> arguments_of(const Program& program, const Launch& launch);

} // namespace wane::cuda
