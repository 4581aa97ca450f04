// A program: one pass over rows of n elements, made from a pending tree. The same program feeds the CPU's
// tile interpreter and the CUDA emitter. It holds structure only: shapes, strides and scalars belong to the
// Launch, so that one program (and one compiled kernel) serves every size.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "runtime/op.h"
#include "runtime/shape.h"
#include "runtime/tensor.h"

namespace wane {

// How a value is held while it is computed; it is rounded to its own dtype after each step.
enum class Lane : uint8_t { f32, f64, i32, i64 };
Lane lane_of(DType dtype);
size_t size_of(Lane lane);

enum class StepKind : uint8_t { input, constant, map, reduce };

struct Step {
  StepKind kind;
  Op op{};
  Reduction reduction{};
  DType dtype;
  bool per_row = false; // one value a row (a reduction's result, a column operand), else one an element
  int16_t args[3] = {-1, -1, -1};
  int16_t index = -1; // of an input or constant
};

struct Program {
  std::vector<Step> steps;      // operands come before their users
  std::vector<int16_t> outputs; // steps that are stored
  int inputs = 0, constants = 0, reductions = 0;
  std::vector<int16_t> tables; // inputs that are lookup tables, read whole
  bool is_table(int input) const;
  std::string key() const; // equal keys are equal programs
};

// Sums are taken in blocks of 256 elements: 16 lanes by position, added in order, folded as a tree; the
// blocks' sums are added in order. Every back end and tile size follows it, so the bits do not depend on
// them.
inline constexpr int64_t kReduceBlock = 256;
inline constexpr int kReduceLanes = 16;

std::string to_string(const Program& program); // one line a step, for explain and for internal errors

struct LaunchInput {
  const std::byte* data = nullptr;
  int64_t inner = 0; // stride along a row, in elements; 0 for a per-row operand
  Strides outer;     // strides over Launch::outer
  int64_t count = 0; // entries of a table
};
struct LaunchOutput {
  std::byte* data = nullptr; // dense [rows x n], or [rows] for a per-row step
};
struct Launch {
  int64_t rows = 1, n = 1;
  Shape outer; // its product is rows
  std::vector<LaunchInput> inputs;
  std::vector<LaunchOutput> outputs;
  std::vector<double> constants; // by constant index
  std::vector<int64_t> integers; // the same, exact for integer dtypes
};

} // namespace wane
