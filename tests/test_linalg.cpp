// Linear algebra: the bits of a plain loop with the documented order, its equations in f64 at sizes around
// the panels and tiles, and what cannot be done.
#include "runtime/cpu/linalg.h"

#include <atomic>
#include <chrono>
#include <thread>

#include "runtime/cpu/linalg_panels.h"
#include "runtime/error.h"
#include "tests/kernel_checks.h"

using namespace wane;
using namespace wane::cpu;

namespace {

template <class T> constexpr DType dtype_of() { return sizeof(T) == 4 ? DType::f32 : DType::f64; }
template <class T> constexpr double kEpsilon = sizeof(T) == 4 ? 0x1p-23 : 0x1p-52;

// A square matrix, or right sides.
template <class T> struct Dense {
  int64_t rows, columns;
  std::vector<T> v;
  Dense(int64_t r, int64_t c) : rows(r), columns(c), v(size_t(r * c)) {}
  T& operator()(int64_t i, int64_t j) { return v[size_t(i * columns + j)]; }
  T operator()(int64_t i, int64_t j) const { return v[size_t(i * columns + j)]; }
};

template <class T> Dense<T> drawn_matrix(int64_t rows, int64_t columns, unsigned seed) {
  Dense<T> x(rows, columns);
  const auto values = drawn(x.v.size(), seed);
  std::copy(values.begin(), values.end(), x.v.begin());
  return x;
}

// z^T z / terms + shift I: eigenvalues from `shift` on, most of them there when terms < n.
template <class T> Dense<T> positive(int64_t n, unsigned seed, double shift = 0.25) {
  const int64_t terms = std::min<int64_t>(n, 40);
  const Dense<float> z = drawn_matrix<float>(terms, n, seed);
  Dense<T> x(n, n);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j <= i; ++j) {
      double sum = i == j ? shift * double(terms) : 0;
      for (int64_t k = 0; k < terms; ++k) sum += double(z(k, i)) * z(k, j);
      x(i, j) = x(j, i) = T(sum / double(terms));
    }
  return x;
}

// Above the diagonal, or below it, what must not be read.
template <class T> Dense<T> only(Dense<T> x, bool lower) {
  for (int64_t i = 0; i < x.rows; ++i)
    for (int64_t j = 0; j < x.rows; ++j)
      if (lower ? j > i : j < i) x(i, j) = T(NAN);
  return x;
}

template <class T> Dense<T> cholesky_of(const Dense<T>& x) {
  Dense<T> l(x.rows, x.rows);
  cholesky(dtype_of<T>(), x.v.data(), l.v.data(), x.rows);
  return l;
}
template <class T> Dense<T> inverse_of(const Dense<T>& x) {
  Dense<T> y(x.rows, x.rows);
  inverse(dtype_of<T>(), x.v.data(), y.v.data(), x.rows);
  return y;
}
template <class T> Dense<T> inverse_upper_of(const Dense<T>& x) {
  Dense<T> u(x.rows, x.rows);
  inverse_upper(dtype_of<T>(), x.v.data(), u.v.data(), x.rows);
  return u;
}
template <class T> Dense<T> solved(const Dense<T>& x, const Dense<T>& b) {
  Dense<T> y(x.rows, b.columns);
  solve(dtype_of<T>(), x.v.data(), b.v.data(), y.v.data(), x.rows, b.columns);
  return y;
}
template <class T> Dense<T> solved_triangular(const Dense<T>& x, const Dense<T>& b, bool upper) {
  Dense<T> y(x.rows, b.columns);
  solve_triangular(dtype_of<T>(), x.v.data(), b.v.data(), y.v.data(), x.rows, b.columns, upper);
  return y;
}

// ---- the plain loops ----

template <class T> T plus_product(T sum, T a, T b, bool fused) {
  return fused ? std::fma(a, b, sum) : sum + a * b;
}

// value - the sums of a(k) b(k), tile by tile
template <class T, class A, class B> T reduced(T value, int64_t count, bool fused, A&& a, B&& b) {
  for (int64_t begin = 0; begin < count; begin += kTile) {
    T sum = 0;
    for (int64_t k = begin; k < std::min(count, begin + kTile); ++k)
      sum = plus_product(sum, a(k), b(k), fused);
    value = value - sum;
  }
  return value;
}

