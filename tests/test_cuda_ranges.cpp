// The CUDA text of the search for ranges, built with the host's compiler and run on the CPU, beside the
// engine's own: the same bits. Then mistakes planted in the text, which must show.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "runtime/calls.h"
#include "runtime/cuda/emit_ranges.h"
#include "tests/host_kernels.h"
#include "tests/planted_mistakes.h"

using namespace wane;

namespace {

Tensor number(double x) { return full({1, 1}, DType::f32, x); }
Tensor placeholder() {
  Tensor out = empty({16, 1}, DType::f32);
  std::fill_n(out.data<float>(), 16, 0.0f);
  return out;
}

// 4 bits, a scale in bf16 and a shift that a table holds; the error to the power of 2.4, weighed if
// `weighed`.
RangeQuantizer traced(bool weighed, const Tensor& levels) {
  RangeQuantizer out;
  const Tensor ends[] = {placeholder(), placeholder()};
  {
    TraceScope tracing;
    const Tensor top = map(Op::maximum, map(Op::neg, ends[0]), ends[1]);
    const Tensor scale = cast(cast(map(Op::div, top, number(7.5)), DType::bf16), DType::f32);
    const Tensor fitted[] = {map(Op::where, map(Op::eq, scale, number(0)), number(1), scale),
                             map(Op::mul, scale, number(8))};
    out.fit = TracedMaps("fit", ends, fitted);
  }
  const Tensor given[] = {placeholder(), placeholder(), placeholder()};
  TraceScope tracing;
  const Tensor steps = map(Op::round, map(Op::div, given[0], given[2]));
  const Tensor codes =
      map(Op::minimum, map(Op::maximum, map(Op::add, steps, number(8)), number(0)), number(15));
  const Tensor off = map(Op::sub, map(Op::mul, lookup(codes, levels), given[2]), given[0]);
  Tensor error = map(Op::exp2, map(Op::mul, map(Op::log2, map(Op::abs, off)), number(2.4)));
  if (weighed) error = map(Op::mul, error, given[1]);
  out.off = TracedMaps("off", given, {&error, 1});
  Tensor beyond = map(Op::maximum, map(Op::sub, map(Op::abs, given[0]), given[2]), number(0));
  beyond = map(Op::exp2, map(Op::mul, map(Op::log2, beyond), number(2.4)));
  if (weighed) beyond = map(Op::mul, beyond, given[1]);
  out.beyond = TracedMaps("beyond", given, {&beyond, 1});
  out.params = 1, out.bounded = true;
  return out;
}

constexpr int kInputs = 8, kConstants = 24;
struct Input {
  const void* data;
  long long inner, outer[8], count;
};
struct Parameter { // the head of WaneRanges of kernels/ranges.cuh; inputs and constants follow, as many as
                   // there are
  long long rows, n, tries;
  const float *x, *weights, *lo, *hi, *shares;
  float* best;
  Input inputs[kInputs];
  double constants[kConstants];
};

struct Case {
  int64_t rows, n;
  bool weighed;
  unsigned blocks;
};

// "" when the host-built text gives the engine's bits.
std::string compare(const Case& c, std::string (*edit)(std::string), uint32_t seed) {
  const Tensor x = randn({c.rows, c.n}, DType::f32, seed).dense();
  const Tensor weights = map(Op::square, randn({c.rows, c.n}, DType::f32, seed + 1)).dense();
  const Tensor lo = reduce(Reduction::min, x, 1).dense(), hi = reduce(Reduction::max, x, 1).dense();
  std::vector<float> entries(16);
  for (int i = 0; i < 16; i++) entries[size_t(i)] = float(i - 8);
  const Tensor levels = from_bytes({16}, DType::f32, std::as_bytes(std::span(entries)));
  const RangeQuantizer quantizer = traced(c.weighed, levels);
  constexpr int64_t kTries = 40, kGrid = 50;
  const Tensor expected = search_ranges(quantizer, x, c.weighed ? weights : Tensor(), lo, hi, kTries, kGrid);

  cuda::RangeKernelNames names;
  const std::string text = edit(cuda::emit_ranges(quantizer, names));
  HostKernels kernels(text, {{names.kernel, names.launch}});
  if (!kernels.problem().empty()) return "does not build: " + kernels.problem();

  std::vector<float> shares;
  for (int64_t i = 0; i < kTries; i++) shares.push_back(float(1 - double(i) / double(kGrid)));
  GuardedBytes best(size_t(c.rows) * sizeof(float));
  Parameter p{c.rows,
              c.n,
              kTries,
              x.data<float>(),
              c.weighed ? weights.data<float>() : nullptr,
              lo.data<float>(),
              hi.data<float>(),
              shares.data(),
              reinterpret_cast<float*>(best.data()),
              {},
              {}};
  size_t inputs = 0, constants = 0;
  for (const TracedMaps* maps : {&quantizer.fit, &quantizer.off}) {
    for (auto& in : maps->inputs()) {
      REQUIRE(inputs < kInputs);
      auto& to = p.inputs[inputs++];
      to.data = in.data, to.inner = 1, to.count = in.count;
    }
    for (double each : maps->traced().constants) {
      REQUIRE(constants < kConstants);
      p.constants[constants++] = each;
    }
  }
  // The parameter's type has exactly as many inputs and constants as the programs: rebuilt to that size.
  std::vector<std::byte> bytes(offsetof(Parameter, inputs) + inputs * sizeof(Input)
                               + constants * sizeof(double));
  std::memcpy(bytes.data(), &p, offsetof(Parameter, inputs) + inputs * sizeof(Input));
  std::memcpy(bytes.data() + offsetof(Parameter, inputs) + inputs * sizeof(Input), p.constants,
              constants * sizeof(double));
  const std::string problem = kernels.run(names.kernel, {{c.blocks}, {16, 8}}, bytes.data(), seed);
  if (!problem.empty()) return problem;
  if (!best.intact()) return "written outside";
  for (int64_t r = 0; r < c.rows; r++)
    if (std::memcmp(p.best + r, expected.data<float>() + r, sizeof(float)) != 0)
      return fmt::format("row {}: {} and {}", r, p.best[r], expected.data<float>()[r]);
  return "";
}

} // namespace

