// Blocked Cholesky, triangular inverse and solves. The large products are matmul_plain's; what happens on a
// block and between blocks has one order whatever the thread count.
#include "runtime/cpu/linalg.h"

#include "runtime/cpu/isa.h"
#include "runtime/cpu/linalg_kernels.h"
#include "runtime/cpu/matmul.h"
#include "runtime/cpu/pool.h"
#include "runtime/error.h"

#include <algorithm>
#include <cstring>
#include <vector>

namespace wane::cpu {
namespace {

constexpr int64_t kBlock = 128; // rows and columns of a diagonal block; the kernels hold at most 256
constexpr int64_t kStrip = 64;  // columns that one part solves for

template <class T> constexpr DType dtype_of() { return sizeof(T) == 4 ? DType::f32 : DType::f64; }

template <class T> const LinalgKernels<T>& kernels() {
  static const LinalgTable& chosen = isa_level() == IsaLevel::v4   ? isa_v4::linalg_kernels()
                                     : isa_level() == IsaLevel::v3 ? isa_v3::linalg_kernels()
                                                                   : isa_v2::linalg_kernels();
  return chosen.of<T>();
}

template <class T> struct Matrix { // a piece of a row-major matrix, or of its transpose
  T* data;
  int64_t row, column = 1;
  T* at(int64_t i, int64_t j) const { return data + i * row + j * column; }
};

// x [rows, width] -= a [rows, k] b [k, width]; x and a have unit columns.
template <class T>
void subtract_product(Matrix<T> x, Matrix<const T> a, Matrix<const T> b, int64_t rows, int64_t k,
                      int64_t width, std::vector<T>& room) {
  if (rows == 0 || k == 0 || width == 0) return;
  room.resize(size_t(rows * width));
  matmul_plain(dtype_of<T>(), a.data, rows, a.row, b.data, b.row, b.column, width, k, room.data(),
               dtype_of<T>(), width);
  parallel_parts((rows + kStrip - 1) / kStrip, [&](int64_t part, int) {
    const int64_t r = part * kStrip;
    kernels<T>().subtract(x.at(r, 0), x.row, room.data() + r * width, width, std::min(kStrip, rows - r),
                          width);
  });
}

// x [n, width] = t^-1 x for one diagonal block, in strips of columns.
template <class T> void solve_block(Matrix<const T> t, bool lower, int64_t n, Matrix<T> x, int64_t width) {
  parallel_parts((width + kStrip - 1) / kStrip, [&](int64_t part, int) {
    const int64_t c = part * kStrip;
    kernels<T>().solve(t.data, t.row, t.column, lower, n, x.at(0, c), x.row, std::min(kStrip, width - c));
  });
}

// The rows below a factored block: row r solves l y = a_r, so 64 rows are turned and solved as columns.
template <class T> void solve_panel(Matrix<const T> l, int64_t n, Matrix<T> a, int64_t rows) {
  parallel_parts((rows + kStrip - 1) / kStrip, [&](int64_t part, int) {
    const int64_t r = part * kStrip, many = std::min(kStrip, rows - r);
    std::vector<T> turned(size_t(n * kStrip));
    for (int64_t i = 0; i < many; i++)
      for (int64_t j = 0; j < n; j++) turned[size_t(j * kStrip + i)] = *a.at(r + i, j);
    kernels<T>().solve(l.data, l.row, 1, true, n, turned.data(), kStrip, many);
    for (int64_t i = 0; i < many; i++)
      for (int64_t j = 0; j < n; j++) *a.at(r + i, j) = turned[size_t(j * kStrip + i)];
  });
}

// In place, left-looking: a block column takes all earlier ones off in one product. The upper triangle
// becomes zero.
template <class T> void factor(T* data, int64_t n, const char* op, bool reversed) {
  const Matrix<T> a{data, n};
  std::vector<T> room;
  for (int64_t k = 0; k < n; k += kBlock) {
    check_interrupt();
    const int64_t many = std::min(kBlock, n - k);
    subtract_product<T>({a.at(k, k), n}, {a.at(k, 0), n}, {a.at(k, 0), 1, n}, n - k, k, many, room);
    const int64_t failed = k + kernels<T>().factor(a.at(k, k), n, many);
    if (failed < k + many)
      throw error("{}: the matrix is not positive definite: pivot {} of {} is {}", op,
                  reversed ? n - failed : failed + 1, n, *a.at(failed, failed))
          .hint("add to the diagonal (damp), or use more samples than columns");
    solve_panel<T>({a.at(k, k), n}, many, {a.at(k + many, k), n}, n - k - many);
  }
  for (int64_t i = 0; i < n; i++) std::fill(a.at(i, i) + 1, a.at(i, 0) + n, T(0));
}

// x = t^-1 x, block by block; each solved block is taken off the rows that remain.
template <class T> void solve_all(Matrix<const T> t, bool lower, int64_t n, Matrix<T> x, int64_t width) {
  for (int64_t i = 0; i < n; i++)
    if (*t.at(i, i) == T(0)) throw error("solve: the diagonal of the triangle is zero at {} of {}", i + 1, n);
  const int64_t blocks = (n + kBlock - 1) / kBlock;
  std::vector<T> room, panel;
  for (int64_t step = 0; step < blocks; step++) {
    check_interrupt();
    const int64_t k = (lower ? step : blocks - 1 - step) * kBlock, many = std::min(kBlock, n - k);
    solve_block<T>({t.at(k, k), t.row, t.column}, lower, many, {x.at(k, 0), x.row}, width);
    const int64_t first = lower ? k + many : 0, rows = lower ? n - first : k;
    Matrix<const T> left{t.at(first, k), t.row, t.column};
    if (t.column != 1) { // the product wants rows
      panel.resize(size_t(rows * many));
      for (int64_t j = 0; j < many; j++)
        for (int64_t i = 0; i < rows; i++) panel[size_t(i * many + j)] = *left.at(i, j);
      left = {panel.data(), many};
    }
    subtract_product<T>({x.at(first, 0), x.row}, left, {x.at(k, 0), x.row}, rows, many, width, room);
  }
}

// The same with x = identity, which stays lower triangular: columns behind the diagonal are never touched.
template <class T> void invert_lower(const T* l, T* out, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    if (l[i * n + i] == T(0))
      throw error("inverse: the diagonal of the triangle is zero at {} of {}", i + 1, n);
  std::fill(out, out + n * n, T(0));
  for (int64_t i = 0; i < n; i++) out[i * n + i] = 1;
  const Matrix<T> x{out, n};
  const Matrix<const T> t{l, n};
  std::vector<T> room;
  for (int64_t k = 0; k < n; k += kBlock) {
    check_interrupt();
    const int64_t many = std::min(kBlock, n - k), end = k + many;
    solve_block<T>({t.at(k, k), n}, true, many, {x.at(k, 0), n}, end);
    subtract_product<T>({x.at(end, 0), n}, {t.at(end, k), n}, {x.at(k, 0), n}, n - end, many, end, room);
  }
}

template <class T> void reverse(const T* x, T* out, int64_t n) {
  std::reverse_copy(x, x + n * n, out); // the last row's last element comes first
}

// Rows are what the factor reads below the diagonal; reversed, they are the upper triangle's, so mirror
// first.
template <class T> void mirror(T* x, int64_t n) {
  const int64_t square = 32; // both sides of a square stay in the cache
  parallel_parts((n + square - 1) / square, [&](int64_t part, int) {
    const int64_t first = part * square, last = std::min(n, first + square);
    for (int64_t c = 0; c <= first; c += square)
      for (int64_t i = first; i < last; i++)
        for (int64_t j = c; j < std::min(i, c + square); j++) x[j * n + i] = x[i * n + j];
  });
}

template <class T> std::vector<T> factored(const T* x, int64_t n, const char* op) {
  std::vector<T> l(x, x + n * n);
  factor(l.data(), n, op, false);
  return l;
}

template <class T> void inverse_of(const T* x, T* out, int64_t n) {
  std::vector<T> half(size_t(n * n));
  invert_lower(factored(x, n, "inverse").data(), half.data(), n);
  std::vector<T> turned(half.size());
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j <= i; j++) turned[size_t(j * n + i)] = half[size_t(i * n + j)];
  if (n > 0) matmul_plain(dtype_of<T>(), turned.data(), n, n, half.data(), n, 1, n, n, out, dtype_of<T>(), n);
  mirror(out, n);
}

template <class T> void inverse_upper_of(const T* x, T* out, int64_t n) {
  std::vector<T> full(x, x + n * n), l(full.size());
  mirror(full.data(), n);
  reverse(full.data(), l.data(), n);
  factor(l.data(), n, "inverse_upper", true);
  invert_lower(l.data(), full.data(), n);
  reverse(full.data(), out, n);
}

template <class F> void with_type(const char* op, DType dtype, F&& body) {
  if (dtype == DType::f32) return body(float());
  if (dtype == DType::f64) return body(double());
  throw error("{}: not supported: {}; f32 and f64 are", op, name_of(dtype));
}

} // namespace

