// The layer between C++ and Lua 5.4. One trampoline calls every bound function: it turns C++ exceptions into
// Lua error values after the handler is left, steps Lua's collector by the bytes the engine handed out, and
// tells the engine the script's line. Linked to the C++ build of Lua, so that destructors run when Lua
// raises.
#pragma once

#include <cstdint>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <lua.hpp>

#include "runtime/tensor.h"

namespace wane::lua {

class Args;
using Function = int (*)(Args&); // pushes its results and returns how many

// What a function may do while a quantizer is traced: maps only record, views must not compute, others are
// refused.
enum class Kind : uint8_t { call, map, view, plain };

// A bound function. The same strings feed argument errors, help() and completion.
struct Method {
  const char* name;
  Function function;
  const char* signature; // "(y) -> tensor"
  const char* doc;
  Kind kind = Kind::call;
  int data = 0;           // distinguishes entries that share a function (an Op)
  bool is_method = false; // argument 1 is what stands after the self; set by make_class

  const char* label() const { return name[0] == '_' && name[1] == '_' ? name + 2 : name; } // in messages
};

// -- the place of the script
// ---------------------------------------------------------------------------------- The line of the first
// Lua function outside the standard library (chunks "@wane/..."), seen from the running one.
Origin where(lua_State* L);
bool is_library(const char* source);

// -- values
// --------------------------------------------------------------------------------------------------- The
// kind of value at a stack index in words: "tensor", "nil", "1.5".
std::string type_name(lua_State* L, int index);
std::string describe_argument(lua_State* L, int index);

void push(lua_State* L, std::string_view text);
void push(lua_State* L, int64_t value);
void push(lua_State* L, double value);
void push(lua_State* L, const Tensor& tensor);
void push(lua_State* L, const Shape& shape);
void push(lua_State* L, std::span<const int64_t> list);
void push(lua_State* L, std::span<const std::string> list);
inline void push_boolean(lua_State* L, bool value) { lua_pushboolean(L, value); }
void push_method(lua_State* L, const Method& method);
const Method* method_at(lua_State* L, int index);                            // of a bound function, else null
void set_methods(lua_State* L, std::span<Method> methods, bool are_methods); // into the table on top

// A userdata holding a T. The name is its metatable's key and what messages call it.
template <class T> struct Class; // specialise: static constexpr const char* name
void make_class(lua_State* L, const char* name, lua_CFunction collect, std::span<Method> methods,
                std::span<Method> metamethods);
void* test_class(lua_State* L, int index, const char* name); // null when it is something else

template <class T> int collect(lua_State* L) {
  static_cast<T*>(lua_touserdata(L, 1))->~T();
  return 0;
}
template <class T>
void make_class(lua_State* L, std::span<Method> methods, std::span<Method> metamethods = {}) {
  make_class(L, Class<T>::name, collect<T>, methods, metamethods);
}
template <class T, class... A> T& push_object(lua_State* L, A&&... args) {
  void* memory = lua_newuserdatauv(L, sizeof(T), 1);
  T* object = new (memory) T{std::forward<A>(args)...};
  luaL_setmetatable(L, Class<T>::name);
  return *object;
}
template <class T> T* test_object(lua_State* L, int index) {
  return static_cast<T*>(test_class(L, index, Class<T>::name));
}

// A tensor in Lua; `freed` is the line that let go of it.
struct TensorBox {
  Tensor value;
  Origin freed;
};
template <> struct Class<TensorBox> { static constexpr const char* name = "tensor"; };

// -- arguments
// ------------------------------------------------------------------------------------------------ A table of
// options that was checked for unknown keys. Reads name the option in their errors.
class Options {
public:
  Options(Args& args, int table) : args_(args), table_(table) {}
  bool has(const char* name) const;
  int64_t integer(const char* name, int64_t otherwise) const;
  double number(const char* name, double otherwise) const;
  bool boolean(const char* name, bool otherwise) const;
  std::string string(const char* name, std::string_view otherwise) const;
  DType dtype(const char* name, DType otherwise) const;

private:
  template <class Read> auto read(const char* name, Read&& read) const;
  Args& args_;
  int table_; // 0: none was given
};

// Reads the arguments of one call in order; each read consumes one and names it in errors:
// "matmul: argument 1 (y): expected tensor, got nil".
class Args {
public:
  Args(lua_State* state, const Method& method) : L(state), method(method), count_(lua_gettop(state)) {}

