// When and what runs: turns the pending tree under a node into one program and hands it to the back end.
#pragma once

#include "runtime/tensor.h"

namespace wane {

// Limits of a pending tree; one more op flushes the operands first.
inline constexpr int kMaxOps = 64, kMaxInputs = 16, kMaxHeight = 32, kMaxReductions = 3;
int64_t retain_limit(); // bytes of leaves that it may keep alive: a quarter of the memory ceiling

enum class FlushCause : uint8_t; // profile.h

// Computes what is pending under a node. The cause is for a profile; without one it is that of the scope.
void flush(const NodePtr& node);
void flush(const NodePtr& node, FlushCause cause);

bool fuse_enabled(); // WANE_FUSE=0 runs each op alone; any other value than 0 or 1 is a usage Error
void set_fuse(bool on);
// Test hook: called with every program before it runs (the CUDA text of each is compiled by the suite).
struct Program;
using ProgramHook = void (*)(const Program&);
void set_program_hook(ProgramHook hook);

} // namespace wane
