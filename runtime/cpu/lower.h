// A program as the tile interpreter runs it: loops to call on numbered slots, in order. Two forms: `whole`
// keeps one or more complete rows in a tile and computes everything once; the long form walks a row in tiles,
// one pass a phase (a phase ends where a reduction is complete), and computes shared maps again in each.
#pragma once

#include <memory>
#include <vector>

#include "runtime/cpu/map_kernels.h"
#include "runtime/program.h"

namespace wane::cpu {

enum class CodeKind : uint8_t {
  load,    // input `index` into slot `out`, or the slot points at the input itself
  map,     // fn(out, a, b, c)
  convert, // convert(out, a): rounding in place, casts
  lookup,  // out = table `index` at a
  expand,  // out (elements) = a (rows)
  reduce,  // out (rows) += a (elements)
};

struct Code {
  CodeKind kind;
  bool per_row = false; // counts rows, not elements
  Lane lane = Lane::f32;
  Reduction reduction{};
  int16_t out = -1, a = -1, b = -1, c = -1, index = -1;
  DType dtype = DType::f32; // of the input that is loaded
  MapFn fn = nullptr;
  ConvertFn convert = nullptr;
  LookupFn lookup_fn = nullptr;
};

struct Slot {
  int reg = -1;     // element registers are shared by slots that do not live at once
  int row_reg = -1; // per-row values live to the end
  int constant = -1;
  Lane lane = Lane::f32;
};

struct Phase {
  std::vector<Code> elements; // for each tile of the row
  std::vector<Code> rows;     // once, after the tiles
};

struct Lowered {
  std::vector<Slot> slots;
  std::vector<Code> before; // per-row work that needs no reduction
  std::vector<Phase> phases;
  std::vector<int16_t> output_slots;
  int registers = 0, row_registers = 0;
  bool wide = false;          // some lane has 8 bytes
  bool direct_output = false; // the last code may write the output's memory itself
};

std::shared_ptr<const Lowered> lower(const Program& program, bool whole);
std::string to_string(const Lowered& low); // one line per loop, for explain

} // namespace wane::cpu
