// The sweep template: a run of columns is coded one by one with the quantizer's maps built in, and the
// columns behind it repay the errors. A thread has a row; the state lies transposed, [column][row], so that
// threads read side by side. Every weight is one chain of fused multiply-adds in the order of the columns, as
// on the CPU, whatever the cut.
#pragma once

enum {
  kWaneSweepRows = 128,   // threads of a block, a row each
  kWaneSweepColumns = 32, // of a run, at most
  kWaneSweepDeep = 64     // columns that an update stages at a time
};

WANE_FN float wane_fma(float a, float b, float c) { return fmaf(a, b, c); }
WANE_FN double wane_fma(double a, double b, double c) { return fma(a, b, c); }

// state: weights still to be coded, -e where they are; u: [columns][columns], upper, in the order of the
// sweep; seen and second: the weights as they were coded and the triangle that is applied to them, where
// there is one. Columns [first, first + count) have the repayments of all before them. A parameter is an
// input with its columns in inner and which of them in outer[0]: that of row r and group g lies at (r *
// row_step + g * group_step) * inner + outer[0].
template <class T, int inputs_, int constants_> struct WaneSweep {
  long long rows, columns, first, count;
  long long row_step, group_step, group_columns; // group_columns 0: one group
  T *state, *seen;
  const T *u, *second;
  unsigned char* codes; // [column][row]
  const int* order;     // of original columns
  int* bad;             // set where a code is not a whole number below levels
  int levels;
  WaneInput inputs[inputs_];
  WaneNumber constants[constants_];
};

// One row's part of a run. columns: [kWaneSweepColumns][kWaneSweepRows] in shared memory, a thread touches
// its own; the run's triangle lies packed beside it, row k at k (2 count - k + 1) / 2.
WANE_FN int wane_triangle(int k, int j, int count) { return k * (2 * count - k + 1) / 2 + j - k; }

template <class T>
WANE_FN void wane_stage_triangle(T* triangle, const T* u, long long columns, long long first, int count) {
  for (int i = threadIdx.x; i < count * count; i += blockDim.x) {
    const int k = i / count, j = i % count;
    if (k <= j) triangle[wane_triangle(k, j, count)] = u[(first + k) * columns + first + j];
  }
}

template <class Launch>
WANE_FN float wane_parameter(const Launch& launch, int input, long long row, long long group) {
  const WaneInput& in = launch.inputs[input];
  const long long set = row * launch.row_step + group * launch.group_step;
  return static_cast<const float*>(in.data)[set * in.inner + in.outer[0]];
}

// x[c] += s[k] * u[k][c], then with a second triangle += v[k] * second[k][c], for k in [k0, k1), for the
// columns [c0, c1): 8 columns a block in y.
template <class T> struct WaneSweepUpdate {
  long long rows, columns, k0, k1, c0, c1;
  T* state;
  const T *seen, *u, *second;
};

// Columns c0 to c0 + 7 of `deep` rows of a triangle from row k on, zeros beyond the last column.
template <class T>
WANE_FN void wane_stage_columns(T (*staged)[8], const T* u, const WaneSweepUpdate<T>& launch, long long k,
                                long long c0, int deep) {
  for (int i = threadIdx.x; i < deep * 8; i += blockDim.x)
    staged[i / 8][i % 8] = c0 + i % 8 < launch.c1 ? u[(k + i / 8) * launch.columns + c0 + i % 8] : T(0);
}

// staged_second: null where there is no second triangle.
template <class T>
WANE_FN void wane_update_columns(const WaneSweepUpdate<T>& launch, T (*staged)[8], T (*staged_second)[8]) {
  const long long row = (long long)blockIdx.x * blockDim.x + threadIdx.x, c0 = launch.c0 + 8LL * blockIdx.y;
  const bool inside = row < launch.rows;
  T sum[8];
  for (int c = 0; c < 8; ++c)
    sum[c] = inside && c0 + c < launch.c1 ? launch.state[(c0 + c) * launch.rows + row] : T(0);
  for (long long k = launch.k0; k < launch.k1; k += kWaneSweepDeep) {
    const int deep = launch.k1 - k < kWaneSweepDeep ? (int)(launch.k1 - k) : (int)kWaneSweepDeep;
    __syncthreads();
    wane_stage_columns(staged, launch.u, launch, k, c0, deep);
    if (staged_second) wane_stage_columns(staged_second, launch.second, launch, k, c0, deep);
    __syncthreads();
    for (int i = 0; i < deep; ++i) {
      const long long at = (k + i) * launch.rows + row;
      const T e = inside ? launch.state[at] : T(0);
      for (int c = 0; c < 8; ++c) sum[c] = wane_fma(e, staged[i][c], sum[c]);
      if (!staged_second) continue;
      const T v = inside ? launch.seen[at] : T(0);
      for (int c = 0; c < 8; ++c) sum[c] = wane_fma(v, staged_second[i][c], sum[c]);
    }
  }
  for (int c = 0; c < 8; ++c)
    if (inside && c0 + c < launch.c1) launch.state[(c0 + c) * launch.rows + row] = sum[c];
}
