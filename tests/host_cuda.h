// Lets the host's compiler build generated CUDA text and run it on the CPU: put in front of the text, it
// supplies the thread and block indices, shared memory, barriers and shuffles that kernels/*.cuh use. Each
// thread of a block is a fiber; a sweep runs every fiber to its next meeting point. A meeting that not all of
// its threads reach is an error, as it would be a hang on a GPU; sweeps change their order, so that a
// missing barrier shows in the results.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include <ucontext.h>

namespace host_cuda {

struct Index {
  unsigned x = 0, y = 0, z = 0;
};
inline Index thread_index, block_index, block_size{1, 1, 1}, grid_size{1, 1, 1};

enum class Meeting { none, block, warp, shuffle };
struct Fiber {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  Index index;
  bool finished = false;
  Meeting meeting = Meeting::none;
  unsigned mask = 0;
  unsigned shuffles = 0;
  uint64_t value[2] = {}; // what it gave to its last two shuffles
};

inline std::vector<Fiber> fibers;
inline ucontext_t scheduler;
inline size_t running = 0;
// A kernel on the bytes of its arguments.
using Kernel = void (*)(const void*);
inline Kernel kernel = nullptr;
inline const void* arguments = nullptr;

inline void enter() {
  kernel(arguments);
  fibers[running].finished = true;
  swapcontext(&fibers[running].context, &scheduler);
}

inline void meet(Meeting meeting, unsigned mask) {
  Fiber& self = fibers[running];
  self.meeting = meeting, self.mask = mask;
  swapcontext(&self.context, &scheduler);
}

template <class T> T shuffle_down(unsigned mask, T value, unsigned by, unsigned width) {
  size_t me = running, lane = me % 32;
  unsigned turn = fibers[me].shuffles++ % 2;
  std::memcpy(&fibers[me].value[turn], &value, sizeof value);
  meet(Meeting::shuffle, mask);
  bool inside = lane % width + by < width && (mask >> (lane + by) & 1);
  T out;
  std::memcpy(&out, &fibers[inside ? me + by : me].value[turn], sizeof out);
  return out;
}

// Every thread that a meeting names is at that same meeting: the whole block, or the lanes of the warp in the
// mask.
inline bool all_present() {
  for (size_t i = 0; i < fibers.size(); ++i) {
    const Fiber& self = fibers[i];
    if (self.finished) continue;
    bool block = self.meeting == Meeting::block;
    size_t first = block ? 0 : i / 32 * 32,
           last = block ? fibers.size() : std::min(fibers.size(), first + 32);
    if (!block && !(self.mask >> (i % 32) & 1)) return false; // it names others but not itself
    if (block && i > 0 && fibers[i - 1].meeting == Meeting::block && !fibers[i - 1].finished)
      continue; // as checked
    for (size_t j = first; j < last; ++j) {
      const Fiber& other = fibers[j];
      bool named = block || (self.mask >> (j % 32) & 1);
      if (named && (other.finished || other.meeting != self.meeting || other.mask != self.mask)) return false;
    }
  }
  return true;
}

inline const char* run_block(size_t stack_bytes) {
  size_t count = size_t(block_size.x) * block_size.y;
  fibers.resize(count);
  for (size_t i = 0; i < count; ++i) {
    Fiber& f = fibers[i];
    f.finished = false, f.shuffles = 0, f.meeting = Meeting::none;
    f.index = {unsigned(i) % block_size.x, unsigned(i) / block_size.x, 0};
    if (!f.stack) f.stack = std::make_unique<char[]>(stack_bytes);
    getcontext(&f.context);
    f.context.uc_stack.ss_sp = f.stack.get(), f.context.uc_stack.ss_size = stack_bytes;
    f.context.uc_link = nullptr;
    makecontext(&f.context, enter, 0);
  }
  for (size_t sweep = 0, left = count; left > 0; ++sweep) {
    left = 0;
    for (size_t k = 0; k < count; ++k) {
      running = sweep % 3 ? count - 1 - k : k;
      if (fibers[running].finished) continue;
      thread_index = fibers[running].index;
      swapcontext(&scheduler, &fibers[running].context);
      left += !fibers[running].finished;
    }
    if (left > 0 && !all_present()) return "threads wait for others that do not come";
  }
  return nullptr;
}

// Runs a kernel over a grid; with `meetings` false its threads one after another without fibers. An error's
// text, or null.
inline const char* run(Index grid, Index block, bool meetings, Kernel of, const void* on) {
  grid_size = grid, block_size = block, kernel = of, arguments = on;
  for (block_index = {}; block_index.x < grid.x; ++block_index.x) {
    if (meetings) {
      if (const char* problem = run_block(64 << 10)) return problem;
      continue;
    }
    for (unsigned i = 0; i < block.x * block.y; ++i) {
      thread_index = {i % block.x, i / block.x, 0};
      kernel(arguments);
    }
  }
  return nullptr;
}

} // namespace host_cuda

#define threadIdx host_cuda::thread_index
#define blockIdx host_cuda::block_index
#define blockDim host_cuda::block_size
#define gridDim host_cuda::grid_size
#define __global__
#define __device__
#define __shared__ static
#define __grid_constant__
#define __launch_bounds__(threads)
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __syncthreads() host_cuda::meet(host_cuda::Meeting::block, 0)
#define __syncwarp(mask) host_cuda::meet(host_cuda::Meeting::warp, mask)
#define __shfl_down_sync(mask, x, by, width) host_cuda::shuffle_down(mask, x, by, width)
