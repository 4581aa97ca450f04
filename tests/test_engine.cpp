// The engine against plain C++ in f64: random expression trees, fused and not, odd shapes, strided and
// broadcast operands, reductions, and the same bytes for any thread count.
#include <doctest/doctest.h>

#include <cmath>
#include <random>
#include <thread>

#include "runtime/buffer.h"
#include "runtime/calls.h"
#include "runtime/cpu/pool.h"
#include "runtime/flush.h"
#include "runtime/program.h"
#include "runtime/tensor.h"
#include "tests/settings.h"

using namespace wane;

namespace {

struct FuseScope {
  bool before = fuse_enabled();
  explicit FuseScope(bool on) { set_fuse(on); }
  ~FuseScope() { set_fuse(before); }
};

Tensor random_tensor(std::mt19937& rng, Shape shape, DType dtype = DType::f32) {
  Tensor t = empty(shape, DType::f32);
  std::normal_distribution<float> normal;
  for (int64_t i = 0; i < t.count(); ++i) t.data<float>()[i] = normal(rng);
  return dtype == DType::f32 ? t : cast(t, dtype).flushed();
}

// The same bits; where both are NaN the payload is free (it follows the order in which a compiler puts
// operands).
bool equal_bits(const Tensor& x, const Tensor& y) {
  if (same(x, y)) return true;
  if (x.dtype() != y.dtype() || !(x.shape() == y.shape())) return false;
  for (int64_t i = 0; i < x.count(); ++i) {
    double a = item(x, i), b = item(y, i);
    if (std::isnan(a) && std::isnan(b)) continue;
    if (a != b || std::signbit(a) != std::signbit(b)) {
      MESSAGE("element ", i, ": ", a, " and ", b);
      return false;
    }
  }
  return true;
}

double at(const Tensor& t, int64_t i) { return item(t, i); }

} // namespace

TEST_CASE("maps broadcast and match plain arithmetic") {
  std::mt19937 rng(1);
  for (bool fused : {true, false}) {
    FuseScope scope(fused);
    for (int64_t rows : {1, 3, 7, 130})
      for (int64_t n : {1, 2, 31, 64, 257, 600, 5000}) {
        Tensor a = random_tensor(rng, {rows, n}), b = random_tensor(rng, {n}),
               c = random_tensor(rng, {rows, 1});
        Tensor y = map(Op::add, map(Op::mul, a, b), c);
        for (int64_t i = 0; i < rows * n; i += 1 + rows * n / 50) {
          float want = a.data<float>()[i] * b.data<float>()[i % n];
          want += c.data<float>()[i / n];
          CHECK(at(y, i) == double(want));
        }
      }
  }
}

TEST_CASE("row programs: softmax-like chains of three phases equal the unfused bits") {
  std::mt19937 rng(2);
  for (int64_t rows : {1, 5, 64})
    for (int64_t n : {1, 3, 16, 64, 172, 255, 256, 257, 576, 2048, 2049, 7000}) {
      Tensor x = random_tensor(rng, {rows, n}), g = random_tensor(rng, {n});
      auto run = [&] {
        Tensor top = reduce(Reduction::max, x, 1);
        Tensor e = map(Op::exp, map(Op::sub, x, top));
        Tensor s = reduce(Reduction::sum, e, 1);
        Tensor y = map(Op::mul, map(Op::div, e, s), g);
        return map(Op::div, y, map(Op::add, reduce(Reduction::absmax, y, 1), full({}, DType::f32, 1e-6)))
            .flushed();
      };
      Tensor fused = [&] {
        FuseScope on(true);
        return run();
      }();
      Tensor plain = [&] {
        FuseScope off(false);
        return run();
      }();
      CHECK(same(fused, plain));
      double total = 0;
      for (int64_t j = 0; j < n; ++j) total += std::exp(double(x.data<float>()[j]));
      CHECK(std::isfinite(total));
    }
}

