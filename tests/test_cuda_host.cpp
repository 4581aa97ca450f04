// The host-built CUDA text finds mistakes: each is planted in the text of a program that is right, and must
// show. Then a kernel that is no Program's, with a geometry of its own, in the same harness.
#include <doctest/doctest.h>

#include <cstdlib>

#include "runtime/calls.h"
#include "tests/host_launch.h"
#include "tests/recorded_programs.h"
#include "tests/suite_programs.h"

using namespace wane;

namespace {

// A softmax in two reductions, a map of two operands in bf16.
std::vector<Program> samples() {
  return record([] {
    Tensor x = tensor_of({5, 700}, DType::f32);
    softmax(x, 1).flushed();
    reduce(Reduction::sumsq, x, 1).flushed();
    map(Op::add, tensor_of({5, 8}, DType::bf16), tensor_of({5, 8}, DType::bf16)).flushed();
  });
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  REQUIRE(text.find(from) != std::string::npos);
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

struct Mistake {
  const char *name, *from, *to;
};

// One wrong place each, as a person might write it.
const Mistake kMistakes[] = {
    {"no barrier before the teams' results are read", "__syncthreads();", ";"},
    {"no meeting of a warp before its result is read", "__syncwarp(mask);", ";"},
    {"the same half of shared memory in every round", "group.turn ^= 1;", ""},
    {"a row is read one element too far", "return last < n ? last : n;", "return last < n ? last : n + 1;"},
    {"a row is written one element too far", "column < launch.n; column += blockDim.x",
     "column <= launch.n; column += blockDim.x"},
    {"one row too many", "walk.row < launch.rows", "walk.row <= launch.rows"},
    {"the end of a row is left out", "(n + kWaneBlock - 1) / kWaneBlock", "n / kWaneBlock"},
    {"a shuffle within 8 lanes", "part, half, kWaneLanes)", "part, half, 8)"},
    {"a tree that stops at 2 lanes", "half > 0; half /= 2", "half > 1; half /= 2"},
    {"both halves of a warp name the first", "threadIdx.y % 2 ? 0xffff0000u : 0xffffu", "0xffffu"},
    {"a barrier that only some threads reach", "__syncthreads();", "{ if (threadIdx.x) __syncthreads(); }"},
    {"blocks with a gap between", "blockIdx.x * blockDim.x + threadIdx.x", "blockIdx.x * 257u + threadIdx.x"},
    {"ties away from even", "u + 0x7fffu + ((u >> 16) & 1u)", "u + 0x8000u"},
};

} // namespace

TEST_CASE("cuda on the host: the text as it is gives the CPU's bits, and planted mistakes do not") {
  if (!HostKernels::compiler_available()) {
    MESSAGE("skipped: no g++ to build the CUDA text with");
    return;
  }
  std::vector<Program> programs = samples();
  std::vector<HostKernel> kernels;
  std::string text = host_text(programs, kernels);
  REQUIRE(kernels.size() == programs.size());
  auto found = [&](const std::string& source) {
    HostKernels built(source, kernels);
    if (!built.problem().empty()) return "does not compile: " + built.problem();
    std::string all;
    for (auto& program : programs)
      for (uint32_t seed : {1u, 2u}) all += difference(built, program, seed);
    return all;
  };
  CHECK(found(text) == "");
  for (auto& mistake : kMistakes) {
    INFO(std::string(mistake.name));
    if (text.find(mistake.from) == std::string::npos) FAIL_CHECK("the text has no ", mistake.from);
    std::string problem = found(replaced(text, mistake.from, mistake.to));
    CHECK(problem != "");
    CHECK(problem.find("does not compile") == std::string::npos);
  }
}

namespace {

// Turns a matrix in tiles of 8 x 4 through shared memory.
const char* const kTurn = R"(
struct Turn {
  const float* in;
  float* out;
  int rows, columns;
};
extern "C" __global__ void turn(const __grid_constant__ Turn t) {
  __shared__ float tile[4][8];
  int row = blockIdx.y * 4 + threadIdx.y, column = blockIdx.x * 8 + threadIdx.x;
  if (row < t.rows && column < t.columns) tile[threadIdx.y][threadIdx.x] = t.in[row * t.columns + column];
  __syncthreads();
  int i = threadIdx.y * 8 + threadIdx.x;
  row = blockIdx.y * 4 + i % 4, column = blockIdx.x * 8 + i / 4;
  if (row < t.rows && column < t.columns) t.out[column * t.rows + row] = tile[i % 4][i / 4];
}
)";
struct Turn { // as in the text
  const float* in;
  float* out;
  int rows, columns;
};

std::string turn_problem(const std::string& text) {
  HostKernels kernels(text, {{"turn", "Turn"}});
  if (!kernels.problem().empty()) return kernels.problem();
  constexpr int kRows = 13, kColumns = 21;
  GuardedBytes in(kRows * kColumns * 4), out(kRows * kColumns * 4);
  auto* x = reinterpret_cast<float*>(in.data());
  auto* y = reinterpret_cast<float*>(out.data());
  for (int i = 0; i < kRows * kColumns; ++i) x[i] = float(i);
  Turn turn{x, y, kRows, kColumns};
  HostGrid grid{.blocks = {3, 4}, .threads = {8, 4}};
  if (std::string problem = kernels.run("turn", grid, &turn, 7); !problem.empty()) return problem;
  if (!in.intact() || !out.intact()) return "outside";
  for (int i = 0; i < kRows * kColumns; ++i)
    if (y[i % kColumns * kRows + i / kColumns] != x[i]) return fmt::format("element {}", i);
  return "";
}

} // namespace

TEST_CASE("cuda on the host: a kernel with a geometry of its own") {
  if (!HostKernels::compiler_available()) {
    MESSAGE("skipped: no g++ to build the CUDA text with");
    return;
  }
  std::string text = kTurn;
  CHECK(turn_problem(text) == "");
  CHECK(turn_problem(replaced(text, "__syncthreads();", "")).starts_with("element"));
  CHECK(turn_problem(replaced(text, "column < t.columns", "column <= t.columns")) != "");
}

TEST_CASE("cuda on the host: a program's key names the whole program") {
  for (auto& program : samples()) {
    Program again = program_of(program.key());
    CHECK(again.key() == program.key());
    CHECK(to_string(again) == to_string(program));
    CHECK(again.inputs == program.inputs);
    CHECK(again.constants == program.constants);
    CHECK(again.reductions == program.reductions);
    std::string cut = program.key();
    cut.resize(cut.size() / 2);
    CHECK_THROWS_WITH_AS(program_of(cut), "a program's key is damaged", Error);
  }
}

TEST_CASE("cuda on the host: the programs of the Lua tests give the CPU's bits") {
  const char* path = std::getenv("WANE_PROGRAMS");
  if (!path || !HostKernels::compiler_available()) {
    MESSAGE("skipped: ",
            std::string(path ? "no g++ to build the CUDA text with" : "WANE_PROGRAMS names no file"));
    return;
  }
  auto programs = read_programs(path);
  CHECK(!programs.empty());
  for (auto& problem : host_differences(programs, false)) FAIL_CHECK(problem);
  MESSAGE(programs.size(), " programs");
}
