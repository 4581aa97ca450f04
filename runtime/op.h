// The maps of the tensor language as an enum and a table, both made from ops.def.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "runtime/dtype.h"

namespace wane {

enum class Op : uint8_t {
#define WANE_MAP(name, arity, rule, kinds, ftext, itext, derivative, doc) name,
#include "runtime/ops.def"
#undef WANE_MAP
};

// How a map's result dtype follows from its operands.
enum class ResultRule : uint8_t {
  same,    // the promoted dtype of the operands
  real,    // the same for floats; integers are computed and returned in f32
  truth,   // bool
  chosen,  // where: the promoted dtype of the second and third operand
  integer, // integers only
  logical, // operands are read as truth values; bool
};
enum class OpKinds : uint8_t { F, I, FI }; // computed on floats, on integers, on both

struct OpInfo {
  std::string_view name;
  int arity;
  ResultRule rule;
  OpKinds kinds;
  std::string_view float_text, integer_text; // C on a, b, c; the same text runs on both back ends
  std::string_view derivative; // by each operand, in the tensor language; g is the incoming gradient
  std::string_view doc;
};
std::span<const OpInfo> op_table();
const OpInfo& info(Op op);

enum class Reduction : uint8_t { sum, min, max, absmax, sumsq, prod, any, all, argmax, argmin };
std::string_view name_of(Reduction reduction);

} // namespace wane
