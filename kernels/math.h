// Scalar mathematics, one text for both back ends: the CPU's loops include it and CUDA programs carry it in
// front. Built from + - * / and bit moves alone, without branches, calls or contraction, so that a loop over
// it vectorises and every machine gives the same bits. Needs -ffp-contract=off (NVRTC: -fmad=false), no flush
// of subnormals. Bounds are in units in the last place (ulp) against the exact value, found by
// scripts/check/ulp.cpp over every f32.
#pragma once

#ifdef __CUDACC__
#define WANE_MATH_FN static __device__ __forceinline__
#define WANE_TABLE static __device__ const
#define WANE_BITS(x) __float_as_int(x)
#define WANE_FLOAT(i) __int_as_float(i)
#define WANE_BITS_D(x) __double_as_longlong(x)
#define WANE_DOUBLE(i) __longlong_as_double(i)
#define WANE_MULHI(a, b) __umul64hi(a, b)
#define WANE_SQRT(x) sqrtf(x)
#define WANE_RINT(x) rintf(x)
#define WANE_FLOOR(x) floorf(x)
#define WANE_CEIL(x) ceilf(x)
#define WANE_TRUNC(x) truncf(x)
#define WANE_ABS(x) fabsf(x)
#define WANE_SQRT_D(x) sqrt(x)
#define WANE_RINT_D(x) rint(x)
#define WANE_FLOOR_D(x) floor(x)
#define WANE_CEIL_D(x) ceil(x)
#define WANE_TRUNC_D(x) trunc(x)
#define WANE_ABS_D(x) fabs(x)
#else
#define WANE_MATH_FN static inline __attribute__((always_inline, unused))
#define WANE_TABLE static const
#define WANE_BITS(x) __builtin_bit_cast(int, (float)(x))
#define WANE_FLOAT(i) __builtin_bit_cast(float, (int)(i))
#define WANE_BITS_D(x) __builtin_bit_cast(long long, (double)(x))
#define WANE_DOUBLE(i) __builtin_bit_cast(double, (long long)(i))
#define WANE_MULHI(a, b) ((unsigned long long)(((unsigned __int128)(a) * (b)) >> 64))
#define WANE_SQRT(x) __builtin_sqrtf(x)
#define WANE_RINT(x) __builtin_rintf(x)
#define WANE_FLOOR(x) __builtin_floorf(x)
#define WANE_CEIL(x) __builtin_ceilf(x)
#define WANE_TRUNC(x) __builtin_truncf(x)
#define WANE_ABS(x) __builtin_fabsf(x)
#define WANE_SQRT_D(x) __builtin_sqrt(x)
#define WANE_RINT_D(x) __builtin_rint(x)
#define WANE_FLOOR_D(x) __builtin_floor(x)
#define WANE_CEIL_D(x) __builtin_ceil(x)
#define WANE_TRUNC_D(x) __builtin_trunc(x)
#define WANE_ABS_D(x) __builtin_fabs(x)
#endif
#ifndef WANE_FN
#define WANE_FN WANE_MATH_FN
#endif

#define WANE_INF WANE_FLOAT(0x7f800000)
#define WANE_NAN WANE_FLOAT(0x7fc00000)
#define WANE_INF_D WANE_DOUBLE(0x7ff0000000000000LL)
#define WANE_NAN_D WANE_DOUBLE(0x7ff8000000000000LL)

// p * 2^n in two exact steps, so that overflow and gradual underflow round once; `biased` is n + 254.
WANE_FN float wane_scale(float p, int biased) {
  int half = biased >> 1;
  return p * WANE_FLOAT((unsigned)half << 23) * WANE_FLOAT((unsigned)(biased - half) << 23);
}

// x with the sign of s.
WANE_FN float wane_signed(float x, float s) {
  return WANE_FLOAT((WANE_BITS(x) & 0x7fffffff) | (WANE_BITS(s) & (int)0x80000000u));
}