template <class T> Dense<T> plain_cholesky(const Dense<T>& x, bool fused) {
  Dense<T> l(x.rows, x.rows);
  for (int64_t j = 0; j < x.rows; ++j)
    for (int64_t i = j; i < x.rows; ++i) {
      const T left = reduced<T>(
          x(i, j), j, fused, [&](int64_t k) { return l(i, k); }, [&](int64_t k) { return l(j, k); });
      l(i, j) = i == j ? std::sqrt(left) : left / l(j, j);
    }
  return l;
}

template <class T> Dense<T> plain_solve_lower(const Dense<T>& l, const Dense<T>& b, bool fused) {
  Dense<T> x = b;
  for (int64_t c = 0; c < b.columns; ++c)
    for (int64_t i = 0; i < b.rows; ++i) {
      const T left = reduced<T>(
          b(i, c), i, fused, [&](int64_t k) { return l(i, k); }, [&](int64_t k) { return x(k, c); });
      x(i, c) = left / l(i, i);
    }
  return x;
}

template <class T> Dense<T> reversed(Dense<T> x) {
  std::reverse(x.v.begin(), x.v.end());
  return x;
}
template <class T> Dense<T> reversed_rows(const Dense<T>& x) {
  Dense<T> y(x.rows, x.columns);
  for (int64_t i = 0; i < x.rows; ++i)
    for (int64_t j = 0; j < x.columns; ++j) y(i, j) = x(x.rows - 1 - i, j);
  return y;
}
template <class T> Dense<T> transposed(const Dense<T>& x) {
  Dense<T> y(x.columns, x.rows);
  for (int64_t i = 0; i < x.rows; ++i)
    for (int64_t j = 0; j < x.columns; ++j) y(j, i) = x(i, j);
  return y;
}
template <class T> Dense<T> identity(int64_t n) {
  Dense<T> x(n, n);
  for (int64_t i = 0; i < n; ++i) x(i, i) = 1;
  return x;
}

template <class T> void check_bits(int64_t n) {
  CAPTURE(n);
  const bool fused = isa_level() != IsaLevel::v2;
  const Dense<T> x = positive<T>(n, unsigned(n)), b = drawn_matrix<T>(n, 5, 7);
  const Dense<T> l = plain_cholesky(x, fused);
  CHECK(same_bytes(cholesky_of(only(x, true)).v, l.v));
  const Dense<T> back = plain_cholesky(reversed(x), fused);
  const Dense<T> u = reversed(plain_solve_lower(back, identity<T>(n), fused));
  CHECK(same_bytes(inverse_upper_of(only(x, true)).v, u.v));
  CHECK(same_bytes(solved_triangular(only(l, true), b, false).v, plain_solve_lower(l, b, fused).v));
  const Dense<T> up = transposed(l);
  const Dense<T> wanted = reversed_rows(plain_solve_lower(reversed(up), reversed_rows(b), fused));
  CHECK(same_bytes(solved_triangular(only(up, false), b, true).v, wanted.v));
}

// ---- equations ----

// The largest |sum_k a(i, k) b(k, j) - c(i, j)| on a sample of rows.
template <class A, class B, class C> double product_error(int64_t n, int64_t columns, A&& a, B&& b, C&& c) {
  double worst = 0;
  for (int64_t i = 0; i < n; i += std::max<int64_t>(1, n / 17)) {
    std::vector<double> row(size_t(columns), 0.0);
    for (int64_t k = 0; k < n; ++k)
      for (int64_t j = 0; j < columns; ++j) row[size_t(j)] += double(a(i, k)) * double(b(k, j));
    for (int64_t j = 0; j < columns; ++j) {
      const double error = std::abs(row[size_t(j)] - double(c(i, j)));
      worst = error <= worst ? worst : error; // a NaN stays
    }
  }
  return worst;
}

template <class T> double norm(const Dense<T>& x) { // the largest sum of a row
  double worst = 0;
  for (int64_t i = 0; i < x.rows; ++i) {
    double sum = 0;
    for (int64_t j = 0; j < x.columns; ++j) sum += std::abs(double(x(i, j)));
    worst = std::max(worst, sum);
  }
  return worst;
}

