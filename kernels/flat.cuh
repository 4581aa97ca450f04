// The flat template: maps without reductions, one element a lane and step. The generated kernel is
//   for (WaneWalk walk(launch); walk.row < launch.rows; walk.next(launch.n)) { offsets, loads, maps, one
//   store }
#pragma once

// Where a lane is: element row * n + column, and how far its next element is. Nothing is divided after the
// first. A launch has fewer than 2^31 lanes.
struct WaneWalk {
  long long row, column;
  long long rows_on, columns_on;

  template <class Launch> __device__ __forceinline__ WaneWalk(const Launch& launch) {
    split(blockIdx.x * blockDim.x + threadIdx.x, launch.row, row, column);
    split(gridDim.x * blockDim.x, launch.row, rows_on, columns_on);
  }
  __device__ __forceinline__ void next(long long n) {
    row += rows_on, column += columns_on;
    if (column >= n) column -= n, ++row;
  }
  static __device__ __forceinline__ void split(unsigned i, const WaneDivisor& by, long long& rows,
                                               long long& columns) {
    const unsigned whole = wane_divide(i, by);
    rows = whole, columns = i - whole * by.size;
  }
};
