#include "tests/suite_programs.h"

#include <bit>
#include <fstream>
#include <future>
#include <map>
#include <set>

#include "runtime/cuda/proof.h"
#include "tests/host_launch.h"

using namespace wane;

namespace {

constexpr int kReductions = 10;
constexpr size_t kKernels = 40; // of a library, about

// Reads what key() puts.
class KeyReader {
public:
  explicit KeyReader(std::string_view key) : key_(key) {}
  bool at_end() const { return at_ == key_.size(); }
  bool at_bar() const { return !at_end() && key_[at_] == '|'; }
  int byte(int below) {
    if (at_end()) fail();
    int value = uint8_t(key_[at_++]);
    if (value >= below) fail();
    return value;
  }
  int16_t number(int below) { // -1, or less than `below`
    int low = byte(256), value = int16_t(low | byte(256) << 8);
    if (value < -1 || value >= below) fail();
    return int16_t(value);
  }
  [[noreturn]] static void fail() { throw error(Fault::internal, "a program's key is damaged"); }

private:
  std::string_view key_;
  size_t at_ = 0;
};

Step read_step(KeyReader& in, int place) {
  Step step{};
  step.kind = StepKind(in.byte(4));
  int what = in.byte(256), dtype = in.byte(2 * int(kDTypes.size()));
  bool reduces = step.kind == StepKind::reduce;
  if (what >= (reduces ? kReductions : int(op_table().size()))) KeyReader::fail();
  if (reduces)
    step.reduction = Reduction(what);
  else
    step.op = Op(what);
  step.dtype = DType(dtype / 2);
  step.per_row = dtype % 2;
  for (auto& arg : step.args) arg = in.number(place);
  step.index = in.number(place + 1);
  return step;
}

int digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  KeyReader::fail();
}

// Programs of one library: those whose kernels' names fall in one bucket, so that a program more or less
// changes one library and not all.
std::vector<std::vector<Program>> libraries_of(const std::vector<Program>& programs) {
  std::map<std::string, const Program*> distinct;
  for (auto& program : programs) distinct.emplace(host_name(program), &program);
  size_t buckets = std::bit_ceil(distinct.size() / kKernels + 1);
  std::map<size_t, std::vector<Program>> libraries;
  for (auto& [name, program] : distinct) { // a name ends in hex digits of a hash
    size_t bucket = std::stoul(name.substr(name.size() - 4), nullptr, 16) % buckets;
    libraries[bucket].push_back(*program);
  }
  std::vector<std::vector<Program>> out;
  for (auto& [bucket, list] : libraries) out.push_back(std::move(list));
  return out;
}

} // namespace

Program program_of(std::string_view key) {
  Program out;
  KeyReader in(key);
  while (!in.at_bar()) { // a step starts with its kind, which is no bar
    Step step = read_step(in, int(out.steps.size()));
    if (step.kind == StepKind::input) out.inputs = std::max(out.inputs, step.index + 1);
    if (step.kind == StepKind::constant) out.constants = std::max(out.constants, step.index + 1);
    out.reductions += step.kind == StepKind::reduce;
    out.steps.push_back(step);
  }
  in.byte(256);
  out.outputs.push_back(in.number(int(out.steps.size()))); // every program has one result
  if (out.outputs[0] < 0 || in.byte(256) != '|') KeyReader::fail();
  while (!in.at_end()) out.tables.push_back(in.number(out.inputs));
  return out;
}

std::vector<Program> read_programs(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) throw error(Fault::missing, "{}: no programs to read", path);
  if (line != cuda::CudaProof::file_header())
    throw error(Fault::bad_file, "{}: programs of another build", path);
  std::vector<Program> out;
  while (std::getline(file, line)) {
    std::string key;
    for (size_t i = 0; i + 1 < line.size(); i += 2)
      key.push_back(char(digit(line[i]) * 16 + digit(line[i + 1])));
    out.push_back(program_of(key));
  }
  return out;
}

std::vector<std::string> host_differences(const std::vector<Program>& programs, bool thorough) {
  auto libraries = libraries_of(programs);
  auto built = [](const std::vector<Program>& list) {
    return std::async(std::launch::async, [&list] { return std::make_unique<HostKernels>(list); });
  };
  // The compiler works on the next two while one runs.
  std::vector<std::future<std::unique_ptr<HostKernels>>> ahead;
  std::vector<std::string> found;
  uint32_t seed = 1;
  for (size_t i = 0; i < libraries.size(); ++i) {
    while (ahead.size() < libraries.size() && ahead.size() < i + 3)
      ahead.push_back(built(libraries[ahead.size()]));
    auto kernels = ahead[i].get();
    if (!kernels->problem().empty()) {
      found.push_back(kernels->problem());
      continue;
    }
    for (auto& program : libraries[i])
      if (std::string problem = difference(*kernels, program, seed++, thorough); !problem.empty())
        found.push_back(problem);
  }
  return found;
}
