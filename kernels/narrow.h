// The narrow float types: round to nearest even on store, subnormals kept (the conversions of some CPUs flush
// them), NaN stays NaN. Values travel as f32.
#pragma once

#ifndef __CUDACC__
#include "kernels/math.h"
#endif

WANE_FN unsigned short wane_to_bf16(float x) {
  unsigned u = (unsigned)WANE_BITS(x);
  unsigned r = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  return (unsigned short)((u & 0x7fffffffu) > 0x7f800000u ? (u >> 16) | 0x40u : r);
}
WANE_FN float wane_from_bf16(unsigned short h) { return WANE_FLOAT((unsigned)h << 16); }

// The magnitude with `drop` mantissa bits rounded off and the exponent re-based; below `least` (the smallest
// normal) adding `magic`, whose ulp is that of the subnormals, rounds.
WANE_FN unsigned wane_narrow(unsigned a, int drop, unsigned rebase, unsigned least, unsigned magic) {
  unsigned normal = (a + (1u << (drop - 1)) - 1u + ((a >> drop) & 1u) - rebase) >> drop;
  unsigned small = (unsigned)WANE_BITS(WANE_FLOAT(a) + WANE_FLOAT(magic)) - magic;
  return a < least ? small : normal;
}

WANE_FN unsigned short wane_to_f16(float x) {
  unsigned u = (unsigned)WANE_BITS(x), a = u & 0x7fffffffu;
  unsigned r = wane_narrow(a, 13, 0x38000000u, 0x38800000u, 0x3f000000u);
  r = a >= 0x47800000u ? 0x7c00u : r;
  r = a > 0x7f800000u ? 0x7e00u | ((a >> 13) & 0x1ffu) : r;
  return (unsigned short)(r | ((u >> 16) & 0x8000u));
}
WANE_FN float wane_from_f16(unsigned short h) {
  unsigned a = (unsigned)h & 0x7fffu, sign = ((unsigned)h & 0x8000u) << 16;
  unsigned normal = (a << 13) + 0x38000000u;
  unsigned small = (unsigned)WANE_BITS((float)(int)a * 5.9604644775390625e-08f);
  unsigned r = a < 0x400u ? small : (a < 0x7c00u ? normal : (a << 13) | 0x7f800000u);
  return WANE_FLOAT(r | sign);
}

// e4m3 has no infinity: what rounds above 448 becomes NaN.
WANE_FN unsigned char wane_to_e4m3(float x) {
  unsigned u = (unsigned)WANE_BITS(x), a = u & 0x7fffffffu;
  unsigned r = wane_narrow(a, 20, 0x3c000000u, 0x3c800000u, 0x46800000u);
  r = a > 0x43e80000u ? 0x7fu : r;
  return (unsigned char)(r | ((u >> 24) & 0x80u));
}
WANE_FN float wane_from_e4m3(unsigned char c) {
  unsigned a = (unsigned)c & 0x7fu, sign = ((unsigned)c & 0x80u) << 24;
  unsigned small = (unsigned)WANE_BITS((float)(int)a * 0.001953125f);
  unsigned r = a < 8u ? small : (a << 20) + 0x3c000000u;
  return WANE_FLOAT((a == 0x7fu ? 0x7fc00000u : r) | sign);
}

WANE_FN unsigned char wane_to_e5m2(float x) {
  unsigned u = (unsigned)WANE_BITS(x), a = u & 0x7fffffffu;
  unsigned r = wane_narrow(a, 21, 0x38000000u, 0x38800000u, 0x43000000u);
  r = a >= 0x47800000u ? 0x7cu : r;
  r = a > 0x7f800000u ? 0x7fu : r;
  return (unsigned char)(r | ((u >> 24) & 0x80u));
}
WANE_FN float wane_from_e5m2(unsigned char c) { return wane_from_f16((unsigned short)((unsigned)c << 8)); }

// f64 to f32 by rounding to odd: a following round to nearest of 16 or fewer bits then equals one from f64.
WANE_FN float wane_odd(double x) {
  float f = (float)x;
  double back = (double)f;
  unsigned u = (unsigned)WANE_BITS(f);
  // One step towards zero where it rounded away, then the last bit records that something was cut.
  unsigned cut = WANE_ABS_D(back) > WANE_ABS_D(x) ? u - 1u : u;
  return WANE_FLOAT(back == x || x != x ? u : cut | 1u);
}

// Of a whole number: beyond 2^53 what f64 has no digit for stays as a bit that no tie survives.
WANE_FN float wane_odd(long long x) {
  bool exact = (x <= 9007199254740992LL) & (x >= -9007199254740992LL);
  long long cut = (x & ~2047LL) | ((x & 2047LL) != 0 ? 1024LL : 0LL);
  return wane_odd((double)(exact ? x : cut));
}
