// Factorisations and solves of [.., n, n], in f32 or f64; narrower floats are read as f32.
#include <cmath>

#include "runtime/calls.h"
#include "runtime/cpu/linalg.h"
#include "runtime/cpu/pool.h"
#include "runtime/profile.h"

namespace wane {
namespace {

constexpr int64_t kSmall = 384; // up to this size the matrices of a batch are shared out, not their tiles

// The leading dims and the last two.
Shape with_last(const Shape& shape, int64_t rows, int64_t columns) {
  Shape out = shape;
  out[shape.rank() - 2] = rows;
  out[shape.rank() - 1] = columns;
  return out;
}

Tensor square(const char* op, const Tensor& x) {
  const int rank = x.rank();
  if (rank < 2 || x.shape()[rank - 2] != x.shape()[rank - 1])
    throw error("{}: a square matrix expected", op).note("matrix", describe(x));
  if (!is_float(x.dtype()))
    throw error("{}: floats expected, got {}", op, name_of(x.dtype())).note("matrix", describe(x));
  return cast(x, x.dtype() == DType::f64 ? DType::f64 : DType::f32).dense();
}

// Runs body(i) for every matrix of a batch; an error says which of several it was.
template <class F> void each_matrix(int64_t count, int64_t n, F&& body) {
  auto one = [&](int64_t i) {
    try {
      body(i);
    } catch (Error& e) {
      if (count > 1 && e.fault() == Fault::recipe) e.note("matrix", fmt::format("{} of {}", i + 1, count));
      throw;
    }
  };
  if (n <= kSmall) return parallel_parts(count, [&](int64_t i, int) { one(i); });
  for (int64_t i = 0; i < count; ++i) one(i);
}

// Whole matrices in x, of its last two dims.
int64_t matrices(const Tensor& x) {
  const int rank = x.rank();
  int64_t count = 1;
  for (int d = 0; d < rank - 2; ++d) count *= x.shape()[d];
  return count;
}

// cubes: flops over n^3, for a profile.
template <class F> Tensor of_square(const char* op, const Tensor& x, double cubes, F run) {
  WorkSpan span(op);
  const Tensor in = square(op, x);
  Tensor out = empty(in.shape(), in.dtype(), op);
  span.moves(in, out);
  const int64_t n = in.shape().back(), bytes = n * n * int64_t(size_of(in.dtype()));
  span.product(cubes * double(matrices(in)) * std::pow(double(n), 3));
  each_matrix(matrices(in), n,
              [&](int64_t i) { run(in.dtype(), in.bytes() + i * bytes, out.bytes() + i * bytes, n); });
  return out;
}

template <class F>
Tensor with_right_side(const char* op, const Tensor& x, const Tensor& b, double cubes, double squares,
                       F run) {
  WorkSpan span(op);
  Tensor in = square(op, x);
  const int64_t n = in.shape().back();
  if (b.rank() != in.rank() || b.shape() != with_last(in.shape(), n, b.shape().back()))
    throw error("{}: a right side of {} for a matrix of {}", op, to_string(b.shape()), to_string(in.shape()))
        .note("matrix", describe(x))
        .note("right side", describe(b));
  const DType wide = promote(in.dtype(), b.dtype() == DType::f64 ? DType::f64 : DType::f32);
  in = cast(in, wide).dense();
  const Tensor right = cast(b, wide).dense();
  Tensor out = empty(right.shape(), wide, op);
  span.moves(in, right, out);
  const int64_t columns = right.shape().back(), size = int64_t(size_of(wide));
  span.product(double(matrices(in)) * double(n) * double(n)
               * (cubes * double(n) + squares * double(columns)));
  each_matrix(matrices(in), n, [&](int64_t i) {
    const int64_t side = i * n * columns * size;
    run(wide, in.bytes() + i * n * n * size, right.bytes() + side, out.bytes() + side, n, columns);
  });
  return out;
}

} // namespace

Tensor cholesky(const Tensor& x) { return of_square("cholesky", x, 1 / 3.0, cpu::cholesky); }
Tensor inverse(const Tensor& x) { return of_square("inverse", x, 1, cpu::inverse); }
Tensor inverse_upper(const Tensor& x) { return of_square("inverse_upper", x, 2 / 3.0, cpu::inverse_upper); }
Tensor solve(const Tensor& x, const Tensor& b) {
  return with_right_side("solve", x, b, 1 / 3.0, 2, cpu::solve);
}
Tensor solve_triangular(const Tensor& x, const Tensor& b, bool upper) {
  return with_right_side(upper ? "solve_upper" : "solve_lower", x, b, 0, 1,
                         [upper](DType t, const void* in, const void* right, void* out, int64_t n,
                                 int64_t m) { cpu::solve_triangular(t, in, right, out, n, m, upper); });
}

} // namespace wane
