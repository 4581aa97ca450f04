// Building maps and reductions: what dtype and shape come out, and what must be flushed first so that the
// pending tree stays one that a single program can run.
#include <algorithm>

#include "runtime/calls.h"
#include "runtime/cpu/kernels.h"
#include "runtime/flush.h"
#include "runtime/node_memory.h"
#include "runtime/plan.h"
#include "runtime/pressure.h"
#include "runtime/profile.h"
#include "runtime/trace.h"

namespace wane {
namespace {

bool same_outer(const Shape& a, const Shape& b) {
  if (a.rank() != b.rank()) return false;
  for (int d = 0; d + 1 < a.rank(); ++d)
    if (a[d] != b[d]) return false;
  return true;
}

void require_kind(Op op, const Tensor& x, bool wants_integer) {
  if (wants_integer == !is_float(x.dtype())) return;
  throw error("{}: {} expected, got {}", info(op).name, wants_integer ? "integers" : "floats",
              name_of(x.dtype()))
      .note("tensor", describe(x));
}

struct Types {
  DType compute, result;
};

Types result_types(Op op, std::span<const Tensor> args) {
  const OpInfo& how = info(op);
  size_t first = how.rule == ResultRule::chosen ? 1 : 0;
  DType t = args[first].dtype();
  for (size_t i = first + 1; i < args.size(); ++i) t = promote(t, args[i].dtype());
  if (how.rule == ResultRule::integer)
    for (auto& arg : args) require_kind(op, arg, true);
  bool arithmetic = how.rule == ResultRule::same || how.rule == ResultRule::integer;
  bool keeps_bool = op == Op::maximum || op == Op::minimum || op == Op::band || op == Op::bor
                    || op == Op::bxor || op == Op::cast;
  if (t == DType::boolean && arithmetic && !keeps_bool) t = DType::i32;
  if (how.rule == ResultRule::real && !is_float(t)) t = DType::f32;
  bool truth = how.rule == ResultRule::truth || how.rule == ResultRule::logical;
  return {t, truth ? DType::boolean : t};
}

// The operand in the lane type the op computes in. Narrow floats and integers already travel as f32 and i32.
Tensor in_lane(const Tensor& x, DType compute) {
  Lane lane = lane_of(compute);
  if (lane_of(x.dtype()) == lane) return x;
  DType full_type = lane == Lane::f32   ? DType::f32
                    : lane == Lane::f64 ? DType::f64
                    : lane == Lane::i64 ? DType::i64
                                        : DType::i32;
  if (x.node()->kind == NodeKind::constant)
    return is_float(x.dtype()) ? full(x.shape(), full_type, x.node()->value)
                               : full(x.shape(), full_type, x.node()->integer);
  return cast(x, full_type);
}

// A pending operand may stay pending when the result's rows are its rows: the same shape, or the same outer
// dims with one value a row. Anything else would compute it many times over, or belongs to other rows.
bool may_stay(const Node& arg, const Shape& shape, int64_t row) {
  bool per_row = same_outer(arg.shape, shape) && arg.shape.back() == 1;
  if (arg.row) {
    if (row && arg.row != row) return false;
    if (arg.shape == shape) return shape.back() == 1 || shape.back() == arg.row;
    return per_row && shape.back() == arg.row;
  }
  return arg.shape == shape || per_row;
}

FlushCause passed_limit(const Node& node) {
  if (node.ops > kMaxOps) return FlushCause::ops;
  if (node.inputs > kMaxInputs) return FlushCause::inputs;
  if (node.height > kMaxHeight) return FlushCause::height;
  if (node.reductions > kMaxReductions) return FlushCause::reductions;
  return node.retained > retain_limit() ? FlushCause::retained : FlushCause::none;
}

void settle_limits(Node& node) {
  auto sum = [&](auto field) {
    int64_t total = 0;
    for (auto& arg : node.args)
      if (arg) total += field(*arg);
    return total;
  };
  auto measure = [&] {
    node.ops = 1 + int(sum([](const Node& a) { return a.ops; }));
    node.inputs =
        int(sum([](const Node& a) { return is_pending(a) ? a.inputs : a.kind != NodeKind::constant; }));
    node.reductions = (node.kind == NodeKind::reduce) + int(sum([](const Node& a) { return a.reductions; }));
    node.retained = sum([](const Node& a) {
      return is_pending(a) ? a.retained : a.buffer ? int64_t(a.buffer->bytes()) : 0;
    });
    node.height = 1;
    for (auto& arg : node.args)
      if (arg) node.height = std::max(node.height, arg->height + 1);
  };
  // Sums over the operands count twice what two of them share; what counts is each node once.
  auto passed = [&] {
    if (passed_limit(node) == FlushCause::none) return FlushCause::none;
    TreeCounts once = count_tree(node);
    node.ops = once.ops, node.inputs = once.inputs, node.reductions = once.reductions;
    node.retained = once.retained;
    return passed_limit(node);
  };
  measure();
  // The largest pending operand goes first; a tree of leaves is always within the limits.
  for (auto cause = passed(); cause != FlushCause::none; cause = passed()) {
    NodePtr largest;
    for (auto& arg : node.args)
      if (arg && is_pending(*arg) && (!largest || arg->ops > largest->ops)) largest = arg;
    if (!largest) break;
    flush(largest, cause);
    measure();
  }
  node.row = node.kind == NodeKind::reduce ? node.args[0]->shape.back() : 0;
  for (auto& arg : node.args)
    if (arg && is_pending(*arg)) node.row = std::max(node.row, arg->row);
}

Tensor finish(NodePtr node) {
  if (tracing()) return Tensor(node);
  settle_limits(*node);
  if (!fuse_enabled()) flush(node, FlushCause::unfused);
  return Tensor(node);
}

} // namespace

DType promote(DType a, DType b) {
  if (a == b) return a;
  if (is_float(a) != is_float(b)) return is_float(a) ? a : b;
  if (is_float(a)) {
    if (a == DType::f64 || b == DType::f64) return DType::f64;
    size_t wide = std::max(size_of(a), size_of(b));
    if (size_of(a) == size_of(b) || wide == 4) return DType::f32; // bf16 with f16, e4m3 with e5m2
    return size_of(a) > size_of(b) ? a : b;
  }
  if (a == DType::i64 || b == DType::i64) return DType::i64;
  if (a == DType::boolean) return b;
  if (b == DType::boolean) return a;
  return DType::i32;
}

Tensor map(Op op, std::span<const Tensor> args) {
  const OpInfo& how = info(op);
  if (int(args.size()) != how.arity)
    throw error(Fault::internal, "{}: {} operands, not {}", how.name, how.arity, args.size());
  auto [compute, result] = result_types(op, args);
  Shape shape = args[0].shape();
  for (size_t i = 1; i < args.size(); ++i)
    if (!broadcast(shape, args[i].shape(), shape)) {
      Error e = error("{}: shapes do not fit: {} and {}", how.name, to_string(args[0].shape()),
                      to_string(args[i].shape()));
      const char* labels[] = {"left", "right", "third"};
      for (size_t j = 0; j < args.size(); ++j) e.note(labels[j], describe(args[j]));
      throw e;
    }
  auto node = make_node();
  node->kind = NodeKind::map;
  node->op = op;
  node->dtype = result;
  node->shape = shape;
  node->origin = current_origin();
  node->made_by = how.name.data();
  size_t first = how.rule == ResultRule::chosen ? 1 : 0;
  for (size_t i = 0; i < args.size(); ++i) {
    Tensor x = i >= first                          ? in_lane(args[i], compute)
               : args[i].dtype() == DType::boolean ? args[i]
                                                   : cast(args[i], DType::boolean);
    node->args[i] = x.node();
  }
  // Reductions among the operands fix the rows of the program.
  int64_t row = 0;
  for (auto& arg : node->args)
    if (arg && is_pending(*arg) && arg->row && !row && may_stay(*arg, shape, arg->row)) row = arg->row;
  for (auto& arg : node->args)
    if (arg && is_pending(*arg) && !may_stay(*arg, shape, row)) {
      if (tracing())
        throw error("{}: while tracing, what is computed has one shape; {} is needed as {}", how.name,
                    to_string(arg->shape), to_string(shape));
      flush(arg, FlushCause::rows);
    }
  return finish(node);
}

Tensor map(Op op, const Tensor& a, const Tensor& b) {
  Tensor args[] = {a, b};
  return map(op, args);
}
Tensor map(Op op, const Tensor& a, const Tensor& b, const Tensor& c) {
  Tensor args[] = {a, b, c};
  return map(op, args);
}

Tensor cast(const Tensor& x, DType dtype) {
  if (x.dtype() == dtype) return x;
  if (x.node()->kind == NodeKind::constant && is_float(dtype))
    return is_float(x.dtype()) ? full(x.shape(), dtype, x.node()->value)
                               : full(x.shape(), dtype, x.node()->integer);
  auto node = make_node();
  node->kind = NodeKind::map;
  node->op = Op::cast;
  node->dtype = dtype;
  node->shape = x.shape();
  node->origin = current_origin();
  node->made_by = "to";
  node->args[0] = x.node();
  return finish(node);
}

Tensor lookup(const Tensor& x, const Tensor& table) {
  if (table.rank() != 1 || table.count() < 1 || table.count() > 256)
    throw error("lookup: the table has shape {}, expected 1 to 256 entries", to_string(table.shape()))
        .note("table", describe(table));
  if (lane_of(table.dtype()) == Lane::i64)
    throw error("lookup: a table of i64; use i32").note("table", describe(table));
  // Through f32, which holds every index of a table and keeps what is beyond it beyond.
  Tensor index = size_of(lane_of(x.dtype())) == 8 ? cast(x, DType::f32) : x;
  auto node = make_node();
  node->kind = NodeKind::map;
  node->op = Op::lookup;
  node->dtype = table.dtype();
  node->shape = x.shape();
  node->origin = current_origin();
  node->made_by = "lookup";
  node->args[0] = index.node();
  node->args[1] = table.flushed().node();
  return finish(node);
}

// -- reductions
// ----------------------------------------------------------------------------------------------

namespace {

bool in_row_template(Reduction kind, const Tensor& x, int dim) {
  bool kept = kind == Reduction::sum || kind == Reduction::min || kind == Reduction::max
              || kind == Reduction::absmax || kind == Reduction::sumsq;
  return kept && is_float(x.dtype()) && dim == x.rank() - 1;
}

DType reduced_dtype(Reduction kind, DType dtype) {
  switch (kind) {
  case Reduction::any:
  case Reduction::all: return DType::boolean;
  case Reduction::argmax:
  case Reduction::argmin: return DType::i64;
  case Reduction::sum:
  case Reduction::sumsq:
  case Reduction::prod: return !is_float(dtype) ? DType::i64 : dtype == DType::f64 ? DType::f64 : DType::f32;
  default:
    return !is_float(dtype)      ? (dtype == DType::boolean ? DType::i32 : dtype)
           : dtype == DType::f64 ? DType::f64
                                 : DType::f32;
  }
}

cpu::Reduce cpu_reduction(Reduction kind) {
  switch (kind) {
  case Reduction::sum: return cpu::Reduce::sum;
  case Reduction::min: return cpu::Reduce::min;
  case Reduction::max: return cpu::Reduce::max;
  case Reduction::absmax: return cpu::Reduce::absmax;
  case Reduction::sumsq: return cpu::Reduce::sumsq;
  case Reduction::prod: return cpu::Reduce::prod;
  case Reduction::any: return cpu::Reduce::any;
  case Reduction::all: return cpu::Reduce::all;
  case Reduction::argmax: return cpu::Reduce::argmax;
  case Reduction::argmin: return cpu::Reduce::argmin;
  }
  throw error(Fault::internal, "reduction {}", int(kind));
}

void check_not_empty(Reduction kind, const Tensor& x, int64_t n) {
  bool needs = kind == Reduction::min || kind == Reduction::max || kind == Reduction::argmax
               || kind == Reduction::argmin;
  if (needs && n == 0) throw error("{}: nothing to reduce", name_of(kind)).note("tensor", describe(x));
}

} // namespace

Tensor reduce(Reduction kind, const Tensor& x, int dim) {
  if (dim < 0 || dim >= x.rank())
    throw error("{}: dim {} of a tensor with {} dims", name_of(kind), dim + 1, x.rank())
        .note("tensor", describe(x));
  check_not_empty(kind, x, x.shape()[dim]);
  Shape shape = x.shape();
  shape[dim] = 1;
  DType out_dtype = reduced_dtype(kind, x.dtype());
  if (x.shape()[dim] == 0)
    return full(shape, out_dtype, int64_t(kind == Reduction::prod || kind == Reduction::all));
  if (in_row_template(kind, x, dim)) {
    NodePtr arg = x.node();
    bool other_rows = is_pending(*arg) && arg->row && arg->row != x.shape().back();
    if (other_rows) flush(arg, FlushCause::rows);
    if (arg->kind == NodeKind::constant) arg = x.flushed().node();
    auto node = make_node();
    node->kind = NodeKind::reduce;
    node->reduction = kind;
    node->dtype = out_dtype;
    node->shape = shape;
    node->origin = current_origin();
    node->made_by = name_of(kind).data();
    node->args[0] = arg;
    return finish(node);
  }
  WorkSpan span(name_of(kind).data());
  Tensor in = x.dense();
  Tensor out = empty(shape, out_dtype, name_of(kind).data());
  span.moves(in, out);
  int64_t outer = 1, inner = 1;
  for (int d = 0; d < dim; ++d) outer *= in.shape()[d];
  for (int d = dim + 1; d < in.rank(); ++d) inner *= in.shape()[d];
  cpu::reduce_strided(cpu_reduction(kind), in.dtype(), in.bytes(), out.bytes(), out_dtype, outer,
                      in.shape()[dim], inner);
  return out;
}

namespace {

// Results of parts are joined by the same reduction, in the widest dtype; of squares the sum.
Reduction second_of(Reduction kind) { return kind == Reduction::sumsq ? Reduction::sum : kind; }
Tensor widest(const Tensor& x) {
  if (is_float(x.dtype())) return cast(x, DType::f64);
  return x.dtype() == DType::boolean ? x : cast(x, DType::i64);
}

Tensor join_parts(Reduction kind, std::initializer_list<Tensor> parts) {
  std::vector<Tensor> list;
  for (auto& part : parts) list.push_back(reshape(widest(part), {1, 1}));
  return reduce(second_of(kind), concat(list, 1), 1);
}

// One element: of floats in f32 or f64, else an integer.
Tensor reduce_to_one(Reduction kind, const Tensor& x) {
  check_not_empty(kind, x, x.count());
  if (x.count() == 0)
    return full({1}, reduced_dtype(kind, x.dtype()),
                int64_t(kind == Reduction::prod || kind == Reduction::all));
  // Rows first (fused with what is pending), then their results in f64; long flat data is read as rows of
  // 4096.
  constexpr int64_t kRow = 4096;
  Tensor rows = x;
  if (kind == Reduction::argmax || kind == Reduction::argmin) return reduce(kind, reshape(x, {x.count()}), 0);
  if (x.rank() == 0)
    rows = reshape(x, {1, 1});
  else if (x.shape().back() > 4 * kRow || x.rank() == 1) {
    Tensor flat = reshape(x, {x.count()});
    int64_t whole = x.count() / kRow * kRow;
    if (whole > 0 && whole < x.count()) {
      Tensor head = reshape(slice(flat, 0, 0, whole), {whole / kRow, kRow});
      Tensor tail = reshape(slice(flat, 0, whole, x.count() - whole), {1, x.count() - whole});
      return join_parts(kind, {reduce_to_one(kind, head), reduce_to_one(kind, tail)});
    }
    rows = whole ? reshape(flat, {whole / kRow, kRow}) : reshape(flat, {1, x.count()});
  }
  Tensor each = reduce(kind, rows, rows.rank() - 1);
  if (each.count() == 1) return each;
  return reduce(second_of(kind), reshape(widest(each), {1, each.count()}), 1);
}

} // namespace

double reduce_all(Reduction kind, const Tensor& x) {
  CauseScope value(FlushCause::value);
  Tensor one = reduce_to_one(kind, x);
  return is_float(one.dtype()) ? item(one, 0) : double(item_integer(one, 0));
}

int64_t reduce_all_integer(Reduction kind, const Tensor& x) {
  CauseScope value(FlushCause::value);
  return item_integer(reduce_to_one(kind, x), 0);
}

} // namespace wane
