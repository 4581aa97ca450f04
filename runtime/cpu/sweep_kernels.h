// The inner loop of the column sweep, compiled once per x86-64 level (isa/sweep_kernels.cpp). Rows of the
// matrix are lanes: a tile holds `lanes` rows, each column of it is contiguous.
#pragma once

#include <cstdint>

namespace wane::cpu {

// A triangle as the kernel reads it: columns in panels of 4, panel p holding u[k][4p .. 4p + 3] for k below
// 4p + 4, one k after the other; what lies outside of the matrix is zero.
inline constexpr int kPanelColumns = 4;
constexpr int64_t panel_offset(int64_t panel) { return 8 * panel * (panel + 1); }

template <class T> struct SweepKernels {
  // x[c] += s[k] * u[k][c] (and, with `second`, then += v[k] * second[k][c]) for k from k0 to k1 in order,
  // for the columns c0 <= c < c1 of the tile at x = s (columns k0 .. k1 of s are coded: they hold -e). One
  // fused operation a product from v3 on; v2 has none and rounds twice.
  void (*update)(T* s, const T* v, int64_t lanes, int64_t k0, int64_t k1, int64_t c0, int64_t c1, const T* u,
                 const T* second);
  // A coded column: out = codes as bytes, w = (value - w) / pivot. False where a code is not a whole number
  // below levels. lanes is a multiple of 16.
  bool (*settle)(const T* codes, const T* values, T* w, T pivot, T levels, int64_t lanes, uint8_t* out);
};
struct SweepTable {
  SweepKernels<float> f32;
  SweepKernels<double> f64;
  template <class T> const SweepKernels<T>& of() const {
    if constexpr (sizeof(T) == 4)
      return f32;
    else
      return f64;
  }
};
const SweepTable& sweep_kernels(); // of this process's level

} // namespace wane::cpu

namespace wane::isa_v2 {
const cpu::SweepTable& sweep_kernels();
}
namespace wane::isa_v3 {
const cpu::SweepTable& sweep_kernels();
}
namespace wane::isa_v4 {
const cpu::SweepTable& sweep_kernels();
}
