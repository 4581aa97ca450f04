// Every call of the language that is no map, in every dtype: contiguous, strided, broadcast and empty
// operands; pending and fused, op by op, computed before; 1, 2, 3 and 7 threads. One set of bits for all of
// these, near the value in f64 arithmetic (tests/call_table.h); a dtype that a call does not take is refused.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "tests/call_table.h"
#include "tests/settings.h"

using namespace wane;
using namespace calls;
using reference::Number;

namespace {

// -- operands
// ---------------------------------------------------------------------------------------------------
Array drawn(const Shape& shape, DType dtype, uint32_t seed) {
  std::mt19937 rng(seed);
  std::normal_distribution<double> normal(0, 1);
  Array out{shape, dtype, {}};
  for (int64_t i = 0; i < shape.count(); ++i)
    out.values.push_back(is_float(dtype)
                             ? Number{reference::rounded(dtype, normal(rng)), 0}
                             : reference::converted({0, int64_t(rng() % 7) - 3}, DType::i64, dtype));
  return out;
}

// Symmetric in the dtype: small off the diagonal, n on it.
Array positive(int64_t n, DType dtype) {
  Array out = drawn({n, n}, dtype, 9);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j <= i; ++j) {
      Number& x = out.values[size_t(i * n + j)];
      x.real = i == j ? reference::rounded(dtype, double(n)) : x.real;
      out.values[size_t(j * n + i)] = x;
    }
  return out;
}

enum class Layout { contiguous, strided, sliced, broadcast };
constexpr const char* kLayouts[] = {"contiguous", "strided", "sliced", "broadcast"};

Tensor laid(const Array& a, Layout layout) {
  int rank = a.shape.rank();
  if (rank == 0 || layout == Layout::contiguous) return reference::tensor_of(a);
  if (layout == Layout::strided)
    return transpose(reference::tensor_of(reference::transposed(a, 0, rank - 1)), 0, rank - 1);
  if (layout == Layout::broadcast) {
    Array first = reference::sliced(a, 0, 0, std::min<int64_t>(1, a.shape[0]));
    return a.count() ? expand(reference::tensor_of(first), a.shape) : reference::tensor_of(a);
  }
  Shape larger = a.shape; // the middle of a larger tensor
  larger[rank - 1] += 3;
  Array wide = drawn(larger, a.dtype, 17);
  int64_t n = a.shape.back();
  for (int64_t i = 0; i < a.count(); ++i)
    wide.values[size_t(i / n * (n + 3) + i % n + 2)] = a.values[size_t(i)];
  return slice(reference::tensor_of(wide), rank - 1, 2, n);
}

std::vector<Tensor> operands_of(const Call& call, const std::vector<Shape>& shapes, DType dtype,
                                Layout layout) {
  std::vector<Tensor> out;
  for (size_t i = 0; i < shapes.size(); ++i) {
    bool special = call.positive && i == 0;
    Array a = special ? positive(shapes[i][0], dtype) : drawn(shapes[i], dtype, uint32_t(i + 1));
    out.push_back(laid(a, special && layout == Layout::broadcast ? Layout::strided : layout));
  }
  return out;
}

// The larger of x and x has x's bits, and is pending.
std::vector<Tensor> pending(const std::vector<Tensor>& x, bool flushed) {
  std::vector<Tensor> out;
  for (auto& t : x) {
    out.push_back(map(Op::maximum, t, t));
    if (flushed) out.back().flushed();
  }
  return out;
}

DType result_of(const Call& call, DType dtype) {
  bool is_f64 = dtype == DType::f64;
  if (call.takes == Takes::products && dtype == DType::i8) return DType::i32;
  DType of_float = is_f64 ? DType::f64 : DType::f32;
  switch (call.gives) {
  case Gives::same: return dtype;
  case Gives::real: return is_float(dtype) ? dtype : DType::f32;
  case Gives::wide: return is_float(dtype) ? of_float : DType::i64;
  case Gives::reduced: return is_float(dtype) ? of_float : dtype == DType::boolean ? DType::i32 : dtype;
  case Gives::f32_or_f64: return of_float;
  case Gives::attended: return dtype == DType::bf16 ? DType::bf16 : DType::f32;
  case Gives::f64: return DType::f64;
  case Gives::i32: return DType::i32;
  case Gives::i64: return DType::i64;
  default: return DType::boolean;
  }
}

double largest_of(const Plain& x) {
  double largest = 0;
  for (double v : x.v) largest = std::max(largest, std::abs(v));
  return largest;
}

