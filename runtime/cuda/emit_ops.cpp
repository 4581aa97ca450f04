#include "runtime/cuda/emit_ops.h"

namespace wane::cuda {
namespace {

constexpr const char* kTypes[] = {"float", "double", "int", "long long"};
constexpr const char* kLanes[] = {"f32", "f64", "i32", "i64"};

std::string define(const OpInfo& how, Lane lane, const std::string& name) {
  bool truth = how.rule == ResultRule::truth || how.rule == ResultRule::logical;
  const char* type = type_of(lane);
  std::string params;
  for (int i = 0; i < how.arity; ++i) {
    bool condition = i == 0 && how.rule == ResultRule::chosen;
    params += fmt::format("{}{} {}", i ? ", " : "", condition ? "int" : type, "abc"[i]);
  }
  return fmt::format("WANE_FN {} {}({}) {{\n  typedef {} T;\n  return {};\n}}\n", truth ? "int" : type, name,
                     params, type, is_real(lane) ? how.float_text : how.integer_text);
}

} // namespace

const char* type_of(Lane lane) { return kTypes[int(lane)]; }

std::string cast_text(Lane from, DType dtype, const std::string& value) {
  Lane to = lane_of(dtype);
  if (dtype == DType::boolean) return fmt::format("({} != 0)", value);
  if (dtype == DType::f32 || dtype == DType::f64) return fmt::format("({}){}", type_of(to), value);
  if (is_float(dtype)) {
    if (from == Lane::f32) return fmt::format("wane_round_{}({})", name_of(dtype), value);
    const char* through = from == Lane::i32 ? "(double)" : "";
    return fmt::format("wane_round_{}(wane_odd({}{}))", name_of(dtype), through, value);
  }
  if (is_real(from)) {
    if (dtype == DType::i64) return fmt::format("wane_to_i64((double){})", value);
    std::string whole = fmt::format("wane_to_i32({})", value);
    if (dtype == DType::i8) return fmt::format("wane_between({}, -128, 127)", whole);
    if (dtype == DType::u8) return fmt::format("wane_between({}, 0, 255)", whole);
    return whole;
  }
  std::string whole = fmt::format("({}){}", type_of(to), value);
  return narrow(dtype) ? fmt::format("wane_round_{}({})", name_of(dtype), whole) : whole;
}

std::string OpFunctions::call(Op op, Lane lane, std::span<const std::string> args) {
  const OpInfo& how = info(op);
  bool missing = is_real(lane) ? how.kinds == OpKinds::I : how.kinds == OpKinds::F;
  if (missing) throw error(Fault::internal, "cuda: {} is not defined on {}", how.name, kLanes[int(lane)]);
  std::string name = fmt::format("op_{}_{}", how.name, kLanes[int(lane)]);
  if (texts_[name].empty()) texts_[name] = define(how, lane, name);
  return fmt::format("{}({})", name, fmt::join(args, ", "));
}

std::string OpFunctions::text() const {
  std::string out;
  for (auto& [name, text] : texts_) out += text;
  return out;
}

std::string map_text(const Program& program, int s, OpFunctions& functions,
                     std::string (*entry)(const Step& table, const std::string& index)) {
  const auto step = [&](int i) -> const Step& { return program.steps[size_t(i)]; };
  const Step& st = step(s);
  std::vector<std::string> args;
  for (int16_t arg : st.args)
    if (arg >= 0) args.push_back(fmt::format("v{}", arg));
  if (st.op == Op::cast) return cast_text(lane_of(step(st.args[0]).dtype), st.dtype, args[0]);
  if (st.op == Op::lookup) return entry(step(st.args[1]), args[0]);
  int typed = info(st.op).rule == ResultRule::chosen ? st.args[1] : st.args[0];
  std::string call = functions.call(st.op, lane_of(step(typed).dtype), args);
  return narrow(st.dtype) ? fmt::format("wane_round_{}({})", name_of(st.dtype), call) : call;
}

namespace {
std::string entry_of(const Step& table, const std::string& index) {
  return fmt::format("wane_load_{0}(launch.inputs[{1}], 0, wane_entry({2}, launch.inputs[{1}].count))",
                     name_of(table.dtype), table.index, index);
}
} // namespace

std::string lane_steps_text(const Program& program, OpFunctions& functions,
                            const std::function<std::string(const Step&)>& input) {
  std::string out;
  for (int s = 0; s < int(program.steps.size()); ++s) {
    const Step& step = program.steps[size_t(s)];
    const Lane lane = lane_of(step.dtype);
    std::string value;
    if (step.kind == StepKind::constant)
      value = fmt::format("({})launch.constants[{}].{}", type_of(lane), step.index,
                          is_real(lane) ? "real" : "whole");
    else if (step.kind == StepKind::input && program.is_table(step.index))
      continue;
    else if (step.kind == StepKind::input)
      value = input(step);
    else
      value = map_text(program, s, functions, entry_of);
    out += fmt::format("    const {} v{} = {};\n", type_of(lane), s, value);
  }
  return out;
}

} // namespace wane::cuda
