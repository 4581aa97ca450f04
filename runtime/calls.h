// Everything that is not a map or a reduction of rows: runs at once, in program order. Each call checks
// shapes, flushes its operands and dispatches to the back end. Dims are 0-based here.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "runtime/tensor.h"

namespace wane {

// x [.., k] by w [out, k], both read as floats; y [.., out] in the dtype of x (bf16 where both are and the
// CPU has it; else f32 arithmetic). `bias` [out] may be empty. The layout of w is made once and kept with it.
// `out_dtype` overrides the result's dtype (f32 or bf16).
Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias = {}, std::optional<DType> out_dtype = {},
              const Tensor& plus = {}); // plus + linear(x, w, bias), in every bit
// linear(x, w) of each, without bias, in one dispatch.
std::vector<Tensor> linears(const Tensor& x, std::span<const Tensor> weights);
// silu(linear(x, gate, gate_bias)) * linear(x, up, up_bias), in every bit, but neither product is kept: what
// a gated feed-forward starts with (N. Shazeer, 2020). Without fusion, one op after the other.
Tensor gated_linear(const Tensor& x, const Tensor& gate, const Tensor& up, const Tensor& gate_bias = {},
                    const Tensor& up_bias = {});
// x [.., m, k] by y [.., k, n]; leading dims broadcast. i8 by i8 gives i32.
Tensor matmul(const Tensor& x, const Tensor& y);

Tensor concat(std::span<const Tensor> parts, int dim);
// x with `value` (broadcast) at the box [first, first + count) of every dim.
Tensor with(const Tensor& x, std::span<const int64_t> first, std::span<const int64_t> count,
            const Tensor& value);
Tensor gather(const Tensor& x, int dim,
              const Tensor& positions); // positions 0-based, along dim, of any shape (1-d picks slices)
Tensor embedding(const Tensor& tokens, const Tensor& table); // tokens i32 [..] -> [.., width]
Tensor flip(const Tensor& x, int dim);
Tensor tile(const Tensor& x, const Shape& repeats);

Tensor cumsum(const Tensor& x, int dim);
std::pair<Tensor, Tensor> sort(const Tensor& x, int dim,
                               bool descending = false); // values, positions (0-based i32)
std::pair<Tensor, Tensor> topk(const Tensor& x, int64_t k, int dim);
Tensor quantile(const Tensor& x, double p, int dim);
double quantile_all(const Tensor& x, double p);
std::vector<int64_t> histogram(const Tensor& x, double lo, double hi, int64_t bins);
Tensor hadamard(const Tensor& x, int dim);
// Along the last dim, n channels in blocks: (x * scale) H / sqrt(block); back: (x H^T / sqrt(block)) * scale.
// scale: floats, n of them or of a part that repeats; none: 1.
Tensor rotate(const Tensor& x, const Tensor& scale, int64_t block, bool back = false);
Tensor softmax(const Tensor& x, int dim);
Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps); // in f32, rounded once to x's dtype
// The same; of a small x in memory at once, by a program that is made once per shape.
Tensor quick_rms_norm(const Tensor& x, const Tensor& weight, double eps);
Tensor logsumexp(const Tensor& x, int dim);
Tensor diag(const Tensor& x); // of a matrix its diagonal, of a vector the matrix

// Of matrices [.., n, n], of which a symmetric one's lower triangle is read; right sides [.., n, m] with the
// same leading dims. f64 where an operand is, else f32. Errors name the pivot and, in a batch, the matrix.
Tensor cholesky(const Tensor& x);                           // lower
Tensor inverse(const Tensor& x);                            // of a positive definite matrix
Tensor inverse_upper(const Tensor& x);                      // u with u^T u = x^-1
Tensor inverse_upper(const Tensor& x, const Tensor& added); // of x [n, n] with `added` [n] on its diagonal
Tensor reorder(const Tensor& x, const Tensor& positions);   // out[i, j] = x[p_i, p_j]; positions 0-based
Tensor solve(const Tensor& x, const Tensor& b);             // x positive definite
Tensor solve_triangular(const Tensor& x, const Tensor& b, bool upper);

// x [batch, tokens, heads, dim]; positions i32 [batch, tokens], 0-based; freqs f64 [dim/2].
Tensor rope(const Tensor& x, const Tensor& positions, const Tensor& freqs, double factor = 1);
std::vector<double> rope_frequencies(int64_t dim, double theta);

// -- random streams (random.h): element i of a draw is a function of (seed, stream, draw number, i)
// ------------
Tensor uniform(const Shape& shape, DType dtype, uint64_t key);
Tensor randn(const Shape& shape, DType dtype, uint64_t key);

// -- rows of logits, f32 [rows, vocabulary]
// ------------------------------------------------------------------
struct TokenScore {
  double kl = 0, nll = 0, nll_base = 0;
  int32_t top1 = 0, top1_base = 0;
};
std::vector<double> cross_entropy(const Tensor& logits,
                                  std::span<const int32_t> targets); // nats; -1 is skipped (0)
std::vector<TokenScore> compare_logits(const Tensor& logits, const Tensor& base,
                                       std::span<const int32_t> targets);
int32_t sample(const Tensor& logits, int64_t row, double temperature, int64_t top_k, double top_p,
               double u01);

// Keys and values of one batch, per layer and sample; the one mutable noun of a model (kv_cache.h).
class KvCache;
// q [batch, tokens, heads, dim], k and v [batch, tokens, kv_heads, dim]: appends k and v at each sample's
// position and attends causally. Without a cache (nullptr) only these tokens are seen, at positions 0...
Tensor attend(KvCache* cache, const std::string& layer, const Tensor& q, const Tensor& k, const Tensor& v,
              int64_t window, double scale);
// The same of q [batch, tokens, heads * dim], k and v [batch, tokens, kv_heads * dim] with q and k turned to
// the positions where the cache stands (rope): [batch, tokens, heads * dim].
Tensor attend_turned(KvCache* cache, const std::string& layer, const Tensor& q, const Tensor& k,
                     const Tensor& v, const Tensor& freqs, int64_t window, double scale);

} // namespace wane