// (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2.
WANE_FN float wane_exp_tail(float r) {
  float q = 0.00139505032f;
  q = q * r + 0.00836889632f;
  q = q * r + 0.041666206f;
  q = q * r + 0.166665182f;
  return q * r + 0.5f;
}

// 12582912 = 1.5 * 2^23: adding it rounds to an integer and leaves that in the low bits.
WANE_FN float wane_exp(float x) {
  x = 89.0f < x ? 89.0f : x;
  x = -104.0f > x ? -104.0f : x;
  float t = x * 1.44269502f + 12582912.0f;
  float k = t - 12582912.0f;
  float r = (x - k * 0.693145752f) - k * 1.42860677e-06f;
  float p = 1.0f + (r + r * r * wane_exp_tail(r));
  return wane_scale(p, (int)((unsigned)WANE_BITS(t) - 0x4b400000u + 254u));
}

WANE_FN float wane_exp2(float x) {
  x = 129.0f < x ? 129.0f : x;
  x = -151.0f > x ? -151.0f : x;
  float t = x + 12582912.0f;
  float r = x - (t - 12582912.0f);
  float q = 0.000154763009f;
  q = q * r + 0.00134002697f;
  q = q * r + 0.00961800385f;
  q = q * r + 0.055503279f;
  q = q * r + 0.240226507f;
  q = q * r + 0.693147182f;
  return wane_scale(1.0f + q * r, (int)((unsigned)WANE_BITS(t) - 0x4b400000u + 254u));
}

// 2^n (e^r - 1 + 1 - 2^-n). At most 3 ulp.
WANE_FN float wane_expm1(float x) {
  float c = 89.0f < x ? 89.0f : x;
  c = -17.5f > c ? -17.5f : c;
  float t = c * 1.44269502f + 12582912.0f;
  float k = t - 12582912.0f;
  float r = (c - k * 0.693145752f) - k * 1.42860677e-06f;
  unsigned n = (unsigned)WANE_BITS(t) - 0x4b400000u;
  // Beyond 2^30 the 2^-n no longer shows; clamping it keeps its exponent in range.
  int m = (int)n > 30 ? 30 : (int)n;
  float down = WANE_FLOAT((unsigned)(127 - m) << 23);
  float p = (r + r * r * wane_exp_tail(r)) + (1.0f - down);
  float y = wane_scale(p, (int)(n + 254u));
  return x == 0.0f ? x : y;
}

// log(1 + f) - f + f^2/2 for 1 + f in [sqrt(1/2), sqrt(2)].
WANE_FN float wane_log_tail(float f) {
  float q = 0.0693734884f;
  q = q * f - 0.118510149f;
  q = q * f + 0.118909739f;
  q = q * f - 0.12376935f;
  q = q * f + 0.142167777f;
  q = q * f - 0.166695029f;
  q = q * f + 0.200022027f;
  q = q * f - 0.249999836f;
  q = q * f + 0.333333135f;
  return q * (f * (f * f));
}

// The edges every logarithm shares: y where x is positive and finite.
WANE_FN float wane_log_edges(float x, float y) {
  y = x < WANE_INF ? y : x;
  return x > 0.0f ? y : (x == 0.0f ? -WANE_INF : WANE_NAN);
}

// x = 2^k (1 + f); subnormals are lifted first.
WANE_FN float wane_log_split(float x, float* k) {
  float lifted = x < 1.17549435e-38f ? x * 8388608.0f : x;
  unsigned bits = (unsigned)WANE_BITS(lifted);
  int e = (int)(bits - 0x3f3504f3u) >> 23;
  *k = (float)e - (x < 1.17549435e-38f ? 23.0f : 0.0f);
  return WANE_FLOAT(bits - ((unsigned)e << 23)) - 1.0f;
}

WANE_FN float wane_log(float x) {
  float k;
  float f = wane_log_split(x, &k);
  float y = (wane_log_tail(f) + k * 1.42860677e-06f) - 0.5f * (f * f);
  return wane_log_edges(x, (f + y) + k * 0.693145752f);
}

