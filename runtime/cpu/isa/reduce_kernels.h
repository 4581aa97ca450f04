// The reductions of the tile interpreter for one x86-64 level (isa/reduce_kernels.cpp); part of its table of
// kernels.
#pragma once

#include "runtime/cpu/map_kernels.h"

namespace wane::WANE_ISA_NAMESPACE {

void fill_reductions(cpu::MapKernels& k);

} // namespace wane::WANE_ISA_NAMESPACE
