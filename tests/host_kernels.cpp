#include "tests/host_kernels.h"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>
#include <set>

#include <dlfcn.h>

#include "runtime/cpu/interpreter.h"
#include "runtime/cpu/map_kernels.h"
#include "runtime/cuda/emit.h"
#include "runtime/cuda/launch.h"

using namespace wane;

namespace {

struct Size {
  unsigned x, y, z;
};
using Kernel = void (*)(const void*);
using RunFn = const char* (*)(Size grid, Size block, bool meetings, Kernel kernel, const void* arguments);

// A plain function around each kernel, for dlsym.
std::string launcher(const Program& program) {
  int inputs = std::max(1, program.inputs), constants = std::max(1, program.constants);
  return fmt::format("extern \"C\" void call_{0}(const void* arguments) {{ {0}(*(const WaneLaunch<{1}, "
                     "{2}>*)arguments); }}\n",
                     cuda::kernel_name(program), inputs, constants);
}
const char* const kRunner =
    "extern \"C\" const char* run_host(host_cuda::Index grid, host_cuda::Index block, bool meetings,\n"
    "                                 host_cuda::Kernel kernel, const void* arguments) {\n"
    "  return host_cuda::run(grid, block, meetings, kernel, arguments);\n}\n";

std::string first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line))
    if (line.find("error") != std::string::npos) return line;
  return "the compiler failed";
}

} // namespace

bool HostKernels::compiler_available() {
  static const bool found = std::system("g++ --version > /dev/null 2>&1") == 0;
  return found;
}

HostKernels::HostKernels(const std::vector<Program>& programs) {
  std::string name = (std::filesystem::temp_directory_path() / "wane-host-XXXXXX").string();
  if (!mkdtemp(name.data())) throw error(Fault::io, "{}: cannot be created", name);
  folder_ = name;
  std::vector<const Program*> all;
  std::set<std::string> names;
  for (auto& program : programs)
    if (names.insert(cuda::kernel_name(program)).second) all.push_back(&program);
  std::string source = folder_ + "/kernels.cpp", library = folder_ + "/kernels.so", log = folder_ + "/log";
  {
    std::ofstream file(source);
    file << "#include \"tests/host_cuda.h\"\n" << cuda::emit_cuda(all);
    for (auto* program : all) file << launcher(*program);
    file << kRunner;
  }
  std::string command = fmt::format(
      "g++ -std=c++20 -O0 -w -fPIC -shared -ffp-contract=off -fno-math-errno -msse4.1 -I{} {} -o {} 2> {}",
      WANE_SOURCE_DIR, source, library, log);
  if (std::system(command.c_str()) != 0) {
    problem_ = first_line(log);
    return;
  }
  library_ = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library_) problem_ = dlerror();
}

HostKernels::~HostKernels() {
  if (library_) dlclose(library_);
  std::error_code ignored;
  if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
}

std::string HostKernels::run(const Program& program, const Launch& launch, int multiprocessors) const {
  std::string name = "call_" + cuda::kernel_name(program);
  auto kernel = reinterpret_cast<Kernel>(dlsym(library_, name.c_str()));
  auto runner = reinterpret_cast<RunFn>(dlsym(library_, "run_host"));
  if (!kernel || !runner) return "no " + name;
  cuda::Grid grid = cuda::grid_of(program, launch, multiprocessors);
  std::vector<std::byte> arguments = cuda::arguments_of(program, launch);
  const char* problem = runner({grid.blocks, 1, 1}, {grid.threads_x, grid.threads_y, 1},
                               cuda::uses_rows(program), kernel, arguments.data());
  return problem ? problem : "";
}

namespace {

// A launch of random contents with the memory behind it.
class RandomLaunch {
public:
  RandomLaunch(const Program& program, std::mt19937& rng, Shape outer, int64_t n)
      : program_(program), rng_(rng) {
    launch.outer = outer;
    launch.rows = outer.count(), launch.n = n;
    launch.inputs.resize(size_t(program.inputs));
    inputs_.resize(size_t(program.inputs));
    launch.constants.resize(size_t(program.constants));
    launch.integers.resize(size_t(program.constants));
    for (auto& step : program.steps) {
      if (step.kind == StepKind::input) fill_input(step);
      if (step.kind == StepKind::constant) fill_constant(step);
    }
    const Step& root = program.steps[size_t(program.outputs[0])];
    dtype_ = root.dtype;
    count_ = launch.rows * (root.per_row ? 1 : n);
    result.resize(size_t(count_) * size_of(dtype_));
    launch.outputs = {{result.data()}};
  }

  Launch launch;
  std::vector<std::byte> result;