WANE_FN float wane_log2(float x) {
  float k;
  float f = wane_log_split(x, &k);
  float y = wane_log_tail(f) - 0.5f * (f * f);
  // log2(e) = 1 + 0.4427: the 1 adds without a rounding of the product.
  return wane_log_edges(x, (((y * 0.442695051f + f * 0.442695051f) + y) + f) + k);
}

// log of the rounded 1 + x plus what the rounding lost. At most 2 ulp.
WANE_FN float wane_log1p(float x) {
  float u = 1.0f + x;
  float lost = (x < 1.0f ? x - (u - 1.0f) : 1.0f - (u - x)) / u;
  float k;
  float f = wane_log_split(u, &k);
  float y = (wane_log_tail(f) + (k * 1.42860677e-06f + lost)) - 0.5f * (f * f);
  y = wane_log_edges(u, (f + y) + k * 0.693145752f);
  return x == 0.0f ? x : y;
}

// Element i of five.
WANE_FN unsigned wane_pick(int i, unsigned a, unsigned b, unsigned c, unsigned d, unsigned e) {
  unsigned low = i == 0 ? a : b, high = i == 2 ? c : d;
  return i >= 4 ? e : (i < 2 ? low : high);
}

// x - k pi/2 in f64 and the quadrant k mod 4. Beyond 10^6 by an exact product of the mantissa with the 96
// bits of 2/pi that matter (M. Payne, R. Hanek, Radian reduction for trigonometric functions, 1983).
WANE_FN double wane_reduce(float x, int* quadrant) {
  double d = (double)x;
  double t = d * 0.6366197723675814 + 6755399441055744.0;
  double k = t - 6755399441055744.0;
  double near = (d - k * 1.5707963267341256) - k * 6.077100506506192e-11;
  int near_quadrant = (int)WANE_BITS_D(t);

  unsigned bits = (unsigned)WANE_BITS(x) & 0x7fffffffu;
  unsigned mantissa = (bits & 0x7fffffu) | 0x800000u;
  int above = (int)(bits >> 23) - 146;
  int start = (above < 0 ? 0 : above) + 26;
  int i = start >> 5, left = start & 31;
  unsigned s0 = wane_pick(i, 0u, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u);
  unsigned s1 = wane_pick(i, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u);
  unsigned s2 = wane_pick(i, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u);
  unsigned s3 = wane_pick(i, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u, 0x3c439041u, 0xfe5163abu);
  unsigned w0 = (s0 << left) | ((s1 >> 1) >> (31 - left));
  unsigned w1 = (s1 << left) | ((s2 >> 1) >> (31 - left));
  unsigned w2 = (s2 << left) | ((s3 >> 1) >> (31 - left));
  unsigned long long m = mantissa;
  unsigned long long p = ((m * w0) << 32) + m * w1 + ((m * w2) >> 32); // x 2/pi mod 4, in 2^-62
  unsigned turn = (unsigned)((p + (1ULL << 61)) >> 62);
  p -= (unsigned long long)turn << 62;
  double high = (double)(int)(unsigned)(p >> 32), low = (double)(int)((unsigned)p >> 1);
  double far = (high * 4294967296.0 + low * 2.0) * 3.4061215800865545e-19; // 2^-62 pi/2
  far = x < 0.0f ? -far : far;
  int far_quadrant = x < 0.0f ? -(int)turn : (int)turn;

  *quadrant = bits < 0x49742400u ? near_quadrant : far_quadrant;
  return bits < 0x49742400u ? near : far;
}

