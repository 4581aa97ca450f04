// help(): from the strings of the method tables and those that the standard library registers.
#include <algorithm>
#include <set>

#include "bindings/help.h"
#include "bindings/wrap_tensor.h"

namespace wane::lua {
namespace {

std::string entry_text(const std::string& name, const Doc& doc) {
  std::string out = name + doc.signature;
  size_t from = 0;
  while (from < doc.text.size()) {
    size_t end = doc.text.find('\n', from);
    if (end == std::string::npos) end = doc.text.size();
    out += "\n  " + doc.text.substr(from, end - from);
    from = end + 1;
  }
  return out;
}

// All entries "group.name", one line each.
std::string group_text(const std::map<std::string, Doc>& docs, const std::string& group) {
  std::vector<std::pair<std::string, std::string>> lines;
  size_t width = 0;
  for (auto& [name, doc] : docs) {
    if (name.compare(0, group.size() + 1, group + ".") != 0) continue;
    auto head = name.substr(group.size() + 1) + doc.signature.substr(0, doc.signature.find(" ->"));
    lines.emplace_back(head, doc.text.substr(0, doc.text.find('\n')));
    width = std::max(width, std::min<size_t>(head.size(), 30));
  }
  std::string out;
  for (auto& [head, text] : lines)
    out += fmt::format("{}{:<{}}  {}", out.empty() ? "" : "\n", head, width, text);
  return out;
}

std::string overview(const std::map<std::string, Doc>& docs) {
  std::map<std::string, std::string> groups;
  for (auto& [name, doc] : docs) {
    size_t dot = name.find('.');
    if (dot == std::string::npos) continue;
    auto& list = groups[name.substr(0, dot)];
    list += (list.empty() ? "" : " ") + name.substr(dot + 1);
  }
  std::string out = "help \"name\" or help(value) tells more; help \"tensor\" lists the methods of tensors";
  for (auto& [group, names] : groups) {
    out += "\n\n" + group;
    std::string line;
    for (size_t from = 0; from <= names.size();) {
      size_t end = std::min(names.find(' ', from), names.size());
      auto word = names.substr(from, end - from);
      if (line.size() + word.size() > 96) out += "\n " + line, line.clear();
      line += " " + word;
      from = end + 1;
    }
    out += "\n " + line;
  }
  return out;
}

// The name under which the module "wane" holds a value.
std::string name_in_module(lua_State* L, int value) {
  std::string found;
  int top = lua_gettop(L);
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_getfield(L, -1, "wane");
  if (luaL_getmetafield(L, -1, "__exports") == LUA_TTABLE) {
    lua_pushnil(L);
    while (lua_next(L, -2)) {
      bool same = lua_rawequal(L, -1, value) && lua_type(L, -2) == LUA_TSTRING;
      lua_pop(L, 1);
      if (same && (found.empty() || lua_tostring(L, -1) < found)) found = lua_tostring(L, -1);
    }
  }
  lua_settop(L, top);
  return found;
}

std::string help_for_value(lua_State* L, int index) {
  auto& docs = host(L).docs;
  auto name = name_in_module(L, index);
  if (auto doc = docs.find("wane." + name); !name.empty() && doc != docs.end())
    return entry_text(doc->first, doc->second);
  if (auto* method = method_at(L, index))
    return entry_text(name.empty() ? method->name : "wane." + name, {method->signature, method->doc});
  if (test_object<TensorBox>(L, index)) return help_text(L, "tensor");
  throw error("help: nothing is written about this {}", type_name(L, index))
      .hint("help() lists what there is");
}

int help_of(Args& a) {
  int index = a.take();
  if (lua_isnoneornil(a.L, index)) return results(a.L, std::string_view(overview(host(a.L).docs)));
  if (lua_type(a.L, index) == LUA_TSTRING)
    return results(a.L, std::string_view(help_text(a.L, lua_tostring(a.L, index))));
  return results(a.L, std::string_view(help_for_value(a.L, index)));
}

int document(Args& a) {
  auto name = std::string(a.string("name"));
  Doc doc;
  doc.signature = a.string("signature", "");
  doc.text = a.string("doc", "");
  host(a.L).docs[name] = doc;
  return 0;
}

int fields_of_tensors(Args& a) { return results(a.L, std::span<const std::string>(tensor_fields())); }

int metatable_of(Args& a) { // for completion; the metatable of a table, also a hidden one
  int index = a.take();
  if (!lua_istable(a.L, index) || !lua_getmetatable(a.L, index)) lua_pushnil(a.L);
  return 1;
}

Method functions[] = {
    {"tensor_fields", fields_of_tensors, "() -> names", "Fields and methods of tensors.", Kind::plain},
    {"metatable", metatable_of, "(table) -> table or nil", "The metatable of a table.", Kind::plain},
    {"help", help_of, "([name or value]) -> text", "What is written about a name or a value.", Kind::plain},
    {"document", document, "(name, signature, doc)", "Registers the text that help() shows for a name.",
     Kind::plain},
};

void add_docs(Host& h, const std::string& group, std::span<const Method> methods) {
  for (auto& method : methods) h.docs[group + "." + method.name] = {method.signature, method.doc};
}

} // namespace

std::string help_text(lua_State* L, const std::string& name) {
  auto& docs = host(L).docs;
  for (auto& full : {name, "wane." + name, "tensor." + name})
    if (auto found = docs.find(full); found != docs.end()) return entry_text(found->first, found->second);
  if (auto group = group_text(docs, name); !group.empty()) return group;
  std::string all; // the same method of several nouns
  for (auto& [full, doc] : docs)
    if (full.size() > name.size()
        && full.compare(full.size() - name.size() - 1, std::string::npos, "." + name) == 0)
      all += (all.empty() ? "" : "\n") + entry_text(full, doc);
  if (!all.empty()) return all;
  std::set<std::string> known;
  for (auto& [full, doc] : docs) known.insert(full.substr(full.find('.') + 1));
  auto nearest = nearest_name(name, {known.begin(), known.end()});
  throw error("help: nothing is called '{}'{}", name,
              nearest.empty() ? "" : fmt::format("; did you mean '{}'?", nearest));
}

std::vector<std::string> tensor_fields() {
  std::vector<std::string> names = {"shape", "dtype", "device", "bytes", "free"};
  for (auto methods : {map_methods(), reduction_methods(), layout_methods(), order_methods(),
                       reading_methods(), matrix_methods()})
    for (auto& method : methods) names.emplace_back(method.name);
  return names;
}

void open_help(lua_State* L) {
  Host& h = host(L);
  for (auto methods : {map_methods(), reduction_methods(), layout_methods(), order_methods(),
                       reading_methods(), matrix_methods()})
    add_docs(h, "tensor", methods);
  h.docs["tensor.free"] = {"()", "Lets go of the memory now; reading the tensor afterwards is an error."};
  h.docs["tensor.shape"] = {"", "A Lua list of sizes."};
  h.docs["tensor.dtype"] = {"", "f64 f32 bf16 f16 e4m3 e5m2 i64 i32 i8 u8 bool."};
  h.docs["tensor.device"] = {"", "Where the elements are."};
  h.docs["tensor.bytes"] = {"", "Size of all elements."};
  set_methods(L, functions, false);
}

} // namespace wane::lua
