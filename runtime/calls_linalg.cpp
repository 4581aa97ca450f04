// Factorisations and solves of [.., n, n], in f32 or f64; narrower floats are read as f32.
#include <algorithm>
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
Tensor inverse_upper(const Tensor& x) {
  return of_square("inverse_upper", x, 2 / 3.0,
                   [](DType t, const void* in, void* out, int64_t n) { cpu::inverse_upper(t, in, out, n); });
}
Tensor inverse_upper(const Tensor& x, const Tensor& added) {
  const Tensor in = square("inverse_upper", x), diagonal = cast(added, in.dtype()).dense();
  if (in.rank() != 2 || diagonal.shape() != Shape{in.shape()[0]})
    throw error("inverse_upper: {} is added to the diagonal of {}", to_string(added.shape()),
                to_string(x.shape()))
        .note("matrix", describe(x));
  return of_square("inverse_upper", in, 2 / 3.0, [&](DType t, const void* from, void* out, int64_t n) {
    cpu::inverse_upper(t, from, out, n, diagonal.bytes());
  });
}

Tensor reorder(const Tensor& x, const Tensor& positions) {
  WorkSpan span("reorder");
  const Tensor in = square("reorder", x), at = cast(positions, DType::i32).dense();
  const int64_t n = in.shape()[0];
  if (in.rank() != 2 || at.shape() != Shape{n})
    throw error("reorder: {} positions for {}", to_string(positions.shape()), to_string(x.shape()))
        .note("matrix", describe(x));
  const int32_t* order = at.data<int32_t>();
  for (int64_t i = 0; i < n; ++i)
    if (order[i] < 0 || order[i] >= n)
      throw error("reorder: position {} of {} is {}, expected 1 to {}", i + 1, n, order[i] + 1, n);
  Tensor out = empty(in.shape(), in.dtype(), "reorder");
  span.moves(in, out);
  auto rows = [&]<class T>(const T* from, T* to) {
    constexpr int64_t kRows = 16;
    parallel_parts((n + kRows - 1) / kRows, [&](int64_t part, int) {
      for (int64_t i = part * kRows; i < std::min(n, (part + 1) * kRows); ++i) {
        const T* row = from + order[i] * n;
        for (int64_t j = 0; j < n; ++j) to[i * n + j] = row[order[j]];
      }
    });
  };
  in.dtype() == DType::f64 ? rows(in.data<double>(), out.data<double>())
                           : rows(in.data<float>(), out.data<float>());
  return out;
}
Tensor solve(const Tensor& x, const Tensor& b) {
  return with_right_side("solve", x, b, 1 / 3.0, 2, cpu::solve);
}
Tensor solve_triangular(const Tensor& x, const Tensor& b, bool upper) {
  return with_right_side(upper ? "solve_upper" : "solve_lower", x, b, 0, 1,
                         [upper](DType t, const void* in, const void* right, void* out, int64_t n,
                                 int64_t m) { cpu::solve_triangular(t, in, right, out, n, m, upper); });
}

} // namespace wane
