// The loops by which the k largest, quantiles and histograms look at whole rows, compiled once per x86-64
// level (isa/select_kernels.cpp). All of them count and compare, so the level shows in nothing but time.
#pragma once

#include <cstdint>
#include <type_traits>

namespace wane::cpu {

inline constexpr int64_t kSelectSlack = 64; // places that positions_from and positions_within may overwrite

template <class T> struct SelectKernels {
  using Key = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  // Least and largest of n, NaN passed over (+inf and -inf where nothing else is); returns whether one was
  // seen.
  bool (*extent)(const T* x, int64_t n, T* least, T* largest);
  // groups[g] = the largest of all x[i] with i % count == g, NaN passed over; count is a multiple of 16.
  void (*group_maxima)(const T* x, int64_t n, T* groups, int64_t count);
  int64_t (*count_below)(const T* x, int64_t n, T bound); // how many are < bound
  // The positions, in order, of what is not < bound (NaN is not), and of what is neither < low nor > high.
  // Stops soon after `most`; returns how many it found. `out` holds most + kSelectSlack.
  int64_t (*positions_from)(const T* x, int64_t n, T bound, int64_t most, uint32_t* out);
  int64_t (*positions_within)(const T* x, int64_t n, T low, T high, int64_t most, uint32_t* out);
  // The largest that is < bound and the least that is not; both are there, and no NaN.
  void (*neighbours)(const T* x, int64_t n, T bound, T* below, T* from);
  // Adds to counts[b] the elements in bin b of lo to hi, hi in the last, and to counts[bins] all others. The
  // elements take turns on four tables, `stride` apart (0: one table).
  void (*tally)(const T* x, int64_t n, double lo, double hi, int64_t bins, uint32_t* counts, int64_t stride);
  // ranks[i] = how many keys are larger than keys[i], or equal and before it. Both arrays hold n rounded up
  // to 16 elements.
  void (*ranks)(const Key* keys, int64_t n, Key* ranks);
};

struct SelectTable {
  SelectKernels<float> f32;
  SelectKernels<double> f64;
  SelectKernels<int64_t> i64;
  template <class T> const SelectKernels<T>& of() const {
    if constexpr (std::is_same_v<T, float>)
      return f32;
    else if constexpr (std::is_same_v<T, double>)
      return f64;
    else
      return i64;
  }
};
const SelectTable& select_kernels();

} // namespace wane::cpu

namespace wane::isa_v2 {
const cpu::SelectTable& select_kernels();
}
namespace wane::isa_v3 {
const cpu::SelectTable& select_kernels();
}
namespace wane::isa_v4 {
const cpu::SelectTable& select_kernels();
}
