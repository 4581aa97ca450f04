// What the writers of CUDA text share: types of lanes, casts, and the functions of ops.def that a text calls.
#pragma once

#include <functional>
#include <map>
#include <span>
#include <string>

#include "runtime/program.h"

namespace wane::cuda {

const char* type_of(Lane lane); // "float"
inline bool is_real(Lane lane) { return lane == Lane::f32 || lane == Lane::f64; }
inline bool narrow(DType dtype) { return size_of(dtype) < 4 && dtype != DType::boolean; }

// `value`, held in a lane, as a value of `dtype` in the lane of that: rounded once, also from f64 and
// integers to 16 and 8 bits; floats go to integers towards zero and stop at the ends; integers wrap; to bool
// is "not zero".
std::string cast_text(Lane from, DType dtype, const std::string& value);

// The functions that programs call, one per op and lane, from the texts of ops.def.
class OpFunctions {
public:
  std::string call(Op op, Lane lane, std::span<const std::string> args);
  std::string text() const;

private:
  std::map<std::string, std::string> texts_;
};

// The value of a map step whose operands are v0, v1 ..., rounded to its dtype; `entry` loads an entry of a
// table: (step of the table, index text).
std::string map_text(const Program& program, int step, OpFunctions& functions,
                     std::string (*entry)(const Step& table, const std::string& index));

// Traced maps of one element as definitions v0, v1, ...; `input` gives the text of an input that is no table.
std::string lane_steps_text(const Program& program, OpFunctions& functions,
                            const std::function<std::string(const Step&)>& input);

} // namespace wane::cuda