void cholesky(DType dtype, const void* x, void* out, int64_t n, const char* op) {
  with_type(op, dtype, [&](auto zero) {
    using T = decltype(zero);
    if (x != out) std::memcpy(out, x, size_t(n * n) * sizeof(T));
    factor(static_cast<T*>(out), n, op, false);
  });
}

void inverse_lower(DType dtype, const void* x, void* out, int64_t n) {
  with_type("inverse", dtype, [&](auto zero) {
    using T = decltype(zero);
    invert_lower(static_cast<const T*>(x), static_cast<T*>(out), n);
  });
}

void inverse(DType dtype, const void* x, void* out, int64_t n) {
  with_type("inverse", dtype, [&](auto zero) {
    using T = decltype(zero);
    inverse_of(static_cast<const T*>(x), static_cast<T*>(out), n);
  });
}

void inverse_upper(DType dtype, const void* x, void* out, int64_t n) {
  with_type("inverse_upper", dtype, [&](auto zero) {
    using T = decltype(zero);
    inverse_upper_of(static_cast<const T*>(x), static_cast<T*>(out), n);
  });
}

void solve(DType dtype, const void* x, const void* b, void* out, int64_t n, int64_t m) {
  with_type("solve", dtype, [&](auto zero) {
    using T = decltype(zero);
    const auto l = factored(static_cast<const T*>(x), n, "solve");
    if (b != out) std::memcpy(out, b, size_t(n * m) * sizeof(T));
    const Matrix<T> y{static_cast<T*>(out), m};
    solve_all<T>({l.data(), n}, true, n, y, m);
    solve_all<T>({l.data(), 1, n}, false, n, y, m);
  });
}

void solve_triangular(DType dtype, const void* x, const void* b, void* out, int64_t n, int64_t m,
                      bool upper) {
  with_type(upper ? "solve_upper" : "solve_lower", dtype, [&](auto zero) {
    using T = decltype(zero);
    if (b != out) std::memcpy(out, b, size_t(n * m) * sizeof(T));
    solve_all<T>({static_cast<const T*>(x), n}, !upper, n, {static_cast<T*>(out), m}, m);
  });
}

} // namespace wane::cpu
