// Calls along one dim: sorting, selecting, scanning; the norms and the softmax made of maps and reductions.
#include <cmath>

#include "runtime/calls.h"
#include "runtime/cpu/kernels.h"
#include "runtime/node_memory.h"
#include "runtime/profile.h"

namespace wane {
namespace {

void check_dim(const char* op, const Tensor& x, int dim) {
  if (dim < 0 || dim >= x.rank())
    throw error("{}: dim {} of a tensor with {} dims", op, dim + 1, x.rank()).note("tensor", describe(x));
}

// x with `dim` last, dense; and the way back.
Tensor dim_last(const Tensor& x, int dim) {
  return dim == x.rank() - 1 ? x.dense() : transpose(x, dim, x.rank() - 1).dense();
}
Tensor dim_back(const Tensor& x, int dim) {
  return dim == x.rank() - 1 ? x : transpose(x, dim, x.rank() - 1);
}

int64_t rows_of(const Tensor& x) { return x.shape().back() ? x.count() / x.shape().back() : 0; }

} // namespace

Tensor cumsum(const Tensor& x, int dim) {
  check_dim("cumsum", x, dim);
  WorkSpan span("cumsum");
  Tensor in = x.dense();
  DType out_dtype = !is_float(x.dtype()) ? DType::i64 : x.dtype() == DType::f64 ? DType::f64 : DType::f32;
  Tensor out = empty(x.shape(), out_dtype, "cumsum");
  span.moves(in, out);
  int64_t outer = 1, inner = 1;
  for (int d = 0; d < dim; ++d) outer *= x.shape()[d];
  for (int d = dim + 1; d < x.rank(); ++d) inner *= x.shape()[d];
  if (out.count() > 0)
    cpu::cumsum(in.dtype(), in.bytes(), out.bytes(), out_dtype, outer, x.shape()[dim], inner);
  return out;
}

std::pair<Tensor, Tensor> sort(const Tensor& x, int dim, bool descending) {
  check_dim("sort", x, dim);
  WorkSpan span("sort");
  Tensor in = dim_last(x, dim);
  Tensor values = empty(in.shape(), x.dtype(), "sort"), positions = empty(in.shape(), DType::i32, "argsort");
  span.moves(in, values, positions);
  if (in.count() > 0)
    cpu::sort_rows(x.dtype(), in.bytes(), values.bytes(), positions.data<int32_t>(), rows_of(in),
                   in.shape().back(), descending);
  return {dim_back(values, dim), dim_back(positions, dim)};
}

std::pair<Tensor, Tensor> topk(const Tensor& x, int64_t k, int dim) {
  check_dim("topk", x, dim);
  if (k < 0 || k > x.shape()[dim])
    throw error("topk: {} of {} along dim {}", k, x.shape()[dim], dim + 1).note("tensor", describe(x));
  WorkSpan span("topk");
  Tensor in = dim_last(x, dim);
  Shape shape = in.shape();
  shape[shape.rank() - 1] = k;
  Tensor values = empty(shape, x.dtype(), "topk"), positions = empty(shape, DType::i32, "topk");
  span.moves(in, values, positions);
  if (values.count() > 0)
    cpu::topk_rows(x.dtype(), in.bytes(), values.bytes(), positions.data<int32_t>(), rows_of(in),
                   in.shape().back(), k);
  return {dim_back(values, dim), dim_back(positions, dim)};
}

Tensor quantile(const Tensor& x, double p, int dim) {
  check_dim("quantile", x, dim);
  if (!(p >= 0 && p <= 1)) throw error("quantile: p is {}, expected 0 to 1", p);
  if (x.shape()[dim] == 0) throw error("quantile: nothing to select from").note("tensor", describe(x));
  WorkSpan span("quantile");
  Tensor in = dim_last(x, dim);
  Shape shape = in.shape();
  shape[shape.rank() - 1] = 1;
  Tensor out = empty(shape, x.dtype() == DType::f64 ? DType::f64 : DType::f32, "quantile");
  span.moves(in, out);
  cpu::quantile_rows(x.dtype(), in.bytes(), p, out.bytes(), rows_of(in), in.shape().back());
  return dim_back(out, dim);
}

double quantile_all(const Tensor& x, double p) { return item(quantile(reshape(x, {1, x.count()}), p, 1), 0); }

std::vector<int64_t> histogram(const Tensor& x, double lo, double hi, int64_t bins) {
  if (bins < 1 || !(lo < hi)) throw error("histogram: {} bins from {} to {}", bins, lo, hi);
  std::vector<int64_t> counts(static_cast<size_t>(bins));
  WorkSpan span("histogram");
  Tensor in = x.dense();
  span.moves(in);
  cpu::histogram(in.dtype(), in.bytes(), in.count(), lo, hi, bins, counts.data());
  return counts;
}

Tensor hadamard(const Tensor& x, int dim) {
  check_dim("hadamard", x, dim);
  if (!is_float(x.dtype()))
    throw error("hadamard: floats expected, got {}", name_of(x.dtype())).note("tensor", describe(x));
  WorkSpan span("hadamard");
  Tensor in = dim_last(x, dim);
  Tensor out = empty(in.shape(), x.dtype(), "hadamard");
  span.moves(in, out);
  if (in.count() > 0) cpu::hadamard_rows(in.dtype(), in.bytes(), out.bytes(), rows_of(in), in.shape().back());
  return dim_back(out, dim);
}

Tensor rotate(const Tensor& x, const Tensor& scale, int64_t block, bool back) {
  if (!is_float(x.dtype()) || x.rank() == 0)
    throw error("rotate: floats of one dim or more expected").note("tensor", describe(x));
  int64_t n = x.shape().back(), scales = scale ? scale.count() : 0;
  if (block < 1 || n % block != 0)
    throw error("rotate: blocks of {} do not divide {} channels", block, n).note("tensor", describe(x));
  if (scale && (scales < 1 || n % scales != 0 || scales % block != 0))
    throw error("rotate: {} scales for {} channels in blocks of {}", scales, n, block)
        .note("tensor", describe(x));
  Tensor factors = scale ? cast(scale, DType::f64).dense() : Tensor();
  WorkSpan span("rotate");
  Tensor in = x.dense(), out = empty(x.shape(), x.dtype(), "rotate");
  span.moves(in, out);
  cpu::HadamardUse use{.back = back};
  if (scale) use.factors = {factors.data<double>(), size_t(scales)};
  if (in.count() > 0) cpu::hadamard_rows(in.dtype(), in.bytes(), out.bytes(), in.count() / block, block, use);
  return out;
}

Tensor softmax(const Tensor& x, int dim) {
  check_dim("softmax", x, dim);
  if (dim != x.rank() - 1)
    return transpose(softmax(transpose(x, dim, x.rank() - 1), x.rank() - 1), dim, x.rank() - 1);
  DType wide = x.dtype() == DType::f64 ? DType::f64 : DType::f32;
  Tensor v = cast(x, wide);
  Tensor e = map(Op::exp, map(Op::sub, v, reduce(Reduction::max, v, dim)));
  Tensor y = map(Op::div, e, reduce(Reduction::sum, e, dim));
  return is_float(x.dtype()) ? cast(y, x.dtype()) : y;
}

Tensor logsumexp(const Tensor& x, int dim) {
  check_dim("logsumexp", x, dim);
  if (dim != x.rank() - 1)
    return transpose(logsumexp(transpose(x, dim, x.rank() - 1), x.rank() - 1), dim, x.rank() - 1);
  Tensor v = cast(x, x.dtype() == DType::f64 ? DType::f64 : DType::f32);
  Tensor top = reduce(Reduction::max, v, dim);
  // A row of -inf has the maximum -inf: measured from 0 instead, so that no inf - inf appears.
  Tensor base = map(Op::where, map(Op::isfinite, top), top, full({}, v.dtype(), 0.0));
  Tensor e = map(Op::exp, map(Op::sub, v, base));
  return map(Op::add, base, map(Op::log, reduce(Reduction::sum, e, dim)));
}

Tensor rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  if (x.rank() == 0 || weight.rank() != 1 || weight.shape()[0] != x.shape().back())
    throw error("rms_norm: a weight {} for rows of {}", to_string(weight.shape()),
                x.rank() ? x.shape().back() : 1)
        .note("x", describe(x))
        .note("weight", describe(weight));
  DType wide = x.dtype() == DType::f64 ? DType::f64 : DType::f32;
  Tensor v = cast(x, wide);
  double n = double(x.shape().back());
  Tensor mean = map(Op::div, reduce(Reduction::sumsq, v, x.rank() - 1), full({}, wide, n));
  Tensor scale = map(Op::rsqrt, map(Op::add, mean, full({}, wide, eps)));
  Tensor y = map(Op::mul, map(Op::mul, v, scale), cast(weight, wide));
  return is_float(x.dtype()) ? cast(y, x.dtype()) : y;
}