// Cholesky and substitution are backward stable: residuals stay within a small multiple of n epsilon times
// the norms of the factors (n is the textbook worst case; sums here round like sqrt(n)). An inverse's
// residual grows with the condition.
template <class T> void check_equations(const Dense<T>& x) {
  const int64_t n = x.rows, columns = 37;
  CAPTURE(n);
  const double unit = kEpsilon<T> * (4 + std::sqrt(double(n)));
  const Dense<T> low = only(x, true), l = cholesky_of(low), y = inverse_of(low), u = inverse_upper_of(low);
  const Dense<T> one = identity<T>(n);
  double largest = 0;
  for (int64_t i = 0; i < n; ++i) largest = std::max(largest, double(x(i, i)));
  const double condition = norm(x) * norm(y);
  CAPTURE(condition);
  CHECK(product_error(n, n, l, transposed(l), x) < 2 * unit * largest);
  CHECK(product_error(n, n, x, y, one) < 4 * unit * condition);
  CHECK(same_bytes(transposed(y).v, y.v));
  const Dense<T> square_error = transposed(u);
  CHECK(product_error(n, n, square_error, u, y) < 4 * unit * condition * norm(y));
  bool zeros = true;
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = i + 1; j < n; ++j) zeros &= l(i, j) == 0 && u(j, i) == 0;
  CHECK(zeros);
  const Dense<T> b = drawn_matrix<T>(n, columns, 3), s = solved(low, b);
  CHECK(product_error(n, columns, x, s, b) < 4 * unit * norm(x) * norm(s));
  const Dense<T> f = solved_triangular(l, b, false), g = solved_triangular(u, b, true);
  CHECK(product_error(n, columns, l, f, b) < 4 * unit * norm(l) * norm(f));
  CHECK(product_error(n, columns, u, g, b) < 4 * unit * norm(u) * norm(g));
}

template <class F> std::string message(F&& body) {
  try {
    body();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

} // namespace

TEST_CASE("linear algebra: the bits of plain loops") {
  for (int64_t n : {1, 2, 3, 23, 24, 31, 47, 48, 49, 63, 64, 65, 127, 129, 191, 192, 193, 200, 390}) {
    check_bits<double>(n);
    check_bits<float>(n);
  }
}

TEST_CASE("linear algebra: factors, inverses and solutions satisfy their equations") {
  for (int64_t n : {1, 2, 3, 31, 63, 64, 65, 127, 129, 200, 576, 1000}) {
    check_equations(positive<double>(n, unsigned(n)));
    check_equations(positive<float>(n, unsigned(n)));
  }
}

TEST_CASE("linear algebra: ill-conditioned matrices, as damped Hessians are") {
  for (int64_t n : {65, 200, 576}) {
    check_equations(positive<double>(n, 5, 1e-9)); // condition about 1e11
    check_equations(positive<float>(n, 6, 1e-3));
    Dense<double> x = positive<double>(n, 7); // columns of very different size
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j) x(i, j) *= std::pow(10.0, -4 * double(i % 2 + j % 2));
    check_equations(x);
  }
}

TEST_CASE("linear algebra: the same bits for any number of threads") {
  auto all = [](const auto& x) {
    const auto b = drawn_matrix<std::decay_t<decltype(x.v[0])>>(x.rows, 300, 4);
    auto out = cholesky_of(x).v;
    for (const auto& more : {inverse_of(x).v, inverse_upper_of(x).v, solved(x, b).v,
                             solved_triangular(x, b, true).v, solved_triangular(x, b, false).v})
      out.insert(out.end(), more.begin(), more.end());
    return out;
  };
  for (int64_t n : {1, 65, 200, 576, 700}) {
    CAPTURE(n);
    const auto wide = positive<double>(n, 11);
    const auto narrow = positive<float>(n, 12);
    check_threads([&] { return all(wide); });
    check_threads([&] { return all(narrow); });
  }
}

