// The row template: maps and reductions along rows. A group of lanes, 16 or the whole block, takes a row at a
// time; every lane of it holds the row's values. Sums have one order everywhere: a row is cut in blocks of
// 256 elements, lane l of 16 adds elements l, l + 16, ... of a block, the lanes are folded as a tree (8, 4,
// 2, 1), and the blocks' results are added in order. That order is the CPU's, so the bits are the CPU's.
#pragma once

// What a reduction starts from, takes of an element, and how it joins two values. NaN wins in min, max and
// absmax.
struct WaneSum {
  template <class T> static __device__ __forceinline__ T start(T) { return T(0); }
  template <class T> static __device__ __forceinline__ T take(T x) { return x; }
  template <class T> static __device__ __forceinline__ T join(T a, T b) { return a + b; }
};
struct WaneSumsq : WaneSum {
  template <class T> static __device__ __forceinline__ T take(T x) { return x * x; }
};
struct WaneMax {
  template <class T> static __device__ __forceinline__ T start(T) { return -WANE_INFINITY(T); }
  template <class T> static __device__ __forceinline__ T take(T x) { return x; }
  template <class T> static __device__ __forceinline__ T join(T a, T b) {
    return ((b != b) | (b > a)) ? b : a;
  }
};
struct WaneAbsmax : WaneMax {
  template <class T> static __device__ __forceinline__ T start(T) { return T(0); }
  template <class T> static __device__ __forceinline__ T take(T x) { return wane_abs(x); }
};
struct WaneMin {
  template <class T> static __device__ __forceinline__ T start(T) { return WANE_INFINITY(T); }
  template <class T> static __device__ __forceinline__ T take(T x) { return x; }
  template <class T> static __device__ __forceinline__ T join(T a, T b) {
    return ((b != b) | (b < a)) ? b : a;
  }
};

enum {
  kWaneBlock = 256,
  kWaneLanes = 16,
  kWaneTeams = 32
}; // teams: sixteens of lanes in the largest thread block

// A lane's place in its group. With blockDim.x == 16 each team of 16 lanes is a group with rows of its own
// (blockDim.y of them); otherwise blockDim.y is 1 and the block is one group.
struct WaneGroup {
  int lane, team, teams;
  int turn = 0; // shared memory is used in two halves in turn, so that one barrier a round is enough

  __device__ __forceinline__ WaneGroup() {
    lane = threadIdx.x % kWaneLanes, team = threadIdx.x / kWaneLanes, teams = blockDim.x / kWaneLanes;
  }
  __device__ __forceinline__ long long first_row() const {
    return (long long)blockIdx.x * blockDim.y + threadIdx.y;
  }
  __device__ __forceinline__ long long row_step() const { return (long long)gridDim.x * blockDim.y; }
  __device__ __forceinline__ bool leads() const { return threadIdx.x == 0; }

  // In a round the teams take one block of 256 each, from block `first` on: where this lane starts, and the
  // end.
  __device__ __forceinline__ long long begin(long long first) const {
    return (first + team) * kWaneBlock + lane;
  }
  __device__ __forceinline__ long long end(long long first, long long n) const {
    const long long last = (first + team + 1) * kWaneBlock;
    return last < n ? last : n;
  }
};

WANE_FN long long wane_blocks(long long n) { return (n + kWaneBlock - 1) / kWaneBlock; }

// The end of a round: folds each team's lanes (`part`) and joins the teams' results to the group's total in
// the order of the blocks, of which `left` remain. A function that is compiled once for all kernels of a
// text.
template <class Fold, class T>
static __device__ __noinline__ T wane_join(T* shared, T total, T part, long long left) {
  const int teams = blockDim.x / kWaneLanes, first = threadIdx.y * teams;
  const unsigned mask = teams > 1 ? 0xffffffffu : (threadIdx.y % 2 ? 0xffff0000u : 0xffffu);
#pragma unroll 1
  for (int half = kWaneLanes / 2; half > 0; half /= 2)
    part = Fold::join(part, __shfl_down_sync(mask, part, half, kWaneLanes));
  if (threadIdx.x % kWaneLanes == 0) shared[first + threadIdx.x / kWaneLanes] = part;
  if (teams > 1)
    __syncthreads();
  else
    __syncwarp(mask);
  const int count = left < teams ? (int)left : teams;
#pragma unroll 1
  for (int t = 0; t < count; ++t) total = Fold::join(total, shared[first + t]);
  return total;
}
