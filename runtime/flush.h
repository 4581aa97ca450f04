// When and what runs: turns the pending tree under a node into one program and hands it to the back end.
#pragma once

#include "runtime/tensor.h"

namespace wane {

// Limits of a pending tree; one more op flushes the operands first.
inline constexpr int kMaxOps = 64, kMaxInputs = 16, kMaxHeight = 32, kMaxReductions = 3;

void flush(const NodePtr& node);

bool fuse_enabled(); // WANE_FUSE=0 runs each op alone
void set_fuse(bool on);
// Test hook: called with every program before it runs (the CUDA text of each is compiled by the suite).
struct Program;
using ProgramHook = void (*)(const Program&);
void set_program_hook(ProgramHook hook);

struct FlushCounts {
  uint64_t programs = 0, ops = 0, calls = 0;
};
FlushCounts flush_counts();

} // namespace wane
