// wane.sweep: codes a matrix column by column and lets the columns that are left repay each error. For each
// column j in order: value_j = decode(encode(w_j)), e_j = (w_j - value_j) / u_jj, then w_k -= e_j u_jk for
// all k > j (GPTQ, Frantar et al. 2022, and whoever brings another triangle).
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "runtime/cpu/sweep.h"
#include "runtime/tensor.h"
#include "runtime/trace.h"

namespace wane {

inline constexpr int kMaxSweepOps = 64;

// A traced quantizer, ready to be built into the sweep. `weight` and `params` are the placeholders that it
// was called with: [n, 1] and [n, k]. Errors: what is neither a map of them, a table nor a single number;
// more than 64 maps.
class SweepQuantizer {
public:
  SweepQuantizer(const Tensor& weight, std::span<const Tensor> params, const Tensor& codes,
                 const Tensor& values, int bits);
  cpu::SweepMaps maps() const; // views this object
  DType dtype() const { return dtype_; }
  size_t params() const { return params_; }
  const Traced& traced() const { return traced_; }

private:
  Traced traced_;
  std::vector<cpu::SweepMaps::Input> inputs_;
  DType dtype_;
  size_t params_;
  int bits_;
};

// Test hook: called with every traced quantizer (the CUDA text of each is compiled by the suite).
using SweepHook = void (*)(const SweepQuantizer&);
void set_sweep_hook(SweepHook hook);

class Sweep {
public:
  // w [rows, columns], f32 or f64; u [columns, columns] upper, its rows and columns in the order of the
  // sweep; second (may be empty) likewise, applied to w_j: w_k += w_j second_jk. order: 0-based original
  // columns; empty: as they stand. Errors: shapes, an order that is no permutation, a pivot that is zero or
  // not finite.
  Sweep(const Tensor& w, const Tensor& u, const Tensor& second, std::vector<int32_t> order);
  int64_t rows() const { return rows_; }
  int64_t columns() const { return int64_t(columns_); }
  int64_t position() const { return tiles_->position(); }
  Tensor next_columns(int64_t count); // [rows, count], updated; in the order of the sweep
  // params: one tensor each, [sets, k] in f32. sets is 1 (all rows share), rows, or rows * (columns /
  // group_columns) with a row's groups side by side; a column's group is that of its original place.
  void advance(int64_t count, const SweepQuantizer& quantizer, std::span<const Tensor> params,
               int64_t group_columns);
  Tensor codes() const;      // u8 [rows, columns], in the original order, as are the errors e [rows, columns]
  Tensor errors() const;     //
  Tensor row_losses() const; // f64 [rows, 1]: sums of e^2

private:
  void check_done(const char* what) const;

  int64_t rows_, columns_;
  DType dtype_;
  std::unique_ptr<cpu::SweepTiles> tiles_;
};

} // namespace wane
