// The functions of math.h in f64, about 1e-15 relative, for oracles and folds; and pow, which f32 computes
// here.
#pragma once

#ifndef __CUDACC__
#include "kernels/math.h"
#endif

WANE_FN double wane_scale_d(double p, int biased) {
  int half = biased >> 1;
  return p * WANE_DOUBLE((unsigned long long)half << 52)
         * WANE_DOUBLE((unsigned long long)(biased - half) << 52);
}

WANE_FN double wane_signed_d(double x, double s) {
  const long long sign = (long long)0x8000000000000000ULL;
  return WANE_DOUBLE((WANE_BITS_D(x) & ~sign) | (WANE_BITS_D(s) & sign));
}

WANE_FN double wane_exp_tail_d(double r) {
  double q = 2.0926906489228185e-09;
  q = q * r + 2.51122523234427e-08;
  q = q * r + 2.7557233483979544e-07;
  q = q * r + 2.755723420137141e-06;
  q = q * r + 2.480158737358865e-05;
  q = q * r + 0.00019841269897094004;
  q = q * r + 0.0013888888888858523;
  q = q * r + 0.008333333333316725;
  q = q * r + 0.04166666666666673;
  q = q * r + 0.16666666666666685;
  return q * r + 0.5;
}

// 6755399441055744 = 1.5 * 2^52; the low 32 bits of its pattern are zero.
WANE_FN double wane_exp_d(double x) {
  x = 710.0 < x ? 710.0 : x;
  x = -746.0 > x ? -746.0 : x;
  double t = x * 1.4426950408889634 + 6755399441055744.0;
  double k = t - 6755399441055744.0;
  double r = (x - k * 0.6931471804855391) - k * 7.440617110012397e-11;
  double p = 1.0 + (r + r * r * wane_exp_tail_d(r));
  return wane_scale_d(p, (int)((unsigned)WANE_BITS_D(t) + 2046u) & 0xfff);
}

WANE_FN double wane_exp2_d(double x) {
  x = 1025.0 < x ? 1025.0 : x;
  x = -1080.0 > x ? -1080.0 : x;
  double t = x + 6755399441055744.0;
  double r = x - (t - 6755399441055744.0);
  double q = 2.5741793852964227e-11;
  q = q * r + 4.456670548497593e-10;
  q = q * r + 7.054888264417763e-09;
  q = q * r + 1.0178051228688985e-07;
  q = q * r + 1.3215486833009648e-06;
  q = q * r + 1.5252733856193997e-05;
  q = q * r + 0.00015403530393341176;
  q = q * r + 0.0013333558146390479;
  q = q * r + 0.009618129107628496;
  q = q * r + 0.0555041086648217;
  q = q * r + 0.24022650695910072;
  q = q * r + 0.6931471805599453;
  return wane_scale_d(1.0 + q * r, (int)((unsigned)WANE_BITS_D(t) + 2046u) & 0xfff);
}

WANE_FN double wane_expm1_d(double x) {
  double c = 710.0 < x ? 710.0 : x;
  c = -38.0 > c ? -38.0 : c;
  double t = c * 1.4426950408889634 + 6755399441055744.0;
  double k = t - 6755399441055744.0;
  double r = (c - k * 0.6931471804855391) - k * 7.440617110012397e-11;
  int n = (int)(unsigned)WANE_BITS_D(t);
  int m = n > 60 ? 60 : (n < -60 ? -60 : n);
  double down = WANE_DOUBLE((unsigned long long)(1023 - m) << 52);
  double p = (r + r * r * wane_exp_tail_d(r)) + (1.0 - down);
  double y = wane_scale_d(p, (int)((unsigned)n + 2046u) & 0xfff);
  return x == 0.0 ? x : y;
}

// With s = f / (2 + f): log(1 + f) = 2s + s^3 P(s^2), written so that f itself is not rounded (as fdlibm's
// log).
WANE_FN double wane_log_tail_d(double f) {
  double s = f / (2.0 + f), z = s * s;
  double q = 0.13265906017550885;
  q = q * z + 0.13248993741049042;
  q = q * z + 0.15387112516564794;
  q = q * z + 0.18181776027902488;
  q = q * z + 0.22222222627689597;
  q = q * z + 0.28571428569346363;
  q = q * z + 0.40000000000004843;
  q = q * z + 0.6666666666666666;
  return s * (0.5 * (f * f) + z * q);
}

