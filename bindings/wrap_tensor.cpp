// The tensor class: fields, indexing, arithmetic, and letting go.
#include <algorithm>

#include "bindings/wrap_tensor.h"

namespace wane::lua {
namespace {

TensorBox& box_of(Args& a, int index) {
  auto* box = test_object<TensorBox>(a.L, index);
  if (!box) a.wrong(index, "self", "tensor");
  return *box;
}

// -- arithmetic
// -----------------------------------------------------------------------------------------------
int arithmetic(Args& a) {
  int left = a.take(), right = a.take();
  const char* sides[] = {"on the left", "on the right"};
  for (int side : {0, 1}) {
    int index = side ? right : left;
    if (lua_type(a.L, index) == LUA_TNUMBER || test_object<TensorBox>(a.L, index)) continue;
    auto got = describe_argument(a.L, index);
    throw error("{}: expected tensor or number {}, got {}", a.method.label(), sides[side], got);
  }
  auto op = Op(a.method.data);
  if (test_object<TensorBox>(a.L, left)) {
    Tensor x = a.to_tensor(left, "left");
    return results(a.L, map(op, x, a.to_operand(right, "right", x)));
  }
  Tensor y = a.to_tensor(right, "right");
  return results(a.L, map(op, a.to_operand(left, "left", y), y));
}

int negate(Args& a) {
  Tensor x = a.tensor("x");
  a.take_all(); // Lua passes the operand of a unary operator twice
  return results(a.L, map(Op::neg, x));
}

int no_order(Args& a) {
  a.take_all();
  bool less = a.method.data == 0;
  throw error("tensors have no order that is true or false")
      .hint(less ? "use a:lt(b), or b:gt(a)" : "use a:le(b), or b:ge(a)");
}

int no_floor_division(Args& a) {
  a.take_all();
  throw error("tensors have no //").hint("use (a / b):floor()");
}

// -- fields
// ---------------------------------------------------------------------------------------------------
const std::vector<std::string> kFields = {"bytes", "device", "dtype", "shape"};

// Fields and methods that the standard library attached to this value.
bool push_attached(lua_State* L, int index, const char* name) {
  lua_getiuservalue(L, index, 1);
  int top = lua_gettop(L);
  for (const char* part : {"fields", "methods"}) {
    if (!lua_istable(L, top)) break;
    if (lua_getfield(L, top, part) == LUA_TTABLE && lua_getfield(L, -1, name) != LUA_TNIL) return true;
    lua_settop(L, top);
  }
  lua_settop(L, top - 1);
  return false;
}

Error unknown_field(lua_State* L, const std::string& name) {
  std::vector<std::string> known = kFields;
  lua_getfield(L, LUA_REGISTRYINDEX, kMethodTable);
  lua_pushnil(L);
  while (lua_next(L, -2)) {
    lua_pop(L, 1);
    known.emplace_back(lua_tostring(L, -1));
  }
  std::sort(known.begin(), known.end());
  auto nearest = nearest_name(name, known);
  auto hint = nearest.empty() ? std::string() : fmt::format("; did you mean '{}'?", nearest);
  return error("tensor: no field or method '{}'{}", name, hint);
}

int index_slow(Args& a) { // what is no method: a field, positions, or something attached
  TensorBox& box = box_of(a, a.take());
  int key = a.take();
  if (lua_type(a.L, key) == LUA_TSTRING) {
    std::string name = lua_tostring(a.L, key);
    if (box.value) {
      if (name == "shape") return results(a.L, box.value.shape());
      if (name == "dtype") return results(a.L, name_of(box.value.dtype()));
      if (name == "device") return results(a.L, std::string_view("cpu"));
      if (name == "bytes") return results(a.L, box.value.count() * int64_t(size_of(box.value.dtype())));
    }
    if (push_attached(a.L, 1, name.c_str())) return 1;
    a.to_tensor(1, "self"); // a freed one says so
    throw unknown_field(a.L, name);
  }
  Tensor x = a.to_tensor(1, "self");
  check_view(a, x);
  return results(a.L, cut(x, read_box(a, key, x.shape())));
}

// Upvalues: index_slow, the table of methods. Methods are found without the trampoline.
int index(lua_State* L) {
  if (lua_type(L, 2) == LUA_TSTRING) {
    lua_pushvalue(L, 2);
    if (lua_rawget(L, lua_upvalueindex(2)) != LUA_TNIL) return 1;
    lua_pop(L, 1);
  }
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, 2, 1);
  return 1;
}

int assign(Args& a) {
  a.take_all();
  throw error("a tensor is a value; it cannot be assigned to")
      .hint("use x:with({ rows, cols }, v), or wane.buffer(x)");
}

int length(Args& a) {
  Tensor x = a.tensor("x");
  a.take_all();
  if (x.rank() == 0) throw error("#: a tensor without dims has no length").note("tensor", describe(x));
  return results(a.L, x.shape()[0]);
}

int to_text(Args& a) {
  TensorBox& box = box_of(a, a.take());
  if (box.value) return results(a.L, std::string_view(tensor_header(box.value)));
  return results(a.L, std::string_view(fmt::format("tensor freed at {}", to_string(box.freed))));
}

int release(Args& a) {
  TensorBox& box = box_of(a, a.take());
  a.take_all(); // a scope that ends passes its error
  if (box.value) box.freed = where(a.L);
  box.value = Tensor();
  return 0;
}

Method metamethods[] = {
    {"__add", arithmetic, "(a, b)", "Sum.", Kind::map, int(Op::add)},
    {"__sub", arithmetic, "(a, b)", "Difference.", Kind::map, int(Op::sub)},
    {"__mul", arithmetic, "(a, b)", "Product.", Kind::map, int(Op::mul)},
    {"__div", arithmetic, "(a, b)", "Quotient.", Kind::map, int(Op::div)},
    {"__mod", arithmetic, "(a, b)", "Remainder.", Kind::map, int(Op::mod)},
    {"__pow", arithmetic, "(a, b)", "Power.", Kind::map, int(Op::pow)},
    {"__unm", negate, "(a)", "Negation.", Kind::map},
    {"__idiv", no_floor_division, "(a, b)", "", Kind::map},
    {"__lt", no_order, "(a, b)", "", Kind::map, 0},
    {"__le", no_order, "(a, b)", "", Kind::map, 1},
    {"__newindex", assign, "", "", Kind::map},
    {"__len", length, "", "", Kind::plain},
    {"__tostring", to_text, "", "", Kind::plain},
    {"__close", release, "", "", Kind::plain},
};

Method index_method = {"index", index_slow, "", "", Kind::view};

Method own_methods[] = {
    {"free", release, "()", "Lets go of the memory now; reading the tensor afterwards is an error.",
     Kind::plain},
};

} // namespace

