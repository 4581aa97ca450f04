// What the texts of runtime/ops.def call, under one name for every type: overloads over math.h for floats,
// and the integer helpers. Included by the CPU's kernels and pasted after math.h in CUDA programs.
#pragma once

#ifndef __CUDACC_RTC__
#include "kernels/math.h"
#endif

#define WANE_BOTH(name, F, D)                                                                                \
  WANE_FN float name(float x) { return F(x); }                                                               \
  WANE_FN double name(double x) { return D(x); }
WANE_BOTH(wane_sqrt, WANE_SQRT, WANE_SQRT_D)
WANE_BOTH(wane_rint, WANE_RINT, WANE_RINT_D)
WANE_BOTH(wane_floor, WANE_FLOOR, WANE_FLOOR_D)
WANE_BOTH(wane_ceil, WANE_CEIL, WANE_CEIL_D)
WANE_BOTH(wane_trunc, WANE_TRUNC, WANE_TRUNC_D)
WANE_BOTH(wane_abs, WANE_ABS, WANE_ABS_D)
#undef WANE_BOTH

WANE_FN double wane_exp(double x) { return wane_exp_d(x); }
WANE_FN double wane_exp2(double x) { return wane_exp2_d(x); }
WANE_FN double wane_expm1(double x) { return wane_expm1_d(x); }
WANE_FN double wane_log(double x) { return wane_log_d(x); }
WANE_FN double wane_log2(double x) { return wane_log2_d(x); }
WANE_FN double wane_log1p(double x) { return wane_log1p_d(x); }
WANE_FN double wane_sin(double x) { return wane_sin_d(x); }
WANE_FN double wane_cos(double x) { return wane_cos_d(x); }
WANE_FN double wane_tanh(double x) { return wane_tanh_d(x); }
WANE_FN double wane_erf(double x) { return wane_erf_d(x); }
WANE_FN double wane_sigmoid(double x) { return wane_sigmoid_d(x); }
WANE_FN double wane_softplus(double x) { return wane_softplus_d(x); }
WANE_FN double wane_silu(double x) { return wane_silu_d(x); }
WANE_FN double wane_gelu(double x) { return wane_gelu_d(x); }
WANE_FN double wane_gelu_tanh(double x) { return wane_gelu_tanh_d(x); }
WANE_FN double wane_pow(double x, double y) { return wane_pow_d(x, y); }

// Overflow wraps: computed on the unsigned type of the same width.
WANE_FN unsigned wane_unsigned(int x) { return (unsigned)x; }
WANE_FN unsigned long long wane_unsigned(long long x) { return (unsigned long long)x; }
#define WANE_WRAP(a, op, b) ((T)(wane_unsigned(a) op wane_unsigned(b)))

// Lua's modulo: the result has the divisor's sign. By 0 it is 0; by -1 it is 0 without overflow.
template <class T> WANE_FN T wane_mod(T a, T b) {
  T d = (b == 0) | (b == -1) ? (T)1 : b;
  T r = a % d;
  return (r != 0) & ((r < 0) != (d < 0)) ? r + d : r;
}
template <class T> WANE_FN T wane_ipow(T a, T b) {
  if (b < 0) return a == 1 ? (T)1 : a == -1 ? (b % 2 ? (T)-1 : (T)1) : (T)0;
  T y = 1;
  for (; b > 0; b >>= 1) {
    y = b & 1 ? WANE_WRAP(y, *, a) : y;
    a = WANE_WRAP(a, *, a);
  }
  return y;
}
template <class T> WANE_FN T wane_shl(T a, T b) {
  const int width = 8 * (int)sizeof(T);
  return (b < 0) | (b >= width) ? (T)0 : (T)(wane_unsigned(a) << (b & (width - 1)));
}
template <class T> WANE_FN T wane_shr(T a, T b) {
  const int width = 8 * (int)sizeof(T);
  return a >> ((b < 0) | (b >= width) ? width - 1 : (int)b);
}

WANE_FN float wane_infinity(float) { return WANE_INF; }
WANE_FN double wane_infinity(double) { return WANE_INF_D; }
#define WANE_INFINITY(T) wane_infinity(T(0))

// Floats to integers: towards zero, NaN to 0, out of range to the nearest end.
WANE_FN int wane_to_i32(float x) {
  float c = x < -2147483648.0f ? -2147483648.0f : (x > 2147483520.0f ? 2147483520.0f : (x != x ? 0.0f : x));
  return x >= 2147483648.0f ? 2147483647 : (int)c;
}
WANE_FN int wane_to_i32(double x) {
  return (int)(x < -2147483648.0 ? -2147483648.0 : (x > 2147483647.0 ? 2147483647.0 : (x != x ? 0.0 : x)));
}
WANE_FN long long wane_to_i64(double x) {
  double c = x < -9223372036854775808.0 ? -9223372036854775808.0
                                        : (x > 9223372036854774784.0 ? 0.0 : (x != x ? 0.0 : x));
  return x > 9223372036854774784.0 ? 9223372036854775807LL : (long long)c;
}
