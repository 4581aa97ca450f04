// kernels/math.h against the C library in a wider type (scripts/check/ulp.cpp visits every f32; here a
// sample), its edges, and the narrow float types over all their codes.
#include "kernels/math.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>

#include <doctest/doctest.h>

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

double ulp_error(float y, double exact) {
  if (std::isnan(exact) || std::isnan(y)) return std::isnan(exact) && std::isnan(y) ? 0 : 1e9;
  const float nearest = float(exact);
  if (std::isinf(y) || std::isinf(nearest)) return y == nearest ? 0 : 1e9;
  if (std::signbit(y) != std::signbit(exact) && y == 0 && nearest == 0) return 1e9;
  const int e = nearest == 0 ? -149 : std::max(-149, std::ilogb(nearest) - 23);
  return std::abs(std::ldexp(double(y) - exact, -e));
}

template <class F, class G> double worst_of(F&& f, G&& exact) {
  double worst = 0;
  auto see = [&](float x) { worst = std::max(worst, ulp_error(f(x), exact(double(x)))); };
  for (uint64_t i = 0; i < (uint64_t(1) << 32); i += 40961) see(std::bit_cast<float>(uint32_t(i)));
  for (float x : {0.0f,          -0.0f,          kInf,      -kInf,     kNan,       1.0f,       -1.0f,
                  1e-45f,        -1e-45f,        88.72283f, 88.72284f, -87.33655f, -103.97f,   -103.98f,
                  3.4028235e38f, -3.4028235e38f, 128.0f,    -149.0f,   -150.0f,    16777216.0f})
    see(x);
  return worst;
}

bool same(float a, float b) { return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b); }

// Nearest of a narrow type's values, ties to the even code, by search over all codes of one sign.
template <class Code, class Decode> unsigned nearest_code(double x, unsigned last_finite, Decode&& decode) {
  const double a = std::abs(x);
  unsigned low = 0, high = last_finite;
  while (high - low > 1) {
    const unsigned middle = (low + high) / 2;
    (double(decode(Code(middle))) <= a ? low : high) = middle;
  }
  const double below = decode(Code(low)), above = decode(Code(high));
  if (a - below == above - a) return low % 2 ? high : low;
  return a - below < above - a ? low : high;
}

} // namespace

TEST_CASE("f32 functions stay within their bounds") {
  CHECK(worst_of([](float x) { return wane_exp(x); }, [](double x) { return std::exp(x); }) < 2);
  CHECK(worst_of([](float x) { return wane_exp2(x); }, [](double x) { return std::exp2(x); }) < 2);
  CHECK(worst_of([](float x) { return wane_expm1(x); }, [](double x) { return std::expm1(x); }) < 3);
  CHECK(worst_of([](float x) { return wane_log(x); }, [](double x) { return std::log(x); }) < 2);
  CHECK(worst_of([](float x) { return wane_log2(x); }, [](double x) { return std::log2(x); }) < 2);
  CHECK(worst_of([](float x) { return wane_log1p(x); }, [](double x) { return std::log1p(x); }) < 2);
  CHECK(worst_of([](float x) { return wane_sin(x); }, [](double x) { return std::sin(x); }) < 1);
  CHECK(worst_of([](float x) { return wane_cos(x); }, [](double x) { return std::cos(x); }) < 1);
  CHECK(worst_of([](float x) { return wane_tanh(x); }, [](double x) { return std::tanh(x); }) < 2);
  CHECK(worst_of([](float x) { return wane_erf(x); }, [](double x) { return std::erf(x); }) < 2);
  CHECK(worst_of([](float x) { return wane_sigmoid(x); },
                 [](double x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); })
        < 2);
  CHECK(worst_of([](float x) { return wane_softplus(x); },
                 [](double x) { return (x > 0 ? x : 0) + std::log1p(std::exp(-std::abs(x))); })
        < 3);
}

