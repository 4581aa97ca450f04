// What help() and completion know.
#pragma once

#include <string>
#include <vector>

#include "bindings/lua.h"

namespace wane::lua {

std::string help_text(lua_State* L, const std::string& name); // an Error that names the nearest
std::vector<std::string> tensor_fields();

} // namespace wane::lua
