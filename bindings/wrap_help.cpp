// What help(), completion and the tests of the docs read of bound functions and metatables. What help() says
// and how it looks is the standard library's: stdlib/help.lua, stdlib/docs/.
#include <algorithm>
#include <filesystem>
#include <string>
#include <vector>

#include "bindings/wrap_tensor.h"

namespace wane::lua {
namespace {

constexpr const char* kFields[] = {"bytes", "device", "dtype", "shape"};

// How a map's result dtype follows from its operands, or nothing for what is no map.
std::string_view rule_of(std::string_view name) {
  for (auto& info : op_table()) {
    if (info.name != name) continue;
    switch (info.rule) {
    case ResultRule::same: return "same";
    case ResultRule::real: return "real";
    case ResultRule::truth: return "truth";
    case ResultRule::chosen: return "chosen";
    case ResultRule::integer: return "integer";
    case ResultRule::logical: return "logical";
    }
  }
  return {};
}

void set_text(lua_State* L, const char* key, std::string_view text) { // in the table on top
  if (text.empty()) return;
  push(L, text);
  lua_setfield(L, -2, key);
}

void push_method_doc(lua_State* L, const Method& method) {
  lua_createtable(L, 0, 4);
  set_text(L, "name", method.name);
  set_text(L, "signature", method.signature);
  set_text(L, "doc", method.doc);
  if (method.is_method) set_text(L, "rule", rule_of(method.name));
}

int methods_of_tensors(Args& a) {
  lua_newtable(a.L);
  int docs = lua_gettop(a.L);
  lua_getfield(a.L, LUA_REGISTRYINDEX, kMethodTable);
  lua_pushnil(a.L);
  while (lua_next(a.L, -2)) {
    if (auto* method = method_at(a.L, -1))
      push_method_doc(a.L, *method);
    else
      lua_newtable(a.L); // a function of the standard library
    lua_pushvalue(a.L, -3);
    lua_insert(a.L, -2);
    lua_settable(a.L, docs);
    lua_pop(a.L, 1);
  }
  lua_settop(a.L, docs);
  return 1;
}

int fields_of_tensors(Args& a) {
  std::vector<std::string> names(std::begin(kFields), std::end(kFields));
  lua_getfield(a.L, LUA_REGISTRYINDEX, kMethodTable);
  lua_pushnil(a.L);
  while (lua_next(a.L, -2)) {
    lua_pop(a.L, 1);
    names.emplace_back(lua_tostring(a.L, -1));
  }
  std::sort(names.begin(), names.end());
  return results(a.L, std::span<const std::string>(names));
}

int doc_of_function(Args& a) {
  auto* method = method_at(a.L, a.take());
  if (!method) return lua_pushnil(a.L), 1;
  return push_method_doc(a.L, *method), 1;
}

int metatable_of(Args& a) { // for completion; the metatable of a table, also a hidden one
  int index = a.take();
  if (!lua_istable(a.L, index) || !lua_getmetatable(a.L, index)) lua_pushnil(a.L);
  return 1;
}

struct FolderChange {
  std::filesystem::path before = std::filesystem::current_path();
  explicit FolderChange(const std::string& folder) {
    std::error_code problem;
    std::filesystem::current_path(folder, problem);
    if (problem) throw error(Fault::missing, "{}: {}", folder, problem.message());
  }
  ~FolderChange() {
    std::error_code ignored;
    std::filesystem::current_path(before, ignored);
  }
};

int in_folder(Args& a) {
  FolderChange change(std::string(a.string("folder")));
  int function = a.take();
  if (!lua_isfunction(a.L, function)) a.wrong(function, "function", "a function");
  a.take_all();
  lua_pushvalue(a.L, function);
  lua_call(a.L, 0, 0);
  return 0;
}

Method functions[] = {
    {"tensor_fields", fields_of_tensors, "() -> names", "Fields and methods of tensors.", Kind::plain},
    {"tensor_methods", methods_of_tensors, "() -> table",
     "By name what stands at the methods of tensors: signature, doc, and the dtype rule of a map.",
     Kind::plain},
    {"bound", doc_of_function, "(function) -> table or nil",
     "Name, signature and doc of a function of the engine.", Kind::plain},
    {"metatable", metatable_of, "(table) -> table or nil", "The metatable of a table.", Kind::plain},
    {"in_folder", in_folder, "(folder, function)", "Calls a function with another current folder.",
     Kind::plain},
};

} // namespace

void open_help(lua_State* L) { set_methods(L, functions, false); }

} // namespace wane::lua
