// The column sweep's CUDA text, built with the host's compiler and run on the CPU, beside the engine's own
// sweep: the same codes and the same bits of every error. Then mistakes planted in the text, which must show.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "runtime/calls.h"
#include "runtime/cpu/isa.h"
#include "runtime/cuda/emit_sweep.h"
#include "tests/host_kernels.h"
#include "tests/planted_mistakes.h"

using namespace wane;

namespace {

Tensor number(double x, DType dtype) { return full({1, 1}, dtype, x); }
Tensor placeholder(int64_t columns, DType dtype) {
  Tensor out = empty({16, columns}, dtype);
  std::fill_n(out.bytes(), size_t(out.count()) * size_of(dtype), std::byte(0));
  return out;
}

// Whole numbers of 4 bits with a scale; `levels` (may be empty): the codes name its entries instead.
SweepQuantizer traced(DType dtype, const Tensor& levels) {
  const Tensor w = placeholder(1, dtype), scale = placeholder(2, DType::f32);
  const Tensor second = slice(scale, 1, 1, 1); // the scale is the second of two columns
  TraceScope tracing;
  Tensor steps = map(Op::round, map(Op::div, w, second));
  Tensor codes = map(Op::minimum, map(Op::maximum, map(Op::add, steps, number(8, dtype)), number(0, dtype)),
                     number(15, dtype));
  Tensor values = levels ? map(Op::mul, cast(lookup(codes, levels), dtype), second)
                         : map(Op::mul, map(Op::sub, codes, number(8, dtype)), second);
  const Tensor params[] = {scale};
  return SweepQuantizer(w, params, codes, values, 4);
}

// Upper triangular with a diagonal away from zero.
Tensor random_triangle(int64_t n, DType dtype, uint64_t key) {
  Tensor u = randn({n, n}, DType::f32, key).dense();
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j <= i; j++)
      u.data<float>()[i * n + j] = i == j ? 1.5f + std::fabs(u.data<float>()[i * n + j]) : 0.0f;
  return cast(u, dtype).dense();
}

template <class T> struct Parameter { // WaneSweep<T, inputs, 8> of kernels/sweep.cuh
  struct Input {
    const void* data;
    long long inner, outer[8], count;
  };
  union Number {
    double real;
    long long whole;
  };
  struct Code {
    long long rows, columns, first, count, row_step, group_step, group_columns;
    T *state, *seen;
    const T *u, *second;
    unsigned char* codes;
    const int* order;
    int* bad;
    int levels;
    Input inputs[3];
    Number constants[8];
  };
  struct Update {
    long long rows, columns, k0, k1, c0, c1;
    T* state;
    const T *seen, *u, *second;
  };
};

struct Case {
  int64_t rows, columns, group;
  DType dtype;
  bool table;
  bool second = false;
};

// "" when the host-built text gives the engine's codes and errors.
template <class T> std::string compare(const Case& c, std::string (*edit)(std::string), uint32_t seed) {
  const Tensor w = cast(randn({c.rows, c.columns}, DType::f32, seed), c.dtype).dense();
  const Tensor u = random_triangle(c.columns, c.dtype, seed + 1);
  const int64_t groups = c.columns / c.group;
  const Tensor scale = map(Op::add, map(Op::abs, randn({c.rows * groups, 2}, DType::f32, seed + 2)),
                           full({1, 1}, DType::f32, 0.1))
                           .dense();
  std::vector<float> entries(16);
  for (int i = 0; i < 16; i++) entries[size_t(i)] = float((i - 8) * std::abs(i - 8)) / 8;
  const Tensor levels = c.table ? from_bytes({16}, DType::f32, std::as_bytes(std::span(entries))) : Tensor();
  std::vector<int32_t> order(static_cast<size_t>(c.columns));
  for (int64_t j = 0; j < c.columns; j++) order[size_t(j)] = int32_t((j * 7 + 3) % c.columns);
  const SweepQuantizer quantizer = traced(c.dtype, levels);

  const Tensor second = c.second ? random_triangle(c.columns, c.dtype, seed + 3) : Tensor();

  Sweep sweep(w, u, second, order);
  const Tensor params[] = {scale};
  sweep.advance(c.columns, quantizer, params, c.group);
  const Tensor codes = sweep.codes(), errors = sweep.errors();

  cuda::SweepKernelNames names;
  const std::string text = edit(cuda::emit_sweep(quantizer, names, c.second));
  HostKernels kernels(text, {{names.code, names.code_launch}, {names.update, names.update_launch}});
  if (!kernels.problem().empty()) return "does not build: " + kernels.problem();

  GuardedBytes state(size_t(c.rows * c.columns) * sizeof(T)), coded(size_t(c.rows * c.columns));
  GuardedBytes seen(size_t(c.rows * c.columns) * sizeof(T));
  auto* v = reinterpret_cast<T*>(seen.data());
  const T* other = c.second ? second.data<T>() : nullptr;
  auto* s = reinterpret_cast<T*>(state.data());
  for (int64_t r = 0; r < c.rows; r++)
    for (int64_t j = 0; j < c.columns; j++) s[j * c.rows + r] = w.data<T>()[r * c.columns + order[size_t(j)]];
  int bad = 0;
  const auto blocks = unsigned((c.rows + 127) / 128);
  for (int64_t first = 0; first < c.columns; first += 32) {
    const int64_t count = std::min<int64_t>(32, c.columns - first);
    typename Parameter<T>::Update update{c.rows,        c.columns, 0, first,       first,
                                         first + count, s,         v, u.data<T>(), other};
    std::string problem =
        kernels.run(names.update, {{blocks, unsigned((count + 7) / 8)}, {128}}, &update, seed);
    if (!problem.empty()) return problem;
    typename Parameter<T>::Code code{};
    code.rows = c.rows, code.columns = c.columns, code.first = first, code.count = count;
    code.row_step = groups, code.group_step = 1, code.group_columns = c.group;
    code.state = s, code.seen = v, code.u = u.data<T>(), code.second = other;
    code.codes = reinterpret_cast<unsigned char*>(coded.data());
    code.order = order.data(), code.bad = &bad, code.levels = 16;
    const auto maps = quantizer.maps();
    REQUIRE(maps.inputs.size() <= 3);
    REQUIRE(maps.constants.size() <= 8);
    for (size_t i = 0; i < maps.inputs.size(); i++) {
      const auto& in = maps.inputs[i];
      const bool param = in.kind == cpu::SweepMaps::Kind::param;
      auto& to = code.inputs[i];
      to.data = param ? static_cast<const void*>(scale.bytes()) : in.data;
      to.inner = param ? 2 : 1, to.outer[0] = param ? in.column : 0, to.count = in.count;
    }
    // The parameter's type has exactly as many inputs and constants as the program: rebuilt to that size.
    std::vector<std::byte> bytes(offsetof(typename Parameter<T>::Code, inputs)
                                 + std::max<size_t>(1, maps.inputs.size()) * sizeof(code.inputs[0])
                                 + std::max<size_t>(1, maps.constants.size()) * sizeof(code.constants[0]));
    std::memcpy(bytes.data(), &code,
                offsetof(typename Parameter<T>::Code, inputs) + maps.inputs.size() * sizeof(code.inputs[0]));
    for (size_t i = 0; i < maps.constants.size(); i++)
      std::memcpy(bytes.data() + offsetof(typename Parameter<T>::Code, inputs)
                      + maps.inputs.size() * sizeof(code.inputs[0]) + i * sizeof(double),
                  &maps.constants[i], sizeof(double));
    problem = kernels.run(names.code, {{blocks}, {128}}, bytes.data(), seed);
    if (!problem.empty()) return problem;
  }
  if (!state.intact() || !coded.intact() || !seen.intact()) return "written outside";
  if (bad) return "a bad code";
  for (int64_t r = 0; r < c.rows; r++)
    for (int64_t j = 0; j < c.columns; j++) {
      const int64_t at = r * c.columns + order[size_t(j)];
      const T error = -s[j * c.rows + r];
      if (uint8_t(coded.data()[j * c.rows + r]) != codes.data<uint8_t>()[at])
        return fmt::format("row {}, step {}: another code", r, j);
      if (std::memcmp(&error, errors.data<T>() + at, sizeof(T)) != 0)
        return fmt::format("row {}, step {}: error {} and {}", r, j, error, errors.data<T>()[at]);
    }
  return "";
}

} // namespace

