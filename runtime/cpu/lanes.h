// Stored elements as the type they are computed in: f32 for the 16- and 8-bit floats, i64 for whole numbers.
// Uses the conversions of the map kernels, so that every call reads and rounds alike.
#pragma once

#include <type_traits>
#include <vector>

#include "runtime/cpu/map_kernels.h"
#include "runtime/error.h"

namespace wane::cpu {

constexpr Lane stored_lane(DType t) {
  return t == DType::f64 ? Lane::f64 : t == DType::i64 ? Lane::i64 : is_float(t) ? Lane::f32 : Lane::i32;
}
template <class T> constexpr Lane computed_lane() {
  return std::is_same_v<T, float> ? Lane::f32 : std::is_same_v<T, double> ? Lane::f64 : Lane::i64;
}
template <class T> constexpr DType computed_dtype() {
  return std::is_same_v<T, float> ? DType::f32 : std::is_same_v<T, double> ? DType::f64 : DType::i64;
}

// Calls body with a float, double or int64_t: what elements of dtype t are computed in.
template <class F> auto with_computed(DType t, F&& body) {
  if (t == DType::f64) return body(double());
  if (is_float(t)) return body(float());
  return body(int64_t());
}

// n elements from x; the result is x itself where no conversion is needed, else `room`, which holds n.
template <class T> const T* read_lanes(DType t, const void* x, int64_t n, T* room) {
  if (t == computed_dtype<T>()) return static_cast<const T*>(x);
  const MapKernels& k = map_kernels();
  if (stored_lane(t) == computed_lane<T>()) {
    k.load[size_t(t)](room, x, n);
    return room;
  }
  // Whole numbers narrower than i64 are loaded as i32 first.
  int32_t narrow[256];
  for (int64_t i = 0; i < n; i += 256) {
    const int64_t many = n - i < 256 ? n - i : 256;
    k.load[size_t(t)](narrow, static_cast<const char*>(x) + size_t(i) * size_of(t), many);
    for (int64_t j = 0; j < many; j++) room[i + j] = T(narrow[j]);
  }
  return room;
}

// Rounds n computed values to dtype t and stores them.
template <class T> void write_lanes(DType t, const T* values, void* out, int64_t n) {
  const MapKernels& k = map_kernels();
  if (stored_lane(t) == computed_lane<T>()) {
    k.store[size_t(t)](out, values, n);
    return;
  }
  alignas(64) char lane[256 * 8];
  for (int64_t i = 0; i < n; i += 256) {
    const int64_t many = n - i < 256 ? n - i : 256;
    k.cast[size_t(computed_lane<T>())][size_t(t)](lane, values + i, many);
    k.store[size_t(t)](static_cast<char*>(out) + size_t(i) * size_of(t), lane, many);
  }
}

} // namespace wane::cpu
