// Programs on random launches: the host-built CUDA text beside the CPU back end, bit by bit.
#pragma once

#include <string>

#include "tests/host_kernels.h"

// "" when the host-built text of `program` and the CPU back end give the same bits for random inputs in
// several shapes: short and long rows, odd sizes, strided and broadcast operands, one and more outer dims. A
// NaN equals any other. What is read or written outside of its array is a difference, too. `thorough` takes
// all shapes and two orders of the threads each; otherwise a few shapes that `seed` picks.
std::string difference(const HostKernels& kernels, const wane::Program& program, uint32_t seed,
                       bool thorough = true);
