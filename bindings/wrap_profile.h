// `wane run --profile`: what ran is summed up by the stack of the script that asked for it.
#pragma once

#include "bindings/host.h"

namespace wane::lua {

// Listens from here on to what runs under this state, after measuring what the machine can do. One state at a
// time.
void start_profile(lua_State* L);
void stop_profile();

} // namespace wane::lua
