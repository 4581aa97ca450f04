// Factorisations and solves, in f32 or f64; narrower floats are read as f32.
#include "runtime/calls.h"
#include "runtime/cpu/linalg.h"
#include "runtime/profile.h"

namespace wane {
namespace {

Tensor square(const char* op, const Tensor& x) {
  if (x.rank() != 2 || x.shape()[0] != x.shape()[1])
    throw error("{}: a square matrix expected", op).note("matrix", describe(x));
  if (!is_float(x.dtype()))
    throw error("{}: floats expected, got {}", op, name_of(x.dtype())).note("matrix", describe(x));
  return cast(x, x.dtype() == DType::f64 ? DType::f64 : DType::f32).dense();
}

template <class F> Tensor of_square(const char* op, const Tensor& x, F run) {
  WorkSpan span(op);
  Tensor in = square(op, x);
  Tensor out = empty(in.shape(), in.dtype(), op);
  span.moves(in, out);
  run(in.dtype(), in.bytes(), out.bytes(), in.shape()[0]);
  return out;
}

template <class F> Tensor with_right_side(const char* op, const Tensor& x, const Tensor& b, F run) {
  WorkSpan span(op);
  Tensor in = square(op, x);
  if (b.rank() != 2 || b.shape()[0] != in.shape()[0])
    throw error("{}: a right side of {} for a matrix of {}", op, to_string(b.shape()), to_string(in.shape()))
        .note("matrix", describe(x))
        .note("right side", describe(b));
  DType wide = promote(in.dtype(), b.dtype() == DType::f64 ? DType::f64 : DType::f32);
  in = cast(in, wide).dense();
  Tensor right = cast(b, wide).dense();
  Tensor out = empty(right.shape(), wide, op);
  span.moves(in, right, out);
  run(wide, in.bytes(), right.bytes(), out.bytes(), in.shape()[0], right.shape()[1]);
  return out;
}

} // namespace

Tensor cholesky(const Tensor& x) { return of_square("cholesky", x, cpu::cholesky); }
Tensor inverse(const Tensor& x) { return of_square("inverse", x, cpu::inverse); }
Tensor inverse_upper(const Tensor& x) { return of_square("inverse_upper", x, cpu::inverse_upper); }
Tensor solve(const Tensor& x, const Tensor& b) { return with_right_side("solve", x, b, cpu::solve); }
Tensor solve_triangular(const Tensor& x, const Tensor& b, bool upper) {
  return with_right_side(upper ? "solve_upper" : "solve_lower", x, b,
                         [upper](DType t, const void* in, const void* right, void* out, int64_t n,
                                 int64_t m) { cpu::solve_triangular(t, in, right, out, n, m, upper); });
}

} // namespace wane
