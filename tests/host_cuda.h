// Lets the host's compiler build CUDA text and run it on the CPU: put in front of the text, it supplies the
// thread and block indices, shared memory, barriers and shuffles that kernels/*.cuh use. It is made to find
// mistakes: blocks, and threads between two meetings, run in an order drawn from a seed, in which warps run
// ahead of others; shared memory holds NaNs when a block starts; a shuffle from a lane that does not take
// part gives a NaN; and a meeting that not all of its threads reach is an error, where a GPU would hang. So a
// missing barrier shows in the results.
//
// What a kernel may use: threadIdx, blockIdx, blockDim, gridDim; __shared__ arrays of fixed size, declared in
// the __global__ function itself (not in a template, not extern); __syncthreads, __syncwarp and the four
// __shfl_*_sync of up to 8 bytes, whose masks name every lane that comes.
#pragma once

#include <csetjmp>
#include <cstdint>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include <math.h>
#include <ucontext.h>

// The ends of the section that all __shared__ arrays of the text lie in; null where it has none.
extern "C" {
extern char __start_wane_shared[] __attribute__((weak, visibility("hidden")));
extern char __stop_wane_shared[] __attribute__((weak, visibility("hidden")));
}

namespace host_cuda {

struct Index {
  unsigned x = 0, y = 0, z = 0;
  unsigned count() const { return x * y * z; }
};
inline Index thread_index, block_index, block_size{1, 1, 1}, grid_size{1, 1, 1};

constexpr unsigned kPoison = 0x7ff4beefu; // a NaN as f32 and, twice, as f64; as a whole number far off
constexpr unsigned kWarp = 32;
constexpr size_t kStackBytes = 64 << 10;

enum class Wait { none, block, warp, shuffle, finished };
struct Fiber { // one thread of the block that runs
  ucontext_t start;
  jmp_buf resume;
  bool started = false;
  std::unique_ptr<char[]> stack;
  Wait wait = Wait::none;
  unsigned mask = 0;
  unsigned from = 0; // the lane whose value it asks for
  uint64_t given = 0, taken = 0;
};

inline std::vector<Fiber> fibers;
inline jmp_buf scheduler;
inline size_t running = 0;
inline bool in_fibers = false, met_outside = false;
// A kernel on the bytes of its arguments.
using Kernel = void (*)(const void*);
inline Kernel kernel = nullptr;
inline const void* arguments = nullptr;

// Drawn orders (G. Marsaglia, Xorshift RNGs, 2003).
inline uint32_t random_state = 1;
inline uint32_t draw(uint32_t below) {
  random_state ^= random_state << 13, random_state ^= random_state >> 17, random_state ^= random_state << 5;
  return random_state % below;
}
template <class T> void shuffle(std::vector<T>& list) {
  for (size_t i = list.size(); i > 1; --i) std::swap(list[i - 1], list[draw(uint32_t(i))]);
}
inline std::vector<unsigned> drawn_order(unsigned count) {
  std::vector<unsigned> order(count);
  for (unsigned i = 0; i < count; ++i) order[i] = i;
  shuffle(order);
  return order;
}

inline void enter() {
  kernel(arguments);
  fibers[running].wait = Wait::finished;
  _longjmp(scheduler, 1);
}

inline void meet(Wait wait, unsigned mask) {
  if (!in_fibers) {
    met_outside = true;
    return;
  }
  Fiber& self = fibers[running];
  self.wait = wait, self.mask = mask;
  if (!_setjmp(self.resume)) _longjmp(scheduler, 1);
}

inline Index unflattened(unsigned i, Index size) {
  return {i % size.x, i / size.x % size.y, i / size.x / size.y};
}

inline void resume(unsigned i) {
  Fiber& fiber = fibers[i];
  running = i;
  thread_index = unflattened(i, block_size);
  if (_setjmp(scheduler)) return;
  if (fiber.started) _longjmp(fiber.resume, 1);
  fiber.started = true;
  setcontext(&fiber.start);
}

// The value that the lane `from` of this lane's warp gives.
template <class T> T exchange(unsigned mask, T value, unsigned from) {
  static_assert(sizeof(T) <= 8);
  if (!in_fibers) {
    met_outside = true;
    return value;
  }
  Fiber& self = fibers[running];
  std::memcpy(&self.given, &value, sizeof value);
  self.from = from;
  meet(Wait::shuffle, mask);
  std::memcpy(&value, &fibers[running].taken, sizeof value);
  return value;
}
inline unsigned lane() { return unsigned(running % kWarp); }
// Beyond its segment of `width` lanes a lane keeps its own value.
template <class T> T shuffle_down(unsigned mask, T value, unsigned by, unsigned width = kWarp) {
  return exchange(mask, value, lane() % width + by < width ? lane() + by : lane());
}
template <class T> T shuffle_up(unsigned mask, T value, unsigned by, unsigned width = kWarp) {
  return exchange(mask, value, lane() % width >= by ? lane() - by : lane());
}
template <class T> T shuffle_xor(unsigned mask, T value, unsigned by, unsigned width = kWarp) {
  unsigned other = lane() ^ by;
  return exchange(mask, value, other / width <= lane() / width ? other : lane());
}
template <class T> T shuffle_of(unsigned mask, T value, unsigned from, unsigned width = kWarp) {
  return exchange(mask, value, lane() / width * width + from % width);
}

// Lets the lanes of a warp go on whose meeting is complete.
inline void release_warp(size_t first, size_t last) {
  for (size_t i = first; i < last; ++i) {
    Fiber& self = fibers[i];
    if (self.wait != Wait::warp && self.wait != Wait::shuffle) continue;
    unsigned mask = self.mask, here = 0;
    for (size_t j = first; j < last; ++j)
      if (fibers[j].wait == self.wait && fibers[j].mask == mask) here |= 1u << (j - first);
    if ((here & mask) != mask || !(mask >> (i - first) & 1)) continue;
    for (size_t j = first; j < last; ++j) {
      if (!(mask >> (j - first) & 1)) continue;
      unsigned from = fibers[j].from;
      bool comes = from < kWarp && (mask >> from & 1);
      fibers[j].taken = comes ? fibers[first + from].given : (uint64_t(kPoison) << 32 | kPoison);
    }
    for (size_t j = first; j < last; ++j)
      if (mask >> (j - first) & 1) fibers[j].wait = Wait::none;
  }
}

inline void release_block() {
  for (auto& fiber : fibers)
    if (fiber.wait != Wait::block) return;
  for (auto& fiber : fibers) fiber.wait = Wait::none;
}

inline void poison_shared() {
  if (!__start_wane_shared) return;
  auto* word = reinterpret_cast<unsigned*>(__start_wane_shared);
  for (; reinterpret_cast<char*>(word + 1) <= __stop_wane_shared; ++word) *word = kPoison;
}

inline void start_fibers(unsigned count) {
  if (fibers.size() != count) fibers = std::vector<Fiber>(count);
  for (auto& fiber : fibers) {
    fiber.started = false, fiber.wait = Wait::none;
    if (!fiber.stack) fiber.stack.reset(new char[kStackBytes]);
    getcontext(&fiber.start);
    fiber.start.uc_stack.ss_sp = fiber.stack.get(), fiber.start.uc_stack.ss_size = kStackBytes;
    fiber.start.uc_link = nullptr;
    makecontext(&fiber.start, enter, 0);
  }
}

// Lets the threads of a warp that can go on do so to their next meeting; false when none can.
inline bool run_warp(size_t warp) {
  size_t first = warp * kWarp, last = first + kWarp < fibers.size() ? first + kWarp : fibers.size();
  unsigned ready[kWarp], count = 0;
  for (size_t i = first; i < last; ++i)
    if (fibers[i].wait == Wait::none) ready[count++] = unsigned(i);
  for (unsigned i = count; i > 1; --i) std::swap(ready[i - 1], ready[draw(i)]);
  for (unsigned i = 0; i < count; ++i) resume(ready[i]);
  release_warp(first, last);
  return count > 0;
}

// Warps in a drawn order, each some meetings ahead, until all are finished.
inline const char* run_fibers(unsigned count) {
  start_fibers(count);
  std::vector<unsigned> warps = drawn_order((count + kWarp - 1) / kWarp);
  for (;;) {
    bool moved = false, finished = true;
    shuffle(warps);
    for (unsigned warp : warps)
      for (unsigned ahead = 1 + draw(8); ahead > 0 && run_warp(warp); --ahead) moved = true;
    release_block();
    for (auto& fiber : fibers) finished &= fiber.wait == Wait::finished;
    if (finished) return nullptr;
    if (!moved) return "threads wait for others that do not come";
  }
}

// Runs a kernel over a grid; with `meetings` false its threads one after another without fibers, which is
// much faster and an error where they do meet. An error's text, or null.
inline const char* run(Index grid, Index block, bool meetings, Kernel of, const void* on, uint32_t seed) {
  grid_size = grid, block_size = block, kernel = of, arguments = on;
  in_fibers = meetings, met_outside = false;
  random_state = seed * 2654435761u | 1;
  for (unsigned b : drawn_order(grid.count())) {
    block_index = unflattened(b, grid);
    poison_shared();
    if (meetings) {
      if (const char* problem = run_fibers(block.count())) return problem;
      continue;
    }
    for (unsigned i : drawn_order(block.count())) {
      thread_index = unflattened(i, block);
      kernel(arguments);
    }
  }
  return met_outside ? "threads meet in a kernel that was said to have no meetings" : nullptr;
}

} // namespace host_cuda

#define threadIdx host_cuda::thread_index
#define blockIdx host_cuda::block_index
#define blockDim host_cuda::block_size
#define gridDim host_cuda::grid_size
#define __global__
#define __device__
#define __shared__ static __attribute__((section("wane_shared"), aligned(16)))
#define __grid_constant__
#define __launch_bounds__(threads)
#define __forceinline__ inline
#define WANE_FN static __attribute__((unused)) // of kernels/*.h: not inlined, which compiles far faster
#define __noinline__ __attribute__((noinline))
#define __syncthreads() host_cuda::meet(host_cuda::Wait::block, 0)
#define __syncwarp(mask) host_cuda::meet(host_cuda::Wait::warp, mask)
#define __shfl_sync(...) host_cuda::shuffle_of(__VA_ARGS__)
#define __shfl_down_sync(...) host_cuda::shuffle_down(__VA_ARGS__)
#define __shfl_up_sync(...) host_cuda::shuffle_up(__VA_ARGS__)
#define __shfl_xor_sync(...) host_cuda::shuffle_xor(__VA_ARGS__)
