// Runs a program on the CPU: the rows are cut into parts by shape alone, each part walks its rows in tiles
// that stay in cache, and each tile goes through the loops of map_kernels.h.
#pragma once

#include "runtime/program.h"

namespace wane::cpu {

void run(const Program& program, const Launch& launch);

// How a launch would run: with whole rows in a tile or not, the loops in words, and whether the program was
// lowered before.
struct Form {
  bool whole = false, lowered = false;
  std::string text;
};
Form form_of(const Program& program, const Launch& launch);

} // namespace wane::cpu
