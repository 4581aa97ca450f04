// Every map of ops.def, in every dtype: contiguous, strided, broadcast, empty and 0-d operands; fused, op by
// op and with operands that were computed before; 1, 2, 3 and 7 threads. All must have the bits of one
// element computed alone (reference.h), and in f32 and f64 come within the op's bound of the exact value. A
// new op is covered by its row in ops.def and one in kExact.
#include <doctest/doctest.h>

#include <functional>
#include <random>

#include "tests/exact_functions.h"
#include "tests/reference.h"
#include "tests/settings.h"

using namespace wane;
using reference::Array;
using reference::Number;

namespace {

Array drawn(const Shape& shape, DType dtype, uint32_t seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<double> normal(0, 3);
  static const double kSpecial[] = {0, -0.0, INFINITY, -INFINITY, NAN, 1e30, -1e30, 1e-40, 65504, 0.5, 1, -1};
  static const int64_t kEdges[] = {0,         1,   -1,   INT64_MAX, INT64_MIN, INT32_MAX,
                                   INT32_MIN, 127, -128, 255,       31,        64};
  Array out{shape, dtype, {}};
  for (int64_t i = 0; i < shape.count(); ++i) {
    bool special = rng() % 6 == 0;
    Number x{reference::rounded(dtype, special ? kSpecial[rng() % 12] : normal(rng)), 0};
    if (!is_float(dtype))
      x = reference::converted({0, special ? kEdges[rng() % 12] : int64_t(rng() % 90) - 30}, DType::i64,
                               dtype);
    out.values.push_back(x);
  }
  return out;
}

// The same values in other memory.
Tensor strided(const Array& a) {
  if (a.shape.rank() < 2) return reference::tensor_of(a);
  Tensor turned = reference::tensor_of(reference::transposed(a, 0, 1));
  return transpose(turned, 0, 1);
}

// The values again, pending: the larger of x and x has x's bits.
Tensor pending(const Tensor& x) { return map(Op::maximum, x, x); }

bool takes(Op op, DType dtype) { return info(op).rule != ResultRule::integer || !is_float(dtype); }

DType operand_dtype(Op op, int operand, DType dtype) {
  return info(op).rule == ResultRule::chosen && operand == 0 ? DType::boolean : dtype;
}

struct Operands {
  std::vector<Array> values;
  std::vector<Tensor> tensors;
};

Operands operands_of(Op op, DType dtype, const std::vector<Shape>& shapes, Tensor (*make)(const Array&)) {
  Operands out;
  for (int i = 0; i < info(op).arity; ++i) {
    out.values.push_back(
        drawn(shapes[size_t(i) % shapes.size()], operand_dtype(op, i, dtype), uint32_t(i + 1)));
    out.tensors.push_back(make(out.values.back()));
  }
  return out;
}

enum class Mode { fused, alone, flushed };
Tensor run(Op op, const Operands& x, Mode mode) {
  set_fuse(mode != Mode::alone);
  std::vector<Tensor> args;
  for (auto& tensor : x.tensors)
    args.push_back(mode == Mode::flushed ? pending(tensor).flushed() : pending(tensor));
  return map(op, args).flushed();
}

struct Layout {
  const char* name;
  std::vector<Shape> shapes;
  Tensor (*make)(const Array&);
};
const std::vector<Layout>& layouts() {
  static const std::vector<Layout> all = {
      {"contiguous", {{5, 37}}, reference::tensor_of},
      {"strided", {{5, 37}}, strided},
      {"strided by contiguous", {{37, 6}, {6}, {37, 1}}, strided},
      {"broadcast rows", {{5, 37}, {37}, {1, 37}}, reference::tensor_of},
      {"broadcast columns", {{5, 1}, {5, 37}, {5, 1}}, reference::tensor_of},
      {"broadcast both", {{4, 1, 9}, {3, 1}, {}}, reference::tensor_of},
      {"empty", {{0, 37}, {37}, {0, 1}}, reference::tensor_of},
      {"an empty row", {{4, 0}, {4, 1}, {1, 0}}, reference::tensor_of},
      {"0-d", {{}}, reference::tensor_of}};
  return all;
}

// Exact values and bounds in ulp of f32; of f64 the bound is 8. `near`: an absolute error per |a| that counts
// as none, where factors cancel.
struct Exact {
  Op op;
  double ulps;
  std::function<double(double, double)> f;
  double near = 0;
};
const Exact kExact[] = {
    {Op::add, 0.5, [](double a, double b) { return a + b; }},
    {Op::sub, 0.5, [](double a, double b) { return a - b; }},
    {Op::mul, 0.5, [](double a, double b) { return a * b; }},
    {Op::div, 0.5, [](double a, double b) { return a / b; }},
    {Op::pow, 0.51, [](double a, double b) { return std::pow(a, b); }},
    {Op::neg, 0, [](double a, double) { return -a; }},
    {Op::abs, 0, [](double a, double) { return std::abs(a); }},
    {Op::sign, 0, [](double a, double) { return a > 0   ? 1
                                                : a < 0 ? -1
                                                        : a; }},
    {Op::square, 0.5, [](double a, double) { return a * a; }},
    {Op::maximum, 0, [](double a, double b) { return a != a || a > b ? a : b; }},
    {Op::minimum, 0, [](double a, double b) { return a != a || a < b ? a : b; }},
    {Op::sqrt, 0.5, [](double a, double) { return std::sqrt(a); }},
    {Op::rsqrt, 1.5, [](double a, double) { return 1 / std::sqrt(a); }},
    {Op::reciprocal, 0.5, [](double a, double) { return 1 / a; }},
    {Op::exp, 2, [](double a, double) { return std::exp(a); }},
    {Op::exp2, 2, [](double a, double) { return std::exp2(a); }},
    {Op::expm1, 3, [](double a, double) { return std::expm1(a); }},
    {Op::log, 2, [](double a, double) { return std::log(a); }},
    {Op::log2, 2, [](double a, double) { return std::log2(a); }},
    {Op::log1p, 2, [](double a, double) { return std::log1p(a); }},
    {Op::sin, 2, [](double a, double) { return std::sin(a); }},
    {Op::cos, 2, [](double a, double) { return std::cos(a); }},
    {Op::tanh, 2, [](double a, double) { return std::tanh(a); }},
    {Op::erf, 2, [](double a, double) { return std::erf(a); }},
    {Op::sigmoid, 2, [](double a, double) { return exact::sigmoid(a); }},
    {Op::silu, 4, [](double a, double) { return exact::silu(a); }, 1e-43},
    {Op::softplus, 3, [](double a, double) { return exact::softplus(a); }},
    {Op::relu, 0, [](double a, double) { return a != a || a > 0 ? a : 0.0; }},
    {Op::gelu, 4, [](double a, double) { return exact::gelu(a); }, 1.2e-7},
    {Op::gelu_tanh, 8, [](double a, double) { return exact::gelu_tanh(a); }, 1.2e-7},
    {Op::round, 0, [](double a, double) { return std::nearbyint(a); }},
    {Op::floor, 0, [](double a, double) { return std::floor(a); }},
    {Op::ceil, 0, [](double a, double) { return std::ceil(a); }},
    {Op::trunc, 0, [](double a, double) { return std::trunc(a); }},
    {Op::isnan, 0, [](double a, double) { return a != a; }},
    {Op::isfinite, 0, [](double a, double) { return std::isfinite(a); }},
    {Op::lt, 0, [](double a, double b) { return a < b; }},
    {Op::le, 0, [](double a, double b) { return a <= b; }},
    {Op::gt, 0, [](double a, double b) { return a > b; }},
    {Op::ge, 0, [](double a, double b) { return a >= b; }},
    {Op::eq, 0, [](double a, double b) { return a == b; }},
    {Op::ne, 0, [](double a, double b) { return a != b; }},
    {Op::logical_and, 0, [](double a, double b) { return a != 0 && b != 0; }},
    {Op::logical_or, 0, [](double a, double b) { return a != 0 || b != 0; }},
    {Op::logical_not, 0, [](double a, double) { return a == 0; }},
};
// Three operands, whole numbers alone, or several roundings by definition: held to bits, not to a bound.
const Op kByBitsAlone[] = {Op::cast, Op::lookup, Op::where, Op::mod, Op::band,
                           Op::bor,  Op::bxor,   Op::bnot,  Op::shl, Op::shr};

template <class F> void for_each_map(F body) {
  for (size_t o = 0; o < op_table().size(); ++o)
    if (Op(o) != Op::cast && Op(o) != Op::lookup)
      for (size_t t = 0; t < kDTypes.size(); ++t)
        if (takes(Op(o), DType(t))) body(Op(o), DType(t));
}

std::string name_of(Op op, DType dtype) {
  return fmt::format("{} in {}", info(op).name, wane::name_of(dtype));
}

} // namespace

