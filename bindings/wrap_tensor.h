// What the files that bind tensors share.
#pragma once

#include "bindings/host.h"
#include "bindings/lua.h"

namespace wane::lua {

inline constexpr const char* kMethodTable = "wane.tensor_methods"; // in the registry

// Refuses a view of what is still to be computed while a quantizer is traced: it would compute it.
void check_view(Args& a, const Tensor& x);
// A number as an element: a Lua integer for integers, true or false for bool, else a float.
void push_element(lua_State* L, DType dtype, double value, int64_t integer);
void push_element(lua_State* L, const Tensor& x, int64_t linear);

// The box that an index table selects: `x[{ 3, {1, 4}, {} }]`.
struct Box {
  std::vector<int64_t> first, count;
  std::vector<bool> dropped; // dims that a single position selects
  Shape full() const;        // with dropped dims as 1
  Shape kept() const;        // without them
};
Box read_box(Args& a, int index, const Shape& shape);
Tensor cut(const Tensor& x, const Box& box);
// A value of the box's kept shape (or one that broadcasts to it) in the full shape of the box.
Tensor fit_value(Args& a, const Tensor& value, const Box& box);

// Method tables by file; open_tensor() registers all of them.
std::span<Method> map_methods();
std::span<Method> reduction_methods();
std::span<Method> layout_methods();
std::span<Method> order_methods();
std::span<Method> reading_methods();
std::span<Method> matrix_methods();
std::string describe_values(const Tensor& x); // the picture of a tensor that the REPL shows
std::string tensor_header(const Tensor& x);   // "[4 x 3] f32"

} // namespace wane::lua