void check_view(Args& a, const Tensor& x) {
  if (!host(a.L).tracing) return;
  auto kind = x.node()->kind;
  if (kind == NodeKind::map || kind == NodeKind::reduce)
    throw error("{}: a value is asked for while tracing", a.method.label())
        .hint("only maps, where and lookup are traced");
}

void push_element(lua_State* L, DType dtype, double value, int64_t integer) {
  if (dtype == DType::boolean)
    lua_pushboolean(L, integer != 0);
  else if (is_float(dtype))
    lua_pushnumber(L, value);
  else
    lua_pushinteger(L, integer);
}

void push_element(lua_State* L, const Tensor& x, int64_t linear) {
  if (is_float(x.dtype()))
    push_element(L, x.dtype(), item(x, linear), 0);
  else
    push_element(L, x.dtype(), 0, item_integer(x, linear));
}

void open_tensor(lua_State* L) {
  make_class<TensorBox>(L, {}, metamethods);
  luaL_getmetatable(L, Class<TensorBox>::name);
  push_method(L, index_method);
  lua_newtable(L);
  for (auto methods : {map_methods(), reduction_methods(), layout_methods(), order_methods(),
                       reading_methods(), matrix_methods(), std::span<Method>(own_methods)})
    set_methods(L, methods, true);
  lua_pushvalue(L, -1);
  lua_setfield(L, LUA_REGISTRYINDEX, kMethodTable);
  lua_pushcclosure(L, index, 2);
  lua_setfield(L, -2, "__index");
  lua_pop(L, 1);
}

} // namespace wane::lua