TEST_CASE("ranges: the CUDA text run on the host gives the engine's bits") {
  if (!HostKernels::compiler_available()) {
    MESSAGE("skipped: no g++ to build the CUDA text with");
    return;
  }
  CHECK(compare({37, 64, false, 2}, as_it_is, 1) == "");
  CHECK(compare({9, 33, true, 1}, as_it_is, 2) == "");
  CHECK(compare({3, 600, true, 1}, as_it_is, 3) == "");
  CHECK(compare({1, 1, false, 1}, as_it_is, 4) == "");
}

TEST_CASE("ranges: mistakes planted in the CUDA text show") {
  if (!HostKernels::compiler_available()) {
    MESSAGE("skipped: no g++ to build the CUDA text with");
    return;
  }
  struct Mistake {
    const char *from, *to;
  };
  const Mistake mistakes[] = {
      {"launch.hi[row] * launch.shares[i]", "launch.hi[row]"},
      {"row < launch.rows", "row + 1 < launch.rows"},
      {"sum < least", "sum > least"},
      {"i == 0)", "i <= 30)"},
      {"launch.weights ? launch.weights[row * launch.n + at] : x", "x"},
      {"at += kWaneLanes", "at += 2 * kWaneLanes"},
  };
  static const Mistake* planted;
  for (const Mistake& each : mistakes) {
    planted = &each;
    const std::string found = compare(
        {30, 600, true, 2}, [](std::string t) { return replaced(t, planted->from, planted->to); }, 5);
    CHECK_MESSAGE(found != "", each.to);
    CHECK_MESSAGE(!found.starts_with("does not build"), found);
  }
}
