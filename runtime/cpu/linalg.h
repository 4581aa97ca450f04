// Dense linear algebra in f32 and f64: blocked, parallel, interruptible, and the same bits for any thread
// count. Matrices are dense, row-major; of a symmetric one only the lower triangle is read. `out` overlaps no
// operand; when a call throws, what it holds is undefined. A size may be 0.
//
// Sums run over tiles of 192 products, each from zero and in order, taken off in order of the tiles; an entry
// of a factor or a solution is then divided by its pivot. So the bits depend only on whether the x86-64 level
// has a fused multiply-add.
#pragma once

#include <cstdint>

#include "runtime/dtype.h"

namespace wane::cpu {

// out = l, lower, zeros above, with l l^T = x [n, n]. Error: x is not positive definite, with the first pivot
// (1-based) that is not positive and finite, and its value.
void cholesky(DType, const void* x, void* out, int64_t n);

// out = x^-1, symmetric, of a positive definite x. Error: as cholesky.
void inverse(DType, const void* x, void* out, int64_t n);

// out = u, upper, with u^T u = x^-1, of a positive definite x: the inverse of one Cholesky factor, of x with
// rows and columns reversed, so that x^-1 itself is never formed. `added` (or null): n numbers that count as
// added to x's diagonal. Error: as cholesky; pivots come from n down.
void inverse_upper(DType, const void* x, void* out, int64_t n, const void* added = nullptr);

// out [n, columns] = x^-1 b: x positive definite (error: as cholesky); or triangular, where only that
// triangle is read (error: a zero on the diagonal).
void solve(DType, const void* x, const void* b, void* out, int64_t n, int64_t columns);
void solve_triangular(DType, const void* x, const void* b, void* out, int64_t n, int64_t columns, bool upper);

} // namespace wane::cpu
