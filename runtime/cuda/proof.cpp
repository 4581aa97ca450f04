#include "runtime/cuda/proof.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <mutex>
#include <thread>
#include <unordered_set>

#include "runtime/cuda/emit.h"
#include "runtime/cuda/nvrtc.h"
#include "runtime/flush.h"

namespace wane::cuda {
namespace {

constexpr size_t kBatch = 40; // programs of one call: most of a call's time does not depend on them

struct Seen {
  std::mutex mutex;
  std::unordered_set<std::string> keys;
  std::vector<Program> programs;
};
Seen& seen() {
  static Seen all;
  return all;
}

// "" when the programs compile together.
std::string problem_of(std::span<const Program* const> programs) {
  try {
    compile_cuda(emit_cuda(programs));
    return "";
  } catch (const Error& e) {
    return e.text();
  }
}

void compile_batch(std::span<const Program* const> batch, std::vector<std::string>& failures,
                   std::mutex& mutex) {
  std::string together = problem_of(batch);
  if (together.empty()) return;
  std::vector<std::string> found;
  for (const Program* program : batch)
    if (std::string problem = problem_of({&program, 1}); !problem.empty())
      found.push_back(fmt::format("{}\n{}", problem, to_string(*program)));
  if (found.empty())
    found.push_back(fmt::format("{} programs compile alone but not together: {}", batch.size(), together));
  std::lock_guard lock(mutex);
  failures.insert(failures.end(), found.begin(), found.end());
}

} // namespace

std::vector<std::string> compile_failures(const std::vector<Program>& programs) {
  std::vector<const Program*> all;
  for (auto& program : programs) all.push_back(&program);
  // Maps and rows apart, so that each text carries one template.
  std::stable_partition(all.begin(), all.end(), [](const Program* p) { return p->reductions == 0; });
  std::vector<std::string> failures;
  std::mutex mutex;
  std::atomic<size_t> next{0};
  auto work = [&] {
    for (size_t first; (first = next.fetch_add(kBatch)) < all.size();)
      compile_batch(std::span(all).subspan(first, std::min(kBatch, all.size() - first)), failures, mutex);
  };
  std::thread helper(work);
  work();
  helper.join();
  return failures;
}

void CudaProof::start() { set_program_hook(&CudaProof::see); }

void CudaProof::see(const Program& program) {
  auto& all = seen();
  std::string key = program.key();
  std::lock_guard lock(all.mutex);
  if (all.keys.insert(std::move(key)).second) all.programs.push_back(program);
}

ProofReport CudaProof::finish() {
  set_program_hook(nullptr);
  std::vector<Program> programs;
  {
    std::lock_guard lock(seen().mutex);
    programs.swap(seen().programs);
    seen().keys.clear();
  }
  ProofReport report;
  report.programs = programs.size();
  if (programs.empty() || !nvrtc_available()) return report;
  auto start = std::chrono::steady_clock::now();
  report.failures = compile_failures(programs);
  report.compiled = true;
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

std::string ProofReport::line() const {
  if (!failures.empty())
    return fmt::format("cuda: {} of {} programs of this suite do not compile to {}", failures.size(),
                       programs, kDefaultArch);
  if (!compiled && programs)
    return fmt::format("cuda: skipped: no NVRTC to compile {} programs of this suite with", programs);
  return fmt::format("cuda: {} programs of this suite compiled to {} in {:.1f} s", programs, kDefaultArch,
                     seconds);
}

} // namespace wane::cuda
