// What the deterministic prelude (stdlib/prelude.lua) needs from C++: ordered traversal, values as text
// without addresses, a stable sort, numbers from a named stream, and the refusals that keep collection out of
// results.
#include <algorithm>
#include <cmath>
#include <cstdio>

#include "bindings/host.h"
#include "bindings/interrupt.h"
#include "bindings/prelude.h"
#include "bindings/progress.h"
#include "runtime/random.h"

namespace wane::lua {
namespace {

// A key as it is ordered: numbers, then strings by their bytes, then false and true.
struct Key {
  int rank;
  double number = 0;
  int64_t integer = 0;
  bool is_integer = false;
  std::string_view text; // of a string that the table holds

  bool operator<(const Key& other) const {
    if (rank != other.rank) return rank < other.rank;
    if (rank == 1) return text < other.text;
    if (rank == 0 && is_integer && other.is_integer) return integer < other.integer;
    return number < other.number;
  }
};

Key key_at(lua_State* L, int index, const char* who) {
  switch (lua_type(L, index)) {
  case LUA_TNUMBER: {
    Key key{0, lua_tonumber(L, index), 0, bool(lua_isinteger(L, index)), {}};
    if (key.is_integer) key.integer = lua_tointeger(L, index);
    return key;
  }
  case LUA_TSTRING: {
    size_t size;
    const char* text = lua_tolstring(L, index, &size);
    return {1, 0, 0, false, {text, size}};
  }
  case LUA_TBOOLEAN: return {2, double(lua_toboolean(L, index)), 0, false, {}};
  default:
    throw error("{}: a {} as key has no order", who, type_name(L, index))
        .hint("keep such keys in a list beside the table and walk the list");
  }
}

void push_key(lua_State* L, const Key& key) {
  if (key.rank == 1)
    push(L, key.text);
  else if (key.rank == 2)
    lua_pushboolean(L, key.number != 0);
  else if (key.is_integer)
    lua_pushinteger(L, key.integer);
  else
    lua_pushnumber(L, key.number);
}

// Upvalues: the table, the list of its keys, how many were walked.
int next_pair(lua_State* L) {
  lua_Integer at = lua_tointeger(L, lua_upvalueindex(3));
  for (;;) {
    ++at;
    if (lua_rawgeti(L, lua_upvalueindex(2), at) == LUA_TNIL) return 1;
    lua_pushvalue(L, -1);
    if (lua_gettable(L, lua_upvalueindex(1)) != LUA_TNIL) break;
    lua_pop(L, 2); // removed meanwhile
  }
  lua_pushinteger(L, at);
  lua_replace(L, lua_upvalueindex(3));
  return 2;
}

int ordered_pairs(Args& a) {
  lua_State* L = a.L;
  if (luaL_getmetafield(L, 1, "__pairs") != LUA_TNIL) {
    lua_pushvalue(L, a.take());
    lua_call(L, 1, 3);
    return 3;
  }
  int table = a.table("table");
  a.take_all(); // as in Lua, what a call in its place returned beyond the table is dropped
  std::vector<Key> keys;
  lua_pushnil(L);
  while (lua_next(L, table)) {
    lua_pop(L, 1);
    keys.push_back(key_at(L, -1, "pairs"));
  }
  std::sort(keys.begin(), keys.end());
  lua_pushvalue(L, table);
  lua_createtable(L, int(keys.size()), 0);
  for (size_t i = 0; i < keys.size(); ++i) {
    push_key(L, keys[i]);
    lua_rawseti(L, -2, lua_Integer(i + 1));
  }
  lua_pushinteger(L, 0);
  lua_pushcclosure(L, next_pair, 3);
  return 1;
}

// The first pair in the order of pairs: what `next(t)` is asked for in practice is whether there is one.
int ordered_next(Args& a) {
  lua_State* L = a.L;
  int table = a.table("table");
  if (!a.is_nil())
    throw error("next: only the first pair can be asked for").hint("use pairs, which is ordered");
  if (a.more()) a.skip();
  std::optional<Key> first;
  lua_pushnil(L);
  while (lua_next(L, table)) {
    lua_pop(L, 1);
    if (!lua_istable(L, -1) && !lua_isuserdata(L, -1) && !lua_isfunction(L, -1) && !lua_isthread(L, -1)) {
      Key key = key_at(L, -1, "next");
      if (!first || key < *first) first = key;
    } else if (!first) { // no order, but there is one
      lua_pushvalue(L, -1);
      lua_gettable(L, table);
      return 2;
    }
  }
  if (!first) return lua_pushnil(L), 1;
  push_key(L, *first);
  lua_pushvalue(L, -1);
  lua_gettable(L, table);
  return 2;
}

int print(Args& a) {
  a.take_all();
  hide_progress();
  auto& options = host(a.L).options;
  FILE* to = options.json && !options.run.empty() ? stderr : stdout; // rows alone go to stdout then
  for (int i = 1; i <= a.count(); ++i) {
    if (i > 1) std::fputc('\t', to);
    push_text(a.L, i);
    size_t size;
    const char* text = lua_tolstring(a.L, -1, &size);
    std::fwrite(text, 1, size, to);
    lua_pop(a.L, 1);
  }
  std::fputc('\n', to);
  return 0;
}

int to_text(Args& a) {
  if (!a.more()) a.wrong(a.take(), "value", "a value");
  push_text(a.L, a.take());
  return 1;
}

// table.sort, stable and the same for any order function: the stock one draws its pivots from the clock.
class Sorter {
public:
  Sorter(lua_State* L, int table, int less, lua_Integer count)
      : L_(L), table_(table), less_(less), order_(size_t(count)) {
    for (size_t i = 0; i < order_.size(); ++i) order_[i] = lua_Integer(i + 1);
    spare_ = order_;
  }
  void sort() {
    split(0, order_.size());
    lua_createtable(L_, int(order_.size()), 0);
    for (size_t i = 0; i < order_.size(); ++i) {
      lua_geti(L_, table_, order_[i]);
      lua_rawseti(L_, -2, lua_Integer(i + 1));
    }
    for (size_t i = 0; i < order_.size(); ++i) {
      lua_rawgeti(L_, -1, lua_Integer(i + 1));
      lua_seti(L_, table_, lua_Integer(i + 1));
    }
    lua_pop(L_, 1);
  }

private:
  bool less(lua_Integer a, lua_Integer b) {
    if (less_) lua_pushvalue(L_, less_);
    lua_geti(L_, table_, a);
    lua_geti(L_, table_, b);
    bool result;
    if (less_) {
      lua_call(L_, 2, 1);
      result = lua_toboolean(L_, -1);
      lua_pop(L_, 1);
    } else {
      result = lua_compare(L_, -2, -1, LUA_OPLT);
      lua_pop(L_, 2);
    }
    return result;
  }
  void split(size_t first, size_t last) {
    if (last - first < 2) return;
    size_t middle = first + (last - first) / 2;
    split(first, middle);
    split(middle, last);
    if (!less(order_[middle], order_[middle - 1])) return; // in order already
    std::copy(order_.begin() + int64_t(first), order_.begin() + int64_t(last),
              spare_.begin() + int64_t(first));
    size_t left = first, right = middle;
    for (size_t i = first; i < last; ++i) {
      bool take_right = left == middle || (right < last && less(spare_[right], spare_[left]));
      order_[i] = take_right ? spare_[right++] : spare_[left++];
    }
    check_interrupt();
  }

