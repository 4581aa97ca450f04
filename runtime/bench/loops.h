// The hand-written loops of the benches, compiled for each x86-64 level like our own.
#pragma once

#include <cstddef>
#include <cstdint>

namespace wane::bench {

struct Loops {
  void (*silu)(float* out, const float* a, const float* b, const float* c, int64_t n);
  void (*read)(const std::byte* data, int64_t bytes);
};

} // namespace wane::bench