  std::string compare(const std::vector<std::byte>& other) const {
    size_t size = size_of(dtype_);
    for (int64_t i = 0; i < count_; ++i) {
      const std::byte *a = result.data() + size_t(i) * size, *b = other.data() + size_t(i) * size;
      if (std::memcmp(a, b, size) == 0) continue;
      double x = number(a), y = number(b);
      if (std::isnan(x) && std::isnan(y)) continue;
      return fmt::format("element {} of {} x {}: {} on the CPU, {} from the CUDA text", i, launch.rows,
                         launch.n, x, y);
    }
    return "";
  }

private:
  double number(const std::byte* at) const {
    alignas(8) std::byte lane[8];
    cpu::map_kernels().load[int(dtype_)](lane, at, 1);
    auto as = [&]<class T>(T value) {
      std::memcpy(&value, lane, sizeof value);
      return double(value);
    };
    switch (lane_of(dtype_)) {
    case Lane::f32: return as(float());
    case Lane::f64: return as(double());
    case Lane::i32: return as(int32_t());
    default: return as(int64_t());
    }
  }

  int pick(int n) { return int(rng_() % uint32_t(n)); }

  // Dense, with the row reversed, broadcast over an outer dim, or strided along the row.
  void fill_input(const Step& step) {
    LaunchInput& in = launch.inputs[size_t(step.index)];
    bool table = program_.is_table(step.index);
    int64_t step_along = step.per_row ? 0 : table || pick(4) ? 1 : 2;
    if (table) in.count = 1 + pick(40);
    in.inner = step_along;
    int64_t row = table ? in.count : step.per_row ? 1 : launch.n * step_along;
    Strides strides = dense_strides(launch.outer);
    for (int d = 0; d < strides.rank(); ++d) strides[d] = pick(4) && !table ? strides[d] * row : 0;
    in.outer = strides;
    auto& bytes = inputs_[size_t(step.index)];
    int64_t count = table ? row : launch.rows * row;
    bytes.resize(size_t(count) * size_of(step.dtype));
    for (int64_t i = 0; i < count; ++i)
      random_element(step.dtype, bytes.data() + size_t(i) * size_of(step.dtype));
    in.data = bytes.data();
  }

  // Mostly of ordinary size, now and then any bit pattern at all.
  void random_element(DType dtype, std::byte* to) {
    uint64_t bits = uint64_t(rng_()) << 32 | rng_();
    if (!is_float(dtype) || pick(16) == 0) {
      if (!is_float(dtype) && pick(2)) bits = uint64_t(int64_t(pick(20) - 5));
      std::memcpy(to, &bits, size_of(dtype));
      return;
    }
    std::normal_distribution<double> normal(0, pick(4) ? 1.5 : 30.0);
    double value = normal(rng_);
    float single = float(value);
    bool wide = lane_of(dtype) == Lane::f64;
    cpu::map_kernels().store[int(dtype)](to, wide ? static_cast<void*>(&value) : &single, 1);
  }

  void fill_constant(const Step& step) {
    static const double kReals[] = {0, 1, -1, 0.5, 2, 1e-6, 127, -3.25, 448, 1e30};
    static const int64_t kWholes[] = {0, 1, -1, 2, 3, 7, 31, 63, -128, 100};
    double real = step.dtype == DType::f64 ? kReals[pick(10)] : double(float(kReals[pick(10)]));
    launch.constants[size_t(step.index)] = real;
    launch.integers[size_t(step.index)] = step.dtype == DType::boolean ? pick(2) : kWholes[pick(10)];
  }

  const Program& program_;
  std::mt19937& rng_;
  std::vector<std::vector<std::byte>> inputs_;
  DType dtype_{};
  int64_t count_ = 0;
};

} // namespace

std::string difference(const HostKernels& kernels, const Program& program, uint32_t seed) {
  std::mt19937 rng(seed);
  struct Case {
    Shape outer;
    int64_t n;
  };
  std::vector<Case> cases{{{}, 700}, {{3}, 1}, {{21}, 37}, {{2, 3, 5}, 16}, {{3, 2}, 259}};
  if (program.reductions > 0)
    cases.insert(cases.end(), {{{5}, 512}, {{2, 2}, 515}, {{3}, 2050}, {{1}, 9001}});
  for (auto& [outer, n] : cases) {
    RandomLaunch random(program, rng, outer, n);
    cpu::run(program, random.launch);
    std::vector<std::byte> other(random.result.size());
    Launch launch = random.launch;
    launch.outputs = {{other.data()}};
    std::string problem = kernels.run(program, launch, 1 + int(rng() % 3));
    if (problem.empty()) problem = random.compare(other);
    if (!problem.empty()) return problem + "\n" + to_string(program);
  }
  return "";
}
