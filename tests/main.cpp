// Runs the tests; afterwards every distinct program that they ran is compiled for CUDA, where NVRTC is there.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>

#include "runtime/cuda/proof.h"

int main(int argc, char** argv) {
  doctest::Context context(argc, argv);
  wane::cuda::CudaProof::start();
  int failed = context.run();
  if (context.shouldExit()) return failed;
  auto proof = wane::cuda::CudaProof::finish();
  for (auto& failure : proof.failures) std::fprintf(stderr, "%s\n", failure.c_str());
  std::printf("%s\n", proof.line().c_str());
  return failed || !proof.passed();
}
