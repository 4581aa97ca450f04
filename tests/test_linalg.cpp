// Linear algebra by its defining products, in long double, at sizes around the blocks.
#include "runtime/cpu/linalg.h"
#include "runtime/cpu/linalg_kernels.h"
#include "runtime/error.h"
#include "tests/kernel_checks.h"

using namespace wane;
using namespace wane::cpu;

namespace {

template <class T> constexpr DType dtype_of() { return sizeof(T) == 4 ? DType::f32 : DType::f64; }

// x^T x / n + I / 4 of a drawn x: well conditioned, far from diagonal.
template <class T> std::vector<T> positive(int64_t n, unsigned seed) {
  const auto x = drawn(size_t(n * n), seed);
  std::vector<T> out(size_t(n * n));
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j <= i; j++) {
      double sum = i == j ? 0.25 : 0;
      const int64_t terms = std::min<int64_t>(n, 40);
      for (int64_t k = 0; k < terms; k++)
        sum += double(x[size_t(i * n + k)]) * x[size_t(j * n + k)] / double(terms);
      out[size_t(i * n + j)] = out[size_t(j * n + i)] = T(sum);
    }
  return out;
}

// The largest |(a b - c)_ij| on a sample of rows.
template <class T, class A, class B, class C>
double product_error(int64_t n, int64_t m, A&& a, B&& b, C&& c) {
  double worst = 0;
  for (int64_t i = 0; i < n; i += std::max<int64_t>(1, n / 23))
    for (int64_t j = 0; j < m; j++) {
      double sum = 0;
      for (int64_t k = 0; k < n; k++) sum += double(a(i, k)) * double(b(k, j));
      worst = std::max(worst, std::abs(sum - double(c(i, j))));
    }
  return worst;
}

template <class T> void check_all(int64_t n, double bound) {
  CAPTURE(n);
  const auto x = positive<T>(n, unsigned(n));
  const DType d = dtype_of<T>();
  auto of = [n](const std::vector<T>& m) {
    return [&m, n](int64_t i, int64_t j) { return m[size_t(i * n + j)]; };
  };
  auto turned = [n](const std::vector<T>& m) {
    return [&m, n](int64_t i, int64_t j) { return m[size_t(j * n + i)]; };
  };
  auto one = [](int64_t i, int64_t j) { return i == j ? 1.0 : 0.0; };

  auto only_lower = x; // what lies above the diagonal is not read
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = i + 1; j < n; j++) only_lower[size_t(i * n + j)] = T(NAN);
  std::vector<T> l(x.size()), y(x.size()), u(x.size()), z(x.size());
  cholesky(d, only_lower.data(), l.data(), n);
  CHECK(product_error<T>(n, n, of(l), turned(l), of(x)) < bound);
  bool zeros = true;
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = i + 1; j < n; j++) zeros &= l[size_t(i * n + j)] == 0;
  CHECK(zeros);
  inverse_lower(d, l.data(), y.data(), n);
  CHECK(product_error<T>(n, n, of(l), of(y), one) < bound);
  inverse(d, only_lower.data(), y.data(), n);
  CHECK(product_error<T>(n, n, of(x), of(y), one) < 10 * bound);
  inverse_upper(d, only_lower.data(), u.data(), n);
  CHECK(product_error<T>(n, n, turned(u), of(u), of(y)) < 10 * bound);
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < i; j++) zeros &= u[size_t(i * n + j)] == 0;
  CHECK(zeros);

  const int64_t m = 37;
  const auto drawn_b = drawn(size_t(n * m), 3);
  const std::vector<T> b(drawn_b.begin(), drawn_b.end());
  std::vector<T> s(b.size());
  auto wide = [m](const std::vector<T>& v) {
    return [&v, m](int64_t i, int64_t j) { return v[size_t(i * m + j)]; };
  };
  solve(d, only_lower.data(), b.data(), s.data(), n, m);
  CHECK(product_error<T>(n, m, of(x), wide(s), wide(b)) < 20 * bound);
  solve_triangular(d, l.data(), b.data(), s.data(), n, m, false);
  CHECK(product_error<T>(n, m, of(l), wide(s), wide(b)) < 10 * bound);
  solve_triangular(d, u.data(), b.data(), s.data(), n, m, true);
  CHECK(product_error<T>(n, m, of(u), wide(s), wide(b)) < 10 * bound);

  check_threads([&] {
    inverse_upper(d, x.data(), z.data(), n);
    return z;
  });
}

} // namespace

TEST_CASE("cholesky, inverses and solves satisfy their equations") {
  for (int64_t n : {1, 2, 31, 127, 128, 129, 300}) {
    check_all<double>(n, 1e-13);
    check_all<float>(n, 3e-5);
  }
}

TEST_CASE("linear algebra: what cannot be done names the place") {
  auto x = positive<double>(200, 1);
  x[150 * 200 + 150] = -3;
  std::vector<double> out(x.size());
  bool named = false;
  try {
    cholesky(DType::f64, x.data(), out.data(), 200);
  } catch (const Error& e) {
    named = e.text().starts_with("cholesky: the matrix is not positive definite: pivot 151 of 200 is -");
  }
  CHECK(named);
  named = false;
  try {
    inverse_upper(DType::f64, x.data(), out.data(), 200);
  } catch (const Error& e) {
    named = e.text().find("inverse_upper: the matrix is not positive definite: pivot 151 of 200 is -") == 0;
  }
  CHECK(named);
  x = positive<double>(3, 1);
  x[3] = NAN; // below the diagonal
  CHECK_THROWS_WITH_AS(cholesky(DType::f64, x.data(), out.data(), 3),
                       "cholesky: the matrix is not positive definite: pivot 2 of 3 is nan", Error);
  const float triangle[4] = {1, 0, 5, 0};
  float b[2] = {1, 1};
  CHECK_THROWS_WITH_AS(solve_triangular(DType::f32, triangle, b, b, 2, 1, false),
                       "solve: the diagonal of the triangle is zero at 2 of 2", Error);
  CHECK_THROWS_WITH_AS(cholesky(DType::bf16, b, b, 1), "cholesky: not supported: bf16; f32 and f64 are",
                       Error);
  cholesky(DType::f32, nullptr, nullptr, 0);
}

TEST_CASE("linear algebra kernels give the same bits at every x86-64 level") {
  const auto x = positive<float>(100, 9);
  auto run = [&](const LinalgTable& table) {
    auto l = x;
    CHECK(table.f32.factor(l.data(), 100, 100) == 100);
    auto y = x;
    table.f32.solve(l.data(), 100, 1, true, 100, y.data(), 100, 99);
    y.insert(y.end(), l.begin(), l.end());
    return y;
  };
  const auto v2 = run(isa_v2::linalg_kernels());
  if (isa_level() >= IsaLevel::v3) CHECK(same_bytes(v2, run(isa_v3::linalg_kernels())));
  if (isa_level() >= IsaLevel::v4) CHECK(same_bytes(v2, run(isa_v4::linalg_kernels())));
}
