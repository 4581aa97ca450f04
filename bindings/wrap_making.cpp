// Functions of the core module that make tensors.
#include <cmath>
#include <limits>

#include "bindings/wrap_tensor.h"
#include "runtime/calls.h"

namespace wane::lua {
namespace {

template <int Value> int filled(Args& a) {
  Shape shape = a.shape("shape");
  DType dtype = a.options("options", {"dtype"}).dtype("dtype", DType::f32);
  return results(a.L, full(shape, dtype, int64_t(Value)));
}

int full_of(Args& a) {
  Shape shape = a.shape("shape");
  int value = a.take();
  if (lua_type(a.L, value) != LUA_TNUMBER) a.wrong(value, "value", "a number");
  DType dtype = a.options("options", {"dtype"}).dtype("dtype", DType::f32);
  if (lua_isinteger(a.L, value)) return results(a.L, full(shape, dtype, int64_t(lua_tointeger(a.L, value))));
  return results(a.L, full(shape, dtype, double(lua_tonumber(a.L, value))));
}

int identity(Args& a) {
  int64_t n = a.integer("n");
  return results(a.L, eye(n, a.options("options", {"dtype"}).dtype("dtype", DType::f32)));
}

int numbered(Args& a) { // arange(n) or arange(first, last [, step])
  int64_t first = 1, last = a.integer("last"), step = 1;
  if (!a.is_nil() && !lua_istable(a.L, a.peek())) {
    first = std::exchange(last, a.integer("last"));
    if (!lua_istable(a.L, a.peek())) step = a.integer("step", 1);
  }
  return results(a.L, arange(first, last, step, a.options("options", {"dtype"}).dtype("dtype", DType::i32)));
}

// Nested lists of numbers, or of true and false, read into one row-major array.
class NestedLists {
public:
  explicit NestedLists(Args& a) : a_(a) {}

  void read(int index) {
    shape_of(index);
    elements(index, 0, "");
    if (flags_ && numbers_) throw error("tensor: numbers and true or false in one tensor");
  }
  Shape shape() const { return Shape(std::span<const int64_t>(sizes_)); }
  DType natural() const { return flags_ ? DType::boolean : DType::f32; }

  Tensor make(DType dtype) const {
    if (is_float(dtype))
      return cast(from_bytes(shape(), DType::f64, std::as_bytes(std::span(values_))), dtype).flushed();
    std::vector<int64_t> whole(values_.size());
    for (size_t i = 0; i < whole.size(); ++i) whole[i] = check(values_[i], exact_[i], dtype);
    return cast(from_bytes(shape(), DType::i64, std::as_bytes(std::span(whole))), dtype).flushed();
  }

private:
  void shape_of(int index) { // by the first entries
    lua_State* L = a_.L;
    lua_pushvalue(L, index);
    while (lua_istable(L, -1)) {
      if (sizes_.size() == size_t(kMaxRank)) throw error("tensor: lists nested deeper than {}", kMaxRank);
      sizes_.push_back(int64_t(lua_rawlen(L, -1)));
      lua_rawgeti(L, -1, 1);
      lua_remove(L, -2);
    }
    lua_pop(L, 1);
  }
  void elements(int index, size_t depth, const std::string& path) {
    lua_State* L = a_.L;
    if (depth == sizes_.size()) return element(index, path);
    auto place = path.empty() ? std::string() : " at [" + path + "]";
    if (!lua_istable(L, index))
      throw error("tensor: expected a list of {}{}, got {}", sizes_[depth], place,
                  describe_argument(L, index));
    auto size = int64_t(lua_rawlen(L, index));
    if (size != sizes_[depth])
      throw error("tensor: {} entries{}, the first list has {}", size, place, sizes_[depth]);
    luaL_checkstack(L, 4, nullptr);
    for (int64_t i = 1; i <= size; ++i) {
      lua_rawgeti(L, index, i);
      elements(lua_gettop(L), depth + 1,
               depth + 1 == sizes_.size() ? path : fmt::format("{}{}{}", path, path.empty() ? "" : ", ", i));
      lua_pop(L, 1);
    }
  }
  void element(int index, const std::string& path) {
    lua_State* L = a_.L;
    auto place = path.empty() ? std::string() : " in the list at [" + path + "]";
    if (lua_isboolean(L, index)) {
      flags_ = true;
      values_.push_back(lua_toboolean(L, index));
      exact_.push_back(lua_toboolean(L, index));
    } else if (lua_type(L, index) == LUA_TNUMBER) {
      numbers_ = true;
      values_.push_back(lua_tonumber(L, index));
      exact_.push_back(lua_isinteger(L, index) ? int64_t(lua_tointeger(L, index)) : kFraction);
    } else {
      throw error("tensor: expected a number{}, got {}", place, describe_argument(L, index));
    }
  }
  static int64_t check(double value, int64_t exact, DType dtype) {
    if (exact == kFraction) {
      if (value != std::floor(value) || std::abs(value) > 9e18)
        throw error("tensor: the number {} is not whole and the tensor holds {}", value, name_of(dtype));
      exact = int64_t(value);
    }
    if (dtype != DType::i64) full(Shape{}, dtype, exact); // an error where it does not fit
    return exact;
  }