TEST_CASE("composites") {
  for (float x = -12; x < 12; x += 0.0137f) {
    const double d = x, gelu = 0.5 * d * std::erfc(-d * 0.70710678118654752440);
    const double u = 1.5957691216057307117 * (d + 0.044715 * d * d * d);
    CHECK(ulp_error(wane_silu(x), d / (1 + std::exp(-d))) < 4);
    CHECK(std::abs(wane_gelu(x) - gelu) < 3e-7 * std::max(1.0, std::abs(gelu)));
    CHECK(std::abs(wane_gelu_tanh(x) - d / (1 + std::exp(-u))) < 3e-7 * std::max(1.0, std::abs(gelu)));
  }
  for (auto f : {+[](float x) { return wane_silu(x); }, +[](float x) { return wane_gelu(x); },
                 +[](float x) { return wane_gelu_tanh(x); }}) {
    CHECK(same(f(-kInf), -0.0f));
    CHECK(f(kInf) == kInf);
    CHECK(std::isnan(f(kNan)));
    CHECK(same(f(0.0f), 0.0f));
    CHECK(same(f(-0.0f), -0.0f));
  }
}

TEST_CASE("values that must be exact") {
  CHECK(wane_exp(0.0f) == 1);
  CHECK(wane_exp(-kInf) == 0);
  CHECK(wane_log(1.0f) == 0);
  CHECK(wane_log(0.0f) == -kInf);
  CHECK(std::isnan(wane_log(-1.0f)));
  for (int k = -149; k < 128; k++) {
    CHECK(wane_exp2(float(k)) == std::ldexp(1.0f, k));
    CHECK(wane_log2(std::ldexp(1.0f, k)) == float(k));
  }
  for (float x : {0.0f, -0.0f, 1e-45f, -1e-45f}) {
    CHECK(same(wane_expm1(x), x));
    CHECK(same(wane_log1p(x), x));
    CHECK(same(wane_sin(x), x));
    CHECK(same(wane_tanh(x), x));
  }
  CHECK(same(wane_erf(-0.0f), -0.0f));
  CHECK(wane_sigmoid(0.0f) == 0.5f);
}

TEST_CASE("pow has C's edges and is right to half an ulp") {
  const float edges[] = {0.0f, -0.0f, 1,      -1,    2,    -2,    3,    -3,
                         0.5f, -0.5f, 1e-40f, 3e38f, kInf, -kInf, kNan, 16777215.0f};
  std::mt19937 draw(1);
  double worst = 0, worst_d = 0;
  auto see = [&](float x, float y) {
    worst = std::max(worst, ulp_error(wane_pow(x, y), std::pow(double(x), double(y))));
    const double exact = std::pow(double(x), double(y)), got = wane_pow_d(double(x), double(y));
    if (std::isfinite(exact) && std::abs(exact) > 1e-300)
      worst_d = std::max(worst_d, std::abs(got / exact - 1));
    else
      CHECK((std::isnan(exact) ? std::isnan(got) : std::abs(got - exact) < 1e-310 || got == exact));
  };
  for (float x : edges)
    for (float y : edges) see(x, y);
  for (int i = 0; i < 100000; i++)
    see(std::abs(std::bit_cast<float>(uint32_t(draw()))), float(int32_t(draw())) * 0x1p-26f);
  CHECK(worst < 0.51);
  CHECK(worst_d < 2e-15);
}

