// The search for the range of each row that rounds it best, on the CPU: all tries of some rows by one thread,
// while they lie in its caches. Rows are independent, so neither threads nor pieces show in the bits.
#pragma once

#include <cstdint>

#include "runtime/cpu/lane_maps.h"

namespace wane::cpu {

// Traced maps. fit: arrays 0 and 1 are the ends of a range, outputs the parameters and, where `bounded`, the
// largest magnitude that codes stand for; off: array 0 is x, 1 its weights, 2 + i parameter i, output an
// element's error; beyond: array 0 is x, 1 its weights, 2 the magnitude, output the least that the element
// can be off by.
struct RangeMaps {
  LaneMaps fit, off, beyond;
  int params = 0;
  bool bounded = false;
};

// All f32: x and weights (or null) [rows, n], lo and hi [rows].
struct RangeRows {
  const float *x, *weights, *lo, *hi;
  int64_t rows, n;
};

// best[row] = p of the least sum of `off` over the row with the range p * (lo, hi), p = 1 - i / grid for i <
// tries; of equals the largest. Sums as everywhere (runtime/program.h).
void search_ranges(const RangeMaps& maps, const RangeRows& rows, int64_t tries, int64_t grid, float* best);

} // namespace wane::cpu
