// Reductions: over a dim, a list of dims (both stay with size 1), or everything (a Lua number).
#include <algorithm>
#include <cmath>

#include "bindings/wrap_tensor.h"
#include "runtime/calls.h"

namespace wane::lua {
namespace {

// The dims to reduce, 0-based, last first; everything when none are given.
struct Dims {
  bool all = true;
  std::vector<int> list;
  int64_t elements(const Tensor& x) const {
    int64_t n = 1;
    for (int dim : list) n *= x.shape()[dim];
    return n;
  }
};

Dims read_dims(Args& a, const Tensor& x) {
  Dims dims;
  if (a.is_nil()) {
    if (a.more()) a.skip();
    for (int dim = x.rank() - 1; dim >= 0; --dim) dims.list.push_back(dim);
    return dims;
  }
  dims.all = false;
  if (!lua_istable(a.L, a.peek())) {
    dims.list = {a.dim("dim", x.rank())};
    return dims;
  }
  int index = a.take();
  auto given = a.to_integers(index, "dim");
  if (given.empty()) a.fail(index, "dim", "an empty list of dims");
  for (int64_t dim : given) {
    lua_pushinteger(a.L, dim);
    lua_replace(a.L, index);
    dims.list.push_back(a.to_dim(index, "dim", x.rank()));
  }
  std::sort(dims.list.rbegin(), dims.list.rend());
  if (std::adjacent_find(dims.list.begin(), dims.list.end()) != dims.list.end())
    a.fail(index, "dim", "a dim given twice");
  return dims;
}

Tensor over(Reduction kind, Tensor x, const Dims& dims) {
  for (int dim : dims.list) {
    x = reduce(kind, x, dim);
    if (kind == Reduction::sumsq) kind = Reduction::sum; // of the squares
  }
  return x;
}

int plain(Args& a) { // sum, prod, min, max, absmax: the runtime's own
  auto kind = Reduction(a.method.data);
  Tensor x = a.tensor("x");
  Dims dims = read_dims(a, x);
  if (!dims.all) return results(a.L, over(kind, x, dims));
  if (!is_float(x.dtype())) return results(a.L, reduce_all_integer(kind, x));
  return results(a.L, reduce_all(kind, x));
}

int truth(Args& a) {
  auto kind = Reduction(a.method.data);
  Tensor x = a.tensor("x");
  Dims dims = read_dims(a, x);
  if (!dims.all) return results(a.L, over(kind, x, dims));
  return push_boolean(a.L, reduce_all(kind, x) != 0), 1;
}

Tensor as_float(const Tensor& x) { return is_float(x.dtype()) ? x : cast(x, DType::f32); }

Tensor mean_of(const Tensor& x, const Dims& dims) {
  Tensor sum = over(Reduction::sum, as_float(x), dims);
  return map(Op::div, sum, full(Shape{}, sum.dtype(), double(dims.elements(x))));
}

int mean(Args& a) {
  Tensor x = a.tensor("x");
  Dims dims = read_dims(a, x);
  if (!dims.all) return results(a.L, mean_of(x, dims));
  if (x.count() == 0) throw error("mean: of no elements").note("tensor", describe(x));
  return results(a.L, reduce_all(Reduction::sum, x) / double(x.count()));
}

int norm(Args& a) {
  Tensor x = as_float(a.tensor("x"));
  Dims dims = read_dims(a, x);
  if (!dims.all) return results(a.L, map(Op::sqrt, over(Reduction::sumsq, x, dims)));
  return results(a.L, std::sqrt(reduce_all(Reduction::sumsq, x)));
}

int spread(Args& a) { // var, std: of all elements, not of a sample of them
  bool root = a.method.data;
  Tensor x = as_float(a.tensor("x"));
  Dims dims = read_dims(a, x);
  if (x.count() == 0) throw error("{}: of no elements", a.method.label()).note("tensor", describe(x));
  if (!dims.all) {
    Tensor off = map(Op::square, map(Op::sub, x, mean_of(x, dims)));
    Tensor var = mean_of(off, dims);
    return results(a.L, root ? map(Op::sqrt, var) : var);
  }
  double center = reduce_all(Reduction::sum, x) / double(x.count());
  Tensor wide = x.dtype() == DType::f64 ? x : cast(x, DType::f32);
  Tensor off = map(Op::sub, wide, full(Shape{}, wide.dtype(), center));
  double var = reduce_all(Reduction::sumsq, off) / double(x.count());
  return results(a.L, root ? std::sqrt(var) : var);
}

int position(Args& a) { // argmax, argmin
  auto kind = Reduction(a.method.data);
  Tensor x = a.tensor("x");
  if (!a.is_nil()) {
    Tensor found = reduce(kind, x, a.dim("dim", x.rank()));
    return results(a.L, map(Op::add, found, full(Shape{}, found.dtype(), int64_t(1))));
  }
  if (a.more()) a.skip();
  int64_t linear = reduce_all_integer(kind, x);
  std::vector<int64_t> at(size_t(x.rank()));
  for (int dim = x.rank() - 1; dim >= 0; --dim) {
    at[size_t(dim)] = linear % x.shape()[dim] + 1;
    linear /= x.shape()[dim];
  }
  for (int64_t each : at) push(a.L, each);
  return int(at.size());
}

// x with the dims to reduce moved behind the others and merged into one; what is left of its shape is `kept`.
Tensor gathered_last(const Tensor& x, const Dims& dims, Shape& kept) {
  kept = x.shape();
  for (int dim : dims.list) kept[dim] = 1;
  Tensor moved = x;
  int end = x.rank() - 1;
  for (int dim : dims.list) { // last first, so those still to move keep their places
    for (int at = dim; at < end; ++at) moved = transpose(moved, at, at + 1);
    --end;
  }
  return reshape(moved, {kept.count(), dims.elements(x)});
}

int log_sum_exp(Args& a) {
  Tensor x = as_float(a.tensor("x"));
  Dims dims = read_dims(a, x);
  if (!dims.all && dims.list.size() == 1) return results(a.L, logsumexp(x, dims.list[0]));
  Shape kept;
  Tensor rows = logsumexp(gathered_last(x, dims, kept), 1);
  if (dims.all) return results(a.L, item(rows, 0));
  return results(a.L, reshape(rows, kept));
}

int quantile_at(Args& a) {
  Tensor x = a.tensor("x");
  double p = a.number("p");
  if (!(p >= 0 && p <= 1)) throw error("quantile: p is {}, expected 0 to 1", p);
  Dims dims = read_dims(a, x);
  if (dims.all) return results(a.L, quantile_all(x, p));
  if (dims.list.size() == 1) return results(a.L, quantile(x, p, dims.list[0]));
  Shape kept;
  return results(a.L, reshape(quantile(gathered_last(x, dims, kept), p, 1), kept));
}

#define WANE_DIMS "([dim or list of dims]) -> tensor, or a number over all"
Method methods[] = {
    {"sum", plain, WANE_DIMS, "Sum.", Kind::call, int(Reduction::sum)},
    {"prod", plain, WANE_DIMS, "Product.", Kind::call, int(Reduction::prod)},
    {"min", plain, WANE_DIMS, "Least; NaN wins.", Kind::call, int(Reduction::min)},
    {"max", plain, WANE_DIMS, "Largest; NaN wins.", Kind::call, int(Reduction::max)},
    {"absmax", plain, WANE_DIMS, "Largest magnitude; NaN wins.", Kind::call, int(Reduction::absmax)},
    {"any", truth, WANE_DIMS, "Whether one holds.", Kind::call, int(Reduction::any)},
    {"all", truth, WANE_DIMS, "Whether all hold.", Kind::call, int(Reduction::all)},
    {"mean", mean, WANE_DIMS, "Mean.", Kind::call},
    {"norm", norm, WANE_DIMS, "Square root of the sum of squares.", Kind::call},
    {"var", spread, WANE_DIMS, "Mean square distance from the mean (divided by n).", Kind::call, 0},
    {"std", spread, WANE_DIMS, "Square root of var.", Kind::call, 1},
    {"argmax", position, "([dim]) -> positions", "Position of the largest, the first of equals.", Kind::call,
     int(Reduction::argmax)},
    {"argmin", position, "([dim]) -> positions", "Position of the least, the first of equals.", Kind::call,
     int(Reduction::argmin)},
    {"logsumexp", log_sum_exp, WANE_DIMS, "log of the sum of exp, without overflow.", Kind::call},
    {"quantile", quantile_at, "(p [, dim or list of dims]) -> tensor, or a number over all",
     "The p-quantile, 0 <= p <= 1, between two values linearly.", Kind::call},
};
#undef WANE_DIMS

} // namespace

std::span<Method> reduction_methods() { return methods; }

} // namespace wane::lua