  static constexpr int64_t kFraction = std::numeric_limits<int64_t>::min();
  Args& a_;
  std::vector<int64_t> sizes_;
  std::vector<double> values_;
  std::vector<int64_t> exact_;
  bool flags_ = false, numbers_ = false;
};

int tensor_of(Args& a) {
  int index = a.take();
  if (auto* box = test_object<TensorBox>(a.L, index); box && box->value) {
    Tensor x = a.to_tensor(index, "values");
    return results(a.L, cast(x, a.options("options", {"dtype"}).dtype("dtype", x.dtype())));
  }
  if (!lua_istable(a.L, index) && lua_type(a.L, index) != LUA_TNUMBER)
    a.wrong(index, "values", "a list of numbers");
  Options options = a.options("options", {"dtype"});
  NestedLists lists(a);
  lists.read(index);
  Tensor made = lists.make(options.dtype("dtype", lists.natural()));
  made.node()->made_by = "tensor"; // and not by the cast
  return results(a.L, made);
}

template <Tensor (*Draw)(const Shape&, DType, uint64_t)> int drawn(Args& a) {
  Shape shape = a.shape("shape");
  DType dtype = a.dtype("dtype", DType::f32);
  return results(a.L, Draw(shape, dtype, uint64_t(a.integer("key"))));
}

int choose(Args& a) { // where
  Tensor mask = a.tensor("mask");
  int yes = a.take(), no = a.take();
  auto* left = test_object<TensorBox>(a.L, yes);
  auto* right = test_object<TensorBox>(a.L, no);
  Tensor like = left ? a.to_tensor(yes, "a") : right ? a.to_tensor(no, "b") : full(Shape{}, DType::f32, 0.0);
  return results(a.L, map(Op::where, mask, a.to_operand(yes, "a", like), a.to_operand(no, "b", like)));
}

int join(Args& a) {
  auto parts = a.tensors("list");
  if (parts.empty()) throw error("concat: an empty list");
  return results(a.L, concat(parts, a.dim("dim", parts[0].rank(), 0)));
}

Method functions[] = {
    {"zeros", filled<0>, "(shape, { dtype = \"f32\" }) -> tensor", "All 0.", Kind::view},
    {"ones", filled<1>, "(shape, { dtype = \"f32\" }) -> tensor", "All 1.", Kind::view},
    {"full", full_of, "(shape, value, { dtype = \"f32\" }) -> tensor", "All the same number.", Kind::view},
    {"eye", identity, "(n, { dtype = \"f32\" }) -> tensor", "The identity matrix.", Kind::view},
    {"arange", numbered, "(n) or (first, last [, step], { dtype = \"i32\" }) -> tensor",
     "Whole numbers in steps, both ends included; of one argument 1 to n.", Kind::view},
    {"tensor", tensor_of, "(values, { dtype = \"f32\" }) -> tensor", "From nested lists of numbers.",
     Kind::view},
    {"uniform", drawn<uniform>, "(shape, dtype, key) -> tensor", "Numbers of a draw, in [0, 1).", Kind::view},
    {"randn", drawn<randn>, "(shape, dtype, key) -> tensor", "Numbers of a draw, normal.", Kind::view},
    {"where", choose, "(mask, a, b) -> tensor", "a where the mask holds, else b.", Kind::map},
    {"concat", join, "(list [, dim = 1]) -> tensor", "Tensors one behind the other along a dim."},
};

} // namespace

void open_making(lua_State* L) { set_methods(L, functions, false); }

} // namespace wane::lua
