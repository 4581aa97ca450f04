// What the tests of the CPU kernels share: drawn numbers, and runs at several thread counts compared byte by
// byte.
#pragma once

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include <doctest/doctest.h>

#include "kernels/narrow.h"
#include "runtime/cpu/isa.h"
#include "runtime/cpu/pool.h"
#include "runtime/dtype.h"

inline std::vector<float> drawn(size_t n, unsigned seed, float scale = 1) {
  std::mt19937 draw(seed);
  std::normal_distribution<float> normal(0, scale);
  std::vector<float> x(n);
  for (float& v : x) v = normal(draw);
  return x;
}

inline std::vector<uint16_t> to_bf16(const std::vector<float>& x) {
  std::vector<uint16_t> y(x.size());
  for (size_t i = 0; i < x.size(); i++) y[i] = wane_to_bf16(x[i]);
  return y;
}

template <class T> bool same_bytes(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

// `run` returns a vector; it must be the same for every thread count.
template <class F> void check_threads(F&& run) {
  const int before = wane::thread_count();
  wane::set_thread_count(1);
  const auto one = run();
  for (int threads : {2, 3, 7}) {
    wane::set_thread_count(threads);
    CAPTURE(threads);
    CHECK(same_bytes(one, run()));
  }
  wane::set_thread_count(before);
}
