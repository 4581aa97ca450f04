#include "bindings/wrap_profile.h"

#include <chrono>
#include <cstring>
#include <map>
#include <unordered_map>

#include "bindings/stdlib.h"
#include "runtime/profile.h"

namespace wane::lua {
namespace {

constexpr int kMostFrames = 64;
const char kLayerKey = 0; // its address names the key of a layer's node in the registry

struct Sum {
  int64_t count = 0, ops = 0;
  double seconds = 0, bytes = 0, flops = 0;
  bool product = false;
};

struct Profile {
  Host* host;
  std::chrono::steady_clock::time_point start;
  Floors floors;
  std::vector<std::string> names; // of frames, works and causes, by id
  std::unordered_map<std::string, uint32_t> ids;
  std::unordered_map<std::string, std::string> functions; // of the library, by file and line
  std::map<std::vector<uint32_t>, Sum> sums; // by frames, outermost first, then origin, cause and name

  uint32_t id(std::string name) {
    auto [entry, is_new] = ids.try_emplace(std::move(name), uint32_t(names.size()));
    if (is_new) names.push_back(entry->first);
    return entry->second;
  }
};
std::unique_ptr<Profile> profile;

// The path of the layer or module whose method a frame of the library runs, or "". Raw reads only: an error
// has nowhere to go here.
std::string layer_of(lua_State* L, const lua_Debug& frame) {
  std::string path;
  int top = lua_gettop(L);
  const char* name = lua_getlocal(L, &frame, 1);
  if (name && std::strcmp(name, "self") == 0 && lua_istable(L, -1)) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &kLayerKey);
    if (!lua_isnil(L, -1) && lua_rawget(L, -2) == LUA_TTABLE) {
      lua_pushliteral(L, "path");
      if (lua_rawget(L, -2) == LUA_TSTRING) path = lua_tostring(L, -1);
    }
  }
  lua_settop(L, top);
  return path;
}

// "methods:forward" of the line that defines a function of the library, or "": after a tail call Lua knows no
// name.
std::string defined_name(const std::string& file, int line) {
  auto text = stdlib_text(file).value_or("");
  size_t at = 0;
  for (int i = 1; i < line && at != std::string::npos; ++i) at = text.find('\n', at) + 1;
  auto first = text.substr(at, text.find('\n', at) - at);
  size_t begin = first.find("function "), end = first.find('(');
  if (begin == std::string::npos || end == std::string::npos || end < begin + 9) return "";
  return first.substr(begin + 9, end - begin - 9);
}

std::string frame_name(lua_State* L, lua_Debug& frame) {
  lua_getinfo(L, "Snl", &frame);
  if (frame.currentline < 0) return ""; // C
  if (!is_library(frame.source))
    return fmt::format("{}:{}", frame.source[0] == '@' ? frame.source + 1 : frame.short_src,
                       frame.currentline);
  const char* file = frame.source + std::strlen("@wane/");
  auto layer = layer_of(L, frame);
  if (!layer.empty() || std::strcmp(file, "module.lua") == 0) return layer;
  auto place = fmt::format("{}:{}", file, frame.linedefined);
  auto [known, is_new] = profile->functions.try_emplace(place);
  if (is_new) {
    auto name = defined_name(file, frame.linedefined);
    known->second = name.empty() ? place : fmt::format("{} ({})", name, file);
  }
  return known->second;
}

// Appends the frames of one state, outermost first; those of layers and functions once while they follow each
// other.
void append_frames(lua_State* L, std::vector<uint32_t>& key) {
  if (!lua_checkstack(L, 8)) return;
  std::vector<uint32_t> inner;
  lua_Debug frame;
  for (int level = 0; level < kMostFrames && lua_getstack(L, level, &frame); ++level) {
    auto name = frame_name(L, frame);
    if (name.empty()) continue;
    uint32_t id = profile->id(std::move(name));
    if (inner.empty() || inner.back() != id) inner.push_back(id);
  }
  key.insert(key.end(), inner.rbegin(), inner.rend());
}

