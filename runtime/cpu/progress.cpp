#include "runtime/cpu/progress.h"

#include <immintrin.h>
#include <sched.h>

#include "runtime/error.h"

namespace wane::cpu {

bool Progress::wait_long(int64_t chain, int64_t steps) const {
  constexpr int kSpins = 2000; // then the core is left to whom it may take to go on
  for (int spins = 0; done_[size_t(chain)].load(std::memory_order_acquire) < steps; ++spins) {
    if (failed_.load()) return false;
    check_interrupt();
    if (spins < kSpins)
      _mm_pause();
    else
      sched_yield();
  }
  return true;
}

} // namespace wane::cpu
