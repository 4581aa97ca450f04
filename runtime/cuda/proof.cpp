#include "runtime/cuda/proof.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <thread>
#include <unordered_set>

#include "runtime/cuda/cache.h"
#include "runtime/cuda/emit.h"
#include "runtime/cuda/emit_ranges.h"
#include "runtime/cuda/emit_sweep.h"
#include "runtime/cuda/prelude.h"
#include "runtime/flush.h"
#include "runtime/hash.h"
#include "runtime/run/publish.h"

namespace wane::cuda {
namespace {

constexpr size_t kBatch = 40;  // programs of one call: most of a call's time does not depend on them
constexpr size_t kQuick = 200; // programs that a quick proof compiles
constexpr size_t kDigits = 32; // of a hash that stands for a kernel's text

struct Text { // a translation unit of its own
  std::string name, text;
};
struct Seen {
  std::mutex mutex;
  std::unordered_set<std::string> keys;
  std::vector<Program> programs;
  std::vector<Text> texts;
};
Seen& seen() {
  static Seen all;
  return all;
}

// "" when the text compiles.
std::string problem_of(const std::string& text, const std::string& arch) {
  try {
    compile_cuda(text, arch);
    return "";
  } catch (const Error& e) {
    return e.text();
  }
}

// Runs every job, each once, on all cores.
void run_jobs(const std::vector<std::function<void()>>& jobs) {
  std::atomic<size_t> next{0};
  auto work = [&] {
    for (size_t i; (i = next.fetch_add(1)) < jobs.size();) jobs[i]();
  };
  std::vector<std::thread> helpers;
  size_t cores = std::min<size_t>(std::thread::hardware_concurrency(), jobs.size());
  for (size_t i = 1; i < cores; ++i) helpers.emplace_back(work);
  work();
  for (auto& helper : helpers) helper.join();
}

// Compiles lists of programs and whole texts for architectures and collects what fails.
class Compiler {
public:
  std::vector<std::string> failures;
  void add(std::vector<const Program*> programs, const std::string& arch) {
    // Maps and rows apart, so that each text carries one template.
    std::stable_partition(programs.begin(), programs.end(), [](const Program* p) { return !uses_rows(*p); });
    for (size_t first = 0; first < programs.size(); first += kBatch) {
      size_t last = std::min(programs.size(), first + kBatch);
      std::vector<const Program*> batch(programs.begin() + int64_t(first), programs.begin() + int64_t(last));
      jobs_.push_back([this, batch, arch] { compile(batch, arch); });
    }
  }
  void add(const Text& text, const std::string& arch) {
    jobs_.push_back([this, text, arch] {
      if (std::string problem = problem_of(text.text, arch); !problem.empty())
        fail(fmt::format("{} for {}: {}", text.name, arch, problem));
    });
  }
  void run() { run_jobs(jobs_); }

private:
  void compile(const std::vector<const Program*>& batch, const std::string& arch) {
    std::string together = problem_of(emit_cuda(batch), arch);
    if (together.empty()) return;
    bool found = false;
    for (const Program* program : batch) {
      std::string problem = problem_of(emit_cuda(*program), arch);
      if (problem.empty()) continue;
      fail(fmt::format("for {}: {}\n{}", arch, problem, to_string(*program)));
      found = true;
    }
    if (!found)
      fail(
          fmt::format("{} programs compile alone but not together for {}: {}", batch.size(), arch, together));
  }
  void fail(std::string what) {
    std::lock_guard lock(mutex_);
    failures.push_back(std::move(what));
  }