WANE_FN double wane_log_edges_d(double x, double y) {
  y = x < WANE_INF_D ? y : x;
  return x > 0.0 ? y : (x == 0.0 ? -WANE_INF_D : WANE_NAN_D);
}

WANE_FN double wane_log_split_d(double x, double* k) {
  double lifted = x < 2.2250738585072014e-308 ? x * 4503599627370496.0 : x;
  unsigned long long bits = (unsigned long long)WANE_BITS_D(lifted);
  int e = (int)(unsigned)((bits - 0x3fe6a09e667f3bcdULL) >> 32) >> 20;
  *k = (double)e - (x < 2.2250738585072014e-308 ? 52.0 : 0.0);
  return WANE_DOUBLE(bits - ((unsigned long long)(long long)e << 52)) - 1.0;
}

WANE_FN double wane_log_d(double x) {
  double k;
  double f = wane_log_split_d(x, &k);
  double y = (wane_log_tail_d(f) + k * 7.440617110012397e-11) - 0.5 * (f * f);
  return wane_log_edges_d(x, (f + y) + k * 0.6931471804855391);
}

WANE_FN double wane_log2_d(double x) {
  double k;
  double f = wane_log_split_d(x, &k);
  double y = wane_log_tail_d(f) - 0.5 * (f * f);
  return wane_log_edges_d(x, (((y * 0.4426950408889634 + f * 0.4426950408889634) + y) + f) + k);
}

WANE_FN double wane_log1p_d(double x) {
  double u = 1.0 + x;
  double lost = (x < 1.0 ? x - (u - 1.0) : 1.0 - (u - x)) / u;
  double k;
  double f = wane_log_split_d(u, &k);
  double y = (wane_log_tail_d(f) + (k * 7.440617110012397e-11 + lost)) - 0.5 * (f * f);
  y = wane_log_edges_d(u, (f + y) + k * 0.6931471804855391);
  return x == 0.0 ? x : y;
}

// The first 1280 bits of 2/pi behind two words of zeros.
WANE_TABLE unsigned wane_two_over_pi[42] = {
    0x00000000u, 0x00000000u, 0xa2f9836eu, 0x4e441529u, 0xfc2757d1u, 0xf534ddc0u, 0xdb629599u,
    0x3c439041u, 0xfe5163abu, 0xdebbc561u, 0xb7246e3au, 0x424dd2e0u, 0x06492eeau, 0x09d1921cu,
    0xfe1deb1cu, 0xb129a73eu, 0xe88235f5u, 0x2ebb4484u, 0xe99c7026u, 0xb45f7e41u, 0x3991d639u,
    0x835339f4u, 0x9c845f8bu, 0xbdf9283bu, 0x1ff897ffu, 0xde05980fu, 0xef2f118bu, 0x5a0a6d1fu,
    0x6d367ecfu, 0x27cb09b7u, 0x4f463f66u, 0x9e5fea2du, 0x7527bac7u, 0xebe5f17bu, 0x3d0739f7u,
    0x8a5292eau, 0x6bfb5fb1u, 0x1f8d5d08u, 0x56033046u, 0xfc7b6babu, 0xf0cfbc20u, 0x9af4361du};

WANE_FN unsigned long long wane_two_over_pi_at(int bit) {
  int i = bit >> 5, left = bit & 31;
  unsigned long long a = wane_two_over_pi[i], b = wane_two_over_pi[i + 1], c = wane_two_over_pi[i + 2];
  return (((a << 32) | b) << left) | ((c << left) >> 32);
}

WANE_FN double wane_reduce_d(double x, int* quadrant) {
  double t = x * 0.6366197723675814 + 6755399441055744.0;
  double k = t - 6755399441055744.0;
  double a = x - k * 1.5707963267341256, w = k * 6.077100506303966e-11;
  double near = a - w;
  near = near + (((a - near) - w) - k * 2.0222662487959506e-21);

  unsigned long long bits = (unsigned long long)WANE_BITS_D(x) & 0x7fffffffffffffffULL;
  unsigned long long m = (bits & 0xfffffffffffffULL) | 0x10000000000000ULL;
  int above = (int)(bits >> 52) - 1075; // x = m 2^above
  int start = above < -62 ? 0 : above + 62;
  start = start > 1034 ? 1034 : start;
  unsigned long long w0 = wane_two_over_pi_at(start), w1 = wane_two_over_pi_at(start + 64);
  unsigned long long w2 = wane_two_over_pi_at(start + 128);
  unsigned long long low = m * w1, p = m * w0 + WANE_MULHI(m, w1); // x 2/pi mod 4, p in 2^-62
  unsigned long long sum = low + WANE_MULHI(m, w2);
  p += sum < low ? 1ULL : 0ULL;
  unsigned turn = (unsigned)((p + (1ULL << 61)) >> 62);
  p -= (unsigned long long)turn << 62;
  double far = (double)(long long)p * 2.168404344971009e-19 + (double)sum * 1.1754943508222875e-38;
  far = far * 1.5707963267948966;
  far = x < 0.0 ? -far : far;
  int far_quadrant = x < 0.0 ? -(int)turn : (int)turn;

  *quadrant = bits < 0x412e848000000000ULL ? (int)(unsigned)WANE_BITS_D(t) : far_quadrant; // 10^6
  return bits < 0x412e848000000000ULL ? near : far;
}

