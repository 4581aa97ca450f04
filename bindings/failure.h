// Running Lua code from the host, and what is told when it fails.
#pragma once

#include <optional>
#include <string>

#include "bindings/lua.h"

namespace wane::lua {

struct Failure {
  Fault fault = Fault::recipe; // the exit code
  std::string text;            // message, the line of the script, the lines that called it
};

// Calls the function below `arguments` values on the stack; results are left there unless it fails.
std::optional<Failure> call(lua_State* L, int arguments, int results);
// Loads a script as text; its chunk name is its path. The chunk is left on the stack unless it fails.
std::optional<Failure> load_script(lua_State* L, const std::string& path);
std::optional<Failure> load_text(lua_State* L, std::string_view text, const std::string& chunk_name);
Failure failure_of(const Error& error);

} // namespace wane::lua