void hear(const WorkRecord& work) {
  lua_State* L = profile->host->active;
  if (!L) return;
  std::vector<uint32_t> key;
  if (L != profile->host->main) append_frames(profile->host->main, key);
  append_frames(L, key);
  key.push_back(profile->id(to_string(work.origin)));
  key.push_back(profile->id(std::string(name_of(work.cause))));
  key.push_back(profile->id(std::string(work.name)));
  Sum& sum = profile->sums[key];
  sum.count += 1;
  sum.ops += work.ops;
  sum.seconds += work.seconds;
  sum.bytes += work.bytes;
  sum.flops += work.flops;
  sum.product |= work.product;
}

template <class T> void field(lua_State* L, const char* name, const T& value) {
  push(L, value);
  lua_setfield(L, -2, name);
}
void field(lua_State* L, const char* name, const std::string& text) {
  field(L, name, std::string_view(text));
}

void push_row(lua_State* L, const std::vector<uint32_t>& key, const Sum& sum) {
  lua_createtable(L, 0, 10);
  size_t frames = key.size() - 3;
  lua_createtable(L, int(frames), 0);
  for (size_t i = 0; i < frames; ++i) {
    push(L, std::string_view(profile->names[key[i]]));
    lua_rawseti(L, -2, lua_Integer(i + 1));
  }
  lua_setfield(L, -2, "stack");
  field(L, "line", profile->names[key[frames]]);
  field(L, "cause", profile->names[key[frames + 1]]);
  field(L, "name", profile->names[key[frames + 2]]);
  field(L, "count", sum.count);
  field(L, "ops", sum.ops);
  field(L, "seconds", sum.seconds);
  field(L, "bytes", sum.bytes);
  field(L, "flops", sum.flops);
  lua_pushboolean(L, sum.product);
  lua_setfield(L, -2, "product");
}

int report(Args& a) {
  lua_State* L = a.L;
  if (!profile) return lua_pushnil(L), 1;
  std::chrono::duration<double> whole = std::chrono::steady_clock::now() - profile->start;
  lua_createtable(L, 0, 5);
  field(L, "seconds", whole.count());
  field(L, "read_floor", profile->floors.bytes_per_second);
  field(L, "product_floor", profile->floors.flops_per_second);
  field(L, "product", profile->floors.product);
  lua_createtable(L, int(profile->sums.size()), 0);
  lua_Integer i = 0;
  for (auto& [key, sum] : profile->sums) {
    push_row(L, key, sum);
    lua_rawseti(L, -2, ++i);
  }
  lua_setfield(L, -2, "work");
  return 1;
}

int layer_key(Args& a) {
  lua_pushvalue(a.L, a.table("key"));
  lua_rawsetp(a.L, LUA_REGISTRYINDEX, &kLayerKey);
  return 0;
}

Method functions[] = {
    {"profile_report", report, "() -> { seconds, read_floor, product_floor, product, work } or nil",
     "What ran since --profile began to listen: rows of { stack, line, cause, name, count, ops, seconds, "
     "bytes, flops }.",
     Kind::plain},
    {"layer_key", layer_key, "(key)", "Where a layer keeps its node, for the names of layers in a profile.",
     Kind::plain},
};

} // namespace

void start_profile(lua_State* L) {
  Floors floors = measure_floors();
  drop_memory_cache(); // what the measuring held is no part of the script's
  reset_memory_peak();
  profile =
      std::make_unique<Profile>(Profile{&host(L), std::chrono::steady_clock::now(), floors, {}, {}, {}, {}});
  set_work_listener(hear);
}

void stop_profile() {
  set_work_listener(nullptr);
  profile = nullptr;
}

void open_profile(lua_State* L) { set_methods(L, functions, false); }

} // namespace wane::lua
