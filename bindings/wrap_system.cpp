// The rest of the core module: errors placed at the user's line, streams, options, clock, memory, progress.
#include <limits>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bindings/fetch.h"
#include "bindings/host.h"
#include "bindings/progress.h"
#include "bindings/version.h"
#include "runtime/cpu/isa.h"
#include "runtime/cpu/pool.h"
#include "runtime/flush.h"
#include "runtime/memory.h"
#include "runtime/pressure.h"
#include "runtime/random.h"

namespace wane::lua {
namespace {

void set_field(lua_State* L, const char* name, std::string_view text) {
  push(L, text);
  lua_setfield(L, -2, name);
}
void set_field(lua_State* L, const char* name, int64_t value) {
  push(L, value);
  lua_setfield(L, -2, name);
}
void set_flag(lua_State* L, const char* name, bool value) {
  lua_pushboolean(L, value);
  lua_setfield(L, -2, name);
}

// core.fail(message, { notes = { {label, text} ... }, hint, fault, at = { file, line } })
int fail(Args& a) {
  lua_State* L = a.L;
  auto message = std::string(a.string("message"));
  Error problem(Fault::recipe, message);
  if (a.is_nil()) throw problem;
  int options = a.peek();
  Options read = a.options("options", {"notes", "hint", "fault", "at"});
  problem = Error(Fault(read.integer("fault", 1)), message);
  if (lua_getfield(L, options, "notes") == LUA_TTABLE) {
    auto count = lua_Integer(lua_rawlen(L, -1));
    for (lua_Integer i = 1; i <= count; ++i) {
      lua_rawgeti(L, -1, i);
      lua_rawgeti(L, -1, 1);
      lua_rawgeti(L, -2, 2);
      const char *label = lua_tostring(L, -2), *text = lua_tostring(L, -1);
      if (!label || !text) throw error("fail: note {}: expected {{label, text}}", i);
      problem.note(label, text);
      lua_pop(L, 3);
    }
  }
  if (read.has("hint")) problem.hint(read.string("hint", ""));
  if (lua_getfield(L, options, "at") == LUA_TTABLE) {
    lua_rawgeti(L, -1, 1);
    lua_rawgeti(L, -2, 2);
    if (lua_isstring(L, -2) && lua_isinteger(L, -1))
      problem.at({intern_file(lua_tostring(L, -2)), int32_t(lua_tointeger(L, -1))});
  }
  throw problem;
}

int origin(Args& a) { return results(a.L, std::string_view(to_string(where(a.L)))); }

int nearest(Args& a) {
  auto name = std::string(a.string("name"));
  auto found = nearest_name(name, a.strings("names"));
  if (found.empty()) return lua_pushnil(a.L), 1;
  return results(a.L, std::string_view(found));
}

int draw_key(Args& a) { return results(a.L, int64_t(next_draw(a.string("stream")))); }
int restart_streams(Args&) { return reset_streams(), 0; }

int draw_number(Args& a) {
  auto key = uint64_t(a.integer("key"));
  return results(a.L, random_uniform(key, uint64_t(a.integer("i"))));
}
int seed_of(Args& a) { return results(a.L, int64_t(seed())); }

int seconds(Args& a) {
  auto now = std::chrono::steady_clock::now().time_since_epoch();
  return results(a.L, std::chrono::duration<double>(now).count());
}

int is_terminal(Args& a) {
  auto stream = a.string("stream", "stdout");
  if (stream != "stdout" && stream != "stderr" && stream != "stdin")
    throw error("is_terminal: no stream '{}'", stream);
  int file = stream == "stdout" ? STDOUT_FILENO : stream == "stderr" ? STDERR_FILENO : STDIN_FILENO;
  return push_boolean(a.L, isatty(file)), 1;
}

int terminal_width(Args& a) {
  winsize size{};
  bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return results(a.L, int64_t(known ? size.ws_col : 100));
}

int progress(Args& a) {
  if (a.is_nil())
    hide_progress(), a.take_all();
  else
    show_progress(a.string("text"));
  return 0;
}
int note(Args& a) { return write_note(a.string("text")), 0; }

int deviation(Args& a) {
  auto text = std::string(a.string("text"));
  auto place = to_string(where(a.L));
  auto line = place.empty() ? text : fmt::format("{}: {}", place, text);
  host(a.L).deviations.push_back(line);
  write_note("deviation " + line);
  return 0;
}

int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  int64_t total = 0, resident = 0;
  file >> total >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

int memory(Args& a) {
  auto use = memory_use();
  lua_createtable(a.L, 0, 5);
  set_field(a.L, "live", int64_t(use.live));
  set_field(a.L, "cached", int64_t(use.cached));
  set_field(a.L, "peak", int64_t(use.peak));
  set_field(a.L, "ceiling", int64_t(use.ceiling));
  set_field(a.L, "resident", resident_bytes());
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  set_field(a.L, "resident_peak", int64_t(usage.ru_maxrss) * 1024);
  return 1;
}

int environment(Args& a) {
  const char* value = std::getenv(std::string(a.string("name")).c_str());
  if (!value) return lua_pushnil(a.L), 1;
  return results(a.L, std::string_view(value));
}

int check(Args&) { return check_interrupt(), 0; }

// What the suite compares with: it shows in no bit.
int drop(Args&) { return drop_copies(std::numeric_limits<size_t>::max()), 0; }

// An error that was caught goes on with one more note; what is no error of ours goes on as it is.
int raise_with(Args& a) {
  const int problem = a.take();
  auto label = std::string(a.string("label")), text = std::string(a.string("text"));
  if (auto* value = test_object<ErrorValue>(a.L, problem)) {
    Error e = value->error;
    if (e.fault() != Fault::interrupted) e.note(label, text);
    throw e;
  }
  lua_pushvalue(a.L, problem);
  return lua_error(a.L);
}

int collect_young(Args& a) { return lua_gc(a.L, LUA_GCSTEP, 0), 0; }

int set_threads(Args& a) {
  const int before = thread_count();
  set_thread_count(int(a.integer("threads")));
  return results(a.L, int64_t(before));
}
int set_fusing(Args& a) {
  const bool before = fuse_enabled();
  set_fuse(a.boolean("fuse"));
  return push_boolean(a.L, before), 1;
}

int version(Args& a) { return results(a.L, std::string_view(version_text())); }
int known_model(Args& a) {
  auto found = find_known_model(std::string(a.string("name")));
  if (!found.known) return lua_pushnil(a.L), 1;
  if (found.path.empty())
    lua_pushnil(a.L);
  else
    push(a.L, std::string_view(found.path));
  push(a.L, std::string_view(found.command));
  return 2;
}
int known_models(Args& a) { return results(a.L, std::span<const std::string>(known_model_names())); }
int fetch(Args& a) {
  return results(a.L, std::string_view(fetch_model(std::string(a.string("name")), false)));
}

int matmul_class_of(Args& a) {
  lua_createtable(a.L, 0, 8);
  for (auto& [name, value] : matmul_classes()) set_field(a.L, name.c_str(), std::string_view(value));
  return 1;
}
int native_bf16_of(Args& a) { return push_boolean(a.L, has_native_bf16()), 1; }

Method functions[] = {
    {"fail", fail, "(message, { notes, hint, fault, at })", "Raises an error at the user's line.",
     Kind::plain},
    {"origin", origin, "() -> place", "The user's line now.", Kind::plain},
    {"nearest", nearest, "(name, names) -> name or nil", "The name most like this one.", Kind::plain},
    {"next_draw", draw_key, "(stream) -> key", "The key of the next draw of a stream.", Kind::plain},
    {"restart_streams", restart_streams, "()", "Lets every stream begin anew.", Kind::plain},
    {"random_uniform", draw_number, "(key, i) -> number", "Number i of a draw, in [0, 1).", Kind::plain},
    {"seed", seed_of, "() -> integer", "The seed of the run.", Kind::plain},
    {"seconds", seconds, "() -> number", "A clock that only moves on.", Kind::plain},
    {"is_terminal", is_terminal, "(stream) -> true or false", "Whether a stream is a terminal.", Kind::plain},
    {"terminal_width", terminal_width, "() -> columns", "Of stdout, 100 where it is no terminal.",
     Kind::plain},
    {"progress", progress, "(text or nil)", "Shows or hides the status line.", Kind::plain},
    {"note", note, "(text)", "A line on stderr.", Kind::plain},
    {"deviation", deviation, "(text)", "Records that something was not done as asked; --strict exits 3.",
     Kind::plain},
    {"memory", memory, "() -> { live, cached, peak, ceiling, resident, resident_peak }", "Bytes.",
     Kind::plain},
    {"environment", environment, "(name) -> text or nil", "An environment variable.", Kind::plain},
    {"raise_with", raise_with, "(error, label, text)", "Raises a caught error again, with a note.",
     Kind::plain},
    {"collect_young", collect_young, "()", "Collects what was made since the last collection.", Kind::plain},
    {"drop_copies", drop, "()", "Lets go of copies that can be made again: packed weights, decoded tables.",
     Kind::plain},
    {"check_interrupt", check, "()", "Raises after Ctrl-C.", Kind::plain},
    {"set_threads", set_threads, "(threads) -> before",
     "From now on. The bits do not depend on it; tests see that, benches compare times.", Kind::plain},
    {"set_fusing", set_fusing, "(fuse) -> before", "For tests: false runs each operation alone.",
     Kind::plain},
    {"version", version, "() -> text", "wane's version.", Kind::plain},
    {"known_model", known_model, "(name) -> path or nil, command",
     "Where a known model is, and how to fetch it.", Kind::plain},
    {"known_models", known_models, "() -> names", "Models that can be fetched by name.", Kind::plain},
    {"model_fetch", fetch, "(name) -> path", "Fetches a known model.", Kind::plain},
    {"matmul_class", matmul_class_of, "() -> table", "What decides the bits of a matmul here.", Kind::plain},
    {"native_bf16", native_bf16_of, "() -> true or false", "Whether bf16 matmuls are native.", Kind::plain},
};

void push_options(lua_State* L) {
  auto& options = host(L).options;
  lua_createtable(L, 0, 9);
  set_field(L, "seed", int64_t(options.seed));
  set_field(L, "threads", int64_t(thread_count()));
  set_field(L, "device", std::string_view(options.device));
  set_flag(L, "strict", options.strict);
  set_flag(L, "quiet", options.quiet);
  set_flag(L, "json", options.json);
  if (!options.run.empty()) set_field(L, "run", std::string_view(options.run));
  if (!options.script.empty()) set_field(L, "script", std::string_view(options.script));
  set_field(L, "cache", std::string_view(cache_folder()));
}

} // namespace

void open_system(lua_State* L) {
  set_methods(L, functions, false);
  push_options(L);
  lua_setfield(L, -2, "options");
}

} // namespace wane::lua
