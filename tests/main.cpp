// Runs the tests. Afterwards every distinct program that they ran is compiled for CUDA, where NVRTC is there,
// and its text runs on the host beside the CPU back end, where a compiler is there.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <chrono>
#include <cstdio>

#include "runtime/cuda/proof.h"
#include "tests/host_kernels.h"
#include "tests/suite_programs.h"

namespace {

// quick: a selection with every kind of step.
bool prove_on_host(std::vector<wane::Program> programs, bool quick) {
  if (programs.empty()) return true;
  if (!HostKernels::compiler_available()) {
    std::printf("cuda: skipped: no g++ to run %zu programs of this suite on the host with\n",
                programs.size());
    return true;
  }
  if (quick) programs = wane::cuda::covering(programs, 0);
  auto start = std::chrono::steady_clock::now();
  auto problems = host_differences(programs, false);
  for (auto& problem : problems) std::fprintf(stderr, "%s\n", problem.c_str());
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  std::printf(
      "cuda: the text of %zu programs of this suite ran on the host: %zu differ from the CPU (%.1f s)\n",
      programs.size(), problems.size(), seconds);
  return problems.empty();
}

} // namespace

int main(int argc, char** argv) {
  doctest::Context context(argc, argv);
  wane::cuda::CudaProof::start();
  int failed = context.run();
  if (context.shouldExit()) return failed;
  auto programs = wane::cuda::CudaProof::programs();
  auto proof = wane::cuda::CudaProof::finish();
  for (auto& failure : proof.failures) std::fprintf(stderr, "%s\n", failure.c_str());
  std::printf("%s\n", proof.line().c_str());
  bool same_on_host = proof.passed() && prove_on_host(programs, proof.quick);
  return failed || !same_on_host;
}
