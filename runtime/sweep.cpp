#include "runtime/sweep.h"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "runtime/cpu/pool.h"
#include "runtime/profile.h"

namespace wane {
namespace {

std::atomic<SweepHook> hook{nullptr};

using Input = cpu::SweepMaps::Input;
using Kind = cpu::SweepMaps::Kind;

// What a leaf of the traced program is.
Input input_of(const Traced& traced, size_t index, const Tensor& weight, std::span<const Tensor> params) {
  const Tensor& leaf = traced.leaves[index];
  const Node& node = *leaf.node();
  if (traced.program.is_table(int(index))) return {.kind = Kind::table, .count = leaf.count()};
  if (node.buffer == weight.node()->buffer && leaf.count() == weight.count()) return {.kind = Kind::weight};
  for (size_t p = 0; p < params.size(); p++)
    if (node.buffer == params[p].node()->buffer) {
      if (leaf.count() == params[p].shape()[0])
        return {.kind = Kind::param, .param = int(p), .column = node.offset};
      throw error("sweep: encode or decode computes with all {} columns of a parameter at once",
                  params[p].shape()[1])
          .hint("take one column, p.levels[{ {}, { 2, 2 } }], for w has one");
    }
  if (leaf.count() == 1) return {.kind = Kind::number};
  throw error("sweep: encode or decode reads a tensor of shape {} that is neither w, a parameter nor a table",
              to_string(leaf.shape()))
      .note("tensor", describe(leaf))
      .hint("return it from fit as a parameter");
}

int maps_in(const Program& program) {
  int maps = 0;
  for (auto& step : program.steps) maps += step.kind == StepKind::map;
  return maps;
}

Tensor float_matrix(const char* name, const Tensor& x, DType dtype) {
  if (x.rank() != 2 || !is_float(x.dtype()))
    throw error("sweep: {} is {} {}, expected a matrix of floats", name, to_string(x.shape()),
                name_of(x.dtype()))
        .note(name, describe(x));
  return cast(x, dtype).dense();
}

// What lies below the diagonal is never read: whoever has something there means another matrix.
template <class T> void check_upper(const char* name, const Tensor& u) {
  const int64_t n = u.shape()[0];
  const T* all = u.data<T>();
  std::atomic<int64_t> first{n}; // the first row with something below
  parallel_parts(n, [&](int64_t i, int) {
    bool clean = true;
    for (int64_t j = 0; j < i; j++) clean &= all[i * n + j] == 0;
    if (clean) return;
    for (int64_t seen = first.load(); i < seen && !first.compare_exchange_weak(seen, i);) {
    }
  });
  if (first == n) return;
  const T* row = all + first * n;
  const int64_t j = std::find_if(row, row + first, [](T x) { return !(x == 0); }) - row;
  throw error("sweep: {}[{}, {}] is {}, expected an upper triangle", name, first + 1, j + 1, double(row[j]))
      .note(name, describe(u));
}

Tensor triangle(const char* name, const Tensor& x, DType dtype, int64_t columns) {
  Tensor u = float_matrix(name, x, dtype);
  if (u.shape()[0] != columns || u.shape()[1] != columns)
    throw error("sweep: {} is {}, expected [{} x {}] for w's {} columns", name, to_string(u.shape()), columns,
                columns, columns)
        .note(name, describe(x));
  dtype == DType::f64 ? check_upper<double>(name, u) : check_upper<float>(name, u);
  return u;
}

std::vector<int32_t> checked_order(std::vector<int32_t> order, int64_t columns) {
  if (order.empty())
    for (int64_t c = 0; c < columns; c++) order.push_back(int32_t(c));
  if (int64_t(order.size()) != columns)
    throw error("sweep: order has {} positions for {} columns", order.size(), columns);
  std::vector<bool> seen(static_cast<size_t>(columns), false);
  for (int32_t c : order) {
    if (c < 0 || c >= columns) throw error("sweep: order holds {}, expected 1 to {}", c + 1, columns);
    if (seen[size_t(c)]) throw error("sweep: order holds {} twice", c + 1);
    seen[size_t(c)] = true;
  }
  return order;
}

template <class T> void check_pivots(const Tensor& u) {
  const int64_t n = u.shape()[0];
  for (int64_t j = 0; j < n; j++) {
    const double pivot = double(u.data<T>()[j * n + j]);
    if (!(std::isfinite(pivot) && pivot != 0))
      throw error("sweep: u[{}, {}] is {}; every pivot divides an error", j + 1, j + 1, pivot)
          .note("u", describe(u));
  }
}

} // namespace

SweepQuantizer::SweepQuantizer(const Tensor& weight, std::span<const Tensor> params, const Tensor& codes,
                               const Tensor& values, int bits)
    : dtype_(weight.dtype()), params_(params.size()), bits_(bits) {
  const Tensor roots[] = {codes, values};
  for (auto& root : roots)
    if (root.shape() != weight.shape() || root.dtype() != dtype_)
      throw error("sweep: {} is {} {} for w {} {}", &root == roots ? "encode" : "decode",
                  to_string(root.shape()), name_of(root.dtype()), to_string(weight.shape()), name_of(dtype_))
          .note(&root == roots ? "codes" : "values", describe(root));
  traced_ = trace_program(roots);
  if (const int maps = maps_in(traced_.program); maps > kMaxSweepOps)
    throw error("sweep: encode and decode are {} operations together, at most {} are built in", maps,
                kMaxSweepOps);
  for (size_t i = 0; i < traced_.leaves.size(); i++) {
    Input in = input_of(traced_, i, weight, params);
    if (in.kind == Kind::table || in.kind == Kind::number) {
      traced_.leaves[i] = traced_.leaves[i].dense();
      in.data = traced_.leaves[i].bytes();
    }
    inputs_.push_back(in);
  }
  if (auto seen = hook.load()) seen(*this);
}

void set_sweep_hook(SweepHook h) { hook.store(h); }

cpu::SweepMaps SweepQuantizer::maps() const {
  return {.program = &traced_.program,
          .inputs = inputs_,
          .constants = traced_.constants,
          .integers = traced_.integers,
          .levels = int64_t(1) << bits_};
}

Sweep::Sweep(const Tensor& w, const Tensor& u, const Tensor& second, std::vector<int32_t> order)
    : dtype_(w.dtype() == DType::f64 ? DType::f64 : DType::f32) {
  const Tensor weights = float_matrix("w", w, dtype_);
  rows_ = weights.shape()[0], columns_ = weights.shape()[1];
  const Tensor upper = triangle("u", u, dtype_, columns_);
  const Tensor other = second ? triangle("second", second, dtype_, columns_) : Tensor();
  dtype_ == DType::f64 ? check_pivots<double>(upper) : check_pivots<float>(upper);
  tiles_ = cpu::SweepTiles::make(dtype_, weights.bytes(), upper.bytes(), other ? other.bytes() : nullptr,
                                 rows_, checked_order(std::move(order), columns_));
}

Tensor Sweep::next_columns(int64_t count) {
  if (count < 0 || position() + count > columns_)
    throw error("sweep: {} more columns after {} of {}", count, position(), columns_);
  Tensor out = empty({rows_, count}, dtype_, "sweep");
  tiles_->next_columns(count, out.bytes());
  return out;
}

void Sweep::advance(int64_t count, const SweepQuantizer& quantizer, std::span<const Tensor> params,
                    int64_t group_columns) {
  if (count < 0 || position() + count > columns_)
    throw error("sweep: {} more columns after {} of {}", count, position(), columns_);
  if (params.size() != quantizer.params())
    throw error(Fault::internal, "sweep: {} parameters, {} were traced", params.size(), quantizer.params());
  if (quantizer.dtype() != dtype_)
    throw error(Fault::internal, "sweep: traced for {}", name_of(quantizer.dtype()));
  const int64_t groups = group_columns ? columns_ / group_columns : 1;
  cpu::SweepParams given;
  given.row_step = groups, given.group_step = 1, given.group_columns = group_columns;
  std::vector<Tensor> kept;
  for (auto& p : params) {
    kept.push_back(cast(p, DType::f32).dense());
    const int64_t sets = p.shape()[0];
    if (p.rank() != 2 || (sets != rows_ * groups && sets != 1))
      throw error("sweep: a parameter is {}, expected [{} x k]", to_string(p.shape()), rows_ * groups)
          .note("parameter", describe(p));
    if (sets == 1 && rows_ * groups != 1) given.row_step = given.group_step = 0;
    given.data.push_back(kept.back().data<float>());
    given.width.push_back(p.shape()[1]);
  }
  if (count == 0 || rows_ == 0) return;
  WorkSpan span("sweep");
  const double ahead =
      double(columns_ - position()) - double(count) / 2; // columns that one column's error reaches
  span.bytes(2.0 * double(rows_ * count) * double(size_of(dtype_)));
  span.product(2.0 * double(rows_ * count) * ahead);
  if (auto bad = tiles_->advance(count, quantizer.maps(), given))
    throw error("sweep: encode gave {} for row {}, column {}; expected whole numbers 0 to {}", bad->value,
                bad->row + 1, bad->column + 1, quantizer.maps().levels - 1);
}

void Sweep::check_done(const char* what) const {
  if (rows_ && position() != columns_)
    throw error("sweep: {} after {} of {} columns", what, position(), columns_);
}

Tensor Sweep::codes() const {
  check_done("codes");
  Tensor out = empty({rows_, columns_}, DType::u8, "sweep");
  tiles_->codes(reinterpret_cast<uint8_t*>(out.bytes()));
  return out;
}

Tensor Sweep::errors() const {
  check_done("errors");
  Tensor out = empty({rows_, columns_}, dtype_, "sweep");
  tiles_->errors(out.bytes());
  return out;
}

Tensor Sweep::row_losses() const {
  check_done("losses");
  Tensor out = empty({rows_, 1}, DType::f64, "sweep");
  tiles_->row_losses(out.data<double>());
  return out;
}

} // namespace wane
