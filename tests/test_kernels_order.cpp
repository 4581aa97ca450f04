// Sorting, the k largest, quantiles and histograms against the standard library.
#include "runtime/cpu/kernels.h"
#include "runtime/error.h"
#include "tests/kernel_checks.h"

#include <algorithm>
#include <limits>
#include <numeric>

using namespace wane;
using namespace wane::cpu;

namespace {

// The order sort promises: by value, NaN last, equals by position.
template <class T> std::vector<int32_t> expected_order(const T* x, int64_t n, bool descending) {
  std::vector<int32_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    const T p = x[a], q = x[b];
    if (p != p || q != q) return p == p && q != q;
    return descending ? p > q : p < q;
  });
  return order;
}

template <class T> void check_sort(DType dtype, const std::vector<T>& x, int64_t rows) {
  const int64_t n = int64_t(x.size()) / rows;
  for (bool descending : {false, true}) {
    std::vector<T> values(x.size());
    std::vector<int32_t> positions(x.size());
    sort_rows(dtype, x.data(), values.data(), positions.data(), rows, n, descending);
    for (int64_t r = 0; r < rows; r++) {
      const auto order = expected_order(x.data() + r * n, n, descending);
      bool equal = true;
      for (int64_t i = 0; i < n; i++) {
        equal &= positions[size_t(r * n + i)] == order[size_t(i)];
        equal &=
            std::memcmp(&values[size_t(r * n + i)], &x[size_t(r * n + order[size_t(i)])], sizeof(T)) == 0;
      }
      CHECK(equal);
    }
    std::vector<int32_t> alone(x.size());
    sort_rows(dtype, x.data(), nullptr, alone.data(), rows, n, descending);
    CHECK(alone == positions);
  }
}

// The order topk promises: by falling value, NaN first, equals by position.
template <class T> std::vector<int32_t> expected_top(const T* x, int64_t n, int64_t k) {
  std::vector<int32_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    const T p = x[a], q = x[b];
    if (p != p || q != q) return p != p && q == q;
    return p > q;
  });
  order.resize(static_cast<size_t>(k));
  return order;
}

// One row, as `stored` in dtype with the value x.
template <class S, class T>
void check_top(DType dtype, const std::vector<S>& stored, const std::vector<T>& x, int64_t k) {
  const auto n = int64_t(x.size());
  std::vector<S> values(static_cast<size_t>(k));
  std::vector<int32_t> positions(static_cast<size_t>(k));
  topk_rows(dtype, stored.data(), values.data(), positions.data(), 1, n, k);
  const auto order = expected_top(x.data(), n, k);
  CAPTURE(n);
  CAPTURE(k);
  CHECK(positions == order);
  std::vector<S> expected;
  for (int32_t p : order) expected.push_back(stored[size_t(p)]);
  CHECK(same_bytes(values, expected));
}
template <class T> void check_top(DType dtype, const std::vector<T>& x, int64_t k) {
  check_top(dtype, x, x, k);
}

std::vector<float> with_corners(size_t n, unsigned seed) {
  auto x = drawn(n, seed);
  std::mt19937 draw(seed + 99);
  const float corners[] = {0.0f, -0.0f, NAN, -NAN, INFINITY, -INFINITY, 1, 1, -1, 1e-42f};
  for (size_t i = 0; i < n / 5; i++) x[draw() % n] = corners[draw() % 10];
  return x;
}

// Linear between neighbours in f64, from the nearer one.
template <class T> double numpy_quantile(std::vector<T> x, double p) {
  for (T v : x)
    if (v != v) return NAN;
  std::sort(x.begin(), x.end());
  const double h = p * double(x.size() - 1);
  const size_t i = size_t(h);
  const double t = h - double(i), a = double(x[i]) + 0; // -0 is 0
  if (i + 1 == x.size() || t == 0 || a == double(x[i + 1])) return a;
  const double b = double(x[i + 1]) + 0;
  return t < 0.5 ? a + (b - a) * t : b - (b - a) * (1 - t);
}

template <class S, class T>
void check_quantiles(DType dtype, const std::vector<S>& stored, const std::vector<T>& x) {
  for (double p : {0.0, 0.001, 0.25, 0.37, 0.5, 0.99, 0.9999, 1.0}) {
    CAPTURE(x.size());
    CAPTURE(p);
    const double expected = numpy_quantile(x, p);
    if (dtype == DType::f64) {
      std::vector<double> out(1), right{expected};
      quantile_rows(dtype, stored.data(), p, out.data(), 1, int64_t(x.size()));
      CHECK((same_bytes(out, right) || (std::isnan(out[0]) && std::isnan(expected))));
    } else {
      std::vector<float> out(1), right{float(expected)};
      quantile_rows(dtype, stored.data(), p, out.data(), 1, int64_t(x.size()));
      CHECK((same_bytes(out, right) || (std::isnan(out[0]) && std::isnan(expected))));
    }
  }
}

} // namespace

