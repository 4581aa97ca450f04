// From a Program to CUDA text. The text holds structure only: shapes, strides and scalars are arguments of
// the kernel (runtime/cuda/launch.h), so that one compiled kernel serves every size. Programs without
// reductions use kernels/flat.cuh, the others kernels/row.cuh; the arithmetic is the CPU's, step by step,
// rounding by rounding.
#pragma once

#include <span>
#include <string>

#include "runtime/program.h"

namespace wane::cuda {

// Whether the row template serves a program: it reduces, or has one result a row (the reduction itself was
// stored by an earlier program). Otherwise the flat one does.
bool uses_rows(const Program& program);

// "wane_flat_" or "wane_row_" and 16 hex digits of the body's hash: the same for the same program in any
// build that generates the same text.
std::string kernel_name(const Program& program);

// A kernel and the functions it calls, without the prelude: what two programs with the same text share.
std::string kernel_text(const Program& program);

// A complete translation unit with the kernel of one program, or of several (each distinct kernel once),
// which compile in one go at a fraction of the cost. An internal Error for a program that the templates do
// not cover.
std::string emit_cuda(const Program& program);
std::string emit_cuda(std::span<const Program* const> programs);

} // namespace wane::cuda
