// JSON between Lua tables and text.
#pragma once

#include <string>
#include <string_view>

#include "bindings/lua.h"

namespace wane::lua {

// Pushes the value of a JSON text. Objects become tables without their null entries, arrays lists; an empty
// array stays an array when it is written again. Fault::bad_file naming `where` and the byte.
void push_json(lua_State* L, std::string_view text, const std::string& where);
// Keys sorted, floats in the shortest form that reads back the same; NaN and infinities, which JSON lacks,
// are null.
std::string json_text(lua_State* L, int index, int indent);
// A JSON string, quoted.
std::string json_string(std::string_view text);

} // namespace wane::lua