  lua_State* const L;
  const Method& method;

  bool more() const { return next_ <= count_; }
  bool is_nil() const { return lua_isnoneornil(L, next_); }
  int take() { return next_++; } // the stack index of the next argument
  void skip() { ++next_; }
  void take_all() { next_ = count_ + 1; }
  int count() const { return count_; }
  int peek() const { return next_; }

  int64_t integer(const char* name) { return to_integer(take(), name); }
  int64_t integer(const char* name, int64_t otherwise) { return skip_nil() ? otherwise : integer(name); }
  double number(const char* name);
  double number(const char* name, double otherwise) { return skip_nil() ? otherwise : number(name); }
  bool boolean(const char* name);
  bool boolean(const char* name, bool otherwise) { return skip_nil() ? otherwise : boolean(name); }
  std::string_view string(const char* name);
  std::string_view string(const char* name, std::string_view otherwise) {
    return skip_nil() ? otherwise : string(name);
  }
  Tensor tensor(const char* name) { return to_tensor(take(), name); }
  Tensor maybe_tensor(const char* name) { return skip_nil() ? Tensor() : tensor(name); }
  // A tensor, or a number read as one of the dtype of `like`.
  Tensor operand(const char* name, const Tensor& like) { return to_operand(take(), name, like); }
  Shape shape(const char* name);
  int dim(const char* name, int rank) { return to_dim(take(), name, rank); } // 1-based, negative from the end
  int dim(const char* name, int rank, int otherwise) { return skip_nil() ? otherwise : dim(name, rank); }
  DType dtype(const char* name);
  DType dtype(const char* name, DType otherwise) { return skip_nil() ? otherwise : dtype(name); }
  int table(const char* name); // the stack index of a table
  std::vector<int64_t> integers(const char* name) { return to_integers(table(name), name); }
  std::vector<std::string> strings(const char* name);
  std::vector<Tensor> tensors(const char* name);
  // An options table, or nothing: unknown keys are an error that lists the valid ones and the nearest.
  Options options(const char* name, std::initializer_list<const char*> valid);
  template <class T> T& object(const char* name) {
    int index = take();
    T* found = test_object<T>(L, index);
    if (!found) wrong(index, name, Class<T>::name);
    return *found;
  }

  int64_t to_integer(int index, const char* name);
  Tensor to_tensor(int index, const char* name);
  Tensor to_operand(int index, const char* name, const Tensor& like);
  std::vector<int64_t> to_integers(int index, const char* name);
  int to_dim(int index, const char* name, int rank);

  // throw error("name: argument N (name): expected ..., got ...")
  [[noreturn]] void wrong(int index, const char* name, std::string_view expected);
  [[noreturn]] void fail(int index, const char* name, const std::string& what);
  void finish(); // an Error for arguments that nothing read

private:
  bool skip_nil() { return is_nil() ? (skip(), true) : false; }
  int count_, next_ = 1;
};

template <class... T> int results(lua_State* L, const T&... values) {
  (push(L, values), ...);
  return int(sizeof...(values));
}

// -- errors
// --------------------------------------------------------------------------------------------------- An
// error value ("wane.error") keeps its exit code and place on its way through pcall to main.
struct ErrorValue {
  Error error;
};
template <> struct Class<ErrorValue> { static constexpr const char* name = "wane.error"; };
void open_errors(lua_State* L);
std::string text_of(const Error& error);            // "file:line: message" with notes and hint
[[noreturn]] void raise(lua_State* L, Error error); // the place is where(L) unless the error has one

struct Host;
Host& host(lua_State* L); // of this state and all its coroutines (host.h)

} // namespace wane::lua