TEST_CASE("linear algebra: what is added to the diagonal counts as if it were in the matrix") {
  auto check = [](auto zero, int64_t n) {
    using T = decltype(zero);
    const Dense<T> x = positive<T>(n, unsigned(n));
    const Dense<T> added = drawn_matrix<T>(n, 1, unsigned(n) + 1);
    Dense<T> sum = x, found(n, n);
    std::vector<T> diagonal;
    for (int64_t i = 0; i < n; ++i) {
      diagonal.push_back(std::fabs(added(i, 0)));
      sum(i, i) = x(i, i) + diagonal.back();
    }
    inverse_upper(dtype_of<T>(), x.v.data(), found.v.data(), n, diagonal.data());
    CHECK(same_bytes(found.v, inverse_upper_of(sum).v));
  };
  for (int64_t n : {1, 2, 47, 48, 49, 193, 200, 390}) check(float(), n), check(double(), n);
}

TEST_CASE("linear algebra: sizes of zero") {
  CHECK(cholesky_of(Dense<float>(0, 0)).v.empty());
  CHECK(inverse_of(Dense<double>(0, 0)).v.empty());
  CHECK(inverse_upper_of(Dense<float>(0, 0)).v.empty());
  CHECK(solved(Dense<float>(0, 0), Dense<float>(0, 3)).v.empty());
  CHECK(solved(identity<float>(3), Dense<float>(3, 0)).v.empty());
  CHECK(solved_triangular(Dense<double>(0, 0), Dense<double>(0, 2), true).v.empty());
  CHECK(solved_triangular(identity<double>(5), Dense<double>(5, 0), false).v.empty());
}

TEST_CASE("linear algebra: a matrix that is not positive definite names the pivot and its value") {
  for (int64_t n : {3, 200, 600}) {
    CAPTURE(n);
    for (int64_t bad : {int64_t(0), n / 2, n - 1}) {
      Dense<double> x = identity<double>(n);
      x(bad, bad) = -3;
      const std::string tail =
          fmt::format(": the matrix is not positive definite: pivot {} of {} is -3", bad + 1, n);
      const Dense<double> b(n, 1);
      CHECK(message([&] { cholesky_of(x); }) == "cholesky" + tail);
      CHECK(message([&] { inverse_of(x); }) == "inverse" + tail);
      CHECK(message([&] { inverse_upper_of(x); }) == "inverse_upper" + tail);
      CHECK(message([&] { solved(x, b); }) == "solve" + tail);
    }
  }
  Dense<float> two = identity<float>(500); // the first of several, whatever thread finds which
  for (int64_t i : {499, 330, 250, 210}) two(i, i) = 0;
  for (int round = 0; round < 5; ++round) {
    CHECK(message([&] { cholesky_of(two); })
          == "cholesky: the matrix is not positive definite: pivot 211 of 500 is 0");
    CHECK(message([&] { inverse_upper_of(two); })
          == "inverse_upper: the matrix is not positive definite: pivot 500 of 500 is 0");
  }
  Dense<double> rank(3, 3); // rank 1: the second pivot is 4 - 2 * 2
  rank.v = {1, 2, 3, 2, 4, 6, 3, 6, 9};
  CHECK(message([&] { cholesky_of(rank); })
        == "cholesky: the matrix is not positive definite: pivot 2 of 3 is 0");
}

TEST_CASE("linear algebra: NaN and infinity") {
  const std::string is = "cholesky: the matrix is not positive definite: pivot ";
  Dense<double> x = identity<double>(300);
  x(280, 7) = NAN;
  CHECK(message([&] { cholesky_of(x); }) == is + "281 of 300 is nan");
  x = identity<double>(300);
  x(100, 100) = INFINITY;
  CHECK(message([&] { cholesky_of(x); }) == is + "101 of 300 is inf");
  x = identity<double>(300);
  x(200, 199) = INFINITY;
  CHECK(message([&] { cholesky_of(x); }) == is + "201 of 300 is -inf");

  // In right sides they go through their own columns only.
  Dense<float> b = drawn_matrix<float>(300, 3, 1);
  const Dense<float> clean = solved(identity<float>(300), b);
  b(299, 1) = INFINITY;
  const Dense<float> y = solved(identity<float>(300), b);
  bool same = true;
  for (int64_t i = 0; i < 300; ++i) same &= y(i, 0) == clean(i, 0) && y(i, 2) == clean(i, 2);
  CHECK(same);
  CHECK(y(299, 1) == INFINITY);
}

