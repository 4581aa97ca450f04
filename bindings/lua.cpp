#include "bindings/lua.h"

#include <array>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "bindings/host.h"

namespace wane::lua {
namespace {

constexpr int kMostLevels = 200;                // looked at for a place: Lua finds level n in n steps
constexpr size_t kStepBytes = size_t(32) << 20; // handed out between two steps of the collector
constexpr size_t kFullBytes = size_t(2) << 30; // between two full collections: minor steps keep what grew old

// Chunk names by the pointer Lua gives, checked against the text since a chunk may be collected and its
// memory reused.
struct KnownChunk {
  const char* pointer = nullptr;
  std::string name;
  uint32_t file = 0; // 0: standard library
};

uint32_t file_of(const lua_Debug& frame) {
  static thread_local std::array<KnownChunk, 64> known;
  auto& slot = known[(reinterpret_cast<uintptr_t>(frame.source) >> 4) % known.size()];
  if (slot.pointer == frame.source && slot.name == frame.source) return slot.file;
  slot.pointer = frame.source;
  slot.name = frame.source;
  if (is_library(frame.source))
    slot.file = 0;
  else
    slot.file = intern_file(frame.source[0] == '@' ? frame.source + 1 : frame.short_src);
  return slot.file;
}

Origin first_user_line(lua_State* L) {
  lua_Debug frame;
  for (int level = 0; level < kMostLevels && lua_getstack(L, level, &frame); ++level) {
    lua_getinfo(L, "Sl", &frame);
    if (frame.currentline < 0) continue; // C
    if (uint32_t file = file_of(frame)) return {file, frame.currentline};
  }
  return {};
}

// WANE_GC=stress, for scripts/check: a full collection after every call.
bool stressed() {
  static const bool on = [] {
    const char* set = std::getenv("WANE_GC");
    return set && std::strcmp(set, "stress") == 0;
  }();
  return on;
}

void step_collector(lua_State* L, Host& h) {
  size_t bytes = take_allocated_bytes();
  h.handed_out += bytes;
  h.since_full += bytes;
  if (h.since_full >= kFullBytes || stressed()) {
    h.since_full = h.handed_out = 0;
    lua_gc(L, LUA_GCCOLLECT);
  } else if (h.handed_out >= kStepBytes) {
    h.handed_out = 0;
    lua_gc(L, LUA_GCSTEP, 0); // generational: one young collection
  }
}

class ActiveState { // tells the memory pressure callback that a collection is safe now
public:
  ActiveState(Host& h, lua_State* L) : host_(h), previous_(h.active) { h.active = L; }
  ~ActiveState() { host_.active = previous_; }
  ActiveState(const ActiveState&) = delete;

private:
  Host& host_;
  lua_State* previous_;
};

int run(lua_State* L, Host& h, const Method& method) {
  if (h.tracing && method.kind == Kind::call)
    throw error("{}: a value is asked for while tracing", method.label())
        .hint("only maps, where and lookup are traced");
  Args args(L, method);
  ActiveState active(h, L);
  int results;
  if (method.kind == Kind::plain) {
    results = method.function(args);
  } else {
    check_interrupt();
    OriginScope origin(where(L));
    results = method.function(args);
  }
  args.finish();
  return results;
}

int trampoline(lua_State* L) {
  auto& method = *static_cast<const Method*>(lua_touserdata(L, lua_upvalueindex(1)));
  Host& h = host(L);
  std::optional<Error> problem;
  int results = 0;
  try {
    results = run(L, h, method);
  } catch (const Error& e) {
    problem = e;
  } catch (const std::bad_alloc&) {
    problem = error("{}: out of memory", method.label());
  } catch (const std::exception& e) {
    problem = error(Fault::internal, "{}: internal: {}", method.label(), e.what());
  }
  if (problem) raise(L, std::move(*problem));
  if (method.kind != Kind::plain) step_collector(L, h);
  return results;
}

} // namespace

Host& host(lua_State* L) { return **static_cast<Host**>(lua_getextraspace(L)); }

bool is_library(const char* source) { return std::strncmp(source, "@wane/", 6) == 0; }

Origin where(lua_State* L) {
  if (Origin found = first_user_line(L)) return found;
  // Inside a coroutine of the standard library: the line is the one that main waits on.
  lua_State* main = host(L).main;
  return main != L ? first_user_line(main) : Origin{};
}

std::string type_name(lua_State* L, int index) {
  if (luaL_getmetafield(L, index, "__name") == LUA_TSTRING) {
    std::string name = lua_tostring(L, -1);
    lua_pop(L, 1);
    return name;
  }
  return luaL_typename(L, index);
}

std::string describe_argument(lua_State* L, int index) {
  switch (lua_type(L, index)) {
  case LUA_TNONE: return "nothing";
  case LUA_TNUMBER: {
    if (lua_isinteger(L, index)) return fmt::format("{}", lua_tointeger(L, index));
    return fmt::format("{}", lua_tonumber(L, index));
  }
  case LUA_TBOOLEAN: return lua_toboolean(L, index) ? "true" : "false";
  case LUA_TSTRING: {
    std::string_view text = lua_tostring(L, index);
    return text.size() <= 40 ? fmt::format("'{}'", text) : fmt::format("'{}...'", text.substr(0, 37));
  }
  default: return type_name(L, index);
  }
}

void push(lua_State* L, std::string_view text) { lua_pushlstring(L, text.data(), text.size()); }
void push(lua_State* L, int64_t value) { lua_pushinteger(L, value); }
void push(lua_State* L, double value) { lua_pushnumber(L, value); }
void push(lua_State* L, const Tensor& tensor) { push_object<TensorBox>(L, tensor, Origin{}); }
void push(lua_State* L, const Shape& shape) { push(L, std::span(shape.begin(), size_t(shape.rank()))); }

void push(lua_State* L, std::span<const int64_t> list) {
  lua_createtable(L, int(list.size()), 0);
  for (size_t i = 0; i < list.size(); ++i) {
    lua_pushinteger(L, list[i]);
    lua_rawseti(L, -2, lua_Integer(i + 1));
  }
}

void push(lua_State* L, std::span<const std::string> list) {
  lua_createtable(L, int(list.size()), 0);
  for (size_t i = 0; i < list.size(); ++i) {
    push(L, std::string_view(list[i]));
    lua_rawseti(L, -2, lua_Integer(i + 1));
  }
}

void push_method(lua_State* L, const Method& method) {
  lua_pushlightuserdata(L, const_cast<Method*>(&method));
  lua_pushcclosure(L, trampoline, 1);
}

const Method* method_at(lua_State* L, int index) {
  if (lua_tocfunction(L, index) != trampoline) return nullptr;
  lua_getupvalue(L, index, 1);
  auto* method = static_cast<const Method*>(lua_touserdata(L, -1));
  lua_pop(L, 1);
  return method;
}

void set_methods(lua_State* L, std::span<Method> methods, bool are_methods) {
  for (auto& method : methods) {
    method.is_method = are_methods;
    push_method(L, method);
    lua_setfield(L, -2, method.name);
  }
}

void make_class(lua_State* L, const char* name, lua_CFunction collect, std::span<Method> methods,
                std::span<Method> metamethods) {
  luaL_newmetatable(L, name); // sets __name
  lua_pushcfunction(L, collect);
  lua_setfield(L, -2, "__gc");
  push(L, std::string_view(name));
  lua_setfield(L, -2, "__metatable"); // hides it from getmetatable
  if (!methods.empty()) {
    lua_createtable(L, 0, int(methods.size()));
    set_methods(L, methods, true);
    lua_setfield(L, -2, "__index");
  }
  set_methods(L, metamethods, true);
  lua_pop(L, 1);
}

void* test_class(lua_State* L, int index, const char* name) {
  void* object = lua_touserdata(L, index);
  if (!object || !lua_getmetatable(L, index)) return nullptr;
  luaL_getmetatable(L, name);
  bool same = lua_rawequal(L, -1, -2);
  lua_pop(L, 2);
  return same ? object : nullptr;
}

} // namespace wane::lua