Tensor diag(const Tensor& x) {
  Tensor t = x.dense();
  if (x.rank() == 2) {
    auto node = make_node(*t.node());
    node->packed = nullptr;
    int64_t n = std::min(x.shape()[0], x.shape()[1]);
    node->shape = {n};
    node->strides = {x.shape()[1] + 1};
    node->origin = current_origin();
    return Tensor(node);
  }
  if (x.rank() != 1) throw error("diag: a matrix or a vector expected").note("tensor", describe(x));
  int64_t n = x.count();
  Tensor zero = full({n, n}, x.dtype(), int64_t(0)).dense();
  Strides strides{n + 1};
  Shape shape{n};
  cpu::copy_into_strided(size_of(x.dtype()), t.bytes(), strides.begin(), shape.begin(), 1, zero.bytes());
  return zero;
}

Tensor rope(const Tensor& x, const Tensor& positions, const Tensor& freqs, double factor) {
  if (x.rank() != 4 || x.shape()[3] % 2)
    throw error("rope: expected [batch, tokens, heads, dim] with an even dim").note("tensor", describe(x));
  int64_t batch = x.shape()[0], tokens = x.shape()[1];
  if (freqs.count() != x.shape()[3] / 2)
    throw error("rope: {} frequencies for heads of {}", freqs.count(), x.shape()[3])
        .note("tensor", describe(x));
  if (positions.count() != batch * tokens)
    throw error("rope: {} positions for {} samples of {} tokens", positions.count(), batch, tokens);
  WorkSpan span("rope");
  Tensor in = x.dense(), p = cast(positions, DType::i32).dense(), f = cast(freqs, DType::f64).dense();
  Tensor out = empty(x.shape(), x.dtype(), "rope");
  span.moves(in, p, f, out);
  if (out.count() > 0)
    cpu::rope(x.dtype(), in.bytes(), out.bytes(), batch * tokens, x.shape()[2], x.shape()[3],
              p.data<int32_t>(), f.data<double>(), float(factor));
  return out;
}

