// A function of maps as a program of its own: called once on placeholders, what it builds is read off instead
// of computed. The column sweep runs a quantizer's encode and decode this way.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "runtime/program.h"
#include "runtime/tensor.h"

namespace wane {

// While one exists on this thread, maps only record: no limit flushes them, also with WANE_FUSE=0.
class TraceScope {
public:
  TraceScope();
  ~TraceScope();
  TraceScope(const TraceScope&) = delete;
};
bool tracing();

struct Traced {
  Program program;            // one output a root, in their order
  std::vector<Tensor> leaves; // by input number: placeholders, tables, and what else the function closed over
  std::vector<double> constants;
  std::vector<int64_t> integers; // the same numbers, exact for integer dtypes
};
Traced trace_program(std::span<const Tensor> roots);

} // namespace wane
