// The flat template: maps without reductions, one element a lane and step. The generated kernel is
//   for (long long i = wane_first(); i < total; i += wane_step()) { place, loads, maps, one store }
#pragma once

WANE_FN long long wane_first() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }
WANE_FN long long wane_step() { return (long long)gridDim.x * blockDim.x; }

// Row and column of element i. A single row, which all dense maps collapse to, needs no division; numbers below
// 2^32 need a short one.
template <int inputs, int constants>
WANE_FN void wane_place(const WaneLaunch<inputs, constants>& launch, long long i, long long& column, long long (&at)[inputs]) {
  long long row = 0;
  if (launch.rows != 1) {
    if ((i | launch.n) >> 32) row = i / launch.n;
    else row = (unsigned)i / (unsigned)launch.n;
  }
  column = i - row * launch.n;
  wane_offsets(launch, row, at);
}
