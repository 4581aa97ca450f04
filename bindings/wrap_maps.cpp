// Methods made from the table of maps, and those few that need more than the table says.
#include "bindings/wrap_tensor.h"
#include "runtime/cuda/device.h"

namespace wane::lua {
namespace {

int unary(Args& a) { return results(a.L, map(Op(a.method.data), a.tensor("x"))); }

int binary(Args& a) {
  Tensor x = a.tensor("x");
  return results(a.L, map(Op(a.method.data), x, a.operand("y", x)));
}

int clamp(Args& a) {
  Tensor x = a.tensor("x");
  if (a.is_nil() && a.count() < 3) a.wrong(a.peek(), "lo", "a number, a tensor, or nil with hi");
  // The bounds take the place of numbers below and above; NaN passes.
  if (a.is_nil())
    a.skip();
  else
    x = map(Op::maximum, x, a.operand("lo", x));
  if (!a.more()) return results(a.L, x);
  if (a.is_nil())
    a.skip();
  else
    x = map(Op::minimum, x, a.operand("hi", x));
  return results(a.L, x);
}

// A list of numbers, or a tensor, as the table of a lookup.
Tensor lookup_table(Args& a) {
  if (!lua_istable(a.L, a.peek())) return a.tensor("table");
  int index = a.table("table");
  std::vector<double> values(size_t(lua_rawlen(a.L, index)));
  for (size_t i = 0; i < values.size(); ++i) {
    if (lua_rawgeti(a.L, index, lua_Integer(i + 1)) != LUA_TNUMBER)
      a.fail(index, "table",
             fmt::format("entry {}: expected a number, got {}", i + 1, describe_argument(a.L, -1)));
    values[i] = lua_tonumber(a.L, -1);
    lua_pop(a.L, 1);
  }
  Tensor exact = from_bytes({int64_t(values.size())}, DType::f64, std::as_bytes(std::span(values)));
  return cast(exact, DType::f32).flushed();
}

int look_up(Args& a) {
  Tensor x = a.tensor("x");
  return results(a.L, lookup(x, lookup_table(a)));
}

int to(Args& a) {
  Tensor x = a.tensor("x");
  if (lua_type(a.L, a.peek()) == LUA_TSTRING) {
    std::string name = lua_tostring(a.L, a.peek());
    if (name == "cpu" || name == "cuda") {
      select_device(name);
      return a.skip(), results(a.L, x);
    }
  }
  return results(a.L, cast(x, a.dtype("dtype")));
}

std::vector<Method> make_methods() {
  std::vector<Method> methods;
  for (auto& info : op_table()) {
    auto op = Op(&info - op_table().data());
    switch (op) { // operators, and those below
    case Op::cast:
    case Op::lookup:
    case Op::where:
    case Op::add:
    case Op::sub:
    case Op::mul:
    case Op::div:
    case Op::mod:
    case Op::pow: continue;
    default: break;
    }
    bool one = info.arity == 1;
    methods.push_back({info.name.data(), one ? unary : binary, one ? "() -> tensor" : "(y) -> tensor",
                       info.doc.data(), Kind::map, int(op)});
  }
  methods.push_back({"clamp", clamp, "(lo, hi) -> tensor",
                     "Values kept between two bounds; nil leaves one out.\nNaN stays NaN, and a bound that "
                     "is NaN gives NaN.",
                     Kind::map});
  methods.push_back({"lookup", look_up, "(table) -> tensor", info(Op::lookup).doc.data(), Kind::map});
  methods.push_back({"to", to, "(dtype) -> tensor", info(Op::cast).doc.data(), Kind::map});
  return methods;
}

} // namespace

std::span<Method> map_methods() {
  static auto* methods = new std::vector<Method>(make_methods());
  return *methods;
}

} // namespace wane::lua
