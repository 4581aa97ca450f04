// Inside of matmul: oneDNN on single dense tiles, and the order of summation its kernels have.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/cpu/isa/matmul_kernels.h"
#include "runtime/cpu/matmul.h"

namespace wane {

const MatmulKernels& matmul_kernels(); // of the level chosen at start

// What oneDNN's tiles keep to on every CPU measured (matmul_library.cpp): the columns are a multiple of 64,
// the rows 8 or more. Then neither rows nor columns of a tile show in the bits of an output. (Its bf16 on AMX
// does not: other kernels for few outputs, and from k = 6144 on chunks that depend on the tile.)
inline constexpr int64_t kLeastRows = 8;

// Does oneDNN compute this type here?
bool library_computes(DType compute);

// A dense tile: out[rows, columns] = a[rows, k] * blocks, f32 (i32 for i8, whose a is u8). a rows are k
// elements apart, out rows `columns`; `blocks` starts at a packed block. Runs on the calling thread, with
// primitives and a scratchpad of its own. Error (internal): oneDNN would use its reference code.
void library_tile(DType compute, const void* a, int64_t rows, int64_t k, const void* blocks, int64_t columns,
                  void* out);
std::string library_implementation(DType compute, int64_t rows, int64_t k, int64_t columns);

// Scratch memory of the calling thread, reused; one block per slot.
void* thread_scratch(int slot, size_t bytes);

// How the tiles sum K for f32 and bf16: the library's order is found out by experiment once per K.
struct SumOrder {
  enum Kind { unknown, chunks, amx } kind = unknown;
  int64_t chunk = 0;
};
SumOrder sum_order(DType compute, int64_t k);

// Few rows by the own kernel, one 64-column block: out[rows][64]. `a` is padded as the kernel wants.
void rows_in_order(const SumOrder& order, DType compute, const void* a, int64_t lda, int rows,
                   const void* block, int64_t k, float* out);

} // namespace wane