// Within the tolerance of the exact values (of the largest of them and of the operands, for sums cancel),
// then rounded to the dtype once.
std::string far_from(const Tensor& got, const Plain& want, const Plains& operands, const Call& call) {
  if (!(got.shape() == want.shape))
    return fmt::format("{}, not {}", to_string(got.shape()), to_string(want.shape));
  Array y = reference::array_of(got);
  double largest = largest_of(want);
  for (auto& x : operands) largest = std::max(largest, largest_of(x));
  double room = call.tolerance * largest * (y.dtype == DType::f64 ? 1e-7 : 1);
  for (int64_t i = 0; i < y.count(); ++i) {
    double exact = want.v[size_t(i)], value = y.at(i);
    double low = is_float(y.dtype) ? reference::rounded(y.dtype, exact - room) : exact;
    double high = is_float(y.dtype) ? reference::rounded(y.dtype, exact + room) : exact;
    if (!(value >= low && value <= high)) return fmt::format("element {}: {}, exactly {}", i, value, exact);
  }
  return "";
}

struct Outcome { // a result or an error's first line
  Tensor result;
  std::string problem;
};
Outcome outcome(const Call& call, const std::vector<Tensor>& operands) {
  try {
    return {call.run(operands).dense(), ""};
  } catch (const Error& e) {
    return {{}, std::string(e.what())};
  }
}

bool taken(const Call& call, DType dtype) {
  return call.takes == Takes::all || is_float(dtype) || (call.takes == Takes::products && dtype == DType::i8);
}

// The result of contiguous operands on one thread, which all others must equal.
void check_modes(const Call& call, const std::vector<Shape>& shapes, DType dtype, Layout layout) {
  auto x = operands_of(call, shapes, dtype, layout);
  set_thread_count(1), set_fuse(true), prove(layout == Layout::contiguous);
  Outcome first = outcome(call, x);
  std::string where =
      fmt::format("{} in {}, {} {}", call.name, name_of(dtype), kLayouts[int(layout)], to_string(shapes[0]));
  if (!taken(call, dtype)) {
    if (first.problem.empty()) FAIL_CHECK(where, " is taken");
    return;
  }
  if (!first.problem.empty()) {
    FAIL_CHECK(where, ": ", first.problem);
    return;
  }
  Plains plain;
  for (auto& t : x) {
    Array a = reference::array_of(t);
    plain.emplace_back(call.in_f32 ? reference::cast(a, DType::f32) : a);
  }
  Plain want = call.want(plain);
  if (std::string problem = far_from(first.result, want, plain, call); !problem.empty())
    FAIL_CHECK(where, ": ", problem);
  DType result = result_of(call, dtype);
  if (first.result.dtype() != result) FAIL_CHECK(where, ": gives ", name_of(first.result.dtype()));
  prove(false);
  for (int threads : {1, 2, 3, 7})
    for (int mode : {0, 1, 2}) {
      set_thread_count(threads), set_fuse(mode != 1);
      Outcome other = outcome(call, pending(x, mode == 2));
      if (!other.problem.empty() || !same(other.result, first.result))
        FAIL_CHECK(where, ", ", threads, " threads, mode ", mode, ": other bits ", other.problem);
    }
}

} // namespace

TEST_CASE(
    "generated: every call in every dtype and layout, fused, alone and flushed, on 1, 2, 3 and 7 threads") {
  Settings before;
  for (auto& call : table_of_calls())
    for (size_t t = 0; t < kDTypes.size(); ++t) {
      for (Layout layout : {Layout::contiguous, Layout::strided, Layout::sliced, Layout::broadcast})
        check_modes(call, call.shapes, DType(t), layout);
      for (auto& shapes : call.empties) check_modes(call, shapes, DType(t), Layout::contiguous);
    }
}

TEST_CASE("generated: calls refuse a tensor without dims, or take it as one row") {
  for (auto& call : table_of_calls()) {
    std::vector<Tensor> scalars(call.shapes.size(), full({}, DType::f32, 1.5).flushed());
    Outcome other = outcome(call, scalars);
    bool takes = call.name == "tile" || call.name == "histogram";
    INFO(call.name, ": ", other.problem);
    CHECK(other.problem.empty() == takes);
    // A message names the call: the first or the last word of the row's name, "sort" of argsort.
    std::string named = other.problem.substr(0, other.problem.find(':'));
    if (!takes) CHECK(call.name.find(named) != std::string::npos);
  }
}
