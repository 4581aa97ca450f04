// The distinct programs that a piece of a test runs, for tests of what becomes of them.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "runtime/cuda/proof.h"
#include "runtime/flush.h"

struct FuseOn { // whole programs, also where the suite runs with WANE_FUSE=0
  bool before = wane::fuse_enabled();
  FuseOn() { wane::set_fuse(true); }
  ~FuseOn() { wane::set_fuse(before); }
};

// The distinct programs that run while it lives; the suite's own collection goes on afterwards.
class Recorder {
public:
  Recorder() {
    programs().clear();
    keys().clear();
    wane::set_program_hook([](const wane::Program& program) {
      if (keys().insert(program.key()).second) programs().push_back(program);
      wane::cuda::CudaProof::see(program);
    });
  }
  ~Recorder() { wane::set_program_hook(&wane::cuda::CudaProof::see); }
  static std::vector<wane::Program>& programs() {
    static std::vector<wane::Program> all;
    return all;
  }

private:
  FuseOn fuse_;
  static std::set<std::string>& keys() {
    static std::set<std::string> all;
    return all;
  }
};

inline wane::Tensor tensor_of(const wane::Shape& shape, wane::DType dtype) {
  wane::Tensor t = wane::empty(shape, wane::DType::f32);
  for (int64_t i = 0; i < t.count(); ++i) t.data<float>()[i] = float(i % 23) * 0.25f;
  return dtype == wane::DType::f32 ? t : cast(t, dtype).flushed();
}

inline std::vector<wane::Program> record(void (*work)()) {
  Recorder recorder;
  work();
  return Recorder::programs();
}