TEST_CASE("generated: every map in every dtype and layout, fused, alone and flushed, has one set of bits") {
  Settings before;
  int checked = 0;
  for_each_map([&](Op op, DType dtype) {
    for (auto& layout : layouts()) {
      Operands x = operands_of(op, dtype, layout.shapes, layout.make);
      Array want = reference::map(op, x.values);
      for (Mode mode : {Mode::fused, Mode::alone, Mode::flushed}) {
        prove(&layout == &layouts()[0] && mode == Mode::flushed);
        std::string problem = reference::difference(run(op, x, mode), want);
        if (!problem.empty())
          FAIL_CHECK(name_of(op, dtype), ", ", layout.name, ", mode ", int(mode), ": ", problem);
        ++checked;
      }
    }
  });
  CHECK(checked > 500 * 27);
}

TEST_CASE("generated: every map has the same bits on 1, 2, 3 and 7 threads") {
  Settings before;
  prove(false);
  for_each_map([&](Op op, DType dtype) {
    // More than one thread's share: 16384 elements stay with the caller.
    Operands x = operands_of(op, dtype, {{7, 3001}, {3001}, {7, 1}}, reference::tensor_of);
    Tensor first;
    for (int threads : {1, 2, 3, 7}) {
      set_thread_count(threads);
      Tensor y = run(op, x, Mode::fused);
      if (!first) first = y;
      if (!same(y, first)) FAIL_CHECK(name_of(op, dtype), " on ", threads, " threads");
    }
  });
}

