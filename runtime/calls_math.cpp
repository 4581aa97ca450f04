// Products. The compute type follows the operands: bf16 where both are and the CPU multiplies it natively, i8
// by i8 in i32, f64 in f64, everything else in f32.
#include <algorithm>

#include "runtime/calls.h"
#include "runtime/cpu/matmul.h"
#include "runtime/flush.h"
#include "runtime/pressure.h"
#include "runtime/profile.h"

namespace wane {
namespace {

DType compute_dtype(DType a, DType b) {
  if (a == DType::f64 || b == DType::f64) return DType::f64;
  if (a == DType::bf16 && b == DType::bf16 && native_bf16()) return DType::bf16;
  if (a == DType::i8 && b == DType::i8) return DType::i8;
  return DType::f32;
}

DType result_dtype(DType a, DType b, DType compute) {
  if (compute == DType::i8) return DType::i32;
  DType t = promote(a, b);
  return is_float(t) ? t : DType::f32;
}

// The type the tiles write; anything narrower is rounded from it afterwards.
DType tile_dtype(DType compute, DType result) {
  if (compute == DType::i8 || compute == DType::f64) return result;
  return result == DType::bf16 ? DType::bf16 : DType::f32;
}

Error inner_sizes(const char* op, const Tensor& left, const Tensor& right, int64_t a, int64_t b) {
  return error("{}: inner sizes differ: {} and {}", op, a, b)
      .note("left", describe(left))
      .note("right", describe(right));
}

// Types that the packing reads by itself; others are converted first.
bool packs_from(DType source, DType compute) {
  return source == compute
         || (compute != DType::i8 && (source == DType::bf16 || source == DType::f16 || source == DType::f32));
}

Tensor matrix_for(const Tensor& x, DType compute) {
  return packs_from(x.dtype(), compute) ? x.flushed() : cast(x, compute).flushed();
}

void keep_while_memory_lasts(const NodePtr& node) {
  add_droppable(node, [weak = std::weak_ptr<Node>(node)]() -> std::optional<size_t> {
    auto holder = weak.lock();
    if (!holder || !holder->packed) return size_t{0};
    if (holder->packed.use_count() > 1) return std::nullopt;
    size_t bytes = holder->packed->bytes();
    holder->packed = nullptr;
    return bytes;
  });
}

// The weights' layout is made at first use and kept with the node, so that all who share the weights share
// it.
PackedWeightsPtr packed(const Tensor& w, DType compute) {
  Node& node = *w.node();
  if (node.version) w.flushed(); // a buffer may have been written since its view was packed
  if (node.packed && node.packed->dtype() == compute) return node.packed;
  WorkSpan span("pack");
  bool known = bool(node.packed); // as droppable, in another type
  MemoryLabel label("packed " + (node.source ? node.source->describe() : std::string("weights")));
  // A file's rows are packed as they are read: the matrix never lies in memory twice.
  bool by_rows = node.source && node.source->reads_in_parallel() && node.produced.expired()
                 && packs_from(w.dtype(), compute);
  if (by_rows) {
    auto read = [&](int64_t first, int64_t rows, std::byte* out) {
      node.source->read_rows(first, rows, out);
    };
    node.packed = pack_rows(compute, w.dtype(), w.shape()[0], w.shape()[1], read, w.origin());
    span.bytes(double(w.count()) * double(size_of(w.dtype())));
  } else {
    Tensor t = matrix_for(w, compute);
    node.packed = pack_weights(compute, t.dtype(), t.bytes(), t.shape()[0], t.shape()[1], t.strides()[0],
                               t.strides()[1], w.origin());
    span.moves(t);
  }
  span.bytes(double(node.packed->bytes()));
  if (!known) keep_while_memory_lasts(w.node());
  return node.packed;
}

// Rows of `compute` elements with the last dim dense and one behind the other (not one row read again and
// again); the leading dims are read as one.
Tensor left_operand(const Tensor& x, DType compute) {
  Tensor t = cast(x, compute).flushed();
  return t.rank() == 2 && t.strides()[1] == 1 && t.strides()[0] >= t.shape()[1] ? t : t.dense();
}

// How far apart its rows are; the stride of a single row says nothing.
int64_t row_step(const Tensor& rows) {
  const int d = rows.rank() - 2;
  return rows.shape()[d] > 1 ? rows.strides()[d] : rows.shape()[d + 1];
}

void check_floats(const char* op, const Tensor& x, const Tensor& y) {
  if (x.dtype() == DType::i8 && y.dtype() == DType::i8) return;
  for (auto* t : {&x, &y})
    if (!is_float(t->dtype()))
      throw error("{}: {} operand; floats or i8 by i8 expected", op, name_of(t->dtype()))
          .note("left", describe(x))
          .note("right", describe(y));
}

} // namespace

Tensor linear(const Tensor& x, const Tensor& w, const Tensor& bias, std::optional<DType> out_dtype,
              const Tensor& plus) {
  if (w.rank() != 2 || x.rank() < 1)
    throw error("linear: expected x [.., in] and weights [out, in]")
        .note("x", describe(x))
        .note("weights", describe(w));
  int64_t k = w.shape()[1], n = w.shape()[0];
  if (x.shape().back() != k)
    throw inner_sizes("linear", x, w, x.shape().back(), k).hint("weights are [out, in]");
  check_floats("linear", x, w);
  if (bias && bias.count() != n)
    throw error("linear: a bias of {} for {} outputs", bias.count(), n).note("bias", describe(bias));
  WorkSpan span("linear");
  DType compute = compute_dtype(x.dtype(), w.dtype());
  DType result = out_dtype ? *out_dtype : result_dtype(x.dtype(), w.dtype(), compute);
  Shape shape = x.shape();
  shape[shape.rank() - 1] = 1;
  int64_t m = shape.count();
  shape[shape.rank() - 1] = n;
  auto added = [&](Tensor y) { return plus ? map(Op::add, plus, y) : y; };
  if (compute == DType::f64) {
    Tensor wt = transpose(cast(w, DType::f64), 0, 1);
    Tensor y = reshape(matmul(reshape(cast(x, DType::f64), {m, k}), wt), shape);
    if (bias) y = map(Op::add, y, cast(bias, DType::f64));
    return added(cast(y, result));
  }
  Tensor rows = left_operand(x, compute);
  int64_t lda = rows.rank() == 2 ? row_step(rows) : k;
  PackedWeightsPtr weights = packed(w, compute);
  DType tile = tile_dtype(compute, result);
  Tensor y = empty(shape, tile, "linear");
  span.moves(rows, y);
  span.bytes(double(weights->bytes()));
  span.product(2.0 * double(m) * double(n) * double(k));
  Tensor b = bias ? cast(bias, DType::f32).dense() : Tensor();
  bool joint = plus && fuse_enabled() && is_float(result) && tile == result && plus.dtype() == result
               && plus.shape() == shape;
  Tensor more = joint ? plus.dense() : Tensor();
  if (joint) span.moves(more);
  Target to{*weights, y.bytes(), n, b ? b.data<float>() : nullptr, joint ? more.bytes() : nullptr};
  matmul_packed(compute, rows.bytes(), m, lda, std::span<const Target>(&to, 1), tile);
  return joint ? y : added(cast(y, result));
}

std::vector<Tensor> linears(const Tensor& x, std::span<const Tensor> weights) {
  std::vector<Tensor> out;
  bool joint = fuse_enabled() && x.rank() >= 1 && is_float(x.dtype()) && !weights.empty();
  for (auto& w : weights)
    joint = joint && w.rank() == 2 && w.shape()[1] == x.shape().back() && w.dtype() == weights[0].dtype()
            && is_float(w.dtype());
  DType compute = joint ? compute_dtype(x.dtype(), weights[0].dtype()) : DType::f64;
  DType result = joint ? result_dtype(x.dtype(), weights[0].dtype(), compute) : compute;
  if (compute == DType::f64 || tile_dtype(compute, result) != result) {
    for (auto& w : weights) out.push_back(linear(x, w));
    return out;
  }
  WorkSpan span("linears");
  Tensor rows = left_operand(x, compute);
  int64_t k = x.shape().back(), m = k ? x.count() / k : 0;
  std::vector<PackedWeightsPtr> held;
  std::vector<Target> targets;
  span.moves(rows);
  for (auto& w : weights) {
    Shape shape = x.shape();
    int64_t n = shape[shape.rank() - 1] = w.shape()[0];
    held.push_back(packed(w, compute));
    out.push_back(empty(shape, result, "linear"));
    targets.push_back({*held.back(), out.back().bytes(), n});
    m = n ? shape.count() / n : m;
    span.moves(out.back());
    span.bytes(double(held.back()->bytes()));
    span.product(2.0 * double(m) * double(n) * double(k));
  }
  matmul_packed(compute, rows.bytes(), m, rows.rank() == 2 ? row_step(rows) : k, targets, result);
  return out;
}

Tensor gated_linear(const Tensor& x, const Tensor& gate, const Tensor& up, const Tensor& gate_bias,
                    const Tensor& up_bias) {
  auto one_by_one = [&] {
    return map(Op::mul, map(Op::silu, linear(x, gate, gate_bias)), linear(x, up, up_bias));
  };
  DType compute = compute_dtype(x.dtype(), gate.dtype());
  DType result = result_dtype(x.dtype(), gate.dtype(), compute);
  bool matrices = gate.rank() == 2 && x.rank() >= 1 && gate.shape() == up.shape();
  int64_t n = matrices ? gate.shape()[0] : 0, k = matrices ? gate.shape()[1] : 0;
  bool joint = fuse_enabled() && matrices && x.shape().back() == k && gate.dtype() == up.dtype()
               && gates_in_tiles(compute) && tile_dtype(compute, result) == result && x.count() > 0
               && is_float(x.dtype()) && is_float(gate.dtype());
  joint = joint && bool(gate_bias) == bool(up_bias)
          && (!gate_bias || (gate_bias.count() == n && up_bias.count() == n));
  if (!joint) return one_by_one();
  WorkSpan span("gated linear");
  Shape shape = x.shape();
  shape[shape.rank() - 1] = n;
  Tensor rows = left_operand(x, compute);
  int64_t lda = rows.rank() == 2 ? row_step(rows) : k;
  PackedWeightsPtr gates = packed(gate, compute), ups = packed(up, compute);
  Tensor y = empty(shape, result, "silu(linear) * linear");
  span.moves(rows, y);
  span.bytes(double(gates->bytes()) + double(ups->bytes()));
  span.product(4.0 * double(x.count()) * double(n));
  auto floats = [](const Tensor& b) { return b ? cast(b, DType::f32).dense() : Tensor(); };
  Tensor gb = floats(gate_bias), ub = floats(up_bias);
  matmul_gated(compute, rows.bytes(), x.count() / k, lda, *gates, *ups, y.bytes(), result, n,
               gb ? gb.data<float>() : nullptr, ub ? ub.data<float>() : nullptr);
  return y;
}

Tensor matmul(const Tensor& x, const Tensor& y) {
  if (x.rank() < 2 || y.rank() < 2)
    throw error("matmul: matrices expected").note("left", describe(x)).note("right", describe(y));
  int64_t m = x.shape()[x.rank() - 2], k = x.shape().back(), n = y.shape().back();
  if (y.shape()[y.rank() - 2] != k)
    throw inner_sizes("matmul", x, y, k, y.shape()[y.rank() - 2])
        .hint("weights are [out, in]: use wane.linear(x, w) or x:matmul(w:t())");
  check_floats("matmul", x, y);
  DType compute = compute_dtype(x.dtype(), y.dtype());
  DType result = result_dtype(x.dtype(), y.dtype(), compute);
  DType tile = tile_dtype(compute, result);
  auto leading = [](const Tensor& t) {
    Shape s;
    for (int d = 0; d + 2 < t.rank(); ++d) s.push_back(t.shape()[d]);
    return s;
  };
  Shape batch;
  if (!broadcast(leading(x), leading(y), batch))
    throw error("matmul: leading sizes do not fit").note("left", describe(x)).note("right", describe(y));
  WorkSpan span("matmul");
  Tensor left = left_operand(x, compute), right = matrix_for(y, compute);
  Shape shape = batch;
  shape.push_back(m), shape.push_back(n);
  Tensor out = empty(shape, tile, "matmul");
  span.moves(left, right, out);
  span.product(2.0 * double(batch.count()) * double(m) * double(n) * double(k));
  auto outer = [&](const Tensor& t) {
    Strides s;
    for (int d = 0; d + 2 < t.rank(); ++d) s.push_back(t.strides()[d]);
    return broadcast_strides(leading(t), s, batch);
  };
  Strides left_step = outer(left), right_step = outer(right);
  int64_t row = right.strides()[right.rank() - 2], column = right.strides().back();
  for (int64_t b = 0; b < batch.count(); ++b) {
    int64_t left_at = 0, right_at = 0, rest = b;
    for (int d = batch.rank() - 1; d >= 0; --d) {
      left_at += rest % batch[d] * left_step[d], right_at += rest % batch[d] * right_step[d];
      rest /= batch[d];
    }
    const std::byte* a = left.bytes() + left_at * int64_t(size_of(left.dtype()));
    const std::byte* w = right.bytes() + right_at * int64_t(size_of(right.dtype()));
    std::byte* to = out.bytes() + b * m * n * int64_t(size_of(tile));
    int64_t lda = row_step(left);
    if (right.dtype() == compute)
      matmul_plain(compute, a, m, lda, w, row, column, n, k, to, tile, n);
    else
      matmul_packed(compute, a, m, lda,
                    *pack_weights(compute, right.dtype(), w, n, k, column, row, current_origin()), to, tile,
                    n, nullptr);
  }
  return cast(out, result);
}

} // namespace wane
