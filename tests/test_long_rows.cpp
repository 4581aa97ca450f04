// Rows so long that the threads share one: the documented order of summation, whatever the number of threads,
// and a stop in the middle.
#include <chrono>
#include <cmath>
#include <thread>

#include <doctest/doctest.h>

#include "runtime/calls.h"
#include "runtime/cpu/pool.h"
#include "runtime/flush.h"
#include "runtime/program.h"
#include "runtime/random.h"

using namespace wane;

namespace {

constexpr int64_t kLong = (int64_t(1) << 20) + 3 * 256 + 77;

struct Threads {
  int before = thread_count();
  explicit Threads(int n) { set_thread_count(n); }
  ~Threads() { set_thread_count(before); }
};

// A sum as program.h states it: blocks of 256, 16 lanes by position, folded as a tree; blocks in order.
template <class T> T stated_sum(const T* x, int64_t n, bool squares) {
  T sum = 0;
  for (int64_t first = 0; first < n; first += kReduceBlock) {
    T lanes[kReduceLanes] = {};
    int64_t count = std::min(kReduceBlock, n - first);
    for (int64_t i = 0; i < count; ++i) {
      T v = x[first + i];
      lanes[i % kReduceLanes] += squares ? v * v : v;
    }
    for (int half = kReduceLanes / 2; half > 0; half /= 2)
      for (int l = 0; l < half; ++l) lanes[l] += lanes[l + half];
    sum += lanes[0];
  }
  return sum;
}

Tensor random(const Shape& shape, DType dtype) { return randn(shape, dtype, 5).flushed(); }
Tensor number(double x, DType dtype) { return full(Shape{}, dtype, x); }

} // namespace

TEST_CASE("long rows: sums in the stated order with any number of threads") {
  for (DType dtype : {DType::f32, DType::f64}) {
    Tensor x = random({2, kLong}, dtype);
    for (int threads : {1, 2, 3, 7}) {
      Threads set(threads);
      Tensor sum = reduce(Reduction::sum, x, 1).flushed(), squares = reduce(Reduction::sumsq, x, 1).flushed();
      for (int64_t row = 0; row < 2; ++row) {
        double expected = dtype == DType::f32 ? stated_sum(x.data<float>() + row * kLong, kLong, false)
                                              : stated_sum(x.data<double>() + row * kLong, kLong, false);
        CHECK(item(sum, row) == expected);
        expected = dtype == DType::f32 ? stated_sum(x.data<float>() + row * kLong, kLong, true)
                                       : stated_sum(x.data<double>() + row * kLong, kLong, true);
        CHECK(item(squares, row) == expected);
      }
    }
  }
}

TEST_CASE("long rows: extremes, NaN and the place of it") {
  Tensor x = random({1, kLong}, DType::f32);
  for (int64_t at : {int64_t(0), int64_t(256), kLong / 2, kLong - 1}) {
    Tensor y = from_bytes({1, kLong}, DType::f32, std::as_bytes(std::span(x.data<float>(), size_t(kLong))));
    y.data<float>()[at] = 100;
    CHECK(item(reduce(Reduction::max, y, 1), 0) == 100);
    CHECK(item(reduce(Reduction::absmax, y, 1), 0) == 100);
    y.data<float>()[at] = -200;
    CHECK(item(reduce(Reduction::min, y, 1), 0) == -200);
    CHECK(item(reduce(Reduction::absmax, y, 1), 0) == 200);
    y.data<float>()[at] = NAN;
    for (auto kind : {Reduction::sum, Reduction::min, Reduction::max, Reduction::absmax, Reduction::sumsq})
      CHECK(std::isnan(item(reduce(kind, y, 1), 0)));
  }
}

TEST_CASE("long rows: three phases, row operands and rounding, fused as unfused") {
  bool fused = fuse_enabled();
  for (DType dtype : {DType::f32, DType::bf16, DType::f64}) {
    Tensor x = cast(random({2, kLong}, DType::f32), dtype).flushed(), scale = random({2, 1}, DType::f32);
    auto chain = [&] {
      Tensor v = map(Op::mul, x, scale); // one value a row, expanded
      Tensor e = map(Op::exp, map(Op::sub, v, reduce(Reduction::max, v, 1)));
      Tensor y = map(Op::div, e, reduce(Reduction::sum, e, 1));
      Tensor z = map(Op::add, y, map(Op::mul, reduce(Reduction::absmax, x, 1), number(0.5, dtype)));
      return cast(z, dtype).flushed();
    };
    Tensor results[3];
    int i = 0;
    for (int threads : {1, 3}) {
      Threads set(threads);
      set_fuse(true);
      results[i++] = chain();
    }
    set_fuse(false);
    results[i] = chain();
    set_fuse(fused);
    CHECK(same(results[0], results[1]));
    CHECK(same(results[0], results[2]));
  }
}

TEST_CASE("long rows: one row stops in the middle") {
  Tensor one = random({1, 1}, DType::f32), row = expand(one, {1, int64_t(1) << 31});
  for (int threads : {1, 2}) {
    Threads set(threads);
    std::thread stop([] {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      request_interrupt();
    });
    Fault fault = Fault::internal;
    try {
      reduce(Reduction::sum, row, 1).flushed();
    } catch (const Error& e) {
      fault = e.fault();
    }
    stop.join();
    clear_interrupt();
    CHECK(fault == Fault::interrupted);
  }
}