TEST_CASE("sort is stable, with NaN last, for every length and type") {
  for (int64_t n : {1, 2, 17, 511, 512, 513, 3001}) {
    check_sort(DType::f32, with_corners(size_t(3 * n), unsigned(n)), 3);
    std::vector<double> wide;
    for (float v : with_corners(size_t(n), 7)) wide.push_back(double(v) * (1 + 1e-12 * double(wide.size())));
    check_sort(DType::f64, wide, 1);
    std::mt19937_64 draw{uint64_t(n)};
    std::vector<int8_t> small;
    std::vector<uint8_t> bytes;
    std::vector<int32_t> whole{std::numeric_limits<int32_t>::max(), std::numeric_limits<int32_t>::min()};
    std::vector<int64_t> large{std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min(), -1};
    for (int64_t i = 0; i < n; i++) {
      small.push_back(int8_t(draw()));
      bytes.push_back(uint8_t(draw()));
      whole.push_back(int32_t(draw()));
      large.push_back(int64_t(draw()));
    }
    check_sort(DType::i8, small, 1);
    check_sort(DType::u8, bytes, 1);
    check_sort(DType::i32, whole, 1);
    check_sort(DType::i64, large, 1);
  }
  const auto x = with_corners(100 * 333, 4);
  check_threads([&] {
    std::vector<int32_t> positions(x.size());
    sort_rows(DType::f32, x.data(), nullptr, positions.data(), 100, 333, true);
    return positions;
  });
  sort_rows(DType::f32, nullptr, nullptr, nullptr, 0, 5, false);
  sort_rows(DType::f32, nullptr, nullptr, nullptr, 5, 0, false);
}

TEST_CASE("sort orders 16-bit floats by value") {
  const auto x = with_corners(700, 5);
  for (DType dtype : {DType::bf16, DType::f16}) {
    std::vector<uint16_t> bits;
    std::vector<float> values;
    for (float v : x) {
      bits.push_back(dtype == DType::bf16 ? wane_to_bf16(v) : wane_to_f16(v));
      values.push_back(dtype == DType::bf16 ? wane_from_bf16(bits.back()) : wane_from_f16(bits.back()));
    }
    std::vector<int32_t> positions(x.size());
    sort_rows(dtype, bits.data(), nullptr, positions.data(), 1, 700, false);
    CHECK(positions == expected_order(values.data(), 700, false));
  }
}

TEST_CASE("topk gives the largest first, ties by position, NaN as the largest") {
  for (int64_t n : {1, 5, 100, 191, 193, 1000, 4000, 30001}) {
    const auto x = with_corners(size_t(n), unsigned(n + 1));
    for (int64_t k : {int64_t(1), int64_t(7), int64_t(64), n / 20, n / 3, n - 1, n})
      if (k >= 1 && k <= n) check_top(DType::f32, x, k);
  }
  const auto x = with_corners(50 * 1333, 6);
  check_threads([&] {
    std::vector<int32_t> positions(50 * 20);
    topk_rows(DType::f32, x.data(), nullptr, positions.data(), 50, 1333, 20);
    return positions;
  });
  topk_rows(DType::f32, nullptr, nullptr, nullptr, 2, 3, 0);
  topk_rows(DType::f32, nullptr, nullptr, nullptr, 0, 3, 2);
  CHECK_THROWS_WITH_AS(topk_rows(DType::f32, nullptr, nullptr, nullptr, 1, 3, 4), "topk: 4 of 3 elements",
                       Error);
}

TEST_CASE("topk of rows that mislead the search for a bound") {
  for (int64_t n : {250, 4096, 5003})
    for (int64_t k : {int64_t(1), int64_t(64), n / 8, n / 2, n}) {
      const auto drawn_row = drawn(size_t(n), unsigned(n + k));
      auto rising = drawn_row;
      std::sort(rising.begin(), rising.end());
      check_top(DType::f32, rising, k);
      check_top(DType::f32, std::vector<float>(rising.rbegin(), rising.rend()), k);
      for (float value : {2.5f, 0.0f, -INFINITY, INFINITY, NAN})
        check_top(DType::f32, std::vector<float>(size_t(n), value), k);
      // The largest in every 128th and 256th place: one group's largest stands for all of them.
      for (size_t period : {128, 256}) {
        auto row = drawn_row;
        for (size_t i = 5; i < row.size(); i += period) row[i] += 100;
        check_top(DType::f32, row, k);
      }
      std::vector<float> few, zeros, ends = drawn_row, lonely(size_t(n), -1.0f);
      for (size_t i = 0; i < size_t(n); i++) {
        few.push_back(std::round(drawn_row[i]));
        zeros.push_back(i % 3 ? -0.0f : i % 7 ? 0.0f : -1e-42f);
        if (i % 2) ends[i] = i % 4 == 1 ? INFINITY : NAN;
      }
      lonely[size_t(n / 2)] = NAN;
      for (const auto& row : {few, zeros, ends, lonely}) check_top(DType::f32, row, k);
      const float above[] = {NAN, INFINITY}; // fewer than k of these, then ties at the k-th
      for (size_t i = 0; i < 20; i++) few[(i * 37) % size_t(n)] = above[i % 2];
      check_top(DType::f32, few, k);
    }
}

