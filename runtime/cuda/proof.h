// The proof without a GPU that the CUDA back end covers what ran: every distinct program that a test run
// hands to the CPU is kept; at the end each becomes CUDA text, which is compiled to machine code for a real
// architecture. WANE_CUDA_PROOF=quick compiles, of more than 200, a selection in which every kind of step
// occurs; the line that is printed says so.
#pragma once

#include <string>
#include <vector>

#include "runtime/program.h"

namespace wane::cuda {

struct ProofReport {
  size_t programs = 0; // distinct, seen since start; each is emitted
  size_t compiled = 0; // to machine code; 0 without NVRTC
  double seconds = 0;
  std::vector<std::string> failures; // "program ...: nvrtc: ..." with the program's steps
  bool passed() const { return failures.empty(); }
  std::string line() const; // "cuda: 212 programs of this suite compiled to sm_90 in 3.1 s"
};

class CudaProof {
public:
  static void start();                     // installs the program hook
  static void see(const Program& program); // the hook; a test with a hook of its own passes programs on
  static ProofReport finish();             // takes the hook away, emits and compiles all
};

// Those of the programs that together have every op, cast, reduction, load and store of all of them, lane by
// lane and dtype by dtype, and `more` of the rest, evenly taken.
std::vector<Program> covering(const std::vector<Program>& programs, size_t more);

// Emits and compiles these programs for kDefaultArch, many to a call. What fails is compiled again alone, so
// that a failure names its program.
std::vector<std::string> compile_failures(const std::vector<Program>& programs);

} // namespace wane::cuda