TEST_CASE("generated: every map comes within its bound of the exact value") {
  for (auto& row : kExact)
    for (DType dtype : {DType::f32, DType::f64}) {
      Operands x = operands_of(row.op, dtype, {{40, 50}}, reference::tensor_of);
      Array got = reference::array_of(map(row.op, x.tensors));
      for (int64_t i = 0; i < got.count(); ++i) {
        double a = x.values[0].at(i), b = info(row.op).arity > 1 ? x.values[1].at(i) : 0;
        double want = row.f(a, b), y = got.at(i);
        double error =
            dtype == DType::f32 ? exact::ulps(float(y), want) : exact::ulps(y, (long double)(want));
        double bound = dtype == DType::f32 ? row.ulps : std::max(row.ulps, 8.0);
        bool fine = error <= bound || std::abs(y - want) <= row.near * std::abs(a);
        if (!fine)
          FAIL_CHECK(name_of(row.op, dtype), " of ", a, " and ", b, ": ", y, ", exactly ", want, ", ", error,
                     " ulp");
      }
    }
  for (size_t o = 0; o < op_table().size(); ++o) {
    bool known = std::find(std::begin(kByBitsAlone), std::end(kByBitsAlone), Op(o)) != std::end(kByBitsAlone);
    for (auto& row : kExact) known |= row.op == Op(o);
    if (!known) FAIL_CHECK("no exact value for ", op_table()[o].name);
  }
}

TEST_CASE("generated: casts and lookups between all dtypes and layouts") {
  Settings before;
  prove(false);
  for (size_t f = 0; f < kDTypes.size(); ++f)
    for (size_t t = 0; t < kDTypes.size(); ++t)
      for (auto& layout : layouts()) {
        Array x = drawn(layout.shapes[0], DType(f), 3), table = drawn({9}, DType(t), 4);
        Tensor tensor = layout.make(x), entries = reference::tensor_of(table);
        for (bool fuse : {true, false}) {
          set_fuse(fuse);
          std::string problem =
              reference::difference(cast(pending(tensor), DType(t)), reference::cast(x, DType(t)));
          if (problem.empty() && DType(t) != DType::i64)
            problem = reference::difference(lookup(pending(tensor), entries), reference::lookup(x, table));
          if (!problem.empty())
            FAIL_CHECK(wane::name_of(DType(f)), " to ", wane::name_of(DType(t)), ", ", layout.name, ": ",
                       problem);
        }
      }
}
