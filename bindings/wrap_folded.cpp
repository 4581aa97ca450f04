// Weights under folded rotations and scales, and what the online rotations need beside x:hadamard.
#include "bindings/wrap_tensor.h"
#include "runtime/calls.h"
#include "runtime/cpu/kernels.h"
#include "runtime/fold.h"

namespace wane::lua {
namespace {

FoldStep read_step(Args& a, int table) {
  FoldStep step;
  lua_getfield(a.L, table, "side");
  step.output = std::string_view(luaL_checkstring(a.L, -1)) == "out";
  if (lua_getfield(a.L, table, "scale") != LUA_TNIL) step.scale = a.to_tensor(lua_gettop(a.L), "scale");
  if (lua_getfield(a.L, table, "block") != LUA_TNIL) step.block = a.to_integer(lua_gettop(a.L), "block");
  lua_pop(a.L, 3);
  return step;
}

int folded_of(Args& a) {
  Tensor weight = a.tensor("weight");
  int list = a.table("steps");
  std::vector<FoldStep> steps;
  for (lua_Integer i = 1; lua_geti(a.L, list, i) == LUA_TTABLE; ++i) {
    steps.push_back(read_step(a, lua_gettop(a.L)));
    lua_pop(a.L, 1);
  }
  return results(a.L, folded(weight, std::move(steps)));
}

int rotate_of(Args& a) {
  Tensor x = a.tensor("x"), scale = a.maybe_tensor("scale");
  int64_t block = a.integer("block");
  return results(a.L, rotate(x, scale, block, a.boolean("back", false)));
}

int has_hadamard(Args& a) { return push_boolean(a.L, cpu::has_hadamard(a.integer("n"))), 1; }

Method functions[] = {
    {"folded", folded_of, "(weight, steps) -> tensor",
     "A weight under steps { side = \"in\" or \"out\", scale, block }: scales, then Hadamard rotations of "
     "blocks "
     "of channels, in f64, rounded once when it is read."},
    {"rotate", rotate_of, "(x, scale, block [, back]) -> tensor",
     "Channels times scales (or nil), then Hadamard rotations of blocks; back: the inverse, then the "
     "scales."},
    {"has_hadamard", has_hadamard, "(n) -> true or false", "Whether there is a transform of this size.",
     Kind::plain},
};

} // namespace

void open_folded(lua_State* L) { set_methods(L, functions, false); }

} // namespace wane::lua
