// A lowered program in words: one line per loop that the tile interpreter calls.
#include "runtime/cpu/lower.h"

namespace wane::cpu {
namespace {

constexpr const char* kPairs[kPairCount] = {
    "mul, add",   "mul, sub",   "mul, sub from", "add, mul", "sub, mul",    "mul, mul",         "add, add",
    "div, round", "mul, round", "silu, mul",     "clamp",    "square, add", "silu to bf16, mul"};
constexpr const char* kLanes[] = {"f32", "f64", "i32", "i64"};

std::string map_name(MapFn fn) {
  const MapKernels& k = map_kernels();
  for (int op = 0; op < kOpCount; ++op) {
    for (MapFn known : k.map[op])
      if (known == fn) return std::string(info(Op(op)).name);
    if (k.map_bf16[op] == fn) return fmt::format("{} to bf16", info(Op(op)).name);
  }
  for (int pair = 0; pair < kPairCount; ++pair)
    if (pair_kernels()[pair] == fn) return kPairs[pair];
  return "map";
}

std::string convert_name(ConvertFn fn) {
  const MapKernels& k = map_kernels();
  for (int t = 0; t < kDTypeCount; ++t) {
    if (k.round[t] == fn) return fmt::format("round to {}", name_of(DType(t)));
    for (auto& from : k.cast)
      if (from[t] == fn) return fmt::format("cast to {}", name_of(DType(t)));
  }
  return "convert";
}

std::string slot_text(const Lowered& low, int16_t index) {
  const Slot& slot = low.slots[size_t(index)];
  if (slot.constant >= 0) return fmt::format("c{}", slot.constant);
  if (slot.row_reg >= 0) return fmt::format("row{}", slot.row_reg);
  return fmt::format("r{}", slot.reg);
}

std::string code_text(const Lowered& low, const Code& code) {
  std::string what;
  switch (code.kind) {
  case CodeKind::load: what = fmt::format("load input {} {}", code.index, name_of(code.dtype)); break;
  case CodeKind::map: what = map_name(code.fn); break;
  case CodeKind::convert: what = convert_name(code.convert); break;
  case CodeKind::lookup: what = fmt::format("lookup in input {}", code.index); break;
  case CodeKind::expand: what = "expand"; break;
  case CodeKind::reduce: what = name_of(code.reduction); break;
  }
  std::string out = fmt::format("{} = {}", slot_text(low, code.out), what);
  for (int16_t arg : {code.a, code.b, code.c})
    if (arg >= 0) out += " " + slot_text(low, arg);
  return out + fmt::format("   {}{}\n", kLanes[int(code.lane)], code.per_row ? "  a row" : "");
}

} // namespace

std::string to_string(const Lowered& low) {
  std::string out;
  for (auto& code : low.before) out += code_text(low, code);
  for (size_t p = 0; p < low.phases.size(); ++p) {
    if (low.phases.size() > 1) out += fmt::format("pass {}\n", p + 1);
    for (auto& code : low.phases[p].elements) out += code_text(low, code);
    for (auto& code : low.phases[p].rows) out += code_text(low, code);
  }
  for (int16_t slot : low.output_slots)
    out +=
        fmt::format("store {}{}\n", slot_text(low, slot), low.direct_output ? ", where it was computed" : "");
  return out;
}

} // namespace wane::cpu
