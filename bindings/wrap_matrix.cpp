// Linear algebra and rope as methods.
#include "bindings/wrap_tensor.h"
#include "runtime/calls.h"

namespace wane::lua {
namespace {

int product(Args& a) {
  Tensor x = a.tensor("x");
  return results(a.L, matmul(x, a.tensor("y")));
}

template <Tensor (*Call)(const Tensor&)> int one(Args& a) { return results(a.L, Call(a.tensor("x"))); }

int trace(Args& a) {
  Tensor x = a.tensor("x");
  if (x.rank() != 2) throw error("trace: expected a matrix").note("tensor", describe(x));
  return results(a.L, reduce_all(Reduction::sum, diag(x)));
}

int outer(Args& a) {
  Tensor x = a.tensor("x"), y = a.tensor("y");
  if (x.rank() != 1 || y.rank() != 1)
    throw error("outer: expected two vectors").note("left", describe(x)).note("right", describe(y));
  return results(a.L, map(Op::mul, reshape(x, {x.count(), 1}), reshape(y, {1, y.count()})));
}

int solve_for(Args& a) {
  Tensor x = a.tensor("x"), b = a.tensor("b");
  if (a.method.data == 0) return results(a.L, solve(x, b));
  return results(a.L, solve_triangular(x, b, a.method.data == 2));
}

// The position of the first token (0 where a text begins): a number, a list with one per sample, or a tensor
// [batch, tokens] of all positions.
Tensor read_positions(Args& a, const Tensor& x) {
  int64_t batch = x.shape()[0], tokens = x.shape()[1];
  if (test_object<TensorBox>(a.L, a.peek())) return a.tensor("position");
  std::vector<int64_t> first;
  if (lua_istable(a.L, a.peek()))
    first = a.integers("position");
  else
    first.assign(size_t(batch), a.integer("position"));
  if (int64_t(first.size()) != batch)
    throw error("rope: {} positions for {} samples", first.size(), batch).note("tensor", describe(x));
  std::vector<int32_t> all;
  for (int64_t start : first)
    for (int64_t t = 0; t < tokens; ++t) all.push_back(int32_t(start + t));
  return from_bytes({batch, tokens}, DType::i32, std::as_bytes(std::span(all)));
}

int rotary(Args& a) {
  Tensor x = a.tensor("x");
  if (x.rank() != 4) throw error("rope: expected [batch, tokens, heads, dim]").note("tensor", describe(x));
  Tensor positions = read_positions(a, x), freqs;
  if (test_object<TensorBox>(a.L, a.peek())) {
    freqs = a.tensor("theta");
  } else {
    auto list = rope_frequencies(x.shape()[3], a.number("theta"));
    freqs = from_bytes({int64_t(list.size())}, DType::f64, std::as_bytes(std::span(list)));
  }
  return results(a.L, rope(x, positions, freqs, a.number("factor", 1)));
}

Method methods[] = {
    {"matmul", product, "(y) -> tensor", "x [.., m, k] by y [.., k, n]; i8 by i8 gives i32."},
    {"diag", one<diag>, "() -> tensor", "Of a matrix its diagonal, of a vector the matrix."},
    {"trace", trace, "() -> number", "Sum of the diagonal."},
    {"outer", outer, "(y) -> tensor", "x_i * y_j of two vectors."},
    {"cholesky", one<cholesky>, "() -> tensor",
     "l, lower, with l l^T = x [.., n, n]; f64 stays, other floats give f32. Only x's lower triangle is "
     "read. "
     "Error: x is not positive definite, with the first pivot that is not positive."},
    {"inverse", one<inverse>, "() -> tensor",
     "x^-1 of a positive definite x [.., n, n], exactly symmetric. Error: as cholesky."},
    {"inverse_upper", one<inverse_upper>, "() -> tensor",
     "u, upper, with u^T u = x^-1, of a positive definite x [.., n, n], as GPTQ needs it: one Cholesky of x "
     "reversed and one triangular inverse. Error: as cholesky; pivots come from the last on."},
    {"solve", solve_for, "(b) -> tensor",
     "x^-1 b of a positive definite x [.., n, n] and b [.., n, m]. Error: as cholesky.", Kind::call, 0},
    {"solve_lower", solve_for, "(b) -> tensor",
     "x^-1 b of a lower triangular x; what lies above is not read. Error: a zero on the diagonal.",
     Kind::call, 1},
    {"solve_upper", solve_for, "(b) -> tensor",
     "x^-1 b of an upper triangular x; what lies below is not read. Error: a zero on the diagonal.",
     Kind::call, 2},
    {"rope", rotary, "(position, theta [, factor]) -> tensor",
     "Rotary embedding of [batch, tokens, heads, dim]; theta is a number or a tensor of frequencies."},
};

} // namespace

std::span<Method> matrix_methods() { return methods; }

} // namespace wane::lua
