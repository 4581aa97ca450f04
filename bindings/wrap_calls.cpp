// Calls of the core module that models and measures are made of.
#include "bindings/wrap_tensor.h"
#include "runtime/calls.h"

namespace wane::lua {
namespace {

constexpr int64_t kMostBins = 1 << 20,
                  kMostHeadDim = 1 << 20; // what they take lies outside the engine's memory

int linear_of(Args& a) {
  Tensor x = a.tensor("x"), w = a.tensor("w"), bias = a.maybe_tensor("bias");
  std::optional<DType> out;
  if (!a.is_nil())
    out = a.dtype("out_dtype");
  else if (a.more())
    a.skip();
  return results(a.L, linear(x, w, bias, out, a.maybe_tensor("plus")));
}

int linears_of(Args& a) {
  Tensor x = a.tensor("x");
  auto products = linears(x, a.tensors("weights"));
  lua_createtable(a.L, int(products.size()), 0);
  for (size_t i = 0; i < products.size(); ++i) {
    push(a.L, products[i]);
    lua_rawseti(a.L, -2, lua_Integer(i) + 1);
  }
  return 1;
}

int gated_linear_of(Args& a) {
  Tensor x = a.tensor("x"), gate = a.tensor("gate"), up = a.tensor("up"),
         gate_bias = a.maybe_tensor("gate_bias");
  return results(a.L, gated_linear(x, gate, up, gate_bias, a.maybe_tensor("up_bias")));
}

int matmul_of(Args& a) {
  Tensor x = a.tensor("x");
  return results(a.L, matmul(x, a.tensor("y")));
}

int embedding_of(Args& a) {
  Tensor tokens = a.tensor("tokens");
  return results(a.L, embedding(tokens, a.tensor("table")));
}

int rms_norm_of(Args& a) {
  Tensor x = a.tensor("x"), w = a.tensor("w");
  return results(a.L, rms_norm(x, w, a.number("eps")));
}

int quick_rms_norm_of(Args& a) {
  Tensor x = a.tensor("x"), w = a.tensor("w");
  return results(a.L, quick_rms_norm(x, w, a.number("eps")));
}

int rope_of(Args& a) {
  Tensor x = a.tensor("x"), positions = a.tensor("positions"), freqs = a.tensor("freqs");
  return results(a.L, rope(x, positions, freqs, a.number("factor", 1)));
}

Tensor vector_of(std::span<const double> list) {
  return from_bytes({int64_t(list.size())}, DType::f64, std::as_bytes(list));
}

int frequencies(Args& a) {
  int64_t dim = a.integer("dim");
  if (dim < 2 || dim % 2 || dim > kMostHeadDim)
    throw error("rope_frequencies: dim is {}, expected an even number up to {}", dim, kMostHeadDim);
  return results(a.L, vector_of(rope_frequencies(dim, a.number("theta"))));
}

// Token ids: a list, or an integer tensor.
std::vector<int32_t> read_ids(Args& a, const char* name) {
  std::vector<int32_t> ids;
  auto add = [&](int64_t id) {
    if (id < -1 || id > INT32_MAX) throw error("{}: token id {}", a.method.label(), id);
    ids.push_back(int32_t(id));
  };
  if (lua_istable(a.L, a.peek())) {
    for (int64_t id : a.integers(name)) add(id);
    return ids;
  }
  Tensor x = a.tensor(name);
  if (is_float(x.dtype()))
    throw error("{}: {} are {}, expected integers", a.method.label(), name, name_of(x.dtype()));
  Tensor wide = cast(x.flushed(), DType::i64).dense();
  for (int64_t i = 0; i < wide.count(); ++i) add(wide.data<int64_t>()[i]);
  return ids;
}

int cross_entropy_of(Args& a) {
  Tensor logits = a.tensor("logits");
  return results(a.L, vector_of(cross_entropy(logits, read_ids(a, "targets"))));
}

int compare_of(Args& a) {
  Tensor logits = a.tensor("logits"), base = a.tensor("base");
  auto scores = compare_logits(logits, base, read_ids(a, "targets"));
  size_t n = scores.size();
  std::vector<double> kl(n), nll(n), nll_base(n);
  std::vector<int32_t> top1(n), top1_base(n);
  for (size_t i = 0; i < n; ++i) {
    kl[i] = scores[i].kl, nll[i] = scores[i].nll, nll_base[i] = scores[i].nll_base;
    top1[i] = scores[i].top1, top1_base[i] = scores[i].top1_base;
  }
  lua_createtable(a.L, 0, 5);
  auto field = [&](const char* name, const Tensor& x) {
    push(a.L, x);
    lua_setfield(a.L, -2, name);
  };
  auto ids = [&](const std::vector<int32_t>& list) {
    return from_bytes({int64_t(n)}, DType::i32, std::as_bytes(std::span(list)));
  };
  field("kl", vector_of(kl));
  field("nll", vector_of(nll));
  field("nll_base", vector_of(nll_base));
  field("top1", ids(top1));
  field("top1_base", ids(top1_base));
  return 1;
}

int sample_of(Args& a) {
  Tensor logits = a.tensor("logits");
  int64_t row = a.integer("row");
  if (logits.rank() != 2 || row < 1 || row > logits.shape()[0])
    throw error("sample: row {}", row).note("logits", describe(logits));
  double temperature = a.number("temperature", 1);
  int64_t top_k = a.integer("top_k", 0);
  double top_p = a.number("top_p", 1);
  return results(a.L, int64_t(sample(logits, row - 1, temperature, top_k, top_p, a.number("u"))));
}

int histogram_of(Args& a) {
  Tensor x = a.tensor("x");
  double lo = a.number("lo"), hi = a.number("hi");
  int64_t bins = a.integer("bins");
  if (bins < 1 || bins > kMostBins) throw error("histogram: {} bins, expected 1 to {}", bins, kMostBins);
  return results(a.L, std::span<const int64_t>(histogram(x, lo, hi, bins)));
}

Method functions[] = {
    {"linear", linear_of, "(x, w [, bias [, out_dtype [, plus]]]) -> tensor",
     "x [.., in] by w [out, in], plus bias [out]; `plus` + that, in every bit."},
    {"linears", linears_of, "(x, { w, ... }) -> { tensor, ... }", "linear(x, w) of each, in one dispatch."},
    {"gated_linear", gated_linear_of, "(x, gate, up [, gate_bias [, up_bias]]) -> tensor",
     "silu(linear(x, gate)) * linear(x, up), in every bit."},
    {"matmul", matmul_of, "(x, y) -> tensor", "x [.., m, k] by y [.., k, n]."},
    {"embedding", embedding_of, "(tokens, table) -> tensor",
     "Rows of a table [ids, width] by token ids from 0."},
    {"rms_norm", rms_norm_of, "(x, w, eps) -> tensor", "x / sqrt(mean(x^2) + eps) * w over the last dim."},
    {"quick_rms_norm", quick_rms_norm_of, "(x, w, eps) -> tensor", "rms_norm, of a small x at once."},
    {"rope", rope_of, "(x, positions, freqs [, factor]) -> tensor",
     "Rotary embedding of [batch, tokens, heads, dim] at positions i32 [batch, tokens] from 0."},
    {"rope_frequencies", frequencies, "(dim, theta) -> tensor f64", "theta^(-2 i / dim)."},
    {"cross_entropy", cross_entropy_of, "(logits, targets) -> tensor f64",
     "Nats per row; target -1 gives 0."},
    {"compare_logits", compare_of, "(logits, base, targets) -> table",
     "Per row: kl, nll, nll_base (f64), top1, top1_base (i32)."},
    {"sample", sample_of, "(logits, row, temperature, top_k, top_p, u) -> id",
     "Draws a token id from a row of logits; u is uniform in [0, 1)."},
    {"histogram", histogram_of, "(x, lo, hi, bins) -> list of counts",
     "How many elements lie in each of equal bins."},
};

} // namespace

void open_calls(lua_State* L) { set_methods(L, functions, false); }

} // namespace wane::lua