TEST_CASE("f64 functions stay within 1e-15") {
  std::mt19937_64 draw(1);
  auto worst_of_d = [&](auto&& f, auto&& exact, double lowest, double highest) {
    double worst = 0;
    for (int i = 0; i < 20000; i++) {
      const double x = lowest + (highest - lowest) * double(draw() >> 11) * 0x1p-53;
      const long double e = exact((long double)(x));
      worst = std::max(worst, double(std::abs((f(x) - e) / e)));
    }
    return worst;
  };
#define NEAR(name, low, high)                                                                                \
  CHECK(worst_of_d([](double x) { return wane_##name##_d(x); }, [](long double x) { return std::name(x); },  \
                   low, high)                                                                                \
        < 1e-15)
  NEAR(exp, -700, 700);
  NEAR(exp2, -1000, 1000);
  NEAR(expm1, -30, 30);
  NEAR(log, 0.0, 10);
  NEAR(log2, 0.0, 10);
  NEAR(log1p, -0.9, 10);
  NEAR(sin, -3, 3);
  NEAR(cos, -1e5, 1e5);
  NEAR(sin, 1e9, 1e18);
  NEAR(tanh, -3, 3);
  NEAR(erf, -6, 6);
#undef NEAR
}

TEST_CASE("narrow floats: every code survives, every value goes to the nearest, ties to even") {
  std::mt19937 draw(2);
  for (unsigned c = 0; c < 65536; c++) {
    const float b = wane_from_bf16(uint16_t(c)), h = wane_from_f16(uint16_t(c));
    if (b == b)
      CHECK(wane_to_bf16(b) == c);
    else
      CHECK(std::isnan(wane_from_bf16(wane_to_bf16(b))));
    if (h == h)
      CHECK(wane_to_f16(h) == c);
    else
      CHECK(std::isnan(wane_from_f16(wane_to_f16(h))));
  }
  for (unsigned c = 0; c < 256; c++) {
    const float a = wane_from_e4m3(uint8_t(c)), b = wane_from_e5m2(uint8_t(c));
    if (a == a) CHECK(wane_to_e4m3(a) == c);
    if (b == b) CHECK(wane_to_e5m2(b) == c);
    CHECK(std::isnan(a) == ((c & 0x7f) == 0x7f));
    CHECK(std::isnan(b) == ((c & 0x7f) > 0x7c));
  }
  bool right = true;
  for (int i = 0; i < 300000; i++) {
    // Values of the types' range, half of them on or beside the midpoints.
    uint32_t bits = uint32_t(draw());
    if (i % 2) bits &= 0xfff00000u | (i % 4 == 1 ? 0x1000u : 0);
    const float x = std::bit_cast<float>(bits);
    if (!(std::abs(x) < 448)) continue;
    const unsigned sign8 = std::signbit(x) ? 0x80 : 0, sign16 = std::signbit(x) ? 0x8000 : 0;
    right &= wane_to_e4m3(x) == (nearest_code<uint8_t>(x, 0x7e, wane_from_e4m3) | sign8);
    right &= wane_to_e5m2(x) == (nearest_code<uint8_t>(x, 0x7b, wane_from_e5m2) | sign8);
    right &= wane_to_f16(x) == (nearest_code<uint16_t>(x, 0x7bff, wane_from_f16) | sign16);
    right &= wane_to_bf16(x) == (nearest_code<uint16_t>(x, 0x7f7f, wane_from_bf16) | sign16);
  }
  CHECK(right);
}

TEST_CASE("narrow floats: overflow") {
  CHECK(wane_to_e4m3(464.0f) == 0x7e); // the tie between 448 and the missing 480
  CHECK(wane_to_e4m3(464.0001f) == 0x7f);
  CHECK(wane_to_e4m3(-kInf) == 0xff);
  CHECK(wane_to_e5m2(61439.0f) == 0x7b);
  CHECK(wane_to_e5m2(61440.0f) == 0x7c);
  CHECK(wane_to_e5m2(kNan) == 0x7f);
  CHECK(wane_to_f16(65519.0f) == 0x7bff);
  CHECK(wane_to_f16(65520.0f) == 0x7c00);
  CHECK(wane_to_f16(-1e30f) == 0xfc00);
  CHECK(wane_to_bf16(3.4028235e38f) == 0x7f80);
  CHECK(wane_to_bf16(std::bit_cast<float>(0x7f800001u)) == 0x7fc0); // a NaN whose bits would be rounded off
}

TEST_CASE("f64 goes to a narrow float with one rounding") {
  // Just above the midpoint of two bf16 values; f32 alone would round onto the midpoint, then to even.
  const double x = 1.0 + 0x1p-8 + 0x1p-40;
  CHECK(wane_to_bf16(float(x)) == 0x3f80);
  CHECK(wane_to_bf16(wane_odd(x)) == 0x3f81);
  CHECK(wane_to_bf16(wane_odd(-x)) == 0xbf81);
  CHECK(wane_to_bf16(wane_odd(1.0 + 3 * 0x1p-8 - 0x1p-40)) == 0x3f81);
  CHECK(wane_odd(1.5) == 1.5f);
  CHECK(same(wane_odd(-0.0), -0.0f));
  CHECK(wane_to_bf16(wane_odd(1e300)) == 0x7f80);
  CHECK(wane_odd(double(kInf)) == kInf);
  CHECK(std::isnan(wane_odd(double(kNan))));
  CHECK(wane_to_f16(wane_odd(1e-300)) == 0);
}