TEST_CASE("sums agree with f64 and do not depend on threads") {
  std::mt19937 rng(3);
  for (int64_t n : {1, 15, 16, 17, 255, 256, 300, 4096, 100000}) {
    Tensor x = random_tensor(rng, {9, n});
    double want = 0;
    for (int64_t j = 0; j < n; ++j) want += x.data<float>()[j];
    Tensor first;
    for (int threads : {1, 2, 3, 7}) {
      set_thread_count(threads);
      Tensor s = reduce(Reduction::sum, x, 1).flushed();
      // one rounding per addition of a tree of height n / 256 + 20, on values of size about 1
      CHECK(at(s, 0) == doctest::Approx(want).epsilon(1e-6).scale(std::sqrt(double(n)) + 1));
      if (!first) first = s;
      CHECK(same(first, s));
    }
  }
  set_thread_count(2);
}

TEST_CASE("every op rounds to its dtype, fused or not") {
  std::mt19937 rng(4);
  for (DType dtype : {DType::bf16, DType::f16, DType::e4m3, DType::e5m2}) {
    Tensor a = random_tensor(rng, {33, 77}, dtype), b = random_tensor(rng, {33, 77}, dtype);
    auto run = [&] {
      return map(Op::mul, map(Op::add, a, b), map(Op::sub, map(Op::mul, a, b), a)).flushed();
    };
    Tensor fused = [&] {
      FuseScope on(true);
      return run();
    }();
    Tensor plain = [&] {
      FuseScope off(false);
      return run();
    }();
    CHECK(fused.dtype() == dtype);
    CHECK(same(fused, plain));
  }
}

TEST_CASE("integers wrap in their own width and promote") {
  Tensor a = full({4}, DType::i8, int64_t(100)), b = full({4}, DType::i8, int64_t(100));
  CHECK(item_integer(map(Op::add, a, b), 0) == int8_t(200));
  CHECK(promote(DType::i8, DType::u8) == DType::i32);
  CHECK(promote(DType::bf16, DType::f16) == DType::f32);
  CHECK(promote(DType::i64, DType::bf16) == DType::bf16);
  Tensor q = map(Op::div, full({1}, DType::i32, int64_t(1)), full({1}, DType::i32, int64_t(3)));
  CHECK(q.dtype() == DType::f32);
  CHECK(at(q, 0) == double(1.0f / 3.0f));
  CHECK(item_integer(map(Op::mod, full({1}, DType::i32, int64_t(-7)), full({1}, DType::i32, int64_t(3))), 0)
        == 2);
  CHECK(item_integer(map(Op::mod, full({1}, DType::i32, int64_t(-7)), full({1}, DType::i32, int64_t(0))), 0)
        == 0);
  CHECK_THROWS_WITH_AS(full({1}, DType::i32, 0.5), "the number 0.5 is not whole and the tensor holds i32",
                       Error);
}

TEST_CASE("views are strided and a transposed operand is read right") {
  std::mt19937 rng(5);
  Tensor a = random_tensor(rng, {37, 53});
  Tensor t = transpose(a, 0, 1);
  Tensor y = map(Op::add, t, full({}, DType::f32, 1.0));
  for (int64_t i : {0, 1, 36, 37, 500, 1960})
    CHECK(at(y, i) == double(a.data<float>()[(i % 37) * 53 + i / 37] + 1.0f));
  Tensor s = slice(slice(a, 0, 3, 5), 1, 10, 7);
  CHECK(at(reduce(Reduction::max, s, 1), 0) == [&] {
    float m = -1e9f;
    for (int j = 10; j < 17; ++j) m = std::max(m, a.data<float>()[3 * 53 + j]);
    return double(m);
  }());
  CHECK(reshape(t, {53 * 37}).shape() == Shape{53 * 37});
}

TEST_CASE("shared subtrees are computed right when they are read twice") {
  std::mt19937 rng(6);
  Tensor a = random_tensor(rng, {100});
  Tensor shared = map(Op::exp, a);
  Tensor y = map(Op::add, shared, full({}, DType::f32, 1.0)).flushed();
  Tensor z = map(Op::mul, shared, full({}, DType::f32, 2.0)).flushed();
  CHECK(at(z, 5) == 2 * (at(shared, 5)));
  CHECK(float(at(y, 7)) == float(at(shared, 7)) + 1.0f);
}

