// Measures kernels/math.h against the C library's f64 (for f32, over every one of the 2^32 values) and long
// double (for f64, over random values). Prints the largest error in ulp and where it is; fails above the
// stated bounds.
//   g++ -std=c++20 -O2 -march=native -ffp-contract=off -I. scripts/check/ulp.cpp -o ulp && ./ulp [name]
//   [step]
// A step above 1 visits every step-th value only.
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <random>

#include "kernels/math.h"

namespace {

template <class T> struct Traits;
template <> struct Traits<float> {
  using Exact = double;
  static constexpr int mantissa = 23, least = -149;
};
template <> struct Traits<double> {
  using Exact = long double;
  static constexpr int mantissa = 52, least = -1074;
};

// The error of y in units of the last place of the exact result; infinite where the kinds differ.
template <class T> double ulps(T y, typename Traits<T>::Exact exact) {
  const double wrong = std::numeric_limits<double>::infinity();
  if (std::isnan(exact) || std::isnan(y)) return std::isnan(exact) && std::isnan(y) ? 0 : wrong;
  T nearest = T(exact);
  if (std::isinf(y) || std::isinf(nearest)) {
    // One ulp around the overflow threshold counts as such.
    const auto top = typename Traits<T>::Exact(std::numeric_limits<T>::max());
    if (y == nearest) return 0;
    return std::abs(exact) > top * (1 - 4e-7) && std::abs(double(y)) > double(top) * (1 - 4e-7)
                   && std::signbit(y) == std::signbit(exact)
               ? 1
               : wrong;
  }
  if (y == 0 && nearest == 0 && std::signbit(y) != std::signbit(exact)) return wrong;
  int e = nearest == 0 ? Traits<T>::least : std::ilogb(nearest) - Traits<T>::mantissa;
  if (e < Traits<T>::least) e = Traits<T>::least;
  return double(std::abs(std::ldexp(typename Traits<T>::Exact(y) - exact, -e)));
}

struct Case {
  const char* name;
  double bound, bound_d; // ulp; negative: reported only
  float (*f)(float);
  double (*f_exact)(double);
  double (*d)(double);
  long double (*d_exact)(long double);
};

template <class T> T sigmoid(T x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }
template <class T> T softplus(T x) { return (x > 0 ? x : T(0)) + std::log1p(std::exp(-std::abs(x))); }
template <class T> T silu(T x) { return std::isinf(x) && x < 0 ? T(-0.0) : x * sigmoid(x); }
template <class T> T gelu(T x) {
  return std::isinf(x) && x < 0 ? T(-0.0) : T(0.5) * x * std::erfc(-x * T(0.70710678118654752440L));
}
template <class T> T gelu_tanh(T x) {
  if (std::isinf(x)) return x < 0 ? T(-0.0) : x;
  return x * sigmoid(T(1.5957691216057307117L) * (x + T(0.044715L) * x * x * x));
}

#define CASE(name, bound, bound_d, exact)                                                                    \
  {                                                                                                          \
#name, bound, bound_d, [](float x) { return wane_##name(x); }, [](double x) { return double(exact(x)); }, \
   [](double x) { return wane_##name##_d(x); }, [](long double x) { return exact(x); }  \
  }

const Case kCases[] = {
    CASE(exp, 2, 2, std::exp), CASE(exp2, 2, 2, std::exp2),  CASE(expm1, 3, 4, std::expm1),
    CASE(log, 2, 2, std::log), CASE(log2, 2, 3, std::log2),  CASE(log1p, 2, 3, std::log1p),
    CASE(sin, 2, 3, std::sin), CASE(cos, 2, 3, std::cos),    CASE(tanh, 2, 5, std::tanh),
    CASE(erf, 2, 5, std::erf), CASE(sigmoid, 2, 4, sigmoid), CASE(softplus, 3, 4, softplus),
    CASE(silu, -1, -1, silu),  CASE(gelu, -1, -1, gelu),     CASE(gelu_tanh, -1, -1, gelu_tanh),
};

bool report(const char* name, const char* type, double worst, double at, double y, double bound) {
  bool fine = bound < 0 || worst <= bound;
  std::printf("%-10s %s  %8.4f ulp at %.9g gives %.9g%s\n", name, type, worst, at, y, fine ? "" : "  FAILS");
  std::fflush(stdout);
  return fine;
}

bool check_f32(const Case& c, uint64_t step) {
  double worst = -1;
  float at = 0;
  for (uint64_t i = 0; i < (uint64_t(1) << 32); i += step) {
    float x = std::bit_cast<float>(uint32_t(i));
    double e = ulps(c.f(x), c.f_exact(double(x)));
    if (!(e <= worst)) worst = e, at = x;
  }
  return report(c.name, "f32", worst, at, c.f(at), c.bound);
}

bool check_f64(const Case& c) {
  std::mt19937_64 draw(1);
  double worst = -1, at = 0;
  for (int i = 0; i < 2000000; i++) {
    uint64_t bits = draw();
    double x = std::bit_cast<double>(bits);
    if (i % 2) x = (double(int64_t(bits)) * 0x1p-63) * std::exp2(double(int(bits % 24)) - 12.0);
    double e = ulps(c.d(x), c.d_exact((long double)(x)));
    if (!(e <= worst)) worst = e, at = x;
  }
  for (double x : {0.0, -0.0, 1.0, -1.0, double(INFINITY), -double(INFINITY), double(NAN), 5e-324, -5e-324,
                   2.3e-308, 709.78, 709.79, -745.1, -745.2, -708.5, 1e22, 1e300, 1.7976931348623157e308}) {
    double e = ulps(c.d(x), c.d_exact((long double)(x)));
    if (!(e <= worst)) worst = e, at = x;
  }
  return report(c.name, "f64", worst, at, c.d(at), c.bound_d);
}

const double kEdges[] = {0.0,
                         -0.0,
                         1.0,
                         -1.0,
                         2.0,
                         -2.0,
                         3.0,
                         -3.0,
                         0.5,
                         -0.5,
                         1e-40,
                         3e38,
                         double(INFINITY),
                         -double(INFINITY),
                         double(NAN),
                         33554432.0,
                         16777215.0,
                         -2.5};

bool check_pow() {
  std::mt19937_64 draw(2);
  double worst = -1, at = 0, worst_d = -1, at_d = 0;
  auto see = [&](double x, double y) {
    float a = float(x), b = float(y);
    double e = ulps(wane_pow(a, b), std::pow(double(a), double(b)));
    if (!(e <= worst)) worst = e, at = x;
    e = ulps(wane_pow_d(x, y), std::pow((long double)(x), (long double)(y)));
    if (!(e <= worst_d)) worst_d = e, at_d = x;
  };
  for (double x : kEdges)
    for (double y : kEdges) see(x, y);
  for (int i = 0; i < 2000000; i++) {
    see(std::bit_cast<float>(uint32_t(draw())), std::bit_cast<float>(uint32_t(draw())));
    double x = std::abs(std::bit_cast<float>(uint32_t(draw()))), y = double(int64_t(draw())) * 0x1p-58;
    see(x, y);
    see(x, double(int(draw() % 17) - 8));
  }
  bool fine = report("pow", "f32", worst, at, 0, 0.51);
  return report("pow", "f64", worst_d, at_d, 0, 8) && fine;
}

} // namespace

int main(int argc, char** argv) {
  const char* only = argc > 1 && std::strcmp(argv[1], "all") ? argv[1] : nullptr;
  uint64_t step = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  bool fine = true;
  for (const Case& c : kCases) {
    if (only && std::strcmp(only, c.name)) continue;
    fine &= check_f64(c);
    fine &= check_f32(c, step ? step : 1);
  }
  if (!only || !std::strcmp(only, "pow")) fine &= check_pow();
  return fine ? 0 : 1;
}
