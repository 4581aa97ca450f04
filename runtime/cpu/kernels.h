// The CPU's calls other than matmul, on raw pointers and sizes. All run over the pool in parts that the
// shapes fix, with one owner and one order of summation per output element: the bits are the same for any
// thread count. Where nothing else is said, arrays are dense, row-major, do not overlap and may be empty.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/dtype.h"
#include "runtime/op.h"

namespace wane::cpu {

// ---- models ----

// Causal attention of one sequence. q and out are [tokens, heads, dim] with a stride between tokens, keys and
// values [positions, kv_heads, dim] with a stride between positions, all in elements; heads % kv_heads == 0.
// Query i stands at position start + i and attends positions 0 .. start + i, of these the last `window` (0:
// all). dtype is f32 or bf16, arithmetic f32.
struct AttentionArgs {
  DType dtype;
  const void *q, *k, *v;
  void* out;
  int64_t tokens, start, heads, kv_heads, dim;
  int64_t q_token_stride, kv_position_stride, out_token_stride;
  int64_t window;
  float scale;
};
// Softmax is formed per block of 64 keys aligned to absolute positions and the blocks are merged in order
// (online softmax, M. Milakov, N. Gimelshein, 2018), so a query's bits depend on neither the chunk it came in
// nor the others.
void attention(std::span<const AttentionArgs> sequences);

// Rotates the pair (x[i], x[i + dim/2]) of every head by positions[t] * inv_freq[i]: angle, sine and cosine
// in f64, times `factor`, rounded to f32 once; then f32 (f64 for f64). x, out [tokens, heads, dim]; dim even.
void rope(DType, const void* x, void* out, int64_t tokens, int64_t heads, int64_t dim,
          const int32_t* positions, const double* inv_freq, float factor);

// Rows ids[i] of table [rows, width]. Error: an id out of range, with its place.
void embedding(DType, const void* table, int64_t rows, int64_t width, const int32_t* ids, int64_t count,
               void* out);

// ---- rows of logits, f32 [rows, vocab] with a stride between rows; sums in f64 over 16 lanes ----

// -log softmax(logits)[target], nats; 0 where the target is -1. Error: a target out of range.
void nll_rows(const float* logits, int64_t rows, int64_t vocab, int64_t stride, const int32_t* targets,
              double* nll);

struct KlRow {
  double kl, nll, nll_base; // KL(base || logits) and both losses, nats
  int32_t top1, top1_base;  // argmax, the first of equals; NaN counts as the largest
};
// `targets` may be null (losses 0) and hold -1 (loss 0 there).
void kl_rows(const float* logits, const float* base, int64_t rows, int64_t vocab, int64_t stride,
             const int32_t* targets, KlRow* out);

// One draw from softmax(logits / temperature), among the top_k largest (0: all; ties by lower index) and, of
// these, the fewest whose probabilities reach top_p. u01 in [0, 1) walks the candidates in the order of their
// indices. Temperature 0: argmax, the first of equals. Error: NaN or no finite logit.
int32_t sample_row(const float* logits, int64_t vocab, float temperature, int64_t top_k, double top_p,
                   double u01);

// ---- along the last dim: all dtypes ----

// Stable; NaN last in either direction. `positions` (0-based) may be null, so may `values`.
void sort_rows(DType, const void* x, void* values, int32_t* positions, int64_t rows, int64_t n,
               bool descending);
// The k largest, largest first, ties by lower position; NaN counts as the largest, so that it shows. k <= n.
void topk_rows(DType, const void* x, void* values, int32_t* positions, int64_t rows, int64_t n, int64_t k);
// The p-quantile, 0 <= p <= 1, with linear interpolation (numpy's default), formed in f64; out is f32 (f64
// for f64). A NaN in the row gives NaN. Errors: p outside 0 to 1, n = 0.
void quantile_rows(DType, const void* x, double p, void* out, int64_t rows, int64_t n);
// Counts of `bins` equal parts of [lo, hi], hi in the last; what lies outside or is NaN is not counted.
void histogram(DType, const void* x, int64_t count, double lo, double hi, int64_t bins, int64_t* counts);

// ---- any dim, seen as [outer, n, inner] ----

// Running sums along n, in order. Floats accumulate in f32 (f64 for f64) and round to out_dtype; integers
// wrap.
void cumsum(DType in, const void* x, void* out, DType out_dtype, int64_t outer, int64_t n, int64_t inner);

using Reduce = Reduction;
// out [outer, inner]. Floats run in f32 (f64 for f64), integers in i64, results convert to out_dtype; argmax
// and argmin give 0-based positions, the first of equals. min, max, absmax, argmax and argmin give NaN its
// way: the result is NaN, or its position. Errors: n = 0 for min, max, argmax, argmin.
void reduce_strided(Reduce, DType in, const void* x, void* out, DType out_dtype, int64_t outer, int64_t n,
                    int64_t inner);

// Where a Hadamard transform stands among channels. factors, k n of them, k rows taking turns: multiplied in
// before the transform. back: the inverse, x H^T / sqrt(n), then the factors (those of the inverse); H is
// symmetric only where no order is of Paley's first kind.
struct HadamardUse {
  std::span<const double> factors = {};
  bool back = false;
};
// x H / sqrt(n), row by row, in f32 (f64 for f64). n: a power of two times 1 or an order that Paley's
// constructions give (12, 20, 28, 36, ...). Error: not supported: hadamard of size n.
void hadamard_rows(DType, const void* x, void* out, int64_t rows, int64_t n, const HadamardUse& = {});
bool has_hadamard(int64_t n); // whether there is a transform of this size

// ---- layout, in whole elements of element_bytes ----

// out [outer, count, inner] = x [outer, n, inner] at positions[0 .. count) along n; positions were checked.
void gather(size_t element_bytes, const void* x, void* out, int64_t outer, int64_t n, int64_t inner,
            const int64_t* positions, int64_t count);
void gather(size_t element_bytes, const void* x, void* out, int64_t outer, int64_t n, int64_t inner,
            const int32_t* positions, int64_t count);
// out dense [shape] = x with these strides (in elements; 0 and negative allowed).
void copy_strided(size_t element_bytes, const void* x, const int64_t* strides, const int64_t* shape, int rank,
                  void* out_dense);
// The inverse: dense x into out with these strides, which must not overlap.
void copy_into_strided(size_t element_bytes, const void* x_dense, const int64_t* strides,
                       const int64_t* shape, int rank, void* out);

} // namespace wane::cpu
