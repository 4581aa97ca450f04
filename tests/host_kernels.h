// Builds the CUDA text of programs with the host's compiler (tests/host_cuda.h) and runs it beside the CPU
// back end on random launches, for comparison bit by bit.
#pragma once

#include <string>
#include <vector>

#include "runtime/program.h"

// The text of all of these programs as one shared library; its folder goes with it.
class HostKernels {
public:
  explicit HostKernels(const std::vector<wane::Program>& programs);
  ~HostKernels();
  HostKernels(const HostKernels&) = delete;
  HostKernels& operator=(const HostKernels&) = delete;

  static bool compiler_available();
  // "" when the library was built, else the compiler's first line.
  const std::string& problem() const { return problem_; }
  // Runs one program with the grid the launcher would choose for `multiprocessors`; "" or what went wrong.
  std::string run(const wane::Program& program, const wane::Launch& launch, int multiprocessors) const;

private:
  std::string folder_, problem_;
  void* library_ = nullptr;
};

// "" when the host-built text of `program` and the CPU back end give the same bits for random inputs in
// several shapes: short and long rows, odd sizes, strided and broadcast operands, one and more outer dims. A
// NaN equals any other.
std::string difference(const HostKernels& kernels, const wane::Program& program, uint32_t seed);