  lua_State* L_;
  int table_, less_;
  std::vector<lua_Integer> order_, spare_;
};

int sort(Args& a) {
  int table = a.table("list"), less = 0;
  if (!a.is_nil()) {
    less = a.take();
    if (!lua_isfunction(a.L, less)) a.wrong(less, "less", "a function");
  }
  luaL_checkstack(a.L, 8, nullptr);
  Sorter(a.L, table, less, luaL_len(a.L, table)).sort();
  return 0;
}

int random(Args& a) {
  uint64_t key = next_draw("random");
  if (!a.more()) return results(a.L, random_uniform(key, 0));
  int64_t low = 1, high = a.integer("m");
  if (a.more()) low = std::exchange(high, a.integer("n"));
  if (high < low) throw error("random: the interval {} to {} is empty", low, high);
  uint64_t span = uint64_t(high) - uint64_t(low);
  uint64_t bits = uint64_t(random_bits(key, 0)) << 32 | random_bits(key, 1);
  // The high half of span * bits: fair to 2^-64 per value.
  uint64_t drawn = span == UINT64_MAX ? bits : uint64_t((__uint128_t(span + 1) * bits) >> 64);
  return results(a.L, int64_t(uint64_t(low) + drawn));
}

int set_metatable(Args& a) {
  lua_State* L = a.L;
  int table = a.table("table"), meta = a.take();
  if (!lua_isnil(L, meta) && !lua_istable(L, meta)) a.wrong(meta, "metatable", "a table or nil");
  if (luaL_getmetafield(L, table, "__metatable") != LUA_TNIL)
    throw error("setmetatable: this metatable is protected");
  if (lua_istable(L, meta)) {
    lua_pushstring(L, "__gc");
    if (lua_rawget(L, meta) != LUA_TNIL)
      throw error("setmetatable: __gc runs at times that differ from run to run")
          .hint("use __close, or call a function");
    lua_pushstring(L, "__mode");
    lua_Debug frame;
    bool library = lua_getstack(L, 1, &frame) && lua_getinfo(L, "S", &frame) && is_library(frame.source);
    if (lua_rawget(L, meta) != LUA_TNIL && !library)
      throw error("setmetatable: weak tables lose entries at times that differ from run to run");
  }
  lua_settop(L, 2);
  lua_setmetatable(L, table);
  lua_settop(L, 1);
  return 1;
}

int collect_garbage(Args& a) {
  auto what = a.string("option", "collect");
  if (what == "collect") return lua_gc(a.L, LUA_GCCOLLECT), results(a.L, int64_t(0));
  if (what == "count") return results(a.L, lua_gc(a.L, LUA_GCCOUNT) + lua_gc(a.L, LUA_GCCOUNTB) / 1024.0);
  throw error("collectgarbage: only \"collect\" and \"count\" are there, not \"{}\"", what);
}

// Upvalue: the handler. After Ctrl-C it is not asked: Lua would run it with hooks off, and nothing could stop
// it.
int guarded_handler(lua_State* L) {
  if (interrupt_requested()) return 1;
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  return lua_gettop(L);
}
int guard_handler(Args& a) {
  lua_pushvalue(a.L, a.take());
  lua_pushcclosure(a.L, guarded_handler, 1);
  return 1;
}

// The nearest known name: nearest(name, table) over the table's string keys, for strict globals.
int nearest_key(Args& a) {
  auto name = a.string("name");
  int table = a.table("table");
  std::vector<std::string> names;
  lua_pushnil(a.L);
  while (lua_next(a.L, table)) {
    lua_pop(a.L, 1);
    if (lua_type(a.L, -1) == LUA_TSTRING && *lua_tostring(a.L, -1) != '_')
      names.emplace_back(lua_tostring(a.L, -1));
  }
  std::sort(names.begin(), names.end());
  auto found = nearest_name(name, names);
  if (found.empty())
    lua_pushnil(a.L);
  else
    push(a.L, std::string_view(found));
  return 1;
}

Method natives[] = {
    {"pairs", ordered_pairs, "(table) -> iterator",
     "Numbers, then strings, in order; a snapshot of the keys.", Kind::plain},
    {"next", ordered_next, "(table) -> key, value", "The first pair, nil of an empty table.", Kind::plain},
    {"print", print, "(...)", "Writes its arguments to stdout (of `wane run --json` to stderr).",
     Kind::plain},
    {"tostring", to_text, "(value) -> text", "The text of a value, without addresses.", Kind::plain},
    {"sort", sort, "(list [, less])", "Sorts a list in place; equal ones keep their order.", Kind::plain},
    {"random", random, "([m [, n]]) -> number", "The next number of the stream \"random\".", Kind::plain},
    {"setmetatable", set_metatable, "(table, metatable) -> table", "Sets a metatable.", Kind::plain},
    {"collectgarbage", collect_garbage, "([\"collect\" or \"count\"])", "Collects, or tells the KiB in use.",
     Kind::plain},
    {"guard_handler", guard_handler, "(handler) -> function", "A handler that Ctrl-C passes by.",
     Kind::plain},
    {"nearest_key", nearest_key, "(name, table) -> name or nil", "The key most like a name.", Kind::plain},
};

} // namespace

void push_text(lua_State* L, int index) {
  index = lua_absindex(L, index);
  if (luaL_callmeta(L, index, "__tostring")) {
    if (!lua_isstring(L, -1)) throw error("tostring: __tostring gave a {}", type_name(L, -1));
    return;
  }
  switch (lua_type(L, index)) {
  case LUA_TNUMBER:
    if (!lua_isinteger(L, index) && std::isnan(lua_tonumber(L, index)))
      return push(L, std::string_view("nan"));
    [[fallthrough]];
  case LUA_TSTRING:
  case LUA_TBOOLEAN:
  case LUA_TNIL: luaL_tolstring(L, index, nullptr); return;
  default: push(L, std::string_view(type_name(L, index)));
  }
}

std::string text_at(lua_State* L, int index) {
  push_text(L, index);
  size_t size;
  const char* text = lua_tolstring(L, -1, &size);
  std::string out(text, size);
  lua_pop(L, 1);
  return out;
}

void open_prelude(lua_State* L) {
  lua_createtable(L, 0, 24);
  set_methods(L, natives, false);
  open_strings(L);
  open_coroutines(L);
}

} // namespace wane::lua
