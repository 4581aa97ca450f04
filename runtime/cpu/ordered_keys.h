// Values as unsigned numbers of the same order: sorting and selection work on these. -0 equals 0; NaN has the
// largest key of all.
#pragma once

#include <bit>
#include <cmath>

#include "runtime/cpu/lanes.h"

namespace wane::cpu {

template <class T> using KeyOf = std::conditional_t<std::is_same_v<T, float>, uint32_t, uint64_t>;

template <class T> KeyOf<T> key_of(T x) {
  using K = KeyOf<T>;
  constexpr K sign = K(1) << (8 * sizeof(K) - 1);
  if constexpr (std::is_integral_v<T>)
    return K(x) ^ sign;
  else {
    K bits = std::bit_cast<K>(x == T(0) ? T(0) : x);
    return x != x ? ~K(0) : bits & sign ? ~bits : bits | sign;
  }
}

template <class T> T value_of(KeyOf<T> key) {
  using K = KeyOf<T>;
  constexpr K sign = K(1) << (8 * sizeof(K) - 1);
  if constexpr (std::is_integral_v<T>)
    return T(key ^ sign);
  else
    return std::bit_cast<T>(key & sign ? key ^ sign : ~key);
}

// The key that sorts descending with NaN still last.
template <class T> KeyOf<T> falling_key(KeyOf<T> key) {
  return !std::is_integral_v<T> && key == ~KeyOf<T>(0) ? key : KeyOf<T>(~key);
}

} // namespace wane::cpu
