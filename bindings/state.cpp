// Opening and closing a state: the libraries a recipe gets, the prelude over them, the core module, and the
// collector's share in memory pressure.
#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>
#include <sstream>
#include <utility>

#include "bindings/host.h"
#include "bindings/progress.h"
#include "bindings/stdlib.h"
#include "runtime/cpu/pool.h"
#include "runtime/embedded.h"
#include "runtime/memory.h"
#include "runtime/random.h"

namespace wane::lua {
namespace {

constexpr size_t kLeastForLua = size_t(1) << 30, kMostForLua = size_t(16) << 30;

// Small blocks of Lua's: userdata, short tables and strings come and go by the thousand between two
// collections, more than malloc keeps at hand. Blocks of a size are kept for the next of that size.
class SmallBlocks {
public:
  static constexpr size_t kLargest = 256;

  SmallBlocks() = default;
  SmallBlocks(const SmallBlocks&) = delete;
  ~SmallBlocks() {
    while (chunks_) std::free(std::exchange(chunks_, chunks_->next));
  }

  void* take(size_t bytes) {
    Free*& first = free_[slot(bytes)];
    if (!first && !refill(first, slot(bytes))) return nullptr;
    return std::exchange(first, first->next);
  }
  void give(void* block, size_t bytes) {
    Free*& first = free_[slot(bytes)];
    first = new (block) Free{first};
  }

private:
  struct Free {
    Free* next;
  };
  static constexpr size_t kStep = 16, kChunk = 16384;
  static size_t slot(size_t bytes) { return (bytes - 1) / kStep; }

  bool refill(Free*& first, size_t slot) {
    size_t size = (slot + 1) * kStep;
    auto* chunk = static_cast<std::byte*>(std::malloc(kChunk));
    if (!chunk) return false;
    chunks_ = new (chunk) Free{chunks_};
    for (size_t at = (kChunk - kStep) / size * size; at >= size; at -= size)
      first = new (chunk + kStep + at - size) Free{first};
    return true;
  }

  std::array<Free*, kLargest / kStep> free_{};
  Free* chunks_ = nullptr; // each starts with the address of the next
};

struct OwnedState : Host { // lives as long as the state
  size_t lua_bytes = 0;
  SmallBlocks small;

