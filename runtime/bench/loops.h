// The hand-written loops of the benches, compiled for each x86-64 level like our own.
#pragma once

#include <cstddef>
#include <cstdint>

namespace wane::bench {

struct Loops {
  void (*silu)(float* out, const float* a, const float* b, const float* c, int64_t n);
  void (*silu_streaming)(float* out, const float* a, const float* b, const float* c, int64_t n);
  void (*read)(const std::byte* data, int64_t bytes);
  void (*mul_add)(float* out, const float* a, const float* b, const float* c, int64_t n);
  // Rows of n: x / sqrt(mean(x^2) + 1e-6) * w; softmax; groups rounded to 4 bits with half the usual step at
  // the ends.
  void (*rms_norm)(float* out, const float* x, const float* w, int64_t n);
  void (*softmax)(float* out, const float* x, int64_t n);
  void (*fake_quant)(float* out, const float* x, int64_t n, int64_t group);
};

} // namespace wane::bench
