// Measures the mathematics of kernels/ and the conversions of narrow floats, exhaustively. Of each function,
// f32 against the C library's f64 over every one of the 2^32 values and f64 against long double over random
// ones: the largest error in ulp and where it is. Functions in which factors cancel have an absolute bound
// besides, and their ulp are those of the values that it does not cover. Of each narrow float: every code
// against its definition, and every f32 against the nearest of all codes. Fails above the stated bounds.
//   g++ -std=c++20 -O2 -march=native -ffp-contract=off -I. scripts/check/ulp.cpp -o ulp -pthread
//   ./ulp [all or a name or "conversions"] [step]
// A step above 1 visits every step-th value only. With every value a name takes some minutes on one core; all
// run on all cores.
#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "kernels/math.h"
#include "tests/exact_functions.h"

namespace {

std::mutex printing;

// The largest error so far, and where: in ulp; where these are above the bound and the difference is at most
// `absolute`, the difference.
struct Worst {
  double bound, absolute;
  double error = -1, at = 0, given = 0, apart = -1, apart_at = 0;
  void see(double ulps, double difference, double x, double y) {
    if (absolute > 0 && ulps > bound && difference <= absolute) {
      if (difference > apart) apart = difference, apart_at = x;
    } else if (!(ulps <= error))
      error = ulps, at = x, given = y;
  }
};

struct Case {
  const char* name;
  double bound, bound_d; // ulp
  float (*f)(float);
  double (*f_exact)(double);
  double (*d)(double);
  long double (*d_exact)(long double);
  double absolute = 0, absolute_d = 0; // differences that count as none
};

float one_over_root(float x) { return 1.0f / WANE_SQRT(x); }
double one_over_root_d(double x) { return 1.0 / WANE_SQRT_D(x); }

#define CASE(name, bound, bound_d, exact, ...)                                                               \
  {                                                                                                          \
#name, bound, bound_d,                                                                                    \
   [](float x) { return wane_##name(x); }, [](double x) { return double(exact(x)); },                        \
   [](double x) { return wane_##name##_d(x); }, [](long double x) { return exact(x); } __VA_OPT__(,) __VA_ARGS__  \
  }

const Case kCases[] = {
    CASE(exp, 2, 2, std::exp),
    CASE(exp2, 2, 2, std::exp2),
    CASE(log, 2, 2, std::log),
    CASE(log2, 2, 3, std::log2),
    CASE(sin, 2, 3, std::sin),
    CASE(cos, 2, 3, std::cos),
    CASE(tanh, 2, 5, std::tanh),
    CASE(erf, 2, 5, std::erf),
    CASE(sigmoid, 2, 4, exact::sigmoid),
    CASE(expm1, 3, 4, std::expm1),
    CASE(log1p, 2, 3, std::log1p),
    CASE(softplus, 3, 4, exact::softplus),
    CASE(silu, 4, 4, exact::silu, 2e-43, 1e-320),
    CASE(gelu, 4, 4, exact::gelu, 1e-7, 1e-15),
    CASE(gelu_tanh, 4, 4, exact::gelu_tanh, 5e-8, 1e-15),
    {"rsqrt", 1.5, 1.5, one_over_root, [](double x) { return exact::rsqrt(x); }, one_over_root_d,
     [](long double x) { return exact::rsqrt(x); }},
};

bool report(const char* name, const char* type, const Worst& worst) {
  bool fine = worst.error <= worst.bound;
  std::lock_guard lock(printing);
  std::printf("%-10s %s  %8.4f ulp at %.9g gives %.9g", name, type, worst.error, worst.at, worst.given);
  if (worst.apart >= 0) std::printf(", elsewhere within %.3g, at %.9g", worst.apart, worst.apart_at);
  std::printf("%s\n", fine ? "" : "  FAILS");
  std::fflush(stdout);
  return fine;
}

bool check_f32(const Case& c, uint64_t step) {
  Worst worst{c.bound, c.absolute};
  for (uint64_t i = 0; i < (uint64_t(1) << 32); i += step) {
    float x = std::bit_cast<float>(uint32_t(i)), y = c.f(x);
    double exact = c.f_exact(double(x));
    worst.see(exact::ulps(y, exact), std::abs(double(y) - exact), x, y);
  }
  return report(c.name, "f32", worst);
}

bool check_f64(const Case& c) {
  std::mt19937_64 draw(1);
  Worst worst{c.bound_d, c.absolute_d};
  auto see = [&](double x) {
    double y = c.d(x);
    long double exact = c.d_exact((long double)(x));
    worst.see(exact::ulps(y, exact), double(std::abs((long double)(y)-exact)), x, y);
  };
  for (int i = 0; i < 2000000; i++) {
    uint64_t bits = draw();
    double x = std::bit_cast<double>(bits);
    if (i % 2) x = (double(int64_t(bits)) * 0x1p-63) * std::exp2(double(int(bits % 24)) - 12.0);
    see(x);
  }
  for (double x : {0.0, -0.0, 1.0, -1.0, double(INFINITY), -double(INFINITY), double(NAN), 5e-324, -5e-324,
                   2.3e-308, 709.78, 709.79, -745.1, -745.2, -708.5, 1e22, 1e300, 1.7976931348623157e308})
    see(x);
  return report(c.name, "f64", worst);
}

bool check_pow() {
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
  std::mt19937_64 draw(2);
  Worst worst{0.51, 0}, worst_d{8, 0};
  auto see = [&](double x, double y) {
    float a = float(x), b = float(y);
    worst.see(exact::ulps(wane_pow(a, b), std::pow(double(a), double(b))), 0, x, wane_pow(a, b));
    long double wide = std::pow((long double)(x), (long double)(y));
    worst_d.see(exact::ulps(wane_pow_d(x, y), wide), 0, x, wane_pow_d(x, y));
  };
  for (double x : kEdges)
    for (double y : kEdges) see(x, y);
  for (int i = 0; i < 2000000; i++) {
    see(std::bit_cast<float>(uint32_t(draw())), std::bit_cast<float>(uint32_t(draw())));
    double x = std::abs(std::bit_cast<float>(uint32_t(draw()))), y = double(int64_t(draw())) * 0x1p-58;
    see(x, y);
    see(x, double(int(draw() % 17) - 8));
  }
  bool fine = report("pow", "f32", worst);
  return report("pow", "f64", worst_d) && fine;
}

// -- conversions
// ------------------------------------------------------------------------------------------------
struct Narrow {
  const char* name;
  unsigned bits;       // of a code
  int fraction, least; // bits after the point, exponent of the least normal number
  bool infinite;       // whether the largest exponent is infinity and NaN, or one NaN alone
  float (*from)(unsigned);
  unsigned (*to)(float);
};
const Narrow kNarrow[] = {
    {"bf16", 16, 7, -126, true, [](unsigned c) { return wane_from_bf16((unsigned short)(c)); },
     [](float x) { return unsigned(wane_to_bf16(x)); }},
    {"f16", 16, 10, -14, true, [](unsigned c) { return wane_from_f16((unsigned short)(c)); },
     [](float x) { return unsigned(wane_to_f16(x)); }},
    {"e4m3", 8, 3, -6, false, [](unsigned c) { return wane_from_e4m3((unsigned char)(c)); },
     [](float x) { return unsigned(wane_to_e4m3(x)); }},
    {"e5m2", 8, 2, -14, true, [](unsigned c) { return wane_from_e5m2((unsigned char)(c)); },
     [](float x) { return unsigned(wane_to_e5m2(x)); }},
};

// The value of a code without sign; what would come after the largest, as a power, in place of infinity.
double defined(const Narrow& n, unsigned code) {
  unsigned fraction = code & ((1u << n.fraction) - 1), exponent = code >> n.fraction;
  if (exponent == 0) return std::ldexp(double(fraction), n.least - n.fraction);
  return std::ldexp(double(fraction + (1u << n.fraction)), int(exponent) - 1 + n.least - n.fraction);
}

bool check_codes(const Narrow& n, unsigned last) {
  unsigned sign = 1u << (n.bits - 1), wrong = 0;
  for (unsigned code = 0; code < sign; ++code)
    for (unsigned side : {0u, sign}) {
      double want = code <= last                     ? defined(n, code)
                    : n.infinite && code == last + 1 ? double(INFINITY)
                                                     : double(NAN);
      float y = n.from(code | side);
      bool same = std::isnan(want) ? std::isnan(y)
                                   : double(y) == (side ? -want : want) && std::signbit(y) == (side > 0);
      wrong += !same;
    }
  std::lock_guard lock(printing);
  std::printf("%-10s %u codes, %u differ from their definition%s\n", n.name, 2 * sign, wrong,
              wrong ? "  FAILS" : "");
  return wrong == 0;
}

// Every f32 in the order of its magnitude, beside the two codes around it.
bool check_rounding(const Narrow& n, unsigned last, uint64_t step) {
  unsigned sign = 1u << (n.bits - 1);
  uint64_t wrong = 0;
  unsigned low = 0; // the code at or below, its value and the next one's
  double below = 0, above = defined(n, 1);
  for (uint64_t i = 0; i <= 0x7fffffff; i += step) {
    float x = std::bit_cast<float>(uint32_t(i));
    unsigned code = n.to(x), negative = n.to(-x);
    if (std::isnan(x)) {
      wrong += !std::isnan(n.from(code)) || !std::isnan(n.from(negative));
      continue;
    }
    while (low <= last && above <= double(x)) ++low, below = above, above = defined(n, low + 1);
    unsigned want = low;
    if (low <= last) {
      double down = double(x) - below, up = above - double(x);
      want = down < up || (down == up && low % 2 == 0) ? low : low + 1;
    }
    if (want > last) want = n.infinite ? last + 1 : sign - 1; // beyond the largest
    wrong += code != want || negative != (want | sign);
  }
  std::lock_guard lock(printing);
  std::printf("%-10s %s f32, %llu go to another code than the nearest%s\n", n.name,
              step == 1 ? "all" : "some", static_cast<unsigned long long>(wrong), wrong ? "  FAILS" : "");
  return wrong == 0;
}

bool check_narrow(const Narrow& n, uint64_t step) {
  // The last finite code: below infinity, or below the one NaN.
  unsigned last = n.infinite ? (1u << (n.bits - 1)) - (1u << n.fraction) - 1 : (1u << (n.bits - 1)) - 2;
  bool fine = check_codes(n, last);
  return check_rounding(n, last, step) && fine;
}

} // namespace

int main(int argc, char** argv) {
  std::string only = argc > 1 ? argv[1] : "all";
  uint64_t step = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1;
  if (step == 0) step = 1;
  std::vector<std::function<bool()>> jobs;
  for (const Case& c : kCases)
    if (only == "all" || only == c.name) {
      jobs.push_back([&c, step] { return check_f32(c, step); });
      jobs.push_back([&c] { return check_f64(c); });
    }
  if (only == "all" || only == "pow") jobs.push_back(check_pow);
  for (const Narrow& n : kNarrow)
    if (only == "all" || only == "conversions") jobs.push_back([&n, step] { return check_narrow(n, step); });
  std::atomic<size_t> next{0};
  std::atomic<bool> fine{!jobs.empty()};
  auto work = [&] {
    for (size_t i; (i = next.fetch_add(1)) < jobs.size();)
      if (!jobs[i]()) fine = false;
  };
  std::vector<std::thread> helpers;
  for (unsigned i = 1; i < std::thread::hardware_concurrency(); ++i) helpers.emplace_back(work);
  work();
  for (auto& helper : helpers) helper.join();
  return fine ? 0 : 1;
}
