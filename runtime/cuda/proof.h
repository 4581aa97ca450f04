// The proof without a GPU that the CUDA back end covers what ran: every distinct program that a test run
// hands to the CPU is kept; at the end each becomes CUDA text, which is compiled to machine code for the
// architectures of kProofArchs. What compiled once is remembered in the user's cache (by text, options,
// version and architecture) and not compiled again. WANE_CUDA_PROOF=quick compiles, of more than 200, a
// selection in which every kind of step occurs, for kDefaultArch alone; the line that is printed says so.
#pragma once

#include <string>
#include <vector>

#include "runtime/cuda/nvrtc.h"
#include "runtime/program.h"

namespace wane::cuda {

inline constexpr const char* kProofArchs[] = {"sm_75", kDefaultArch, "sm_120"};

struct ProofReport {
  size_t programs = 0; // distinct, seen since start; each is emitted
  size_t kernels = 0;  // distinct texts of those that were to be compiled, other templates' with them
  size_t known = 0;    // pairs of kernel and architecture that an earlier run compiled
  std::vector<std::string> archs;   // compiled for; none without NVRTC
  std::vector<std::string> skipped; // architectures that this NVRTC does not know
  bool quick = false;               // a selection
  double seconds = 0;
  std::vector<std::string> failures; // "nvrtc: ..." with the program's steps
  bool passed() const { return failures.empty(); }
  // "cuda: 212 programs of this suite, 205 kernels, are machine code for sm_75, sm_90, sm_120 (3.1 s)"
  std::string line() const;
};

class CudaProof {
public:
  static void start();                     // installs the program hook
  static void see(const Program& program); // the hook; a test with a hook of its own passes programs on
  // A kernel of a template that is not a Program's: a whole translation unit, known by a name for messages.
  static void see_text(const std::string& name, const std::string& text);
  static std::vector<Program> programs(); // seen since start
  static ProofReport finish();            // takes the hook away, emits and compiles all
  // The programs as lines of text, for another process of the same build; the first line is file_header().
  static void save(const std::string& path);
  static std::string file_header();
};

// Those of the programs that together have every op, cast, reduction, load and store of all of them, lane by
// lane and dtype by dtype, and `more` of the rest, evenly taken.
std::vector<Program> covering(const std::vector<Program>& programs, size_t more);

// Emits and compiles these programs for one architecture, many to a call, on all cores. What fails is
// compiled again alone, so that a failure names its program.
std::vector<std::string> compile_failures(const std::vector<Program>& programs,
                                          const std::string& arch = kDefaultArch);

} // namespace wane::cuda
