// Work along one dim: sorting, sums that run, softmax, hadamard.
#include "bindings/wrap_tensor.h"
#include "runtime/calls.h"

namespace wane::lua {
namespace {

int last_or_given(Args& a, const Tensor& x) {
  if (x.rank() == 0) throw error("{}: a tensor without dims", a.method.label()).note("tensor", describe(x));
  return a.dim("dim", x.rank(), x.rank() - 1);
}

Tensor counted_from_one(const Tensor& positions) {
  return map(Op::add, positions, full(Shape{}, positions.dtype(), int64_t(1)));
}

template <Tensor (*Call)(const Tensor&, int)> int along(Args& a) {
  Tensor x = a.tensor("x");
  return results(a.L, Call(x, last_or_given(a, x)));
}

bool read_order(Args& a) { // true: falling
  auto order = a.string("order", "rising");
  if (order != "rising" && order != "falling")
    throw error("{}: no order '{}'", a.method.label(), order).note("it is one of", "rising, falling");
  return order == "falling";
}

int sort_values(Args& a) {
  Tensor x = a.tensor("x");
  int dim = last_or_given(a, x);
  return results(a.L, sort(x, dim, read_order(a)).first);
}

int sort_positions(Args& a) {
  Tensor x = a.tensor("x");
  int dim = last_or_given(a, x);
  return results(a.L, counted_from_one(sort(x, dim, read_order(a)).second));
}

int top(Args& a) {
  Tensor x = a.tensor("x");
  int64_t k = a.integer("k");
  auto [values, positions] = topk(x, k, last_or_given(a, x));
  return results(a.L, values, counted_from_one(positions));
}

Method methods[] = {
    {"softmax", along<softmax>, "([dim]) -> tensor", "exp(x) over its sum along a dim, by default the last."},
    {"cumsum", along<cumsum>, "([dim]) -> tensor", "Running sum along a dim, by default the last."},
    {"flip", along<flip>, "([dim]) -> tensor", "The order along a dim turned round."},
    {"hadamard", along<hadamard>, "([dim]) -> tensor", "The orthonormal Hadamard transform along a dim."},
    {"sort", sort_values, "([dim [, \"falling\"]]) -> tensor",
     "Sorted along a dim; equal ones keep their order."},
    {"argsort", sort_positions, "([dim [, \"falling\"]]) -> positions", "The positions that sort a dim."},
    {"topk", top, "(k [, dim]) -> values, positions", "The k largest along a dim, largest first."},
};

} // namespace

std::span<Method> order_methods() { return methods; }

} // namespace wane::lua
