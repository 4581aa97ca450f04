// Traced maps on lanes in memory: a program without reductions, run again and again on small arrays by
// whoever walks over a matrix in an order of its own (the column sweep, the search for ranges).
#pragma once

#include <cstdint>
#include <vector>

#include "runtime/cpu/lower.h"

namespace wane::cpu {

struct LaneMaps {
  enum class Kind : uint8_t { lanes, table, number };
  struct Input {
    Kind kind;
    int which = 0;                   // lanes: of the arrays given to run
    const std::byte* data = nullptr; // table: `count` dense entries; number: one
    int64_t count = 0;
  };
  const Program* program = nullptr;
  std::vector<Input> inputs;
  std::vector<double> constants;
  std::vector<int64_t> integers;
};

class LaneRunner {
public:
  // For at most `lanes` lanes at a time. maps and low are kept by reference.
  LaneRunner(const LaneMaps& maps, const Lowered& low, int64_t lanes);
  // given[i]: n elements of the type of the inputs that read array i.
  void run(const void* const* given, int64_t n);
  // Of output i, as its lane type; valid until the next run.
  template <class T> const T* output(size_t i) const {
    return reinterpret_cast<const T*>(at_[size_t(low_.output_slots[i])]);
  }

private:
  struct Place {
    std::byte *values, *loaded; // a number, repeated; what is stored, as the lane type
  };
  void fill_constant(std::byte* out, const Slot& slot);
  void fill_fixed_inputs();
  void load(const Code& code, const void* const* given, int64_t n);

  const LaneMaps& maps_;
  const Lowered& low_;
  const MapKernels& kernels_;
  int64_t lanes_;
  std::vector<std::byte> room_;
  std::vector<std::byte*> at_;
  std::vector<Place> inputs_;
  std::vector<std::vector<std::byte>> tables_;
};

} // namespace wane::cpu