  std::vector<std::function<void()>> jobs_;
  std::mutex mutex_;
};

// Hashes of the texts that compiled for one architecture in earlier runs, in the kernel cache: one entry,
// whose name says prelude, options, version and architecture.
class Known {
public:
  explicit Known(const std::string& arch)
      : cache_("proof"), key_(cache_.key(arch + prelude(Template::both))) {
    auto bytes = cache_.find(key_);
    for (size_t at = 0; bytes && at + kDigits <= bytes->size(); at += kDigits)
      hashes_.emplace(reinterpret_cast<const char*>(bytes->data()) + at, kDigits);
  }
  bool has(const std::string& hash) const { return hashes_.count(hash) > 0; }
  void add(const std::vector<std::string>& hashes) {
    if (hashes.empty()) return;
    hashes_.insert(hashes.begin(), hashes.end());
    std::vector<std::byte> bytes;
    for (auto& hash : hashes_)
      for (char c : hash) bytes.push_back(std::byte(c));
    cache_.keep(key_, bytes);
  }

private:
  KernelCache cache_;
  std::string key_;
  std::set<std::string> hashes_;
};

std::string hash_of(const std::string& text) { return sha256_hex(text).substr(0, kDigits); }

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

std::vector<std::string> compile_failures(const std::vector<Program>& programs, const std::string& arch) {
  std::vector<const Program*> all;
  for (auto& program : programs) all.push_back(&program);
  Compiler compiler;
  compiler.add(all, arch);
  compiler.run();
  return compiler.failures;
}

namespace {
void see_sweep(const SweepQuantizer& quantizer) {
  for (bool second : {false, true}) {
    SweepKernelNames names;
    const std::string text = emit_sweep(quantizer, names, second);
    CudaProof::see_text(names.code, text);
  }
}
void see_ranges(const RangeQuantizer& quantizer) {
  RangeKernelNames names;
  const std::string text = emit_ranges(quantizer, names);
  CudaProof::see_text(names.kernel, text);
}
} // namespace

void CudaProof::start() {
  set_program_hook(&CudaProof::see);
  set_sweep_hook(&see_sweep);
  set_range_hook(&see_ranges);
}

void CudaProof::see(const Program& program) {
  auto& all = seen();
  std::string key = program.key();
  std::lock_guard lock(all.mutex);
  if (all.keys.insert(std::move(key)).second) all.programs.push_back(program);
}

void CudaProof::see_text(const std::string& name, const std::string& text) {
  auto& all = seen();
  std::lock_guard lock(all.mutex);
  if (all.keys.insert(text).second) all.texts.push_back({name, text});
}

std::vector<Program> CudaProof::programs() {
  std::lock_guard lock(seen().mutex);
  return seen().programs;
}

std::string CudaProof::file_header() {
  std::string names;
  for (auto& op : op_table()) names += fmt::format("{} ", op.name);
  return "wane programs " + hash_of(names);
}

void CudaProof::save(const std::string& path) {
  std::string text = file_header() + "\n";
  for (auto& program : programs()) {
    for (char c : program.key()) text += fmt::format("{:02x}", uint8_t(c));
    text += '\n';
  }
  publish_text(path, text);
}

namespace {

// Every distinct kernel by its hash. What the emitter refuses is a failure.
std::map<std::string, const Program*> distinct_kernels(const std::vector<Program>& programs,
                                                       std::vector<std::string>& failures) {
  std::map<std::string, const Program*> kernels;
  for (auto& program : programs) {
    try {
      kernels.emplace(hash_of(kernel_text(program)), &program);
    } catch (const Error& e) {
      failures.push_back(e.text());
    }
  }
  return kernels;
}

void compile_all(ProofReport& report, const std::map<std::string, const Program*>& kernels,
                 const std::vector<Text>& texts) {
  Compiler compiler;
  std::map<std::string, std::vector<std::string>> fresh;
  std::map<std::string, Known> known;
  for (auto& arch : report.archs) {
    Known& before = known.emplace(arch, arch).first->second;
    std::vector<const Program*> programs;
    for (auto& [hash, program] : kernels)
      if (!before.has(hash)) programs.push_back(program), fresh[arch].push_back(hash);
    for (auto& text : texts)
      if (std::string hash = hash_of(text.text); !before.has(hash))
        compiler.add(text, arch), fresh[arch].push_back(hash);
    compiler.add(programs, arch);
    report.known += kernels.size() + texts.size() - fresh[arch].size();
  }
  compiler.run();
  report.failures = compiler.failures;
  if (report.passed())
    for (auto& arch : report.archs) known.at(arch).add(fresh[arch]);
}

} // namespace

ProofReport CudaProof::finish() {
  set_program_hook(nullptr);
  set_sweep_hook(nullptr);
  set_range_hook(nullptr);
  std::vector<Program> programs;
  std::vector<Text> texts;
  {
    std::lock_guard lock(seen().mutex);
    programs.swap(seen().programs);
    texts.swap(seen().texts);
    seen().keys.clear();
  }
  ProofReport report;
  report.programs = programs.size();
  auto start = std::chrono::steady_clock::now();
  auto kernels = distinct_kernels(programs, report.failures);
  report.quick = wants_quick();
  if (report.passed() && nvrtc_available()) {
    if (report.quick && programs.size() > kQuick) {
      size_t needed = covering(programs, 0).size();
      programs = covering(programs, needed < kQuick ? kQuick - needed : 0);
      kernels = distinct_kernels(programs, report.failures);
    }
    for (std::string arch : kProofArchs)
      if (!report.quick || arch == kDefaultArch)
        (nvrtc_knows(arch) ? report.archs : report.skipped).push_back(arch);
    compile_all(report, kernels, texts);
  }
  report.kernels = kernels.size() + texts.size();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

std::string ProofReport::line() const {
  if (!failures.empty())
    return fmt::format("cuda: {} failures among {} programs of this suite", failures.size(), programs);
  if (!programs && !kernels) return "cuda: no programs in this run";
  if (archs.empty() && skipped.empty())
    return fmt::format("cuda: skipped: no NVRTC to compile {} programs of this suite with", programs);
  std::string notes;
  if (known) notes += fmt::format(", {} of {} known from earlier runs", known, kernels * archs.size());
  if (!skipped.empty()) notes += fmt::format(", not known to this NVRTC: {}", fmt::join(skipped, ", "));
  return fmt::format("cuda: {} programs of this suite, {} kernels{}, are machine code for {} ({:.1f} s{})",
                     programs, kernels, quick ? " with every kind of step selected" : "",
                     fmt::join(archs, ", "), seconds, notes);
}

} // namespace wane::cuda
