// What belongs to one Lua state: options of the command line, the run, tracing, and who is running.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "bindings/lua.h"

namespace wane::lua {

struct HostOptions {
  uint64_t seed = 0;
  std::string device = "cpu";
  bool strict = false, quiet = false, json = false, profile = false;
  std::string run;                    // the run's folder, or empty
  std::string script;                 // the recipe, or empty
  std::vector<std::string> arguments; // of the recipe
};

struct Host {
  HostOptions options;
  lua_State* main = nullptr;
  std::atomic<lua_State*> running{nullptr}; // the coroutine that executes; read by the signal handler
  lua_State* active = nullptr;              // the state inside a bound function; null while Lua runs
  std::thread::id thread;
  int tracing = 0;
  size_t handed_out = 0, since_full = 0; // bytes, for the collector
  std::vector<std::string> deviations;   // what was not done as asked, told at the end of a run
};

// A state with the deterministic prelude, the tensor classes and `require "wane"`. Closing it is the owner's
// work.
lua_State* open_state(HostOptions options);
void close_state(lua_State* L);
struct StateCloser {
  void operator()(lua_State* L) const { close_state(L); }
};
using State = std::unique_ptr<lua_State, StateCloser>;

// Parts of the core module: each adds its functions to the table on top of the stack and makes its classes.
void open_tensor(lua_State* L);
void open_making(lua_State* L);
void open_calls(lua_State* L);
void open_buffer(lua_State* L);
void open_cache(lua_State* L);
void open_quantized(lua_State* L);
void open_sweep(lua_State* L);
void open_folded(lua_State* L);
void open_checkpoint(lua_State* L);
void open_tokenizer(lua_State* L);
void open_writer(lua_State* L);
void open_files(lua_State* L);
void open_json(lua_State* L);
void open_system(lua_State* L);
void open_help(lua_State* L);
void open_rivals(lua_State* L);
void open_profile(lua_State* L);
// The natives of the deterministic prelude; leaves the table of them on the stack.
void open_prelude(lua_State* L);
void open_strings(lua_State* L); // into the table on top
void open_coroutines(lua_State* L);

} // namespace wane::lua