WANE_FN float wane_sin_quadrant(float x, int add) {
  int q;
  double r = wane_reduce(x, &q);
  q += add;
  double z = r * r;
  double s = 2.7173418509101807e-06;
  s = s * z - 0.00019839260755098224;
  s = s * z + 0.00833332932671184;
  s = s * z - 0.1666666664420224;
  double c = -2.7237100676054897e-07;
  c = c * z + 2.479991096009823e-05;
  c = c * z - 0.0013888885545310905;
  c = c * z + 0.04166666664791766;
  double sine = r * (1.0 + s * z), cosine = (1.0 - 0.5 * z) + c * (z * z);
  double v = (q & 1) ? cosine : sine;
  float y = (float)((q & 2) ? -v : v);
  return (WANE_BITS(x) & 0x7fffffff) < 0x7f800000 ? y : WANE_NAN;
}
WANE_FN float wane_sin(float x) { return wane_sin_quadrant(x, 0); }
WANE_FN float wane_cos(float x) { return wane_sin_quadrant(x, 1); }

WANE_FN float wane_tanh(float x) {
  float a = WANE_ABS(x), z = x * x;
  float q = 0.00213030935f;
  q = q * z - 0.00816887151f;
  q = q * z + 0.0217002444f;
  q = q * z - 0.0539474599f;
  q = q * z + 0.133332208f;
  q = q * z - 0.333333313f;
  float small = a + a * (z * q);
  float large = 1.0f - 2.0f / (wane_exp(a + a) + 1.0f);
  return wane_signed(a < 0.625f ? small : large, x);
}

// Near zero x times a polynomial in x^2 (less its 1, which then adds unrounded), beyond it 1 - exp of a
// polynomial that is log erfc.
WANE_FN float wane_erf(float x) {
  float a = WANE_ABS(x), z = x * x;
  float p = 8.34522798e-05f;
  p = p * z - 0.000813743856f;
  p = p * z + 0.00520063424f;
  p = p * z - 0.0268592704f;
  p = p * z + 0.112836942f;
  p = p * z - 0.376126349f;
  p = p * z + 0.128379226f;
  float b = 4.0f < a ? 4.0f : a;
  float q = 1.31130116e-06f;
  q = q * b - 4.06869185e-05f;
  q = q * b + 0.000558905653f;
  q = q * b - 0.00461012824f;
  q = q * b + 0.0260609034f;
  q = q * b - 0.109536901f;
  q = q * b - 0.632326424f;
  q = q * b - 1.12997603f;
  q = q * b + 0.000263520487f;
  return wane_signed(a < 0.92f ? a + a * p : 1.0f - wane_exp(q), x);
}

// The second term takes back what 1 + e lost in rounding, with 1 - e/2 for 1 / (1 + e).
WANE_FN float wane_sigmoid(float x) {
  float e = wane_exp(-WANE_ABS(x));
  float d = 1.0f + e, lost = e - (d - 1.0f);
  float y = (x < 0.0f ? e : 1.0f) / d;
  return y - y * (lost * (1.0f - 0.5f * e));
}

// log(1 + e^x) without overflow. At most 3 ulp.
WANE_FN float wane_softplus(float x) { return (x > 0.0f ? x : 0.0f) + wane_log1p(wane_exp(-WANE_ABS(x))); }

// x sigmoid(x), -0 at -infinity. At most 4 ulp where sigmoid(x) is normal, below x = -87 within 1e-43
// absolute.
WANE_FN float wane_silu(float x) {
  x = -200.0f > x ? -200.0f : x;
  return x * wane_sigmoid(x);
}

// x (1 + erf(x / sqrt 2)) / 2. For x > 0 at most 4 ulp; for x < 0 the sum cancels: within 3e-7 absolute.
WANE_FN float wane_gelu(float x) {
  x = -20.0f > x ? -20.0f : x;
  return 0.5f * x * (1.0f + wane_erf(x * 0.707106769f));
}

// The form with tanh, as x sigmoid(2u), which does not cancel. The error grows with |u|, the argument of exp.
WANE_FN float wane_gelu_tanh(float x) {
  x = -20.0f > x ? -20.0f : x;
  float u = 1.59576917f * (x + 0.0447149985f * (x * x * x));
  return x * wane_sigmoid(u);
}

#ifndef __CUDACC__
#include "kernels/math_f64.h"
#include "kernels/narrow.h"
#endif
