// Ctrl-C in Lua code: the signal handler arms a hook on the running coroutine, and the hook raises at every
// instruction until the host clears the request, so neither pcall nor a coroutine can swallow it.
#pragma once

#include "bindings/lua.h"

namespace wane::lua {

void install_interrupts(lua_State* L); // SIGINT of this process; one state at a time
void clear_interrupts(lua_State* L);   // before a new line of the REPL
void arm_interrupt(lua_State* L);      // safe in a signal handler

} // namespace wane::lua
