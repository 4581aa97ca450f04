// The loops of the tile interpreter: one per map and lane type, conversions, reductions. Compiled once per
// x86-64 level (isa/map_kernels.cpp) from the texts of ops.def; the level chosen at start decides which table
// is used, not what comes out.
#pragma once

#include <cstdint>

#include "runtime/op.h"
#include "runtime/program.h"

namespace wane::cpu {

#define WANE_MAP(...) +1
inline constexpr int kOpCount = 0
#include "runtime/ops.def"
    ;
#undef WANE_MAP
inline constexpr int kDTypeCount = 11;
inline constexpr int kLaneCount = 4;

using MapFn = void (*)(void* out, const void* a, const void* b, const void* c, int64_t n);
using ConvertFn = void (*)(void* out, const void* in, int64_t n);
using StridedFn = void (*)(void* out, const void* in, int64_t stride, int64_t n);
using ExpandFn = void (*)(void* out, const void* in, int64_t rows, int64_t n); // in[r] for all of row r
using LookupFn = void (*)(void* out, const void* index, const void* table, int64_t entries, int64_t n);
// Folds whole blocks of kReduceBlock (the last may be short) of x into *total, in order; `first`: *total is
// unset.
using ReduceFn = void (*)(const void* x, int64_t n, void* total, bool first);
// The same over `rows` rows of n elements, one total each.
using ReduceRowsFn = void (*)(const void* x, int64_t rows, int64_t n, void* totals);

struct MapKernels {
  MapFn map[kOpCount][kLaneCount] = {}; // by the lane of the operands; null where not defined
  MapFn map_bf16[kOpCount] = {};        // f32 lanes, the result rounded to bf16 in the same loop
  ConvertFn load[kDTypeCount] = {};     // memory to lane
  ConvertFn store[kDTypeCount] = {};    // lane to memory, rounding
  ConvertFn stream[kDTypeCount] = {};   // the same past the caches (64-byte aligned, n a multiple of 64)
  ConvertFn round[kDTypeCount] = {};    // lane to lane, rounded to the dtype
  ConvertFn cast[kLaneCount][kDTypeCount] = {}; // lane to the dtype's lane, rounded to the dtype
  StridedFn load_strided[kDTypeCount] = {};
  ConvertFn fill[kLaneCount] = {}; // out[0..n) = *in
  ExpandFn expand[kLaneCount] = {};
  LookupFn lookup[kLaneCount][kLaneCount] = {}; // index lane (f32 or i32), table lane
  ReduceFn reduce[5][2] = {};                   // by Reduction (sum .. sumsq), f32 or f64
  ReduceRowsFn reduce_rows[5][2] = {};
};
const MapKernels& map_kernels();

// Pairs of f32 maps that follow one another so often that one loop does both (each still rounds).
// silu_bf16_mul is the gate of a model in bf16: the first result is rounded to it, the second is left to the
// store.
enum class Pair : uint8_t {
  mul_add,
  mul_sub,
  mul_rsub,
  add_mul,
  sub_mul,
  mul_mul,
  add_add,
  div_round,
  mul_round,
  silu_mul,
  clamp,
  square_add,
  silu_bf16_mul
};
inline constexpr int kPairCount = 13;
using PairTable = MapFn[kPairCount];
const PairTable& pair_kernels();

} // namespace wane::cpu