TEST_CASE("long chains flush at the limits and stay right") {
  Tensor x = full({10}, DType::f32, 1.0);
  Tensor y = map(Op::add, x, x);
  for (int i = 0; i < 500; ++i) y = map(Op::add, y, x);
  CHECK(at(y, 9) == 502.0);
  for (int i = 0; i < 100; ++i) y = map(Op::mul, y, full({}, DType::f32, 0.5));
  CHECK(std::isfinite(at(y, 0)));
}

TEST_CASE("random trees: fused, unfused and flushed at random nodes give the same bytes") {
  std::mt19937 rng(7);
  for (int round = 0; round < 120; ++round) {
    auto pick = [&](int n) { return int(rng() % uint32_t(n)); };
    int64_t sizes[] = {1, 2, 17, 64, 200, 576, 2500};
    int64_t rows = 1 + pick(9), n = sizes[pick(7)];
    std::vector<Tensor> leaves{random_tensor(rng, {rows, n}), random_tensor(rng, {n}),
                               random_tensor(rng, {rows, 1}), random_tensor(rng, {1, n}),
                               random_tensor(rng, {rows, n}, DType::bf16)};
    uint32_t seed = rng();
    auto build = [&](bool flush_some) {
      std::mt19937 plan(seed), coin(seed + 1);
      std::vector<Tensor> pool = leaves;
      for (int i = 0; i < 20; ++i) {
        const Tensor& a = pool[plan() % pool.size()];
        const Tensor& b = pool[plan() % pool.size()];
        uint32_t kind = plan() % 10;
        Tensor y;
        if (kind < 2)
          y = reduce(kind ? Reduction::absmax : Reduction::sum, a, a.rank() - 1);
        else if (kind == 2)
          y = map(Op::tanh, a);
        else if (kind == 3)
          y = map(Op::where, map(Op::lt, a, b), a, b);
        else if (kind == 4)
          y = cast(a, plan() % 2 ? DType::bf16 : DType::f32);
        else {
          Op ops[] = {Op::add, Op::mul, Op::sub, Op::maximum, Op::minimum};
          y = map(ops[kind - 5], a, b);
        }
        if (flush_some && coin() % 4 == 0) y.flushed();
        pool.push_back(y);
      }
      return pool.back().dense();
    };
    Tensor fused = [&] {
      FuseScope on(true);
      return build(false);
    }();
    Tensor some = [&] {
      FuseScope on(true);
      return build(true);
    }();
    Tensor plain = [&] {
      FuseScope off(false);
      return build(false);
    }();
    INFO("seed ", seed, " rows ", rows, " n ", n);
    REQUIRE(equal_bits(fused, plain));
    REQUIRE(equal_bits(some, plain));
  }
}

TEST_CASE("a lookup table may be an operand of the same program, and the index itself") {
  Tensor table = cast(arange(0, 3, 1, DType::i64), DType::f32).flushed();
  CHECK(reduce_all(Reduction::absmax, map(Op::sub, lookup(table, table), table)) == 0);
  Tensor far =
      full({1}, DType::i64, int64_t(1) << 32).flushed(); // beyond the table, not wrapped to its start
  CHECK(item(lookup(far, table), 0) == 3);
}

TEST_CASE("whole numbers are reduced exactly beyond the digits of a double") {
  const int64_t big = (int64_t(1) << 53) + 1;
  Tensor x = cast(arange(big, big, 1, DType::i64), DType::i64);
  CHECK(reduce_all_integer(Reduction::max, x) == big);
  CHECK(reduce_all_integer(Reduction::sum, full({500}, DType::i64, big).flushed()) == 500 * big);
}

TEST_CASE("quantiles of whole numbers are f32 numbers") {
  const int32_t values[] = {-2, 5, -1};
  Tensor x = from_bytes({3}, DType::i32, std::as_bytes(std::span(values)));
  CHECK(quantile(x, 0.5, 0).dtype() == DType::f32);
  CHECK(quantile_all(x, 0) == -2);
  CHECK(quantile_all(cast(x, DType::i64), 0.75) == 2);
}

