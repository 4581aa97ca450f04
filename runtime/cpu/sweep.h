// The column recurrence of GPTQ-like solvers on the CPU. The matrix lies transposed in tiles of up to 128
// rows, so that every step runs over rows: rows are independent, a tile belongs to one thread, and nothing
// waits in between.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "runtime/program.h"

namespace wane::cpu {

// A quantizer's encode and decode as one program: outputs codes and values, both of the matrix's dtype.
struct SweepMaps {
  enum class Kind : uint8_t { weight, param, table, number };
  struct Input {
    Kind kind;
    int param = 0;                   // which parameter, and which of its columns
    int64_t column = 0;              //
    const std::byte* data = nullptr; // table: `count` dense entries; number: one
    int64_t count = 0;
  };
  const Program* program = nullptr;
  std::vector<Input> inputs;
  std::vector<double> constants;
  std::vector<int64_t> integers;
  int64_t levels = 256; // codes are whole numbers below it
};

// Parameter p of row r and group g: data[p][((r * row_step + g * group_step) * width[p]) + column], f32.
struct SweepParams {
  std::vector<const float*> data;
  std::vector<int64_t> width;
  int64_t row_step = 0, group_step = 0;
  int64_t group_columns = 0; // original columns a group spans; 0: one group
};

// What encode gave where a code was expected.
struct BadCode {
  int64_t row, column;
  double value;
};

class SweepTiles {
public:
  virtual ~SweepTiles() = default;
  // w [rows, columns] dense; u and second (or null) dense upper triangles, in the order of the sweep; order:
  // original columns, 0-based. f32 or f64 all of them.
  static std::unique_ptr<SweepTiles> make(DType dtype, const void* w, const void* u, const void* second,
                                          int64_t rows, std::vector<int32_t> order);
  virtual int64_t position() const = 0;
  // The next `count` columns in the order of the sweep, with all repayments so far: dense [rows, count].
  virtual void next_columns(int64_t count, void* out) = 0;
  // Codes the next `count` columns. The sweep cannot go on after a bad code.
  virtual std::optional<BadCode> advance(int64_t count, const SweepMaps& maps, const SweepParams& params) = 0;
  // After all columns: codes and errors e, [rows, columns] in the original order, and the sum of e^2 of each
  // row.
  virtual void codes(uint8_t* out) const = 0;
  virtual void errors(void* out) const = 0;
  virtual void row_losses(double* out) const = 0;
};

} // namespace wane::cpu
