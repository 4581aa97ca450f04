// Reading the arguments of bound functions, and the words of what is wrong with them.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "bindings/lua.h"

namespace wane::lua {
namespace {

std::string comma_list(const std::vector<std::string>& names) {
  std::string out;
  for (auto& name : names) out += (out.empty() ? "" : ", ") + name;
  return out;
}

const std::vector<std::string>& dtype_names() {
  static const auto* names = [] {
    auto* list = new std::vector<std::string>;
    for (auto& info : kDTypes) list->emplace_back(info.name);
    return list;
  }();
  return *names;
}

Error unknown_dtype(const std::string& place, const std::string& name) {
  auto nearest = nearest_name(name, dtype_names());
  auto hint = nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest);
  return error("{}: no dtype '{}'{}", place, name, hint).note("it is one of", comma_list(dtype_names()));
}

// The number of an operation. The same number at the same line, as in a loop, is the same tensor while
// another operation still has it.
template <class T> Tensor number_operand(DType dtype, T value) {
  struct Known {
    std::weak_ptr<Node> node;
    DType dtype;
    Origin origin;
    uint64_t bits;
  };
  static thread_local std::array<Known, 16> all;
  const Origin origin = current_origin();
  const auto bits = std::bit_cast<uint64_t>(value);
  Known& known = all[(uint32_t(origin.line) + (bits >> 52) + (bits & 7)) % all.size()];
  if (known.dtype == dtype && known.bits == bits && known.origin.file == origin.file
      && known.origin.line == origin.line)
    if (NodePtr node = known.node.lock(); node && node->kind == NodeKind::constant) return Tensor(node);
  Tensor made = full(Shape{}, dtype, value);
  known = {made.node(), dtype, origin, bits};
  return made;
}

} // namespace

void Args::fail(int index, const char* name, const std::string& what) {
  int number = method.is_method ? index - 1 : index;
  if (number == 0) throw error("{}: {}", method.label(), what);
  throw error("{}: argument {} ({}): {}", method.label(), number, name, what);
}

void Args::wrong(int index, const char* name, std::string_view expected) {
  std::string got = lua_isnone(L, index) ? "nil" : describe_argument(L, index);
  auto what = fmt::format("expected {}, got {}", expected, got);
  if (method.is_method && index == 1 && method.name[0] != '_')
    throw error("{}: {}", method.label(), what)
        .hint(fmt::format("methods take a colon: x:{}(...)", method.label()));
  fail(index, name, what);
}

void Args::finish() {
  if (next_ > count_) return;
  int self = method.is_method ? 1 : 0;
  int taken = next_ - 1 - self, given = count_ - self;
  throw error("{}: takes {} argument{}, got {}", method.label(), taken, taken == 1 ? "" : "s", given)
      .note("it is", fmt::format("{}{}", method.label(), method.signature));
}

int64_t Args::to_integer(int index, const char* name) {
  int exact = 0;
  int64_t value = lua_type(L, index) == LUA_TNUMBER ? lua_tointegerx(L, index, &exact) : 0;
  if (!exact) wrong(index, name, "an integer");
  return value;
}

double Args::number(const char* name) {
  int index = take();
  if (lua_type(L, index) != LUA_TNUMBER) wrong(index, name, "a number");
  return lua_tonumber(L, index);
}

bool Args::boolean(const char* name) {
  int index = take();
  if (!lua_isboolean(L, index)) wrong(index, name, "true or false");
  return lua_toboolean(L, index);
}

std::string_view Args::string(const char* name) {
  int index = take();
  if (lua_type(L, index) != LUA_TSTRING) wrong(index, name, "a string");
  size_t size;
  const char* text = lua_tolstring(L, index, &size);
  return {text, size};
}

Tensor Args::to_tensor(int index, const char* name) {
  auto* box = test_object<TensorBox>(L, index);
  if (!box) wrong(index, name, "tensor");
  if (!box->value) {
    auto place = to_string(box->freed);
    fail(index, name, place.empty() ? "tensor was freed" : fmt::format("tensor was freed at {}", place));
  }
  return box->value;
}

Tensor Args::to_operand(int index, const char* name, const Tensor& like) {
  if (lua_type(L, index) != LUA_TNUMBER) {
    if (!test_object<TensorBox>(L, index)) wrong(index, name, "tensor or number");
    return to_tensor(index, name);
  }
  // Masks count as numbers do: whole ones as i32, others as f32.
  DType dtype = like.dtype();
  bool whole = lua_isinteger(L, index);
  if (dtype == DType::boolean) dtype = whole ? DType::i32 : DType::f32;
  if (whole) return number_operand(dtype, int64_t(lua_tointeger(L, index)));
  return number_operand(dtype, double(lua_tonumber(L, index)));
}

int Args::table(const char* name) {
  int index = take();
  if (!lua_istable(L, index)) wrong(index, name, "a table");
  return index;
}

std::vector<int64_t> Args::to_integers(int index, const char* name) {
  std::vector<int64_t> list(size_t(lua_rawlen(L, index)));
  for (size_t i = 0; i < list.size(); ++i) {
    lua_rawgeti(L, index, lua_Integer(i + 1));
    int exact = 0;
    list[i] = lua_type(L, -1) == LUA_TNUMBER ? lua_tointegerx(L, -1, &exact) : 0;
    if (!exact)
      fail(index, name,
           fmt::format("entry {}: expected an integer, got {}", i + 1, describe_argument(L, -1)));
    lua_pop(L, 1);
  }
  return list;
}

