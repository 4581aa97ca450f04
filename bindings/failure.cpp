#include "bindings/failure.h"

#include <cstdlib>
#include <cstring>
#include <fstream>

#include "bindings/host.h"
#include "bindings/prelude.h"
#include "runtime/model/source.h"

namespace wane::lua {
namespace {

constexpr int kCallers = 4;              // lines of the script shown above the failing one
constexpr int kMostLevels = 200;         // looked at: Lua finds level n in n steps
constexpr size_t kMaxMessage = 16 << 10; // of a hostile error value

// "file:line" at the start of a message, as Lua writes it, or an empty file.
struct Place {
  std::string file;
  int line = 0;
  bool operator==(const Place&) const = default;
};

Place place_in(const std::string& text) {
  for (size_t colon = text.find(':'); colon != std::string::npos; colon = text.find(':', colon + 1)) {
    size_t end = colon + 1;
    while (end < text.size() && std::isdigit(static_cast<unsigned char>(text[end]))) ++end;
    if (end > colon + 1 && (end == text.size() || text[end] == ':'))
      return {text.substr(0, colon), std::atoi(text.c_str() + colon + 1)};
    if (text[colon] == '\n') break;
  }
  return {};
}

std::string source_line(const Place& place) {
  if (place.file.empty() || place.line < 1) return "";
  std::ifstream file(place.file);
  std::string text;
  for (int line = 0; line < place.line; ++line)
    if (!std::getline(file, text)) return "";
  size_t first = text.find_first_not_of(" \t");
  if (first == std::string::npos || text.size() > 300) return "";
  return fmt::format("\n\n  {} | {}", place.line, text.substr(first));
}

std::vector<Place> script_frames(lua_State* L) {
  std::vector<Place> places;
  lua_Debug frame;
  for (int level = 0; level < kMostLevels && lua_getstack(L, level, &frame); ++level) {
    lua_getinfo(L, "Sl", &frame);
    if (frame.currentline < 0 || is_library(frame.source)) continue;
    places.push_back({frame.source[0] == '@' ? frame.source + 1 : frame.short_src, frame.currentline});
  }
  return places;
}

std::string callers(lua_State* L, const Place& shown) {
  std::string out;
  int count = 0;
  for (auto& place : script_frames(L)) {
    if (place == shown) continue;
    if (++count > kCallers) return out + "\n  ...";
    out += fmt::format("\n  called from {}:{}", place.file, place.line);
  }
  return out;
}

std::string shown(std::string text) { // no control bytes of a script reach the terminal
  if (text.size() > kMaxMessage) text = text.substr(0, kMaxMessage) + "...";
  for (char& c : text)
    if (static_cast<unsigned char>(c) < 32 && c != '\n' && c != '\t') c = '?';
  return text;
}

Failure failure_at(lua_State* L, int index) {
  Failure out;
  Place place;
  if (auto* value = test_object<ErrorValue>(L, index)) {
    out.fault = value->error.fault();
    out.text = text_of(value->error);
    if (out.fault == Fault::interrupted) return out;
    place = place_in(to_string(value->error.origin()));
  } else {
    out.text = lua_isnil(L, index) ? "error without a message" : text_at(L, index);
    place = place_in(out.text);
  }
  out.text = shown(out.text) + source_line(place) + callers(L, place);
  if (const char* trace = std::getenv("WANE_TRACE"); trace && std::strcmp(trace, "full") == 0) {
    luaL_traceback(L, L, nullptr, 1);
    out.text += "\n" + std::string(lua_tostring(L, -1));
    lua_pop(L, 1);
  }
  return out;
}

} // namespace

template <> struct Class<Failure> { static constexpr const char* name = "wane.failure"; };

namespace {

int on_error(lua_State* L) { // the stack of the failure still stands here
  if (test_object<Failure>(L, 1)) return 1;
  push_object<Failure>(L, failure_at(L, 1));
  return 1;
}

Failure take_failure(lua_State* L) {
  Failure out;
  if (auto* found = test_object<Failure>(L, -1))
    out = *found;
  else if (auto* value = test_object<ErrorValue>(L, -1))
    out = {value->error.fault(), text_of(value->error)};
  else if (const char* text = lua_tostring(L, -1))
    out.text = text; // out of memory, or an error in on_error
  else
    out = {Fault::internal, "error in error handling"};
  lua_pop(L, 1);
  return out;
}

} // namespace

Failure failure_of(const Error& error) { return {error.fault(), text_of(error)}; }

std::optional<Failure> call(lua_State* L, int arguments, int results) {
  if (!lua_checkstack(L, 8)) return Failure{Fault::internal, "Lua's stack is full"};
  make_class<Failure>(L, {});
  int handler = lua_gettop(L) - arguments;
  lua_pushcfunction(L, on_error);
  lua_insert(L, handler);
  int status = lua_pcall(L, arguments, results, handler);
  lua_remove(L, handler);
  if (status == LUA_OK) return std::nullopt;
  return take_failure(L);
}

std::optional<Failure> load_text(lua_State* L, std::string_view text, const std::string& chunk_name) {
  if (text.substr(0, 3) == "\xEF\xBB\xBF") text.remove_prefix(3);
  std::string without_first; // "#!": a script may be a program
  if (text.substr(0, 1) == "#") {
    size_t end = text.find('\n');
    without_first = end == std::string_view::npos ? "" : "--" + std::string(text.substr(end));
    text = without_first;
  }
  if (luaL_loadbufferx(L, text.data(), text.size(), chunk_name.c_str(), "t") == LUA_OK) return std::nullopt;
  Failure out = take_failure(L);
  out.text = shown(out.text) + source_line(place_in(out.text));
  return out;
}

std::optional<Failure> load_script(lua_State* L, const std::string& path) {
  constexpr uint64_t kMaxScript = 64 << 20;
  try {
    FileSource file(path);
    // A folder of the user may be called wane; only the standard library's chunks begin with "@wane/".
    auto chunk = path.compare(0, 5, "wane/") == 0 ? "@./" + path : "@" + path;
    return load_text(L, file.text(kMaxScript), chunk);
  } catch (const Error& e) {
    return failure_of(e);
  }
}

} // namespace wane::lua
