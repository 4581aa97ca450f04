// string.find, match, gmatch, gsub on our matcher, and string.format without addresses.
#include <cstring>

#include "bindings/host.h"
#include "bindings/pattern.h"
#include "bindings/prelude.h"

namespace wane::lua {
namespace {

// A start position from Lua (1-based, negative from the end) to an offset; past the end gives size + 1.
int64_t start_offset(Args& a, std::string_view subject) {
  int64_t init = a.integer("init", 1), size = int64_t(subject.size());
  if (init > 0) return init - 1;
  if (init == 0 || -init > size) return 0;
  return size + init;
}

std::string_view text_argument(Args& a, const char* name) { // numbers are taken as text, as Lua's own do
  int index = a.peek();
  if (lua_type(a.L, index) != LUA_TNUMBER) return a.string(name);
  a.skip();
  size_t size;
  const char* text = lua_tolstring(a.L, index, &size);
  return {text, size};
}

void push_capture(lua_State* L, std::string_view subject, const PatternMatch& match, int i) {
  if (i >= match.captures)
    return push(L, subject.substr(size_t(match.start), size_t(match.end - match.start)));
  auto& capture = match.capture[i];
  if (capture.length == Capture::kPosition) return push(L, capture.start + 1);
  push(L, subject.substr(size_t(capture.start), size_t(capture.length)));
}

int push_captures(lua_State* L, std::string_view subject, const PatternMatch& match, bool whole_when_none) {
  int n = match.captures == 0 && whole_when_none ? 1 : match.captures;
  luaL_checkstack(L, n, "too many captures");
  for (int i = 0; i < n; ++i) push_capture(L, subject, match, i);
  return n;
}

bool is_plain(std::string_view pattern) {
  return pattern.find_first_of("^$*+?.([%-") == std::string_view::npos;
}

int find(Args& a) {
  auto subject = text_argument(a, "s"), pattern = text_argument(a, "pattern");
  int64_t from = start_offset(a, subject);
  bool plain = lua_toboolean(a.L, a.take());
  if (from > int64_t(subject.size())) return lua_pushnil(a.L), 1;
  if (plain || is_plain(pattern)) {
    size_t at = subject.find(pattern, size_t(from));
    if (at == std::string_view::npos) return lua_pushnil(a.L), 1;
    return results(a.L, int64_t(at + 1), int64_t(at + pattern.size()));
  }
  PatternMatch match;
  if (!cached_pattern(pattern, true)->find(subject, from, match)) return lua_pushnil(a.L), 1;
  push(a.L, match.start + 1);
  push(a.L, match.end);
  return 2 + push_captures(a.L, subject, match, false);
}

int match(Args& a) {
  auto subject = text_argument(a, "s"), pattern = text_argument(a, "pattern");
  int64_t from = start_offset(a, subject);
  PatternMatch match;
  if (from > int64_t(subject.size()) || !cached_pattern(pattern, true)->find(subject, from, match))
    return lua_pushnil(a.L), 1;
  return push_captures(a.L, subject, match, true);
}

// The state of one gmatch; the subject is the userdata's user value.
struct Walk {
  std::shared_ptr<const Pattern> pattern;
  int64_t from = 0, last_end = -1;
};

} // namespace

template <> struct Class<Walk> { static constexpr const char* name = "wane.gmatch"; };

namespace {

int next_match(Args& a) {
  auto& walk = *test_object<Walk>(a.L, a.take());
  a.take_all(); // the generic for passes its own state
  lua_getiuservalue(a.L, 1, 1);
  size_t size;
  const char* text = lua_tolstring(a.L, -1, &size);
  std::string_view subject(text, size);
  PatternMatch match;
  for (; walk.pattern->find(subject, walk.from, match); ++walk.from) {
    walk.from = match.start;
    if (match.end == walk.last_end) continue; // an empty match where the last one ended
    walk.from = walk.last_end = match.end;
    return push_captures(a.L, subject, match, true);
  }
  walk.from = int64_t(size) + 1;
  return lua_pushnil(a.L), 1;
}

Method walk_meta[] = {{"__call", next_match, "", "", Kind::plain}};

int gmatch(Args& a) {
  auto subject = text_argument(a, "s"), pattern = text_argument(a, "pattern");
  int64_t from = start_offset(a, subject);
  auto compiled = cached_pattern(pattern, false);
  push_object<Walk>(a.L, Walk{compiled, from, -1});
  lua_pushvalue(a.L, 1);
  lua_setiuservalue(a.L, -2, 1);
  return 1;
}

// What gsub puts in place of a match: false when the original stays.
bool push_replacement(Args& a, std::string_view subject, const PatternMatch& match, int kind) {
  lua_State* L = a.L;
  if (kind == LUA_TFUNCTION) {
    lua_pushvalue(L, 3);
    lua_call(L, push_captures(L, subject, match, true), 1);
  } else {
    push_capture(L, subject, match, 0);
    lua_gettable(L, 3);
  }
  if (!lua_toboolean(L, -1)) return false;
  if (!lua_isstring(L, -1)) throw error("gsub: the replacement is a {}", type_name(L, -1));
  return true;
}

void append_template(Args& a, std::string& out, std::string_view text, std::string_view subject,
                     const PatternMatch& match) {
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    char c = ++i < text.size() ? text[i] : '\0';
    if (c == '%') {
      out += '%';
    } else if (c == '0') {
      out += subject.substr(size_t(match.start), size_t(match.end - match.start));
    } else if (c >= '1' && c <= '9') {
      int index = c - '1';
      if (index >= std::max(match.captures, 1)) throw error("gsub: no capture %{} in the replacement", c);
      push_capture(a.L, subject, match, index);
      size_t size;
      const char* piece = lua_tolstring(a.L, -1, &size);
      out.append(piece, size);
      lua_pop(a.L, 1);
    } else {
      throw error("gsub: '%' in the replacement is followed by neither a digit nor '%'");
    }
  }
}

int gsub(Args& a) {
  auto subject = text_argument(a, "s"), pattern = text_argument(a, "pattern");
  int index = a.take(), kind = lua_type(a.L, index);
  if (kind != LUA_TSTRING && kind != LUA_TNUMBER && kind != LUA_TTABLE && kind != LUA_TFUNCTION)
    a.wrong(index, "replacement", "a string, a table or a function");
  int64_t most = a.integer("n", int64_t(subject.size()) + 1), made = 0, from = 0, last_end = -1;
  auto compiled = cached_pattern(pattern, true);
  std::string out;
  PatternMatch match;
  while (made < most && from <= int64_t(subject.size())) {
    if (compiled->match_at(subject, from, match) && match.end != last_end) {
      ++made;
      last_end = match.end;
      int top = lua_gettop(a.L);
      if (kind == LUA_TSTRING || kind == LUA_TNUMBER) {
        size_t size;
        const char* text = lua_tolstring(a.L, index, &size);
        append_template(a, out, {text, size}, subject, match);
      } else if (push_replacement(a, subject, match, kind)) {
        size_t size;
        const char* text = lua_tolstring(a.L, -1, &size);
        out.append(text, size);
      } else {
        out += subject.substr(size_t(match.start), size_t(match.end - match.start));
      }
      lua_settop(a.L, top);
      from = match.end;
    } else if (from < int64_t(subject.size())) {
      out += subject[size_t(from++)];
    } else {
      break;
    }
    if (compiled->anchored()) break;
  }
  if (from < int64_t(subject.size())) out += subject.substr(size_t(from));
  return results(a.L, std::string_view(out), made);
}

// "bad argument #2 to '?' (number expected, got nil)" in our words.
std::string format_problem(const std::string& text) {
  size_t number = text.find('#'), open = text.find('('), close = text.rfind(')');
  if (text.compare(0, 13, "bad argument ") != 0 || open == std::string::npos || close < open) return text;
  auto digits = text.substr(number + 1, text.find(' ', number) - number - 1);
  return fmt::format("argument {}: {}", digits, text.substr(open + 1, close - open - 1));
}

// Stock string.format (upvalue of the prelude table) after %s arguments without a text of their own were
// replaced.
int format(Args& a) {
  lua_State* L = a.L;
  auto text = text_argument(a, "format");
  int count = a.count();
  a.take_all();
  int argument = 1;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') continue;
    if (++i < text.size() && text[i] == '%') continue;
    while (i < text.size() && std::strchr("-+ #0123456789.", text[i])) ++i;
    ++argument;
    if (i >= text.size()) break;
    if (text[i] == 'p') throw error("format: %p would print an address, which differs from run to run");
    if (text[i] != 's' || argument > count || lua_isstring(L, argument)) continue;
    push_text(L, argument);
    lua_replace(L, argument);
  }
  lua_getfield(L, LUA_REGISTRYINDEX, "wane.format");
  lua_insert(L, 1);
  if (lua_pcall(L, count, 1, 0) == LUA_OK) return 1;
  throw error("format: {}", format_problem(lua_tostring(L, -1) ? lua_tostring(L, -1) : "no message"));
}

Method string_functions[] = {
    {"find", find, "(s, pattern [, init [, plain]]) -> first, last, captures",
     "The first place where the pattern matches.", Kind::plain},
    {"match", match, "(s, pattern [, init]) -> captures", "The captures of the first match, or all of it.",
     Kind::plain},
    {"gmatch", gmatch, "(s, pattern [, init]) -> iterator", "Walks all matches.", Kind::plain},
    {"gsub", gsub, "(s, pattern, replacement [, n]) -> text, count", "Replaces matches.", Kind::plain},
    {"format", format, "(format, ...) -> text", "Text from values.", Kind::plain},
};

} // namespace

void open_strings(lua_State* L) {
  make_class<Walk>(L, {}, walk_meta);
  set_methods(L, string_functions, false);
}

} // namespace wane::lua
