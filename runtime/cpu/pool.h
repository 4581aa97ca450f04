// The thread pool: one dispatch per phase, a fixed list of parts that depends on shapes alone. Any thread may
// run any part, so no result may depend on which thread did. Workers spin briefly before they sleep.
#pragma once

#include <cstdint>
#include <type_traits>

namespace wane {

int thread_count();           // WANE_THREADS, --threads, or the cores at hand
void set_thread_count(int n); // waits for idle workers, then resizes
inline constexpr int kMaxThreads = 256;

namespace detail {
using PartFn = void (*)(void* context, int64_t part, int thread);
void run_parts(int64_t parts, PartFn fn, void* context);
} // namespace detail

// Calls body(part, thread) for part in [0, parts), thread in [0, thread_count()). Returns when all are done.
// The first exception thrown by a part is rethrown here and the parts not yet begun are dropped; Ctrl-C
// likewise. One part, or a call from inside a part, runs on the caller.
template <class F> void parallel_parts(int64_t parts, F&& body) {
  using Body = std::remove_reference_t<F>;
  detail::run_parts(
      parts, [](void* context, int64_t part, int thread) { (*static_cast<Body*>(context))(part, thread); },
      const_cast<void*>(static_cast<const void*>(&body)));
}

} // namespace wane
