#include "runtime/op.h"

#include <array>

namespace wane {
namespace {

constexpr OpInfo kOps[] = {
#define WANE_MAP(name, arity, rule, kinds, ftext, itext, derivative, doc)                                    \
  {#name, arity, ResultRule::rule, OpKinds::kinds, #ftext, #itext, derivative, doc},
#include "runtime/ops.def"
#undef WANE_MAP
};

constexpr std::string_view kReductions[] = {"sum",  "min", "max", "absmax", "sumsq",
                                            "prod", "any", "all", "argmax", "argmin"};

} // namespace

std::span<const OpInfo> op_table() { return kOps; }
const OpInfo& info(Op op) { return kOps[size_t(op)]; }
std::string_view name_of(Reduction reduction) { return kReductions[size_t(reduction)]; }

} // namespace wane