std::vector<std::string> Args::strings(const char* name) {
  int index = table(name);
  std::vector<std::string> list(size_t(lua_rawlen(L, index)));
  for (size_t i = 0; i < list.size(); ++i) {
    if (lua_rawgeti(L, index, lua_Integer(i + 1)) != LUA_TSTRING)
      fail(index, name, fmt::format("entry {}: expected a string, got {}", i + 1, describe_argument(L, -1)));
    list[i] = lua_tostring(L, -1);
    lua_pop(L, 1);
  }
  return list;
}

std::vector<Tensor> Args::tensors(const char* name) {
  int index = table(name);
  std::vector<Tensor> list(size_t(lua_rawlen(L, index)));
  for (size_t i = 0; i < list.size(); ++i) {
    lua_rawgeti(L, index, lua_Integer(i + 1));
    auto* box = test_object<TensorBox>(L, -1);
    if (!box)
      fail(index, name, fmt::format("entry {}: expected tensor, got {}", i + 1, describe_argument(L, -1)));
    if (!box->value)
      fail(index, name, fmt::format("entry {}: tensor was freed at {}", i + 1, to_string(box->freed)));
    list[i] = box->value;
    lua_pop(L, 1);
  }
  return list;
}

Shape Args::shape(const char* name) {
  if (lua_isinteger(L, next_)) { // one size is a vector
    int64_t size = integer(name);
    return Shape(std::span(&size, 1));
  }
  if (!lua_istable(L, next_)) wrong(next_, name, "a list of sizes");
  auto sizes = integers(name);
  return Shape(std::span<const int64_t>(sizes));
}

int Args::to_dim(int index, const char* name, int rank) {
  int64_t dim = to_integer(index, name);
  int64_t found = dim < 0 ? rank + dim : dim - 1;
  if (dim == 0 || found < 0 || found >= rank)
    fail(index, name, fmt::format("dim {} of a tensor with {} dim{}", dim, rank, rank == 1 ? "" : "s"));
  return int(found);
}

DType Args::dtype(const char* name) {
  auto text = std::string(string(name));
  auto found = dtype_named(text);
  if (!found) throw unknown_dtype(method.label(), text);
  return *found;
}

Options Args::options(const char* name, std::initializer_list<const char*> valid) {
  if (skip_nil()) return Options(*this, 0);
  int index = table(name);
  std::vector<std::string> names(valid.begin(), valid.end());
  lua_pushnil(L);
  while (lua_next(L, index)) {
    lua_pop(L, 1);
    std::string key = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
    if (std::find(names.begin(), names.end(), key) != names.end()) continue;
    if (key.empty()) key = describe_argument(L, -1);
    auto nearest = nearest_name(key, names);
    auto hint = nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest);
    throw error("{}: no option '{}'{}", method.label(), key, hint).note("it has", comma_list(names));
  }
  return Options(*this, index);
}

bool Options::has(const char* name) const {
  if (!table_) return false;
  bool found = lua_getfield(args_.L, table_, name) != LUA_TNIL;
  lua_pop(args_.L, 1);
  return found;
}

// Pushes the option and reads it with `read(index, wrong)`.
template <class Read> auto Options::read(const char* name, Read&& read) const {
  lua_State* L = args_.L;
  lua_getfield(L, table_, name);
  auto wrong = [&](const char* expected) {
    throw error("{}: option '{}': expected {}, got {}", args_.method.label(), name, expected,
                describe_argument(L, -1));
  };
  auto value = read(L, wrong);
  lua_pop(L, 1);
  return value;
}

int64_t Options::integer(const char* name, int64_t otherwise) const {
  if (!has(name)) return otherwise;
  return read(name, [](lua_State* L, auto wrong) {
    int exact = 0;
    int64_t value = lua_type(L, -1) == LUA_TNUMBER ? lua_tointegerx(L, -1, &exact) : 0;
    if (!exact) wrong("an integer");
    return value;
  });
}

double Options::number(const char* name, double otherwise) const {
  if (!has(name)) return otherwise;
  return read(name, [](lua_State* L, auto wrong) {
    if (lua_type(L, -1) != LUA_TNUMBER) wrong("a number");
    return double(lua_tonumber(L, -1));
  });
}

bool Options::boolean(const char* name, bool otherwise) const {
  if (!has(name)) return otherwise;
  return read(name, [](lua_State* L, auto wrong) {
    if (!lua_isboolean(L, -1)) wrong("true or false");
    return bool(lua_toboolean(L, -1));
  });
}

std::string Options::string(const char* name, std::string_view otherwise) const {
  if (!has(name)) return std::string(otherwise);
  return read(name, [](lua_State* L, auto wrong) {
    if (lua_type(L, -1) != LUA_TSTRING) wrong("a string");
    size_t size = 0;
    const char* text = lua_tolstring(L, -1, &size);
    return std::string(text ? text : "", size);
  });
}

DType Options::dtype(const char* name, DType otherwise) const {
  if (!has(name)) return otherwise;
  auto text = string(name, "");
  auto found = dtype_named(text);
  if (!found) throw unknown_dtype(args_.method.label(), text);
  return *found;
}

} // namespace wane::lua
