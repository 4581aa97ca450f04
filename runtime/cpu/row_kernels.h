// The inner loops of calls that work row by row, compiled once per x86-64 level (isa/row_kernels.cpp). The
// level decides which copy runs, not what comes out.
#pragma once

#include <cstdint>

namespace wane::cpu {

struct RowKernels {
  // One token: out = x rotated by half-split pairs, [heads, 2 * half].
  void (*rotate)(const float* x, float* out, int64_t heads, int64_t half, const float* cosine,
                 const float* sine);
  void (*rotate_bf16)(const uint16_t* x, uint16_t* out, int64_t heads, int64_t half, const float* cosine,
                      const float* sine);
  // The largest of n; NaN where there is one.
  float (*largest)(const float* x, int64_t n);
  // Sum of exp(x - peak) in f64 over 16 lanes.
  double (*exp_sum)(const float* x, int64_t n, float peak);
  // sums[0]: exp(b - peak_b); [1]: exp(x - peak); [2]: exp(b - peak_b) * (b - x), all in f64 over 16 lanes.
  void (*kl_sums)(const float* x, const float* b, int64_t n, float peak, float peak_b, double sums[3]);
};
const RowKernels& row_kernels();

} // namespace wane::cpu