TEST_CASE("sweep: the CUDA text run on the host gives the engine's codes and errors") {
  if (!HostKernels::compiler_available()) {
    MESSAGE("skipped: no g++ to build the CUDA text with");
    return;
  }
  if (isa_level() == IsaLevel::v2) {
    MESSAGE("skipped: x86-64-v2 has no fused multiply-add, which the CUDA text uses");
    return;
  }
  CHECK(compare<float>({5, 64, 16, DType::f32, false}, as_it_is, 1) == "");
  CHECK(compare<float>({130, 48, 48, DType::f32, true}, as_it_is, 2) == "");
  CHECK(compare<float>({1, 33, 3, DType::f32, false}, as_it_is, 3) == "");
  CHECK(compare<double>({17, 40, 8, DType::f64, false}, as_it_is, 4) == "");
  CHECK(compare<float>({130, 72, 24, DType::f32, false, true}, as_it_is, 6) == "");
  CHECK(compare<double>({9, 33, 33, DType::f64, true, true}, as_it_is, 7) == "");
}

TEST_CASE("sweep: mistakes planted in the CUDA text show") {
  if (!HostKernels::compiler_available() || isa_level() == IsaLevel::v2) {
    MESSAGE("skipped: no g++ to build the CUDA text with, or no fused multiply-add");
    return;
  }
  struct Mistake {
    const char *from, *to;
  };
  const Mistake mistakes[] = {
      {"__syncthreads();\n  const long long row", ";\n  const long long row"},
      {"k < j; ++k", "k + 1 < j; ++k"},
      {"row >= launch.rows", "row > launch.rows"},
      {"return fmaf(a, b, c)", "return a * b + c"},
      {"launch.order[launch.first + j]", "(launch.first + j)"},
      {"staged[i][c], sum[c]", "staged[i][c ^ 1], sum[c]"},
  };
  const Mistake of_second[] = {
      {"launch.seen[at] = w", "launch.seen[at] = launch.state[at]"},
      {"second[wane_triangle(k, j, count)]", "triangle[wane_triangle(k, j, count)]"},
      {"wane_stage_columns(staged_second, launch.second", "wane_stage_columns(staged_second, launch.u"},
      {"launch.seen[(launch.first + k)", "launch.seen[(launch.first + j)"},
  };
  static const Mistake* planted;
  auto show = [](const Mistake& each, bool second) {
    planted = &each;
    const std::string found = compare<float>(
        {130, 48, 16, DType::f32, false, second},
        [](std::string t) { return replaced(t, planted->from, planted->to); }, 5);
    CHECK_MESSAGE(found != "", each.to);
    CHECK_MESSAGE(!found.starts_with("does not build"), found);
  };
  for (const Mistake& each : mistakes) show(each, false);
  for (const Mistake& each : of_second) show(each, true);
}