WANE_FN double wane_sin_quadrant_d(double x, int add) {
  int q;
  double r = wane_reduce_d(x, &q);
  q += add;
  double z = r * r;
  double s = -7.578078374019297e-13;
  s = s * z + 1.6058358830218563e-10;
  s = s * z - 2.5052104900102587e-08;
  s = s * z + 2.7557319214407847e-06;
  s = s * z - 0.0001984126984125619;
  s = s * z + 0.008333333333333325;
  s = s * z - 0.16666666666666666;
  double c = 4.741079555793949e-14;
  c = c * z - 1.147036480954785e-11;
  c = c * z + 2.0876755050227823e-09;
  c = c * z - 2.75573192186607e-07;
  c = c * z + 2.4801587301579712e-05;
  c = c * z - 0.0013888888888888885;
  c = c * z + 0.041666666666666664;
  double sine = r + r * (z * s), cosine = (1.0 - 0.5 * z) + c * (z * z);
  double v = (q & 1) ? cosine : sine;
  v = (q & 2) ? -v : v;
  return WANE_ABS_D(x) < WANE_INF_D ? v : WANE_NAN_D;
}
WANE_FN double wane_sin_d(double x) { return x == 0.0 ? x : wane_sin_quadrant_d(x, 0); }
WANE_FN double wane_cos_d(double x) { return wane_sin_quadrant_d(x, 1); }

WANE_FN double wane_tanh_d(double x) {
  double e = wane_expm1_d(2.0 * WANE_ABS_D(x));
  double y = e < WANE_INF_D ? e / (e + 2.0) : 1.0;
  return wane_signed_d(x == x ? y : x, x);
}

// 1 - exp(-a^2 + P(29.25 / (a + 5.5) - 3.5)) for a >= 1.
WANE_FN double wane_erf_d(double x) {
  double a = WANE_ABS_D(x), z = x * x;
  double p = 5.960685765086955e-11;
  p = p * z - 1.1374955263749626e-09;
  p = p * z + 1.4660328389121654e-08;
  p = p * z - 1.6350396137735392e-07;
  p = p * z + 1.6461008465976202e-06;
  p = p * z - 1.4925595771174848e-05;
  p = p * z + 0.0001205533113290121;
  p = p * z - 0.0008548326981423646;
  p = p * z + 0.00522397762482839;
  p = p * z - 0.02686617064507787;
  p = p * z + 0.11283791670954885;
  p = p * z - 0.3761263890318375;
  p = p * z + 1.1283791670955126;
  double b = 6.2 < a ? 6.2 : a, t = 29.25 / (b + 5.5) - 3.5;
  double q = 9.546245195038061e-11;
  q = q * t - 1.0672120377053683e-10;
  q = q * t - 1.1231997485733013e-10;
  q = q * t - 4.530311947545652e-09;
  q = q * t + 8.556972778911527e-10;
  q = q * t - 1.1397502721478558e-08;
  q = q * t + 2.40689699921179e-07;
  q = q * t + 1.611384164846475e-07;
  q = q * t + 1.8365034055985405e-06;
  q = q * t - 1.1353298016896818e-05;
  q = q * t - 1.5076834390166217e-05;
  q = q * t - 0.00020042271338421077;
  q = q * t + 0.0003940909049255345;
  q = q * t + 0.0005667723709480969;
  q = q * t + 0.024099630238092216;
  q = q * t + 0.046158354527836724;
  q = q * t + 0.7554782361820203;
  q = q * t - 1.6760779644471058;
  return wane_signed_d(a < 1.0 ? a * p : 1.0 - wane_exp_d(q - b * b), x);
}

