// The standard library's files: embedded, or from the folder that WANE_STDLIB names.
#pragma once

#include <optional>
#include <string>

namespace wane::lua {

std::optional<std::string> stdlib_text(const std::string& path); // "models/llama.lua"

} // namespace wane::lua
