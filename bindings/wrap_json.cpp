#include "bindings/wrap_json.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "bindings/host.h"
#include "runtime/model/json.h"

namespace wane::lua {
namespace {

constexpr const char* kEmptyList = "wane.empty_list"; // metatable of empty arrays
constexpr int kMaxDepth = 64;

void push_value(lua_State* L, const nlohmann::json& value) {
  luaL_checkstack(L, 4, nullptr);
  switch (value.type()) {
  case nlohmann::json::value_t::object:
    lua_createtable(L, 0, int(value.size()));
    for (auto& [key, entry] : value.items()) {
      if (entry.is_null()) continue;
      push(L, std::string_view(key));
      push_value(L, entry);
      lua_rawset(L, -3);
    }
    return;
  case nlohmann::json::value_t::array: {
    lua_createtable(L, int(value.size()), 0);
    lua_Integer at = 0;
    for (auto& entry : value) {
      if (entry.is_null())
        lua_pushboolean(L, false); // a list has no holes
      else
        push_value(L, entry);
      lua_rawseti(L, -2, ++at);
    }
    if (value.empty()) luaL_setmetatable(L, kEmptyList);
    return;
  }
  case nlohmann::json::value_t::string: return push(L, std::string_view(value.get_ref<const std::string&>()));
  case nlohmann::json::value_t::boolean: return lua_pushboolean(L, value.get<bool>());
  case nlohmann::json::value_t::number_integer: return push(L, value.get<int64_t>());
  case nlohmann::json::value_t::number_unsigned:
    if (value.get<uint64_t>() <= uint64_t(INT64_MAX)) return push(L, value.get<int64_t>());
    [[fallthrough]];
  case nlohmann::json::value_t::number_float: return push(L, value.get<double>());
  default: return lua_pushnil(L);
  }
}

class Writer {
public:
  Writer(lua_State* L, int indent) : L_(L), indent_(indent) {}

  void value(int index, int depth) {
    if (depth > kMaxDepth)
      throw error("json: tables nested deeper than {}; does one hold itself?", kMaxDepth);
    luaL_checkstack(L_, 6, nullptr);
    index = lua_absindex(L_, index);
    switch (lua_type(L_, index)) {
    case LUA_TNIL: out += "null"; break;
    case LUA_TBOOLEAN: out += lua_toboolean(L_, index) ? "true" : "false"; break;
    case LUA_TNUMBER: number(index); break;
    case LUA_TSTRING: {
      size_t size;
      const char* text = lua_tolstring(L_, index, &size);
      out += json_string({text, size});
      break;
    }
    case LUA_TTABLE: table(index, depth); break;
    default: throw error("json: a {} has no JSON form", type_name(L_, index));
    }
  }
  std::string out;

private:
  void number(int index) {
    if (lua_isinteger(L_, index)) {
      out += fmt::format("{}", lua_tointeger(L_, index));
      return;
    }
    double value = lua_tonumber(L_, index);
    if (!std::isfinite(value)) {
      out += "null";
      return;
    }
    char digits[32];
    auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
    std::string_view text(digits, size_t(end - digits));
    out += text;
    if (text.find_first_of(".e") == std::string_view::npos) out += ".0"; // stays a float when read back
  }
  bool is_list(int index) {
    if (lua_rawlen(L_, index) > 0) return true;
    if (!lua_getmetatable(L_, index)) return false;
    luaL_getmetatable(L_, kEmptyList);
    bool same = lua_rawequal(L_, -1, -2);
    lua_pop(L_, 2);
    return same;
  }
  void line(int depth) {
    if (indent_ > 0) out += "\n" + std::string(size_t(indent_ * depth), ' ');
  }
  void table(int index, int depth) {
    if (is_list(index)) return list(index, depth);
    std::vector<std::string> keys;
    lua_pushnil(L_);
    while (lua_next(L_, index)) {
      lua_pop(L_, 1);
      if (lua_type(L_, -1) != LUA_TSTRING)
        throw error("json: the key {} of an object is no string", describe_argument(L_, -1));
      size_t size;
      const char* key = lua_tolstring(L_, -1, &size);
      keys.emplace_back(key, size);
    }
    std::sort(keys.begin(), keys.end());
    if (keys.empty()) {
      out += "{}";
      return;
    }
    out += "{";
    for (size_t i = 0; i < keys.size(); ++i) {
      if (i) out += indent_ > 0 ? "," : ", ";
      line(depth + 1);
      out += json_string(keys[i]) + ": ";
      push(L_, std::string_view(keys[i]));
      lua_rawget(L_, index);
      value(-1, depth + 1);
      lua_pop(L_, 1);
    }
    line(depth);
    out += "}";
  }
  void list(int index, int depth) {
    out += "[";
    auto size = lua_Integer(lua_rawlen(L_, index));
    for (lua_Integer i = 1; i <= size; ++i) {
      if (i > 1) out += indent_ > 0 ? "," : ", ";
      line(depth + 1);
      lua_rawgeti(L_, index, i);
      value(-1, depth + 1);
      lua_pop(L_, 1);
    }
    if (size) line(depth);
    out += "]";
  }

  lua_State* L_;
  int indent_;
};

int write_json(Args& a) {
  int value = a.take();
  int indent = int(a.options("options", {"indent"}).integer("indent", 0));
  return results(a.L, std::string_view(json_text(a.L, value, indent)));
}

int read_json(Args& a) {
  auto text = a.string("text");
  push_json(a.L, text, std::string(a.string("where", "text")));
  return 1;
}

Method functions[] = {
    {"json", write_json, "(value, { indent = 0 }) -> text", "A value as JSON, keys sorted.", Kind::plain},
    {"parse_json", read_json, "(text [, where]) -> value", "The value of a JSON text.", Kind::plain},
};

} // namespace

void push_json(lua_State* L, std::string_view text, const std::string& where) {
  push_value(L, parse_json(text, where));
}

std::string json_text(lua_State* L, int index, int indent) {
  Writer writer(L, indent);
  writer.value(index, 0);
  return std::move(writer.out);
}

std::string json_string(std::string_view text) {
  return nlohmann::json(std::string(text)).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

void open_json(lua_State* L) {
  luaL_newmetatable(L, kEmptyList);
  lua_pop(L, 1);
  set_methods(L, functions, false);
}

} // namespace wane::lua