std::vector<double> rope_frequencies(int64_t dim, double theta) {
  std::vector<double> freqs;
  for (int64_t i = 0; i < dim / 2; ++i) freqs.push_back(std::pow(theta, -double(2 * i) / double(dim)));
  return freqs;
}

// -- rows of logits
// ------------------------------------------------------------------------------------------

namespace {

Tensor logit_rows(const char* op, const Tensor& logits) {
  if (logits.rank() != 2)
    throw error("{}: logits are [rows x vocabulary]", op).note("logits", describe(logits));
  return cast(logits, DType::f32).dense();
}

} // namespace

std::vector<double> cross_entropy(const Tensor& logits, std::span<const int32_t> targets) {
  WorkSpan span("cross_entropy");
  Tensor x = logit_rows("cross_entropy", logits);
  span.moves(x);
  int64_t rows = x.shape()[0], vocab = x.shape()[1];
  if (int64_t(targets.size()) != rows)
    throw error("cross_entropy: {} targets for {} rows", targets.size(), rows);
  std::vector<double> nll(targets.size());
  cpu::nll_rows(x.data<float>(), rows, vocab, vocab, targets.data(), nll.data());
  return nll;
}

std::vector<TokenScore> compare_logits(const Tensor& logits, const Tensor& base,
                                       std::span<const int32_t> targets) {
  WorkSpan span("compare");
  Tensor x = logit_rows("compare", logits), y = logit_rows("compare", base);
  span.moves(x, y);
  if (!(x.shape() == y.shape()))
    throw error("compare: logits of different shapes").note("logits", describe(x)).note("base", describe(y));
  int64_t rows = x.shape()[0], vocab = x.shape()[1];
  if (int64_t(targets.size()) != rows) throw error("compare: {} targets for {} rows", targets.size(), rows);
  std::vector<cpu::KlRow> raw(targets.size());
  cpu::kl_rows(x.data<float>(), y.data<float>(), rows, vocab, vocab, targets.data(), raw.data());
  std::vector<TokenScore> out;
  for (auto& r : raw) out.push_back({r.kl, r.nll, r.nll_base, r.top1, r.top1_base});
  return out;
}

int32_t sample(const Tensor& logits, int64_t row, double temperature, int64_t top_k, double top_p,
               double u01) {
  WorkSpan span("sample");
  Tensor x = logit_rows("sample", logits);
  if (row < 0 || row >= x.shape()[0]) throw error("sample: row {} of {}", row + 1, x.shape()[0]);
  return cpu::sample_row(x.data<float>() + row * x.shape()[1], x.shape()[1], float(temperature), top_k, top_p,
                         u01);
}

} // namespace wane