  void* take(size_t bytes) { return bytes <= SmallBlocks::kLargest ? small.take(bytes) : std::malloc(bytes); }
  void give(void* block, size_t bytes) {
    if (!block) return;
    bytes <= SmallBlocks::kLargest ? small.give(block, bytes) : std::free(block);
  }
  size_t lua_limit = std::clamp(memory_use().ceiling / 2, kLeastForLua, kMostForLua);
};

// Lua's own memory is bounded, so that a table without end is an error and not the end of the process.
void* allocate_lua(void* context, void* block, size_t old_size, size_t new_size) {
  auto& state = *static_cast<OwnedState*>(context);
  if (!block) old_size = 0; // then it is a type tag
  if (new_size == 0) {
    state.give(block, old_size);
    state.lua_bytes -= old_size;
    return nullptr;
  }
  if (new_size > old_size && state.lua_bytes + (new_size - old_size) > state.lua_limit) return nullptr;
  bool large = std::min(old_size, new_size) > SmallBlocks::kLargest;
  void* result = large ? std::realloc(block, new_size) : state.take(new_size);
  if (!result) return new_size <= old_size ? block : nullptr; // Lua counts on less being granted
  if (!large && block) {
    std::memcpy(result, block, std::min(old_size, new_size));
    state.give(block, old_size);
  }
  state.lua_bytes += new_size - old_size;
  return result;
}

int panic(lua_State* L) {
  const char* text = lua_tostring(L, -1);
  std::fprintf(stderr, "internal: unprotected error: %s\n", text ? text : "no message");
  std::_Exit(int(Fault::internal));
}

void open_libraries(lua_State* L) {
  const luaL_Reg libraries[] = {{LUA_GNAME, luaopen_base},          {LUA_LOADLIBNAME, luaopen_package},
                                {LUA_COLIBNAME, luaopen_coroutine}, {LUA_TABLIBNAME, luaopen_table},
                                {LUA_IOLIBNAME, luaopen_io},        {LUA_OSLIBNAME, luaopen_os},
                                {LUA_STRLIBNAME, luaopen_string},   {LUA_MATHLIBNAME, luaopen_math},
                                {LUA_UTF8LIBNAME, luaopen_utf8},    {LUA_DBLIBNAME, luaopen_debug}};
  for (auto& library : libraries) {
    luaL_requiref(L, library.name, library.func, 1);
    lua_pop(L, 1);
  }
  lua_getglobal(L, "string");
  lua_getfield(L, -1, "format");
  lua_setfield(L, LUA_REGISTRYINDEX, "wane.format");
  lua_pop(L, 1);
}

void open_core(lua_State* L) { // leaves the module on the stack
  lua_createtable(L, 0, 128);
  open_tensor(L);
  open_making(L);
  open_calls(L);
  open_buffer(L);
  open_cache(L);
  open_quantized(L);
  open_sweep(L);
  open_folded(L);
  open_checkpoint(L);
  open_tokenizer(L);
  open_writer(L);
  open_files(L);
  open_json(L);
  open_system(L);
  open_help(L);
  open_rivals(L);
  open_profile(L);
}

// Text of a standard library file, as prelude.lua's searcher asks for it.
int stdlib_text_of(lua_State* L) {
  auto text = stdlib_text(luaL_checkstring(L, 1));
  if (!text)
    lua_pushnil(L);
  else
    push(L, std::string_view(*text));
  return 1;
}

void set_native(lua_State* L, const char* name, const char* value) {
  if (!value) return;
  lua_pushstring(L, value);
  lua_setfield(L, -2, name);
}

void run_prelude(lua_State* L) {
  auto text = stdlib_text("prelude.lua");
  if (!text) throw error(Fault::internal, "the standard library has no prelude.lua");
  if (luaL_loadbufferx(L, text->data(), text->size(), "@wane/prelude.lua", "t") != LUA_OK)
    throw error(Fault::internal, "prelude: {}", lua_tostring(L, -1));
  open_prelude(L);
  lua_pushcfunction(L, stdlib_text_of);
  lua_setfield(L, -2, "stdlib_text");
  set_native(L, "search_path", std::getenv("WANE_PATH"));
  open_core(L);
  lua_call(L, 2, 0);
}

// The whole set-up runs protected, since any of it may run out of memory.
int set_up(lua_State* L) {
  open_libraries(L);
  open_errors(L);
  run_prelude(L);
  lua_gc(L, LUA_GCGEN, 0, 0);
  return 0;
}

// What goes wrong before the first script runs; the state's error value as text.
std::string set_up_problem(lua_State* L) {
  if (auto* value = test_object<ErrorValue>(L, -1)) return text_of(value->error);
  const char* text = lua_tostring(L, -1);
  return text ? text : "no message";
}

} // namespace

lua_State* open_state(HostOptions options) {
  auto owned = std::make_unique<OwnedState>();
  lua_State* L = lua_newstate(allocate_lua, owned.get());
  if (!L) throw error("no memory for a Lua state");
  Host* h = owned.get();
  *static_cast<Host**>(lua_getextraspace(L)) = h;
  set_quiet(options.quiet);
  set_seed(options.seed);
  reset_streams();
  h->options = std::move(options);
  h->main = L;
  h->running = L;
  h->thread = std::this_thread::get_id();
  lua_atpanic(L, panic);
  take_allocated_bytes();
  lua_pushcfunction(L, set_up);
  if (lua_pcall(L, 0, 0, 0) != LUA_OK) {
    auto problem = set_up_problem(L);
    lua_close(L);
    throw error(Fault::internal, "{}", problem);
  }
  // A collection is safe only inside a bound function, on Lua's own thread.
  set_memory_pressure([h] {
    if (h->active && std::this_thread::get_id() == h->thread) lua_gc(h->active, LUA_GCCOLLECT);
  });
  owned.release(); // close_state() deletes it
  return L;
}

void close_state(lua_State* L) {
  set_memory_pressure(nullptr);
  auto* owned = static_cast<OwnedState*>(&host(L));
  lua_close(L);
  delete owned;
}

std::optional<std::string> stdlib_text(const std::string& path) {
  if (const char* folder = std::getenv("WANE_STDLIB")) {
    std::ifstream file(std::string(folder) + "/" + path, std::ios::binary);
    if (!file) return std::nullopt;
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  for (size_t i = 0; i < embedded_stdlib_count; ++i)
    if (path == embedded_stdlib[i].path) return std::string(embedded_stdlib[i].text());
  return std::nullopt;
}

} // namespace wane::lua