TEST_CASE("sizes and ranges that make no sense are refused") {
  const int64_t sizes[] = {-1, -4};
  CHECK_THROWS_WITH_AS(Shape(std::span<const int64_t>(sizes)), "a dim of size -1 in [-1 x -4]", Error);
  Tensor x = empty({4}, DType::f32);
  CHECK_THROWS_AS(slice(x, 0, 3, INT64_MAX), Error);
  CHECK_THROWS_WITH_AS(arange(INT64_MIN, INT64_MAX, 1, DType::i64),
                       "arange: -9223372036854775808 to 9223372036854775807 in steps of 1 is too long",
                       Error);
  CHECK(arange(INT64_MIN, INT64_MAX, int64_t(1) << 62, DType::i64).count() == 4);
  Tensor token = full({1}, DType::i64, int64_t(1) << 32).flushed();
  CHECK_THROWS_AS(embedding(token, eye(2, DType::f32)), Error);
}

TEST_CASE("a buffer written over itself moves its values, and a packed view of it goes stale") {
  MutableArray array(arange(1, 200000, 1, DType::i64));
  const int64_t first[] = {1}, count[] = {199999};
  array.write(first, count, slice(array.view(), 0, 0, 199999));
  Tensor moved = array.freeze();
  CHECK(item_integer(moved, 0) == 1);
  CHECK(same(slice(moved, 0, 1, 199999), arange(1, 199999, 1, DType::i64)));

  MutableArray weights(eye(4, DType::f32));
  Tensor view = weights.view(), x = full({1, 4}, DType::f32, 1.0);
  CHECK(item(linear(x, view), 0) == 1);
  const int64_t corner[] = {0, 0}, one[] = {1, 1};
  weights.write(corner, one, full({1, 1}, DType::f32, 100.0));
  CHECK_THROWS_AS(linear(x, view), Error);
}

TEST_CASE("a bound that is NaN wins over the value, also where maximum and minimum are one loop") {
  const float values[] = {1, -5, 5, NAN, 0.5f, 0}, lows[] = {NAN, -1, -1, -1, 1, NAN},
              highs[] = {2, NAN, 2, 2, 2, NAN};
  auto row = [](const float(&list)[6]) {
    return from_bytes({6}, DType::f32, std::as_bytes(std::span(list)));
  };
  Tensor y = map(Op::minimum, map(Op::maximum, row(values), row(lows)), row(highs));
  for (int i : {0, 1, 3, 5}) CHECK(std::isnan(at(y, i)));
  CHECK(at(y, 2) == 2);
  CHECK(at(y, 4) == 1);
}

TEST_CASE("whole numbers beyond the digits of f64 go to narrow floats in one rounding") {
  // One above the middle of two bf16 values: f64 alone would round onto the middle, then to even.
  const int64_t middle = (int64_t(1) << 60) + (int64_t(1) << 52);
  const int64_t values[] = {middle + 1, middle, middle - 1, -middle - 1, INT64_MAX, INT64_MIN};
  Tensor x = from_bytes({6}, DType::i64, std::as_bytes(std::span(values)));
  const double step = 0x1p53, want[] = {0x1p60 + step, 0x1p60, 0x1p60, -0x1p60 - step, 0x1p63, -0x1p63};
  Tensor y = cast(x, DType::bf16);
  for (int i = 0; i < 6; ++i) CHECK(at(y, i) == want[i]);
  CHECK(at(full({}, DType::bf16, middle + 1).flushed(), 0) == 0x1p60 + step);
  CHECK(at(full({}, DType::f32, (int64_t(1) << 60) + (int64_t(1) << 36) + 1).flushed(), 0)
        == 0x1p60 + 0x1p37);
}