TEST_CASE("topk of every kind of element") {
  std::mt19937_64 draw{5};
  const int64_t n = 3000;
  std::vector<double> wide;
  std::vector<int64_t> large{std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min()}, same;
  std::vector<int32_t> whole;
  std::vector<int8_t> small;
  std::vector<uint16_t> half, brain;
  std::vector<float> half_values, brain_values;
  for (float v : with_corners(size_t(n), 7)) {
    wide.push_back(double(v) * (1 + 1e-12 * double(wide.size())));
    large.push_back(int64_t(draw()));
    same.push_back(std::numeric_limits<int64_t>::max() - int64_t(draw() % 2));
    whole.push_back(int32_t(draw()));
    small.push_back(int8_t(draw()));
    half.push_back(wane_to_f16(v));
    half_values.push_back(wane_from_f16(half.back()));
    brain.push_back(wane_to_bf16(v));
    brain_values.push_back(wane_from_bf16(brain.back()));
  }
  for (int64_t k : {1, 30, 700, 2999}) {
    check_top(DType::f64, wide, k);
    check_top(DType::i64, large, k);
    check_top(DType::i64, same, k);
    check_top(DType::i32, whole, k);
    check_top(DType::i8, small, k);
    check_top(DType::f16, half, half_values, k);
    check_top(DType::bf16, brain, brain_values, k);
  }
}

TEST_CASE("quantiles interpolate as numpy does") {
  for (int64_t n : {1, 2, 3, 100, 5000}) {
    const auto x = drawn(size_t(4 * n), unsigned(n));
    for (double p : {0.0, 0.1, 0.5, 0.37, 0.9999, 1.0}) {
      std::vector<float> out(4);
      quantile_rows(DType::f32, x.data(), p, out.data(), 4, n);
      for (int64_t r = 0; r < 4; r++) {
        const auto from = x.begin() + r * n;
        CHECK(out[size_t(r)]
              == doctest::Approx(numpy_quantile(std::vector<float>(from, from + n), p)).epsilon(1e-7));
      }
      std::vector<double> wide(x.begin(), x.end());
      double exact;
      quantile_rows(DType::f64, wide.data(), p, &exact, 1, 4 * n);
      CHECK(exact == doctest::Approx(numpy_quantile(wide, p)).epsilon(1e-14));
    }
  }
  // A row long enough for the parallel selection, with ties, signed zeros and a rank that falls between two
  // bins.
  auto x = drawn(300001, 8);
  for (size_t i = 0; i < x.size(); i += 3) x[i] = i % 2 ? 0.0f : -0.0f;
  for (double p : {0.0, 0.2, 0.5, 0.75, 0.9999, 1.0}) {
    float out = 0;
    quantile_rows(DType::f32, x.data(), p, &out, 1, int64_t(x.size()));
    CHECK(out == float(numpy_quantile(x, p)));
    check_threads([&] {
      std::vector<float> one(1);
      quantile_rows(DType::f32, x.data(), p, one.data(), 1, int64_t(x.size()));
      return one;
    });
  }
  std::vector<float> halves(300000, 1.0f);
  std::fill(halves.begin(), halves.begin() + 150000, -3.0f);
  float out = 0;
  quantile_rows(DType::f32, halves.data(), 0.5, &out, 1, 300000);
  CHECK(out == -1.0f);

  const float inf = INFINITY, corner[] = {1, inf, inf, -inf}, broken[] = {1, NAN, 2};
  quantile_rows(DType::f32, corner, 0.9, &out, 1, 4);
  CHECK(out == inf);
  quantile_rows(DType::f32, corner, 0, &out, 1, 4);
  CHECK(out == -inf);
  quantile_rows(DType::f32, broken, 0, &out, 1, 3);
  CHECK(std::isnan(out));
  const int32_t whole[] = {1, 2, 4, 8};
  quantile_rows(DType::i32, whole, 0.5, &out, 1, 4);
  CHECK(out == 3.0f);
  CHECK_THROWS_WITH_AS(quantile_rows(DType::f32, corner, 1.5, &out, 1, 4),
                       "quantile: p lies between 0 and 1, not 1.5", Error);
  CHECK_THROWS_WITH_AS(quantile_rows(DType::f32, corner, 0.5, &out, 1, 0), "quantile: of no elements", Error);
}

