#include "runtime/cuda/launch.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "runtime/cuda/emit.h"

namespace wane::cuda {
namespace {

constexpr int64_t kFlatThreads = 256;
constexpr int64_t kShortRow = 512;
constexpr int64_t kShortRows = 16;               // of a block
constexpr int64_t kMinTeams = 4, kMaxTeams = 32; // sixteens of lanes that share a long row
constexpr int64_t kThreadsPerProcessor = 2048;
constexpr int64_t kMost = int64_t(1) << 31; // rows and lanes of a launch stay below

// Laid out like the structures in kernels/lanes.cuh.
struct Input {
  const void* data;
  int64_t inner;
  int64_t outer[8];
  int64_t count;
};
union Number {
  double real;
  int64_t whole;
};
struct Divisor {
  uint32_t size, magic, shift, unused;
};
struct Head {
  int64_t rows, n;
  Divisor row;
  Divisor outer[8];
  int64_t rank;
  void* output;
};

// With s = ceil(log2 d) and m = floor(2^32 (2^s - d) / d) + 1, floor(x / d) = (floor(x m / 2^32) + x) / 2^s
// for every x below 2^31 (T. Granlund, P. Montgomery, Division by invariant integers using multiplication,
// 1994). What cannot be reached divides to 0.
Divisor divisor(int64_t d) {
  if (d >= kMost) return {0, 0, 31, 0};
  auto shift = uint32_t(std::bit_width(uint64_t(std::max<int64_t>(d, 1) - 1)));
  uint64_t magic = ((uint64_t(1) << 32) * ((uint64_t(1) << shift) - uint64_t(d))) / uint64_t(d) + 1;
  return {uint32_t(d), uint32_t(magic), shift, 0};
}

std::vector<bool> real_constants(const Program& program) {
  std::vector<bool> real(size_t(program.constants));
  for (auto& step : program.steps)
    if (step.kind == StepKind::constant) real[size_t(step.index)] = is_float(step.dtype);
  return real;
}

} // namespace

Grid grid_of(const Program& program, const Launch& launch, int multiprocessors) {
  Grid grid;
  int64_t wanted;
  if (!uses_rows(program)) {
    grid.threads_x = kFlatThreads;
    wanted = (launch.rows * launch.n + kFlatThreads - 1) / kFlatThreads;
  } else if (launch.n <= kShortRow) {
    grid.threads_x = kReduceLanes, grid.threads_y = kShortRows;
    wanted = (launch.rows + kShortRows - 1) / kShortRows;
  } else {
    int64_t blocks = (launch.n + kReduceBlock - 1) / kReduceBlock;
    int64_t teams = std::clamp(int64_t(std::bit_ceil(uint64_t(blocks))), kMinTeams, kMaxTeams);
    grid.threads_x = uint32_t(teams * kReduceLanes);
    wanted = launch.rows;
  }
  int64_t fit = multiprocessors * (kThreadsPerProcessor / (int64_t(grid.threads_x) * grid.threads_y));
  grid.blocks = uint32_t(std::clamp<int64_t>(wanted, 1, std::max<int64_t>(1, fit)));
  return grid;
}

std::vector<std::byte> arguments_of(const Program& program, const Launch& launch) {
  if (launch.rows >= kMost)
    throw error("cuda: a map over {} rows; fewer than 2^31 are supported", launch.rows);
  Head head{launch.rows, launch.n, divisor(launch.n), {}, launch.outer.rank(), launch.outputs[0].data};
  std::transform(launch.outer.begin(), launch.outer.end(), head.outer, divisor);
  size_t inputs = size_t(std::max(1, program.inputs)), constants = size_t(std::max(1, program.constants));
  std::vector<std::byte> bytes(sizeof(Head) + inputs * sizeof(Input) + constants * sizeof(Number));
  std::memcpy(bytes.data(), &head, sizeof head);
  std::byte* at = bytes.data() + sizeof head;
  for (auto& from : launch.inputs) {
    Input to{from.data, from.inner, {}, from.count};
    std::copy(from.outer.begin(), from.outer.end(), to.outer);
    std::memcpy(at, &to, sizeof to);
    at += sizeof to;
  }
  at = bytes.data() + sizeof head + inputs * sizeof(Input);
  std::vector<bool> real = real_constants(program);
  for (size_t i = 0; i < real.size(); ++i, at += sizeof(Number)) {
    Number to;
    if (real[i])
      to.real = launch.constants[i];
    else
      to.whole = launch.integers[i];
    std::memcpy(at, &to, sizeof to);
  }
  return bytes;
}

} // namespace wane::cuda
