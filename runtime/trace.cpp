#include "runtime/trace.h"

namespace wane {
namespace {
thread_local int depth = 0;
}

TraceScope::TraceScope() { ++depth; }
TraceScope::~TraceScope() { --depth; }
bool tracing() { return depth > 0; }

} // namespace wane
