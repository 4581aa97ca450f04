// What the maps approximate: each function in a wider type by the C library, without cancellation. Shared by
// the suite and by scripts/check/ulp.cpp, which visits every f32.
#pragma once

#include <cmath>
#include <limits>

namespace exact {

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
template <class T> T rsqrt(T x) { return 1 / std::sqrt(x); }

// The error of y in units of the last place of the exact result; infinite where the kinds differ. T is float
// or double, Exact something wider.
template <class T, class Exact> double ulps(T y, Exact exact) {
  constexpr int kMantissa = std::numeric_limits<T>::digits - 1;
  constexpr int kLeast = std::numeric_limits<T>::min_exponent - 1 - kMantissa;
  const double wrong = std::numeric_limits<double>::infinity();
  if (std::isnan(exact) || std::isnan(y)) return std::isnan(exact) && std::isnan(y) ? 0 : wrong;
  T nearest = T(exact);
  if (std::isinf(y) || std::isinf(nearest)) {
    // One ulp around the overflow threshold counts as such.
    const auto top = Exact(std::numeric_limits<T>::max());
    if (y == nearest) return 0;
    return std::abs(exact) > top * Exact(1 - 4e-7) && std::abs(double(y)) > double(top) * (1 - 4e-7)
                   && std::signbit(y) == std::signbit(exact)
               ? 1
               : wrong;
  }
  if (y == 0 && nearest == 0 && std::signbit(y) != std::signbit(exact)) return wrong;
  int e = nearest == 0 ? kLeast : std::ilogb(nearest) - kMantissa;
  if (e < kLeast) e = kLeast;
  return double(std::abs(std::ldexp(Exact(y) - exact, -e)));
}

} // namespace exact
