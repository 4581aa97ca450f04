// The inner loops of the Hadamard transform, compiled once per x86-64 level (isa/hadamard_kernels.cpp).
#pragma once

#include <cstdint>

namespace wane::cpu {

inline constexpr int64_t kMixColumns = 32; // a multiple of every vector width
inline constexpr int64_t kMixRows = 4;     // every Paley order is a multiple of it

template <class T> struct HadamardKernels {
  // out [count] = the Sylvester transform of every group of `size` (a power of two) of `from`, times factor;
  // count % size == 0. out may be from. room holds `size`. stream: the result may go past the caches; then
  // out is aligned to 64 bytes, and the caller ends with a store fence.
  void (*fast)(const T* from, T* out, int64_t count, int64_t size, T factor, bool stream, T* room);
  // out [m, width]: row a becomes the sum, in order of b, of signs[a / 4][b][a % 4] times row b of from,
  // times factor. signs are 1 and -1, [m / 4, m, 4]. out may be from. room holds m kMixColumns.
  void (*mix)(const T* from, T* out, const T* signs, int64_t m, int64_t width, T factor, T* room);
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
