#include "runtime/range_search.h"

#include <atomic>

#include "runtime/error.h"
#include "runtime/profile.h"

namespace wane {
namespace {

std::atomic<RangeHook> hook{nullptr};

cpu::LaneMaps::Input input_of(const char* what, const Traced& traced, size_t index,
                              std::span<const Tensor> given) {
  using Kind = cpu::LaneMaps::Kind;
  const Tensor& leaf = traced.leaves[index];
  if (traced.program.is_table(int(index))) return {.kind = Kind::table, .count = leaf.count()};
  for (size_t i = 0; i < given.size(); i++)
    if (leaf.node()->buffer == given[i].node()->buffer) return {.kind = Kind::lanes, .which = int(i)};
  if (leaf.count() == 1) return {.kind = Kind::number};
  throw error("{}: it reads a tensor of shape {} that is neither given, a table nor a single number", what,
              to_string(leaf.shape()))
      .note("tensor", describe(leaf));
}

Tensor f32_matrix(const char* name, const Tensor& x, const Shape& shape) {
  const Tensor out = cast(x, DType::f32).dense();
  if (out.shape() != shape)
    throw error("search_ranges: {} is {}, expected {}", name, to_string(x.shape()), to_string(shape))
        .note(name, describe(x));
  return out;
}

} // namespace

TracedMaps::TracedMaps(const char* what, std::span<const Tensor> placeholders, std::span<const Tensor> roots)
    : traced_(trace_program(roots)) {
  for (size_t i = 0; i < traced_.leaves.size(); i++) {
    auto in = input_of(what, traced_, i, placeholders);
    if (in.kind != cpu::LaneMaps::Kind::lanes) {
      traced_.leaves[i] = traced_.leaves[i].dense();
      in.data = traced_.leaves[i].bytes();
    }
    inputs_.push_back(in);
  }
}

cpu::LaneMaps TracedMaps::lanes() const {
  return {&traced_.program, inputs_, traced_.constants, traced_.integers};
}

void set_range_hook(RangeHook h) { hook.store(h); }

Tensor search_ranges(const RangeQuantizer& quantizer, const Tensor& x, const Tensor& weights,
                     const Tensor& lo, const Tensor& hi, int64_t tries, int64_t grid) {
  if (x.rank() != 2)
    throw error("search_ranges: x is {}, expected rows", to_string(x.shape())).note("x", describe(x));
  if (tries < 1 || grid < 1) throw error("search_ranges: {} tries of a grid of {}", tries, grid);
  const int64_t rows = x.shape()[0], n = x.shape()[1];
  const Tensor values = f32_matrix("x", x, x.shape());
  const Tensor counts = weights ? f32_matrix("weights", weights, x.shape()) : Tensor();
  const Tensor low = f32_matrix("lo", lo, {rows, 1}), high = f32_matrix("hi", hi, {rows, 1});
  Tensor best = full({rows, 1}, DType::f32, 1.0).dense();
  if (rows == 0 || n == 0) return best;
  if (auto seen = hook.load()) seen(quantizer);
  WorkSpan span("search_ranges");
  span.moves(values, best);
  cpu::RangeMaps maps{quantizer.fit.lanes(), quantizer.off.lanes(), {}, quantizer.params, quantizer.bounded};
  if (quantizer.bounded) maps.beyond = quantizer.beyond.lanes();
  best = empty({rows, 1}, DType::f32, "search_ranges");
  cpu::search_ranges(maps,
                     {values.data<float>(), counts ? counts.data<float>() : nullptr, low.data<float>(),
                      high.data<float>(), rows, n},
                     tries, grid, best.data<float>());
  return best;
}

} // namespace wane