WANE_FN double wane_sigmoid_d(double x) {
  double e = wane_exp_d(-WANE_ABS_D(x));
  return (x < 0.0 ? e : 1.0) / (1.0 + e);
}
WANE_FN double wane_softplus_d(double x) {
  return (x > 0.0 ? x : 0.0) + wane_log1p_d(wane_exp_d(-WANE_ABS_D(x)));
}
WANE_FN double wane_silu_d(double x) {
  x = -1000.0 > x ? -1000.0 : x;
  return x * wane_sigmoid_d(x);
}
WANE_FN double wane_gelu_d(double x) {
  x = -50.0 > x ? -50.0 : x;
  return 0.5 * x * (1.0 + wane_erf_d(x * 0.7071067811865476));
}
WANE_FN double wane_gelu_tanh_d(double x) {
  x = -50.0 > x ? -50.0 : x;
  return x * wane_sigmoid_d(1.5957691216057308 * (x + 0.044715 * (x * x * x)));
}

// What C's pow has at its edges, given |x|^y.
WANE_FN double wane_pow_edges_d(double x, double y, double magnitude) {
  int whole = WANE_TRUNC_D(y) == y;
  int odd = whole & (WANE_TRUNC_D(y * 0.5) != y * 0.5);
  double v = odd ? wane_signed_d(magnitude, x) : magnitude;
  v = (x < 0.0) & (x > -WANE_INF_D) & !whole ? WANE_NAN_D : v;
  v = (x == -1.0) & ((y == WANE_INF_D) | (y == -WANE_INF_D)) ? 1.0 : v;
  return (x == 1.0) | (y == 0.0) ? 1.0 : v;
}

// The product's rounding error, from halves of 26 bits (T. J. Dekker, 1971).
WANE_FN double wane_lost_d(double a, double b, double product) {
  double ah = WANE_DOUBLE(WANE_BITS_D(a) & ~0x7ffffffLL), al = a - ah;
  double bh = WANE_DOUBLE(WANE_BITS_D(b) & ~0x7ffffffLL), bl = b - bh;
  return ((ah * bh - product) + ah * bl + al * bh) + al * bl;
}

// log2 x in two parts, so that a product with y as large as 1024 keeps f64's precision.
WANE_FN double wane_log2_pair_d(double x, double* rest) {
  double k;
  double f = wane_log_split_d(x, &k);
  double g = 2.0 + f, cut = f - (g - 2.0), s = f / g, z = s * s;
  double q = 0.13265906017550885;
  q = q * z + 0.13248993741049042;
  q = q * z + 0.15387112516564794;
  q = q * z + 0.18181776027902488;
  q = q * z + 0.22222222627689597;
  q = q * z + 0.28571428569346363;
  q = q * z + 0.40000000000004843;
  q = q * z + 0.6666666666666666;
  double sg = s * g;
  double low = 2.0 * ((((f - sg) - wane_lost_d(s, g, sg)) - s * cut) / g) + s * (z * q);
  double high = 2.0 * s, product = high * 1.4426950408889634;
  double small = wane_lost_d(high, 1.4426950408889634, product)
                 + (low * 1.4426950408889634 + high * 2.0355273740931033e-17);
  double a = product + small;
  small = (product - a) + small;
  double sum = k + a; // |k| is 0 or above |a|
  *rest = ((k == 0.0 ? 0.0 : k - sum) + (k == 0.0 ? 0.0 : a)) + small;
  return sum;
}

WANE_FN double wane_pow_d(double x, double y) {
  double low, a = WANE_ABS_D(x);
  double high = wane_log2_pair_d(a, &low), t = y * high;
  double rest = wane_lost_d(y, high, t) + y * low;
  double v = wane_exp2_d(t);
  double refined = v + v * (rest * 0.6931471805599453);
  // Where the parts are not finite or the result is an edge, the plain form is exact.
  double plain = wane_exp2_d(y * wane_log_edges_d(a, high));
  int fine =
      (a > 0.0) & (a < WANE_INF_D) & (WANE_ABS_D(y) < 1e290) & (v < WANE_INF_D) & (WANE_ABS_D(t) > 1e-300);
  return wane_pow_edges_d(x, y, fine ? refined : plain);
}

// x^y for f32: computed in f64, so that what is rounded is off by less than 1e-4 ulp.
WANE_FN float wane_pow(float x, float y) {
  double a = (double)x, b = (double)y;
  return (float)wane_pow_edges_d(a, b, wane_exp2_d(b * wane_log2_d(WANE_ABS_D(a))));
}
