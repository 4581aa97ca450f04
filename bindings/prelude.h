// Natives of the deterministic prelude that other parts use.
#pragma once

#include "bindings/lua.h"

namespace wane::lua {

// Pushes the text of a value as print shows it: never an address, since those differ from run to run.
void push_text(lua_State* L, int index);
std::string text_at(lua_State* L, int index);

} // namespace wane::lua
