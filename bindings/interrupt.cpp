#include "bindings/interrupt.h"

#include <csignal>
#include <ctime>
#include <pthread.h>
#include <unistd.h>

#include "bindings/host.h"

namespace wane::lua {
namespace {

std::atomic<Host*> target{nullptr};
pthread_t lua_thread;
volatile int64_t last_signal = 0; // nanoseconds

void on_hook(lua_State* L, lua_Debug*) {
  if (!interrupt_requested()) {
    lua_sethook(L, nullptr, 0, 0);
    return;
  }
  raise(L, Error(Fault::interrupted, "interrupted"));
}

void on_signal(int signal) {
  if (!pthread_equal(pthread_self(), lua_thread)) { // Lua's state may be touched by its own thread only
    pthread_kill(lua_thread, signal);
    return;
  }
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  int64_t nanoseconds = int64_t(now.tv_sec) * 1'000'000'000 + now.tv_nsec;
  if (last_signal && nanoseconds - last_signal < 1'000'000'000) _exit(130);
  last_signal = nanoseconds;
  request_interrupt();
  Host* h = target.load();
  if (h)
    if (lua_State* L = h->running.load()) arm_interrupt(L);
}

// Moves `count` arguments into a coroutine and runs it; true when it yielded or returned `results` values.
bool transfer(lua_State* L, lua_State* co, int count, int& results) {
  if (!lua_checkstack(co, count)) {
    lua_pushliteral(co, "too many arguments to resume");
    return false;
  }
  lua_xmove(L, co, count);
  Host& h = host(L);
  lua_State* previous = h.running.exchange(co);
  if (interrupt_requested()) arm_interrupt(co);
  int status = lua_resume(co, L, count, &results);
  h.running = previous;
  if (interrupt_requested()) arm_interrupt(L);
  return status == LUA_OK || status == LUA_YIELD;
}

int resume(lua_State* L) {
  lua_State* co = lua_tothread(L, 1);
  if (!co) return luaL_typeerror(L, 1, "coroutine");
  int results = 0;
  if (!transfer(L, co, lua_gettop(L) - 1, results)) {
    lua_pushboolean(L, false);
    lua_xmove(co, L, 1);
    return 2;
  }
  if (!lua_checkstack(L, results + 1)) {
    lua_pop(co, results);
    lua_pushboolean(L, false);
    lua_pushliteral(L, "too many results to resume");
    return 2;
  }
  lua_pushboolean(L, true);
  lua_xmove(co, L, results);
  return results + 1;
}

int wrapped(lua_State* L) {
  lua_State* co = lua_tothread(L, lua_upvalueindex(1));
  int results = 0;
  if (transfer(L, co, lua_gettop(L), results)) {
    luaL_checkstack(L, results, "too many results");
    lua_xmove(co, L, results);
    return results;
  }
  int status = lua_status(co);
  if (status != LUA_OK && status != LUA_YIELD)
    lua_resetthread(co); // closes its variables; the error stays on top
  lua_xmove(co, L, 1);
  return lua_error(L);
}

int wrap(lua_State* L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_State* co = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  lua_pushcclosure(L, wrapped, 1);
  return 1;
}

} // namespace

void arm_interrupt(lua_State* L) {
  lua_sethook(L, on_hook, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
}

void install_interrupts(lua_State* L) {
  lua_thread = pthread_self();
  target = &host(L);
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigemptyset(&action.sa_mask);
  action.sa_flags = 0; // reads are interrupted: the REPL's line is given up
  sigaction(SIGINT, &action, nullptr);
}

void clear_interrupts(lua_State* L) {
  clear_interrupt();
  last_signal = 0;
  lua_sethook(L, nullptr, 0, 0);
}

void open_coroutines(lua_State* L) {
  lua_pushcfunction(L, resume);
  lua_setfield(L, -2, "resume");
  lua_pushcfunction(L, wrap);
  lua_setfield(L, -2, "wrap");
}

} // namespace wane::lua