TEST_CASE("quantiles of rows that mislead a search: ties, zeros of both signs, infinities, gaps") {
  for (int64_t n : {1, 2, 5, 64, 65, 66, 130, 1000, 4096, 5003}) {
    const auto normal = drawn(size_t(n), unsigned(n));
    auto rising = normal, few = normal, zeros = normal, ends = normal, apart = normal, broken = normal;
    std::sort(rising.begin(), rising.end());
    for (size_t i = 0; i < size_t(n); i++) {
      few[i] = std::round(normal[i]);
      zeros[i] = i % 3 ? -0.0f : i % 7 ? 0.0f : i % 2 ? -1e-42f : 1e-42f;
      if (i % 2) ends[i] = i % 4 == 1 ? INFINITY : -INFINITY;
      apart[i] = i < size_t(n) / 2 ? -1e30f : 1e-30f;
    }
    broken[size_t(n / 3)] = NAN;
    for (float value : {2.5f, -0.0f, INFINITY, -INFINITY, NAN}) {
      const std::vector<float> constant(size_t(n), value);
      check_quantiles(DType::f32, constant, constant);
    }
    for (const auto& x : {normal, rising, few, zeros, ends, apart, broken}) {
      check_quantiles(DType::f32, x, x);
      const std::vector<double> wide(x.begin(), x.end());
      check_quantiles(DType::f64, wide, wide);
      const auto brain = to_bf16(x);
      std::vector<float> values;
      for (uint16_t v : brain) values.push_back(wane_from_bf16(v));
      check_quantiles(DType::bf16, brain, values);
    }
    std::vector<int8_t> small;
    std::vector<int64_t> large{std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min()};
    for (float v : normal) {
      small.push_back(int8_t(v * 20));
      large.push_back(int64_t(v * 1e6f));
    }
    check_quantiles(DType::i8, small, small);
    check_quantiles(DType::i64, large, large);
  }
}

TEST_CASE("histograms of every kind of element, in few bins and many") {
  const auto x = with_corners(3001, 12);
  std::vector<double> wide(x.begin(), x.end());
  std::vector<int32_t> whole;
  for (size_t i = 0; i < x.size(); i++) whole.push_back(int32_t(i % 23) - 11);
  auto check = [](DType dtype, const auto& values, double lo, double hi, int64_t bins) {
    std::vector<int64_t> expected(static_cast<size_t>(bins)), counts(static_cast<size_t>(bins), 7);
    for (auto value : values) {
      const auto v = double(value);
      if (v >= lo && v <= hi)
        expected[size_t(std::min(int64_t((v - lo) * (double(bins) / (hi - lo))), bins - 1))]++;
    }
    histogram(dtype, values.data(), int64_t(values.size()), lo, hi, bins, counts.data());
    CAPTURE(bins);
    CHECK(counts == expected);
  };
  for (int64_t bins : {1, 2, 7, 100, 4096, 5000, 1 << 20}) {
    check(DType::f32, x, -1, 1, bins);
    check(DType::f32, x, 0, 0.3, bins);
    check(DType::f64, wide, -2.5, 1.5, bins);
    check(DType::i32, whole, -11, 11, bins);
    check(DType::i32, whole, -3, 300, bins);
  }
}

TEST_CASE("histograms count what lies inside, the upper edge in the last bin") {
  const float x[] = {-1, 0, 0.5f, 0.99f, 1, 2, 3.99f, 4, 4.01f, NAN, INFINITY};
  std::vector<int64_t> counts(4);
  histogram(DType::f32, x, 11, 0, 4, 4, counts.data());
  CHECK(counts == std::vector<int64_t>{3, 1, 1, 2});
  const auto many = drawn(200000, 3);
  check_threads([&] {
    std::vector<int64_t> c(50);
    histogram(DType::f32, many.data(), 200000, -5, 5, 50, c.data());
    return c;
  });
  counts.resize(50);
  histogram(DType::f32, many.data(), 200000, -6, 6, 50, counts.data());
  CHECK(std::accumulate(counts.begin(), counts.end(), int64_t(0)) == 200000);
  CHECK_THROWS_WITH_AS(histogram(DType::f32, x, 1, 1, 1, 4, counts.data()), "histogram: no range from 1 to 1",
                       Error);
  CHECK_THROWS_WITH_AS(histogram(DType::f32, x, 1, 0, 1, 0, counts.data()),
                       "histogram: 1 to 2^20 bins, not 0", Error);
}
