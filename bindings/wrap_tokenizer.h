// Tokenizers in Lua.
#pragma once

#include "bindings/lua.h"
#include "runtime/model/tokenizer.h"

namespace wane::lua {

void push_tokenizer(lua_State* L, std::shared_ptr<const Tokenizer> tokenizer);

} // namespace wane::lua