TEST_CASE("a range that the dtype does not hold is refused with the value and the range") {
  CHECK_THROWS_WITH_AS(arange(1, 300, 1, DType::i8),
                       "arange: 1 to 300 does not fit in i8: 300 is outside of -128 to 127", Error);
  CHECK_THROWS_WITH_AS(arange(-1, 3, 1, DType::u8),
                       "arange: -1 to 3 does not fit in u8: -1 is outside of 0 to 255", Error);
  CHECK_THROWS_WITH_AS(full({}, DType::u8, int64_t(256)), "the number 256 does not fit in u8: 0 to 255",
                       Error);
  CHECK(arange(120, 127, 8, DType::i8).count() == 1);
  CHECK(arange(5, 1, 1, DType::u8).count() == 0);
  CHECK(at(arange(1, 300, 1, DType::bf16), 298) == 300);
}

TEST_CASE("more programs than are kept lowered still run") {
  Settings before;
  prove(false);
  Tensor x = full({3}, DType::f32, 1.0).flushed();
  for (int i = 0; i < 5000; ++i) { // thirteen bits choose the ops
    Tensor y = x;
    double want = 1;
    for (int bit = 0; bit < 13; ++bit) {
      bool adds = i >> bit & 1;
      y = map(adds ? Op::add : Op::mul, y, x);
      want += adds;
    }
    if (at(y, 2) != want) FAIL_CHECK("program ", i);
  }
}

TEST_CASE("one row that is broadcast is multiplied like its copies") {
  std::mt19937 rng(8);
  Tensor row = random_tensor(rng, {1, 70}), w = random_tensor(rng, {45, 70});
  Tensor wide = expand(row, {33, 70});
  CHECK(same(linear(wide, w), linear(wide.dense(), w)));
  CHECK(same(matmul(wide, transpose(w, 0, 1)), matmul(wide.dense(), transpose(w, 0, 1))));
  CHECK(linear(cast(wide, DType::f64), empty({0, 70}, DType::f64)).shape() == Shape{33, 0});
}

TEST_CASE("empty tensors and zero-dim tensors") {
  Tensor none = empty({0, 5}, DType::f32);
  CHECK(map(Op::exp, none).flushed().count() == 0);
  CHECK(at(reduce(Reduction::sum, empty({3, 0}, DType::f32), 1), 2) == 0.0);
  CHECK_THROWS_WITH_AS(reduce(Reduction::max, empty({3, 0}, DType::f32), 1), "max: nothing to reduce", Error);
  Tensor scalar = full({}, DType::f32, 2.0);
  CHECK(at(map(Op::mul, scalar, scalar), 0) == 4.0);
  CHECK(reduce_all(Reduction::sum, full({1000, 1000}, DType::f32, 1.0)) == 1e6);
}

TEST_CASE("mistakes name the op and both operands") {
  OriginScope scope({intern_file("recipe.lua"), 14});
  Tensor a = empty({512, 576}, DType::f32, "rmsnorm"), b = empty({1536, 576}, DType::f32, "up");
  try {
    map(Op::add, a, b);
    FAIL("no error");
  } catch (const Error& e) {
    CHECK(e.text()
          == "add: shapes do not fit: [512 x 576] and [1536 x 576]\n"
             "  left    [512 x 576]   f32  made by rmsnorm at recipe.lua:14\n"
             "  right   [1536 x 576]   f32  made by up at recipe.lua:14");
  }
}

TEST_CASE("nodes go back from any thread, also when there are more than are kept") {
  Tensor x = full({4}, DType::f32, 2.0).flushed();
  for (int round = 0; round < 3; ++round) {
    std::vector<Tensor> pending;
    for (int i = 0; i < 6000; ++i) pending.push_back(map(Op::add, x, full(Shape{}, DType::f32, double(i))));
    double sum = 0;
    std::thread other([mine = std::move(pending), &sum, &x]() mutable {
      for (size_t i = 0; i < mine.size(); i += 1000) sum += item(mine[i], 3);
      mine.clear();
      sum += item(map(Op::mul, x, x), 0);
    });
    other.join();
    CHECK(sum == 6 * 2 + 15000 + 4);
  }
}
