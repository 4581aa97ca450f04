// Quantized tensors and what else the standard library attaches to tensors: values decoded on demand from a
// pending expression, so that the codes are all that memory holds; tracing; methods added from Lua.
#include <cstring>

#include "bindings/wrap_tensor.h"
#include "runtime/explain.h"
#include "runtime/expression.h"
#include "runtime/profile.h"

namespace wane::lua {
namespace {

// A source under another shape: the same elements in the same order.
class Reshaped : public Source {
public:
  Reshaped(std::shared_ptr<const Source> inner, const Shape& from, const Shape& to, DType dtype)
      : inner_(std::move(inner)), from_(from), to_(to), dtype_(dtype) {}

  BufferPtr produce() const override { return inner_->produce(); }
  void read_rows(int64_t first, int64_t rows, std::byte* out) const override {
    int64_t width = to_.back(), piece = from_.rank() && from_[0] ? from_.count() / from_[0] : 0;
    if (piece > 0 && width % piece == 0)
      return inner_->read_rows(first * (width / piece), rows * (width / piece), out);
    BufferPtr all = inner_->produce();
    size_t row = size_t(width) * size_of(dtype_);
    std::memcpy(out, all->data() + size_t(first) * row, size_t(rows) * row);
  }
  std::string describe() const override { return inner_->describe(); }

private:
  std::shared_ptr<const Source> inner_;
  Shape from_, to_;
  DType dtype_;
};

Tensor on_demand(const Tensor& values, const Shape& shape) {
  Tensor out = from_expression(values);
  if (shape == values.shape()) return out;
  auto source = std::make_shared<Reshaped>(out.node()->source, values.shape(), shape, values.dtype());
  return from_source(shape, values.dtype(), source, "quantize");
}

int quantized(Args& a) {
  Tensor values = a.tensor("values");
  int attached = a.table("attached");
  Shape shape = values.shape();
  if (lua_getfield(a.L, attached, "shape") == LUA_TTABLE) {
    auto sizes = a.to_integers(lua_gettop(a.L), "shape");
    shape = Shape(std::span<const int64_t>(sizes));
    if (shape.count() != values.count())
      throw error("quantized: {} values for shape {}", values.count(), to_string(shape))
          .note("values", describe(values));
  }
  lua_settop(a.L, a.count());
  push(a.L, on_demand(values, shape));
  lua_pushvalue(a.L, attached);
  lua_setiuservalue(a.L, -2, 1);
  return 1;
}

int attach(Args& a) {
  int tensor = a.peek();
  a.tensor("x");
  lua_pushvalue(a.L, a.take());
  lua_setiuservalue(a.L, tensor, 1);
  lua_settop(a.L, tensor);
  return 1;
}

int attached(Args& a) {
  int index = a.take();
  if (!test_object<TensorBox>(a.L, index)) return lua_pushnil(a.L), 1;
  lua_getiuservalue(a.L, index, 1);
  return 1;
}

class Tracing {
public:
  explicit Tracing(Host& h) : host_(h) { ++host_.tracing; }
  ~Tracing() { --host_.tracing; }
  Tracing(const Tracing&) = delete;

private:
  Host& host_;
};

int trace(Args& a) {
  int function = a.take();
  if (!lua_isfunction(a.L, function)) a.wrong(function, "function", "a function");
  int arguments = a.count() - 1;
  a.take_all();
  Tracing on(host(a.L));
  lua_call(a.L, arguments, LUA_MULTRET);
  return lua_gettop(a.L);
}

int add_method(Args& a) {
  auto name = std::string(a.string("name"));
  int function = a.take();
  if (!lua_isfunction(a.L, function)) a.wrong(function, "function", "a function");
  lua_getfield(a.L, LUA_REGISTRYINDEX, kMethodTable);
  if (lua_getfield(a.L, -1, name.c_str()) != LUA_TNIL)
    throw error("method: tensors have a method '{}' already", name);
  lua_pop(a.L, 1);
  lua_pushvalue(a.L, function);
  lua_setfield(a.L, -2, name.c_str());
  return 0;
}

int explain_of(Args& a) {
  Tensor x = a.tensor("x");
  return results(a.L,
                 std::string_view(explain(x, a.options("options", {"source"}).boolean("source", false))));
}

int flush_now(Args& a) {
  Tensor x = a.tensor("x");
  CauseScope asked(FlushCause::asked);
  if (x.node()->kind != NodeKind::source) x.flushed();
  return results(a.L, x);
}

int same_node(Args& a) {
  Tensor x = a.tensor("x");
  return push_boolean(a.L, x.node() == a.tensor("y").node()), 1;
}

int describe_of(Args& a) { return results(a.L, std::string_view(describe_values(a.tensor("x")))); }
int operand_of(Args& a) { return results(a.L, std::string_view(describe(a.tensor("x")))); }
int is_tensor(Args& a) { return push_boolean(a.L, test_object<TensorBox>(a.L, a.take())), 1; }

Method functions[] = {
    {"quantized", quantized, "(values, attached) -> tensor",
     "A tensor whose values are computed from an expression when read, and not kept; attached.shape reshapes "
     "it.",
     Kind::view},
    {"attach", attach, "(x, value) -> tensor",
     "Attaches a Lua value to this handle of a tensor; its fields and methods become the tensor's.",
     Kind::view},
    {"attached", attached, "(x) -> value", "What is attached to a tensor.", Kind::plain},
    {"trace", trace, "(function, ...) -> results", "Calls a function that may use maps on tensors only.",
     Kind::plain},
    {"method", add_method, "(name, function)", "Adds a method to all tensors.", Kind::plain},
    {"explain", explain_of, "(x, { source = false }) -> text",
     "What is pending under a tensor and how it would run: tree, template, bytes, limits, program, loops, "
     "CUDA text."},
    {"flush", flush_now, "(x) -> x", "Computes what is pending."},
    {"same_node", same_node, "(x, y) -> true or false", "Whether two tensors are one value.", Kind::plain},
    {"describe", describe_of, "(x) -> text",
     "The picture of a tensor: a corner of its values and their statistics."},
    {"operand", operand_of, "(x) -> text", "A tensor as messages show it.", Kind::plain},
    {"is_tensor", is_tensor, "(x) -> true or false", "Whether a value is a tensor.", Kind::plain},
};

} // namespace

void open_quantized(lua_State* L) { set_methods(L, functions, false); }

} // namespace wane::lua
