// The flat template: maps without reductions, one element a lane and step. The generated kernel is
//   for (WaneWalk walk(launch.n); walk.row < launch.rows; walk.next(launch.n)) { offsets, loads, maps, one
//   store }
#pragma once

// Where a lane is: element row * n + column, and where its next element lies, found with two divisions of 32
// bits before the first and none after it. A launch has fewer than 2^32 lanes.
struct WaneWalk {
  long long row, column;
  long long rows_on, columns_on;

  __device__ __forceinline__ WaneWalk(long long n) {
    divide(blockIdx.x * blockDim.x + threadIdx.x, n, row, column);
    divide(gridDim.x * blockDim.x, n, rows_on, columns_on);
  }
  __device__ __forceinline__ void next(long long n) {
    row += rows_on, column += columns_on;
    if (column >= n) column -= n, ++row;
  }
  static __device__ __forceinline__ void divide(unsigned i, long long n, long long& row, long long& column) {
    const bool inside = i < n; // also where n has more than 32 bits
    row = inside ? 0 : i / (unsigned)n;
    column = inside ? i : i % (unsigned)n;
  }
};
