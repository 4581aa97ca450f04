#include "runtime/cuda/proof.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
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

// What a program asks of the emitter and the compiler, one text per kind of step.
std::vector<std::string> features(const Program& program) {
  std::vector<std::string> out{fmt::format("rows {} {}", uses_rows(program), program.reductions)};
  for (auto& step : program.steps) {
    std::string_view dtype = name_of(step.dtype);
    auto arg = [&](int i) {
      return step.args[i] >= 0 ? name_of(program.steps[size_t(step.args[i])].dtype) : "";
    };
    auto lane = [&](int i) {
      return step.args[i] >= 0 ? int(lane_of(program.steps[size_t(step.args[i])].dtype)) : -1;
    };
    if (step.kind == StepKind::input)
      out.push_back(fmt::format("load {} {}", dtype, step.per_row));
    else if (step.kind == StepKind::constant)
      out.push_back(fmt::format("constant {}", int(lane_of(step.dtype))));
    else if (step.kind == StepKind::reduce)
      out.push_back(fmt::format("{} {}", name_of(step.reduction), dtype));
    else if (step.op == Op::cast)
      out.push_back(fmt::format("cast {} {}", lane(0), dtype));
    else if (step.op == Op::lookup)
      out.push_back(fmt::format("lookup {} {}", lane(0), arg(1)));
    else
      out.push_back(fmt::format("{} {}", info(step.op).name, lane(1) >= 0 ? lane(1) : lane(0)));
    if (step.kind == StepKind::map) out.push_back(fmt::format("round {}", dtype));
  }
  out.push_back(fmt::format("store {}", name_of(program.steps[size_t(program.outputs[0])].dtype)));
  return out;
}

constexpr size_t kQuick = 200; // programs that a quick proof compiles

bool wants_quick() {
  const char* set = std::getenv("WANE_CUDA_PROOF");
  return set && std::string_view(set) == "quick";
}

} // namespace

std::vector<Program> covering(const std::vector<Program>& programs, size_t more) {
  std::unordered_set<std::string> covered;
  std::vector<Program> chosen, rest;
  for (auto& program : programs) {
    bool adds = false;
    for (auto& feature : features(program)) adds |= covered.insert(feature).second;
    (adds ? chosen : rest).push_back(program);
  }
  for (size_t i = 0, count = std::min(more, rest.size()); i < count; ++i)
    chosen.push_back(rest[i * rest.size() / count]);
  return chosen;
}

std::vector<std::string> compile_failures(const std::vector<Program>& programs) {
  std::vector<const Program*> all;
  for (auto& program : programs) all.push_back(&program);
  // Maps and rows apart, so that each text carries one template.
  std::stable_partition(all.begin(), all.end(), [](const Program* p) { return !uses_rows(*p); });
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
  auto start = std::chrono::steady_clock::now();
  for (auto& program : programs) {
    try {
      emit_cuda(program);
    } catch (const Error& e) {
      report.failures.push_back(e.text());
    }
  }
  if (report.failures.empty() && nvrtc_available()) {
    if (programs.size() > kQuick && wants_quick()) {
      size_t needed = covering(programs, 0).size();
      programs = covering(programs, needed < kQuick ? kQuick - needed : 0);
    }
    report.failures = compile_failures(programs);
    report.compiled = programs.size();
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

std::string ProofReport::line() const {
  if (!failures.empty())
    return fmt::format("cuda: {} of {} programs of this suite fail", failures.size(), programs);
  if (!programs) return "cuda: no programs in this run";
  if (!compiled)
    return fmt::format("cuda: skipped: no NVRTC to compile {} programs of this suite with", programs);
  if (compiled < programs)
    return fmt::format("cuda: {} programs of this suite emitted, {} of them, with every kind of step, "
                       "compiled to {} in {:.1f} s",
                       programs, compiled, kDefaultArch, seconds);
  return fmt::format("cuda: {} programs of this suite compiled to {} in {:.1f} s", programs, kDefaultArch,
                     seconds);
}

} // namespace wane::cuda
