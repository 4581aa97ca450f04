// Programs over many short rows, as quantizers of groups make them: odd numbers of groups, odd group sizes,
// several reductions, one on another's result, and groups with NaN, infinities and zeros of both signs.
// Fused, op by op, on 1 to 7 threads: the bits of one element computed alone.
#include <doctest/doctest.h>

#include <cmath>
#include <functional>
#include <random>

#include "runtime/calls.h"
#include "runtime/plan.h"
#include "tests/reference.h"
#include "tests/settings.h"

using namespace wane;

namespace {

// A tensor and what it has to be.
struct Value {
  Tensor tensor;
  reference::Array want;
};

Value apply(Op op, const std::vector<Value>& operands) {
  std::vector<Tensor> tensors;
  std::vector<reference::Array> arrays;
  for (auto& x : operands) tensors.push_back(x.tensor), arrays.push_back(x.want);
  return {map(op, tensors), reference::map(op, arrays)};
}
Value number(double x) {
  return {full(Shape{}, DType::f32, x), {{}, DType::f32, {{reference::rounded(DType::f32, x), 0}}}};
}
Value over_groups(Reduction kind, const Value& x) {
  return {reduce(kind, x.tensor, x.tensor.rank() - 1), reference::reduce(kind, x.want)};
}
Value as(const Value& x, DType dtype) { return {cast(x.tensor, dtype), reference::cast(x.want, dtype)}; }
Value operator+(const Value& a, const Value& b) { return apply(Op::add, {a, b}); }
Value operator-(const Value& a, const Value& b) { return apply(Op::sub, {a, b}); }
Value operator*(const Value& a, const Value& b) { return apply(Op::mul, {a, b}); }
Value operator/(const Value& a, const Value& b) { return apply(Op::div, {a, b}); }
Value clamped(const Value& x, double low, double high) {
  return apply(Op::minimum, {apply(Op::maximum, {x, number(low)}), number(high)});
}
Value rounded(const Value& x) { return apply(Op::round, {x}); }

// Some groups have special values, some are zeros.
reference::Array drawn_groups(int64_t groups, int64_t size, DType dtype) {
  static const double kSpecial[] = {0, -0.0, NAN, INFINITY, -INFINITY, 1e30, -1e-40};
  std::mt19937 rng(uint32_t(groups * 1009 + size));
  std::normal_distribution<double> normal(0, 1);
  reference::Array out{{groups, size}, dtype, {}};
  for (int64_t group = 0; group < groups; ++group) {
    const auto kind = rng() % 5; // 0: special values among others, 1: zeros of both signs
    for (int64_t i = 0; i < size; ++i) {
      double x = normal(rng);
      if (kind == 0 && rng() % 3 == 0) x = kSpecial[rng() % 7];
      if (kind == 1) x = rng() % 2 ? 0.0 : -0.0;
      out.values.push_back(reference::converted({x, 0}, DType::f64, dtype));
    }
  }
  return out;
}

Value symmetric(const Value& x) {
  Value scale = over_groups(Reduction::absmax, x) / number(15) * number(2);
  scale = apply(Op::where, {apply(Op::eq, {scale, number(0)}), number(1), scale});
  return clamped(rounded(x / scale), -8, 7) * scale;
}
// Two reductions, and a third of what they make; one number a group.
Value asymmetric_error(const Value& x) {
  Value low = over_groups(Reduction::min, x), step = (over_groups(Reduction::max, x) - low) / number(15);
  Value codes = clamped(rounded((x - low) / step), 0, 15);
  return over_groups(Reduction::sumsq, x - (codes * step + low));
}
Value softmax(const Value& x) {
  Value e = apply(Op::exp, {x - over_groups(Reduction::max, x)});
  return e / over_groups(Reduction::sum, e);
}
Value codes(const Value& x) { // stored in 8 bits
  return as(clamped(rounded(x / over_groups(Reduction::absmax, x) * number(7)), -8, 7), DType::i8);
}
Value centred(const Value& x) { // a reduction of what another one scaled
  Value y = as(x, DType::bf16) / over_groups(Reduction::absmax, x);
  return y - over_groups(Reduction::sum, y) / over_groups(Reduction::sumsq, x);
}

const std::function<Value(const Value&)> kPrograms[] = {symmetric, asymmetric_error, softmax, codes, centred};
const int64_t kSizes[] = {1,  2,  3,  5,   8,   15,  16,  17,  24,  31, 32,
                          33, 48, 64, 100, 128, 200, 255, 256, 257, 300};
const int64_t kCounts[] = {1, 3, 4, 7, 33, 70};

} // namespace

TEST_CASE("groups: fit and round, errors, softmax and codes have the bits of each element alone") {
  Settings before;
  for (int64_t size : kSizes)
    for (DType dtype : {DType::f32, DType::bf16, DType::f16, DType::f64, DType::i8}) {
      prove(size == 24); // of all sizes the program is the same
      const int64_t count = kCounts[size_t(size + int64_t(dtype)) % 6];
      const auto array = drawn_groups(count, size, dtype);
      for (size_t p = 0; p < std::size(kPrograms); ++p)
        for (int threads : {1, 2, 3, 7}) {
          set_thread_count(threads);
          set_fuse(threads != 3);
          Value x{reference::tensor_of(array), array};
          if (dtype == DType::i8) x = as(x, DType::f32);
          Value y = kPrograms[p](x);
          CAPTURE(size);
          CAPTURE(count);
          CAPTURE(name_of(dtype));
          CAPTURE(p);
          CHECK(reference::difference(y.tensor, y.want) == "");
        }
    }
}

TEST_CASE("groups: as many as several threads share") {
  Settings before;
  prove(false);
  for (int64_t size : {7, 32, 96}) {
    const auto array = drawn_groups(60000 / size, size, DType::f32);
    for (int threads : {1, 3}) {
      set_thread_count(threads);
      Value y = symmetric({reference::tensor_of(array), array});
      CHECK(reference::difference(y.tensor, y.want) == "");
      CHECK(y.tensor.node()->kind == NodeKind::leaf);
    }
  }
}

TEST_CASE("groups: fit and round is one program, its scale read four times") {
  Settings before;
  set_fuse(true);
  const auto array = drawn_groups(9, 32, DType::f32);
  Value y = symmetric({reference::tensor_of(array), array});
  CHECK(is_pending(*y.tensor.node()));
  const TreeCounts counts = count_tree(*y.tensor.node());
  CHECK(counts.ops == 10);
  CHECK(counts.reductions == 1);
  CHECK(counts.inputs == 1);
  CHECK(counts.retained == 9 * 32 * 4);
  CHECK(reference::difference(y.tensor, y.want) == "");
}
