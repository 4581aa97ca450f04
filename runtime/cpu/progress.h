// Parts of one pool job that build on each other. Parts are begun in the order of their numbers, so a part
// may wait for a lower one: some part that waits for nothing always runs.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>

namespace wane::cpu {

class Progress {
public:
  explicit Progress(int64_t chains) : done_(std::make_unique<std::atomic<int64_t>[]>(size_t(chains))) {}

  // Waits until `chain` has come to `steps`. False: another part failed, leave this one. Throws on Ctrl-C.
  bool wait(int64_t chain, int64_t steps) const {
    return done_[size_t(chain)].load(std::memory_order_acquire) >= steps || wait_long(chain, steps);
  }
  void advance(int64_t chain, int64_t steps) { done_[size_t(chain)].store(steps, std::memory_order_release); }

  // Runs a part; when it throws, the parts that wait learn of it.
  template <class F> void run(F&& part) {
    try {
      part();
    } catch (const std::exception&) {
      failed_.store(true);
      throw;
    }
  }

private:
  bool wait_long(int64_t chain, int64_t steps) const;

  std::unique_ptr<std::atomic<int64_t>[]> done_;
  std::atomic<bool> failed_{false};
};

} // namespace wane::cpu
