#include "tests/host_launch.h"

#include <cmath>
#include <random>

#include "runtime/cpu/interpreter.h"
#include "runtime/cpu/map_kernels.h"

using namespace wane;

namespace {

// An element as a number, for messages and to tell NaNs.
double number(DType dtype, const std::byte* at) {
  alignas(8) std::byte lane[8];
  cpu::map_kernels().load[int(dtype)](lane, at, 1);
  auto as = [&]<class T>(T value) {
    std::memcpy(&value, lane, sizeof value);
    return double(value);
  };
  switch (lane_of(dtype)) {
  case Lane::f32: return as(float());
  case Lane::f64: return as(double());
  case Lane::i32: return as(int32_t());
  default: return as(int64_t());
  }
}

// A launch of random contents with the memory behind it.
class RandomLaunch {
public:
  // wild: now and then an element is any bit pattern at all. A sum that has one of those hides the others, so
  // most launches are not.
  RandomLaunch(const Program& program, std::mt19937& rng, Shape outer, int64_t n, bool wild)
      : program_(program), rng_(rng), wild_(wild) {
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
  }

  Launch launch;

  GuardedBytes result() const { return GuardedBytes(size_t(count_) * size_of(dtype_), guard()); }

  std::string compare(const GuardedBytes& cpu, const GuardedBytes& other) const {
    if (!cpu.intact()) return "the CPU back end writes outside of its result" + size_text();
    if (!other.intact()) return "the CUDA text writes outside of its result" + size_text();
    for (auto& input : inputs_)
      if (!input.intact()) return "an input was written" + size_text();
    size_t size = size_of(dtype_);
    for (int64_t i = 0; i < count_; ++i) {
      const std::byte *a = cpu.data() + size_t(i) * size, *b = other.data() + size_t(i) * size;
      if (std::memcmp(a, b, size) == 0) continue;
      double x = number(dtype_, a), y = number(dtype_, b);
      if (std::isnan(x) && std::isnan(y)) continue;
      return fmt::format("element {}{}: {} on the CPU, {} from the CUDA text", i, size_text(), x, y);
    }
    return "";
  }

private:
  int pick(int n) { return int(rng_() % uint32_t(n)); }
  size_t guard() const { return 1024 + size_t(launch.n) * 16; } // more than a strided row
  std::string size_text() const { return fmt::format(" of {} x {}", launch.rows, launch.n); }

  // Dense, broadcast over an outer dim, or strided along the row.
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
    bytes = GuardedBytes(size_t(count) * size_of(step.dtype), guard());
    for (int64_t i = 0; i < count; ++i)
      random_element(step.dtype, bytes.data() + size_t(i) * size_of(step.dtype));
    in.data = bytes.data();
  }

  void random_element(DType dtype, std::byte* to) {
    uint64_t bits = uint64_t(rng_()) << 32 | rng_();
    if (!is_float(dtype) || (wild_ && pick(16) == 0)) {
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
  bool wild_;
  std::vector<GuardedBytes> inputs_;
  DType dtype_{};
  int64_t count_ = 0;
};

struct Case {
  Shape outer;
  int64_t n;
  bool wild;
};

// One thread block or several, whole and partial blocks of 256, rows of one and rows longer than a team.
std::vector<Case> cases_of(const Program& program) {
  std::vector<Case> all{
      {{}, 700, true}, {{3}, 1, false}, {{21}, 37, true}, {{2, 3, 5}, 16, false}, {{3, 2}, 259, false}};
  if (program.reductions > 0)
    all.insert(all.end(), {{{5}, 512, true}, {{2, 2}, 515, false}, {{3}, 2050, false}, {{1}, 9001, false}});
  return all;
}

} // namespace

std::string difference(const HostKernels& kernels, const Program& program, uint32_t seed, bool thorough) {
  std::mt19937 rng(seed);
  std::vector<Case> cases = cases_of(program);
  for (size_t c = 0; c < cases.size(); ++c) {
    // Otherwise one shape of each half: of a reduction one with short and one with long rows.
    size_t half = cases.size() / 2;
    bool taken = c == seed % half || c == half + seed % (cases.size() - half);
    if (!thorough && !taken) continue;
    auto& [outer, n, wild] = cases[c];
    RandomLaunch random(program, rng, outer, n, wild);
    Launch launch = random.launch;
    GuardedBytes expected = random.result();
    launch.outputs = {{expected.data()}};
    cpu::run(program, launch);
    for (int turn = 0; turn < (thorough ? 2 : 1); ++turn) {
      GuardedBytes other = random.result();
      launch.outputs = {{other.data()}};
      std::string problem = kernels.run(program, launch, 1 + int(rng() % 3), rng());
      if (problem.empty()) problem = random.compare(expected, other);
      if (!problem.empty()) return problem + "\n" + to_string(program);
    }
  }
  return "";
}
