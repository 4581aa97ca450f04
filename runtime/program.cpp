#include "runtime/program.h"

#include <algorithm>

namespace wane {

Lane lane_of(DType dtype) {
  switch (dtype) {
  case DType::f64: return Lane::f64;
  case DType::i64: return Lane::i64;
  case DType::i32:
  case DType::i8:
  case DType::u8:
  case DType::boolean: return Lane::i32;
  default: return Lane::f32;
  }
}

size_t size_of(Lane lane) { return lane == Lane::f64 || lane == Lane::i64 ? 8 : 4; }

bool Program::is_table(int input) const {
  return std::find(tables.begin(), tables.end(), input) != tables.end();
}

std::string Program::key() const {
  std::string key;
  key.reserve(steps.size() * 12 + 16);
  auto put = [&](int v) { key.push_back(char(v & 255)), key.push_back(char((v >> 8) & 255)); };
  for (auto& step : steps) {
    key.push_back(char(step.kind));
    key.push_back(char(step.kind == StepKind::reduce ? int(step.reduction) : int(step.op)));
    key.push_back(char(int(step.dtype) * 2 + step.per_row));
    for (int16_t arg : step.args) put(arg);
    put(step.index);
  }
  key.push_back('|');
  for (int16_t output : outputs) put(output);
  key.push_back('|');
  for (int16_t table : tables) put(table);
  return key;
}

std::string to_string(const Program& program) {
  std::string out;
  for (size_t s = 0; s < program.steps.size(); ++s) {
    const Step& step = program.steps[s];
    out += fmt::format("%{} = ", s);
    if (step.kind == StepKind::input)
      out += fmt::format("input {}", step.index);
    else if (step.kind == StepKind::constant)
      out += fmt::format("constant {}", step.index);
    else
      out += step.kind == StepKind::map ? info(step.op).name : name_of(step.reduction);
    for (int16_t arg : step.args)
      if (arg >= 0) out += fmt::format(" %{}", arg);
    out += fmt::format("   {}{}\n", name_of(step.dtype), step.per_row ? "  a row" : "");
  }
  for (int16_t output : program.outputs) out += fmt::format("store %{}\n", output);
  return out;
}

} // namespace wane
