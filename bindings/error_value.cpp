// Errors as Lua values: print as their whole text, keep the exit code, and can be looked into after pcall.
#include "bindings/host.h"
#include "bindings/lua.h"

namespace wane::lua {
namespace {

int error_text(Args& a) {
  return results(a.L, std::string_view(text_of(a.object<ErrorValue>("error").error)));
}

int error_join(Args& a) { // "..": what scripts do with messages
  std::string text;
  for (int side = 1; side <= 2; ++side) {
    int index = a.take();
    if (auto* value = test_object<ErrorValue>(a.L, index))
      text += text_of(value->error);
    else if (lua_isstring(a.L, index))
      text += lua_tostring(a.L, index);
    else
      a.wrong(index, "text", "a string");
  }
  return results(a.L, std::string_view(text));
}

int error_field(Args& a) {
  const Error& e = a.object<ErrorValue>("error").error;
  auto name = a.string("field");
  if (name == "message") return results(a.L, std::string_view(e.what()));
  if (name == "text") return results(a.L, std::string_view(text_of(e)));
  if (name == "place") return results(a.L, std::string_view(to_string(e.origin())));
  if (name == "fault") return results(a.L, int64_t(e.fault()));
  lua_pushnil(a.L);
  return 1;
}

Method error_meta[] = {
    {"__tostring", error_text, "", "", Kind::plain},
    {"__concat", error_join, "", "", Kind::plain},
    {"__index", error_field, "", "", Kind::plain},
};

} // namespace

void open_errors(lua_State* L) { make_class<ErrorValue>(L, {}, error_meta); }

std::string text_of(const Error& e) {
  auto place = to_string(e.origin());
  return place.empty() ? e.text() : place + ": " + e.text();
}

void raise(lua_State* L, Error problem) {
  {
    Error placed = std::move(problem);
    if (placed.fault() != Fault::interrupted) placed.at(where(L));
    push_object<ErrorValue>(L, std::move(placed));
  }
  lua_error(L);
  __builtin_unreachable(); // lua_error does not return
}

} // namespace wane::lua
