// wane.buffer: the mutable array.
#include "bindings/wrap_tensor.h"
#include "runtime/buffer.h"

namespace wane::lua {

template <> struct Class<MutableArray> { static constexpr const char* name = "buffer"; };

namespace {

int make_buffer(Args& a) {
  push_object<MutableArray>(a.L, a.tensor("x"));
  return 1;
}

int freeze(Args& a) { return results(a.L, a.object<MutableArray>("buffer").freeze()); }

Method methods[] = {{"freeze", freeze, "() -> tensor", "The tensor; writing is an error from here on."}};

int read(Args& a) {
  auto& array = a.object<MutableArray>("buffer");
  int key = a.take();
  if (lua_type(a.L, key) == LUA_TSTRING) {
    std::string name = lua_tostring(a.L, key);
    if (name == "freeze") return push_method(a.L, methods[0]), 1;
    if (name == "shape") return results(a.L, array.shape());
    if (name == "dtype") return results(a.L, name_of(array.dtype()));
    auto nearest = nearest_name(name, {"dtype", "freeze", "shape"});
    throw error("buffer: no field or method '{}'{}", name,
                nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest))
        .hint("b[{}] is the tensor of all of it");
  }
  if (lua_istable(a.L, key) && lua_rawlen(a.L, key) == 0) return results(a.L, array.view());
  return results(a.L, cut(array.view(), read_box(a, key, array.shape())));
}

int write(Args& a) {
  auto& array = a.object<MutableArray>("buffer");
  Box box = read_box(a, a.take(), array.shape());
  Tensor like = full(Shape{}, array.dtype(), int64_t(0));
  Tensor value = fit_value(a, a.operand("value", like), box);
  array.write(box.first, box.count, cast(value, array.dtype()));
  return 0;
}

int length(Args& a) {
  auto& array = a.object<MutableArray>("buffer");
  a.take_all();
  return results(a.L, array.shape().rank() ? array.shape()[0] : int64_t(1));
}

int to_text(Args& a) {
  auto& array = a.object<MutableArray>("buffer");
  auto text = fmt::format("buffer {} {}{}", to_string(array.shape()), name_of(array.dtype()),
                          array.frozen() ? " frozen" : "");
  return results(a.L, std::string_view(text));
}

Method metamethods[] = {
    {"__index", read, "", ""},
    {"__newindex", write, "", ""},
    {"__len", length, "", "", Kind::plain},
    {"__tostring", to_text, "", "", Kind::plain},
};

Method functions[] = {
    {"buffer", make_buffer, "(x) -> buffer",
     "A mutable copy: b[{ rows, cols }] = v writes, reading gives a tensor; b:freeze() gives it for good."},
};

} // namespace

void open_buffer(lua_State* L) {
  methods[0].is_method = true;
  make_class<MutableArray>(L, {}, metamethods);
  set_methods(L, functions, false);
}

} // namespace wane::lua
