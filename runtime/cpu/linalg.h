// Dense linear algebra in f32 and f64: blocked, parallel, interruptible, and the same bits for any thread
// count (products go through matmul.h, everything else has one order). Matrices are dense, row-major; of a
// symmetric one only the lower triangle is read.
#pragma once

#include <cstdint>

#include "runtime/dtype.h"

namespace wane::cpu {

// out = l, lower, zeros above, with l l^T = x [n, n]. x and out may be the same. `op` names the call in
// errors. Error: x is not positive definite, with the pivot (1-based) and its value.
void cholesky(DType, const void* x, void* out, int64_t n, const char* op = "cholesky");

// out = x^-1 of a lower triangular x [n, n]. They do not overlap. Error: a zero on the diagonal.
void inverse_lower(DType, const void* x, void* out, int64_t n);

// out = x^-1, symmetric, of a positive definite x.
void inverse(DType, const void* x, void* out, int64_t n);

// out = u, upper, with u^T u = x^-1, of a positive definite x: from the Cholesky factor of x with rows and
// columns reversed, so that x^-1 itself is never formed.
void inverse_upper(DType, const void* x, void* out, int64_t n);

// out [n, m] = x^-1 b: x positive definite; or triangular, where only that triangle is read. out may be b.
void solve(DType, const void* x, const void* b, void* out, int64_t n, int64_t m);
void solve_triangular(DType, const void* x, const void* b, void* out, int64_t n, int64_t m, bool upper);

} // namespace wane::cpu
