// The search of observers that serve a quantizer: of the ranges p * (lo, hi), p = 1 - i / grid, the one that
// rounds a row best (the search of GPTQ's reference code, Frantar et al. 2022). The quantizer's maps are
// traced once and built in.
#pragma once

#include <span>

#include "runtime/cpu/range_search.h"
#include "runtime/tensor.h"
#include "runtime/trace.h"

namespace wane {

// Maps of placeholders, each [n, 1], as a program; what else they read are tables and single numbers.
class TracedMaps {
public:
  TracedMaps() = default;
  TracedMaps(const char* what, std::span<const Tensor> placeholders, std::span<const Tensor> roots);
  cpu::LaneMaps lanes() const; // views this object
  const Traced& traced() const { return traced_; }
  std::span<const cpu::LaneMaps::Input> inputs() const { return inputs_; }

private:
  Traced traced_;
  std::vector<cpu::LaneMaps::Input> inputs_;
};

struct RangeQuantizer {
  TracedMaps fit, off, beyond; // as cpu::RangeMaps says; beyond is empty where there is no bound
  int params = 0;
  bool bounded = false;
};

// Test hook: called with every traced quantizer (the CUDA text of each is compiled by the suite).
using RangeHook = void (*)(const RangeQuantizer&);
void set_range_hook(RangeHook hook);

// The best p of each row, [rows, 1]. x, and weights where not empty, [rows, n] in f32; lo, hi [rows, 1]. NaN
// where the whole range gives an error that is not finite. Errors: shapes.
Tensor search_ranges(const RangeQuantizer& quantizer, const Tensor& x, const Tensor& weights,
                     const Tensor& lo, const Tensor& hi, int64_t tries, int64_t grid);

} // namespace wane