TEST_CASE("linear algebra: triangles that cannot be solved, and types") {
  Dense<float> x = identity<float>(400), b(400, 1);
  x(250, 250) = 0;
  CHECK(message([&] { solved_triangular(x, b, false); })
        == "solve_lower: the diagonal of the triangle is zero at 251 of 400");
  CHECK(message([&] { solved_triangular(x, b, true); })
        == "solve_upper: the diagonal of the triangle is zero at 251 of 400");
  uint16_t half[1] = {};
  CHECK(message([&] { cholesky(DType::bf16, half, half, 1); })
        == "cholesky: not supported: bf16; f32 and f64 are");
}

TEST_CASE("linear algebra: an interrupt stops a factorisation, and the next call is right") {
  const Dense<double> x = positive<double>(700, 3);
  const auto before = inverse_of(x).v;
  request_interrupt();
  CHECK(message([&] { inverse_of(x); }) == "interrupted");
  clear_interrupt();
  for (int delay : {1, 5, 20}) { // while parts run and wait for each other
    std::atomic<bool> stop{false};
    std::thread user([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(delay));
      request_interrupt();
    });
    std::string said;
    while (said.empty()) said = message([&] { inverse_upper_of(x); });
    user.join();
    clear_interrupt();
    CHECK(said == "interrupted");
  }
  CHECK(same_bytes(inverse_of(x).v, before));
}

// Of every level this CPU has, though only one is chosen.
template <class T> static void check_level(const LinalgTable& table, bool fused) {
  const LinalgKernels<T>& kernels = table.of<T>();
  const int64_t w = kernels.width;
  CAPTURE(w);
  CHECK(kTile % w == 0);
  const Dense<T> x = positive<T>(2 * w, 21), l = plain_cholesky(x, fused);
  Dense<T> first(w, w), second(2 * w, w); // panels: [column][row]
  kernels.turn(x.v.data(), 2 * w, first.v.data(), w, w, w);
  CHECK(kernels.factor(first.v.data(), 0) == w);
  kernels.turn(x.v.data() + w * 2 * w, 2 * w, second.v.data(), w, 2 * w, w);
  kernels.solve(second.v.data(), first.v.data(), 0, w);
  CHECK(kernels.factor(second.v.data() + w * w, w) == w);
  bool same = true;
  for (int64_t i = 0; i < 2 * w; ++i)
    for (int64_t j = 0; j <= i; ++j) same &= (i < w ? first(j, i) : second(j, i - w)) == l(i, j);
  CHECK(same);

  const Dense<T> a = drawn_matrix<T>(7, w, 1), b = drawn_matrix<T>(7, w, 2);
  Dense<T> c = drawn_matrix<T>(w, w, 3);
  const Dense<T> before = c;
  kernels.update(c.v.data(), a.v.data(), b.v.data(), w, 7);
  for (int64_t i = 0; i < w; ++i)
    for (int64_t j = 0; j < w; ++j)
      same &=
          c(i, j)
          == reduced<T>(
              before(i, j), 7, fused, [&](int64_t k) { return a(k, i); }, [&](int64_t k) { return b(k, j); });
  CHECK(same);
  for (auto [rows, columns] : {std::pair<int64_t, int64_t>{1, 1}, {17, 33}, {48, 5}, {32, 64}, {0, 9}}) {
    const Dense<T> from = drawn_matrix<T>(columns, rows, 9);
    Dense<T> to(rows, columns + 3);
    kernels.turn(from.v.data(), rows, to.v.data(), columns + 3, rows, columns);
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns + 3; ++j) same &= to(i, j) == (j < columns ? from(j, i) : T(0));
  }
  CHECK(same);
}

TEST_CASE("linear algebra kernels do the same at every x86-64 level") {
  check_level<float>(isa_v2::linalg_kernels(), false);
  check_level<double>(isa_v2::linalg_kernels(), false);
  if (isa_level() >= IsaLevel::v3) {
    check_level<float>(isa_v3::linalg_kernels(), true);
    check_level<double>(isa_v3::linalg_kernels(), true);
  }
  if (isa_level() >= IsaLevel::v4) {
    check_level<float>(isa_v4::linalg_kernels(), true);
    check_level<double>(isa_v4::linalg_kernels(), true);
  }
}
