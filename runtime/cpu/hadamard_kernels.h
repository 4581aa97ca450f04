// The inner loops of the Hadamard transform, compiled once per x86-64 level (isa/hadamard_kernels.cpp).
#pragma once

#include <cstdint>

namespace wane::cpu {

inline constexpr int64_t kMixColumns = 32; // a multiple of every vector width

template <class T> struct HadamardKernels {
  // x [count] = the unscaled Sylvester transform of every group of `size` (a power of two) of `from`, which
  // may be x; count % size == 0.
  void (*fast)(const T* from, T* x, int64_t count, int64_t size);
  // x [m, width]: row a becomes the sum, in order of b, of row terms[a * m + b]; numbers from m on mean the
  // negative of the row m below. room holds 2 m kMixColumns.
  void (*mix)(T* x, const int32_t* terms, int64_t m, int64_t width, T* room);
  void (*scale)(const T* x, int64_t count, T factor, T* out);
  void (*multiply)(const T* x, const T* y, int64_t count, T* out); // out may be x
};
struct HadamardTable {
  HadamardKernels<float> f32;
  HadamardKernels<double> f64;
  template <class T> const HadamardKernels<T>& of() const {
    if constexpr (sizeof(T) == 4)
      return f32;
    else
      return f64;
  }
};
const HadamardTable& hadamard_kernels();

} // namespace wane::cpu

namespace wane::isa_v2 {
const cpu::HadamardTable& hadamard_kernels();
}
namespace wane::isa_v3 {
const cpu::HadamardTable& hadamard_kernels();
}
namespace wane::isa_v4 {
const cpu::HadamardTable& hadamard_kernels();
}
