// Thread count, fusing and the program hook of the suite, as they were when this was made.
#pragma once

#include "runtime/cpu/pool.h"
#include "runtime/cuda/proof.h"
#include "runtime/flush.h"

// Whether programs join the proof for CUDA, which compiles and runs each: of tests that run the same
// operations in hundreds of ways one way is enough.
inline void prove(bool on) { wane::set_program_hook(on ? &wane::cuda::CudaProof::see : nullptr); }

struct Settings {
  int threads = wane::thread_count();
  bool fuse = wane::fuse_enabled();
  ~Settings() {
    wane::set_thread_count(threads);
    wane::set_fuse(fuse);
    prove(true);
  }
};
