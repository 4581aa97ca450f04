// The border to Lua: destructors and errors across it, arguments, the collector, Ctrl-C, patterns.
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <sstream>
#include <thread>

#include <fcntl.h>
#include <unistd.h>

#include <doctest/doctest.h>

#include "bindings/failure.h"
#include "bindings/host.h"
#include "bindings/interrupt.h"
#include "bindings/pattern.h"
#include "bindings/run.h"
#include "runtime/memory.h"

using namespace wane;
using namespace wane::lua;

namespace {

struct Canary {
  explicit Canary(int& count) : count_(count) {}
  ~Canary() { ++count_; }
  int& count_;
};
int destroyed = 0;

int raise_by_lua(lua_State* L) {
  Canary canary(destroyed);
  return luaL_error(L, "raised by Lua");
}
int raise_in_bound(Args& a) {
  Canary canary(destroyed);
  auto name = a.string("name");
  throw error("canary: no '{}'", name).note("it has", "bird");
}
int raise_foreign(Args&) { throw std::runtime_error("not ours"); }
int call_back(Args& a) {
  Canary canary(destroyed);
  lua_pushvalue(a.L, a.take());
  lua_call(a.L, 0, 0);
  return 0;
}

Method test_functions[] = {
    {"raise_in_bound", raise_in_bound, "(name)", ""},
    {"raise_foreign", raise_foreign, "()", ""},
    {"call_back", call_back, "(f)", ""},
};

State fresh() {
  HostOptions options;
  options.quiet = true;
  State L(open_state(options));
  lua_createtable(L.get(), 0, 4);
  set_methods(L.get(), test_functions, false);
  lua_pushcfunction(L.get(), raise_by_lua);
  lua_setfield(L.get(), -2, "raise_by_lua");
  lua_setglobal(L.get(), "canary");
  return L;
}

// Runs a text; gives the failure's text and code, or "".
std::string run(lua_State* L, const std::string& text, int* code = nullptr) {
  auto failure = load_text(L, text, "@test.lua");
  if (!failure) failure = call(L, 0, 0);
  if (code) *code = failure ? int(failure->fault) : 0;
  return failure ? failure->text : "";
}

} // namespace

TEST_CASE("destructors run when an error crosses C++ frames, whoever raised it") {
  auto state = fresh();
  lua_State* L = state.get();
  destroyed = 0;
  CHECK(run(L, "assert(not pcall(canary.raise_by_lua))") == "");
  CHECK(destroyed == 1); // a 0 here means that Lua was linked as C
  CHECK(run(L, "assert(not pcall(canary.raise_in_bound, 'cat'))") == "");
  CHECK(destroyed == 2);
  CHECK(run(L, "assert(not pcall(canary.call_back, function() error 'inside' end))") == "");
  CHECK(destroyed == 3);
}

TEST_CASE("an error carries message, notes, place and exit code to the host") {
  auto state = fresh();
  lua_State* L = state.get();
  int code = 0;
  CHECK(run(L, "\n\ncanary.raise_in_bound 'cat'", &code) == "test.lua:3: canary: no 'cat'\n  it has   bird");
  CHECK(code == 1);
  CHECK(run(L, "canary.raise_foreign()", &code) == "test.lua:1: raise_foreign: internal: not ours");
  CHECK(code == 70);
  CHECK(run(L, "local core = require 'wane.core'\ncore.fail('gone', { fault = 66 })", &code)
        == "test.lua:2: gone");
  CHECK(code == 66);
  // An error value stays itself through pcall and error.
  CHECK(run(L,
            "local core = require 'wane.core'\n"
            "local ok, e = pcall(core.fail, 'gone', { fault = 65, hint = 'look' })\n"
            "assert(e.fault == 65 and e.message == 'gone' and tostring(e):find 'hint')\nerror(e, 0)",
            &code)
            .find("gone")
        != std::string::npos);
  CHECK(code == 65);
}

TEST_CASE("the failing line is shown with the lines that called it") {
  auto state = fresh();
  auto text =
      run(state.get(), "local function inner()\n  canary.raise_in_bound(nil)\nend\nlocal function outer()\n"
                       "  inner()\n  return 1\nend\nouter()\n");
  CHECK(text
        == "test.lua:2: raise_in_bound: argument 1 (name): expected a string, got nil\n"
           "  called from test.lua:5\n  called from test.lua:8");
}

TEST_CASE("hostile error values are reported") {
  auto state = fresh();
  lua_State* L = state.get();
  CHECK(run(L, "error()") == "error without a message\n  called from test.lua:1");
  CHECK(run(L, "error({})") == "table\n  called from test.lua:1");
  CHECK(run(L, "error('a\\27[31mred', 0)") == "a?[31mred\n  called from test.lua:1");
  CHECK(run(L, "error(setmetatable({}, { __tostring = function() error 'again' end }))") != "");
  CHECK(run(L, "error(('x'):rep(1 << 20), 0)").size() < 20000);
  CHECK(run(L, "local function f() return f() + 1 end f()").find("stack overflow") != std::string::npos);
}

TEST_CASE("tensors are collected as they are handed out") {
  auto state = fresh();
  reset_memory_peak();
  size_t before = memory_use().live;
  CHECK(run(state.get(), "local core = require 'wane.core'\n"
                         "for i = 1, 400 do local x = core.flush(core.full({ 1 << 20 }, i) + 1) end")
        == "");
  // 400 tensors of 4 MiB: without steps of the collector 1.6 GiB would be alive.
  CHECK(memory_use().peak - before < (size_t(200) << 20));
}

TEST_CASE("memory without end is an error, not the end of the process") {
  size_t ceiling = memory_use().ceiling;
  set_memory_ceiling(size_t(1) << 30); // Lua gets its least share, 1 GiB
  auto state = fresh();
  set_memory_ceiling(ceiling);
  auto text = run(state.get(), "local s = ('x'):rep(1 << 20)\nfor i = 1, 60 do s = s .. s end");
  CHECK(text.find("not enough memory") != std::string::npos);
  CHECK(run(state.get(), "local t = {}") == "");
}

// -- Ctrl-C
// ---------------------------------------------------------------------------------------------------
namespace {

// Seconds from the signal to the end of the script, and its exit code.
double interrupted(const std::string& text, int& code) {
  auto state = fresh();
  install_interrupts(state.get());
  clear_interrupts(state.get());
  std::chrono::steady_clock::time_point sent;
  std::thread sender([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(60));
    sent = std::chrono::steady_clock::now();
    kill(getpid(), SIGINT); // whichever thread gets it
  });
  run(state.get(), text, &code);
  auto ended = std::chrono::steady_clock::now();
  sender.join();
  clear_interrupts(state.get());
  return std::chrono::duration<double>(ended - sent).count();
}

} // namespace

TEST_CASE("Ctrl-C stops any loop within 0.2 s and cannot be swallowed") {
  const char* loops[] = {
      "while true do end",
      "while true do pcall(error) end",
      "while true do pcall(function() while true do end end) end",
      "while true do xpcall(error, function() while true do end end) end",
      "while true do xpcall(function() while true do end end, function() while true do end end) end",
      "while true do coroutine.wrap(function() pcall(function() while true do end end) end)() end",
      "local co = coroutine.create(function() while true do pcall(coroutine.yield) end end)\n"
      "while true do pcall(coroutine.resume, co) end",
      "local s = ('a'):rep(400) while true do pcall(string.find, s, ('.-'):rep(6) .. 'b') end",
      "while true do pcall(string.gsub, ('a'):rep(300), ('a-'):rep(6) .. 'b', 'x') end",
      "local t = {} for i = 1, 300000 do t[i] = (i * 7919) % 300007 end while true do pcall(table.sort, t, "
      "function(a, b) "
      "return a > b end) end",
      "goto a ::a:: goto a",
      "local function f() return f() end f()",
      "repeat local x <close> = setmetatable({}, { __close = function() while true do end end }) until false",
      "local core = require 'wane.core' local x = core.zeros { 64, 64 } while true do pcall(function() x = x "
      "+ 1 end) end",
  };
  for (auto* text : loops) {
    CAPTURE(text);
    int code = 0;
    double seconds = interrupted(text, code);
    CHECK(code == 75);
    CHECK(seconds < 0.2);
  }
}

TEST_CASE("after the request is cleared a state works on") {
  auto state = fresh();
  install_interrupts(state.get());
  int code = 0;
  request_interrupt();
  arm_interrupt(state.get());
  CHECK(run(state.get(), "local x = 1", &code) == "interrupted");
  CHECK(code == 75);
  clear_interrupts(state.get());
  CHECK(run(state.get(), "local x = 1") == "");
}

// -- patterns
// -------------------------------------------------------------------------------------------------
namespace {

struct Stock { // Lua's own string library in a state of its own
  lua_State* L = luaL_newstate();
  Stock() { luaL_openlibs(L); }
  ~Stock() { lua_close(L); }
  // Results of string.NAME(...) as text, or nothing when it raised.
  std::optional<std::string> call(const char* name, const std::vector<std::string>& arguments) {
    lua_settop(L, 0);
    luaL_dostring(
        L, "local pack = function(ok, ...) if not ok then return nil end local t = table.pack(...) "
           "for i = 1, t.n do t[i] = math.type(t[i]) .. tostring(t[i]) end return table.concat(t, '|') end "
           "math.type = function(x) return type(x):sub(1, 1) end "
           "return function(name, ...) return pack(pcall(string[name], ...)) end");
    lua_pushstring(L, name);
    for (auto& argument : arguments) lua_pushlstring(L, argument.data(), argument.size());
    REQUIRE(lua_pcall(L, int(arguments.size()) + 1, 1, 0) == LUA_OK);
    if (lua_isnil(L, -1)) return std::nullopt;
    size_t size;
    const char* text = lua_tolstring(L, -1, &size);
    return std::string(text, size);
  }
};

} // namespace

TEST_CASE("string functions answer as Lua's own on random patterns and texts") {
  Stock stock;
  auto state = fresh();
  lua_State* L = state.get();
  auto ours = [&](const char* name, const std::vector<std::string>& arguments) -> std::optional<std::string> {
    lua_settop(L, 0);
    lua_getglobal(L, "string");
    lua_getfield(L, -1, name);
    for (auto& argument : arguments) lua_pushlstring(L, argument.data(), argument.size());
    if (lua_pcall(L, int(arguments.size()), LUA_MULTRET, 0) != LUA_OK) return std::nullopt;
    std::string out;
    for (int i = 2; i <= lua_gettop(L); ++i) {
      if (i > 2) out += "|";
      out += luaL_typename(L, i)[0];
      size_t size;
      const char* text = luaL_tolstring(L, i, &size);
      out.append(text, size);
      lua_pop(L, 1);
    }
    return out;
  };
  const char* pieces[] = {"a",      "b",     "c",     ".",  "%a",   "%d", "%s",   "[ab]",
                          "[^a]",   "[a-c]", "[%w_]", "(",  ")",    "()", "*",    "+",
                          "-",      "?",     "^",     "$",  "%1",   "%2", "%bab", "%f[b]",
                          "%f[%W]", "[]]",   "[^]]",  "%.", "[a-]", "x",  "%"};
  std::mt19937 random(11);
  int matched = 0, raised = 0;
  for (int round = 0; round < 40000; ++round) {
    std::string pattern, text;
    for (int n = int(random() % 7); n >= 0; --n) pattern += pieces[random() % std::size(pieces)];
    for (int n = int(random() % 10); n > 0; --n) text += "aabbc1 _]"[random() % 9];
    const char* names[] = {"find", "match", "gsub"};
    const char* name = names[random() % 3];
    std::vector<std::string> arguments = {text, pattern};
    if (name[0] == 'g') arguments.push_back(random() % 2 ? "<%0>" : "%1");
    CAPTURE(pattern);
    CAPTURE(text);
    CAPTURE(name);
    auto expected = stock.call(name, arguments), found = ours(name, arguments);
    // A malformed pattern is refused always here, by Lua only once the matching comes to the flaw.
    if (!found)
      ++raised;
    else
      CHECK(expected == found);
    if (!expected) CHECK(!found);
    if (found && expected && *found != "n") ++matched;
  }
  CHECK(matched > 8000);
  CHECK(raised < 30000);
}

TEST_CASE("a hostile pattern ends by itself") {
  PatternMatch match;
  Pattern pattern(std::string("a-") + "a-a-a-a-a-a-b", true);
  std::string text(2000, 'a');
  CHECK_THROWS_WITH(pattern.find(text, 0, match), "pattern takes more than 200100000 steps on this text");
}

// -- the command
// ----------------------------------------------------------------------------------------------
namespace {

class ScratchFolder { // the working directory of a test
public:
  ScratchFolder() : before_(std::filesystem::current_path()) {
    std::string pattern = (std::filesystem::temp_directory_path() / "wane-run-XXXXXX").string();
    REQUIRE(mkdtemp(pattern.data()));
    path_ = pattern;
    std::filesystem::current_path(path_);
  }
  ~ScratchFolder() {
    std::filesystem::current_path(before_);
    std::filesystem::remove_all(path_);
  }

private:
  std::filesystem::path before_, path_;
};

void write_file(const std::string& path, const std::string& text) { std::ofstream(path) << text; }
std::string read_file(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream(path).rdbuf();
  return out.str();
}

int run_script(const std::string& text, std::vector<std::string> arguments = {}, bool strict = false) {
  write_file("recipe.lua", text);
  HostOptions options;
  options.quiet = true;
  options.strict = strict;
  return run_recipe({"recipe.lua", std::move(arguments)}, options);
}

std::string only_run() {
  std::string found;
  for (auto& entry : std::filesystem::directory_iterator("runs")) found = entry.path().string();
  return found;
}

} // namespace

TEST_CASE("a run has its folder with recipe, manifest and tables") {
  ScratchFolder scratch;
  const char* text = "local core = require 'wane.core'\nlocal a, b = ...\nassert(a == 'x' and b == '1' and "
                     "select('#', ...) == 2)\n"
                     "core.append(core.options.run .. '/t.jsonl', '{}\\n')\n";
  CHECK(run_script(text, {"x", "1"}) == 0);
  auto folder = only_run();
  CHECK(folder.substr(0, 12) == "runs/recipe-");
  CHECK(folder.size() == 16);
  CHECK(read_file(folder + "/recipe") == text);
  CHECK(read_file(folder + "/t.jsonl") == "{}\n");
  auto manifest = read_file(folder + "/manifest.json");
  CHECK(manifest.find("\"arguments\": [\"x\", \"1\"]") != std::string::npos);
  CHECK(manifest.find("\"seed\": 0") != std::string::npos);
  // The same command is the same run, computed anew: the table does not grow.
  CHECK(run_script(text, {"x", "1"}) == 0);
  CHECK(only_run() == folder);
  CHECK(read_file(folder + "/t.jsonl") == "{}\n");
  CHECK(read_file(folder + "/manifest.json") == manifest);
}

TEST_CASE("exit codes") {
  ScratchFolder scratch;
  CHECK(run_script("return 1") == 0);
  CHECK(run_script("local core = require 'wane.core' core.deviation 'took a fallback'") == 0);
  CHECK(run_script("local core = require 'wane.core' core.deviation 'took a fallback'", {}, true) == 3);
  CHECK(run_script("return 1", {}, true) == 0);
  for (int fault : {2, 65, 66, 69, 70, 73, 74})
    CHECK(run_script(fmt::format("require 'wane.core'.fail('x', {{ fault = {} }})", fault)) == fault);
  CHECK(run_script("error 'x'") == 1);
  CHECK(run_script("local x = ") == 1);
  HostOptions options;
  CHECK_THROWS_WITH_AS(run_recipe({"no.lua", {}}, options), "no.lua: there is no such file", Error);
}

TEST_CASE("a script finds modules beside it and runs with a first line for the shell") {
  ScratchFolder scratch;
  std::filesystem::create_directory("lib");
  write_file("lib/mine.lua", "return { answer = 42 }");
  write_file("lib/main.lua", "#!/usr/bin/env wane\nassert(require 'mine'.answer == 42)");
  HostOptions options;
  options.quiet = true;
  CHECK(run_recipe({"lib/main.lua", {}}, options) == 0);
}

TEST_CASE("pressure on memory collects what Lua let go of") {
  auto state = fresh();
  size_t ceiling = memory_use().ceiling;
  set_memory_ceiling(memory_use().live + (size_t(96) << 20));
  // Old generations: each round keeps 15 tensors of 4 MiB for a while.
  auto text =
      run(state.get(), "local core = require 'wane.core'\nlocal kept = {}\n"
                       "for i = 1, 300 do kept[i % 15 + 1] = core.flush(core.full({ 1 << 20 }, i) + 1) end");
  set_memory_ceiling(ceiling);
  CHECK(text == "");
}

namespace {

// What a piped session writes to stdout, and its exit code.
std::string session(const std::string& lines, int& code) {
  ScratchFolder scratch;
  write_file("in.txt", lines);
  std::fflush(stdout);
  int out = dup(STDOUT_FILENO), in = dup(STDIN_FILENO);
  REQUIRE(std::freopen("in.txt", "r", stdin));
  int file = open("out.txt", O_CREAT | O_WRONLY, 0600);
  dup2(file, STDOUT_FILENO);
  close(file);
  HostOptions options;
  options.quiet = true;
  code = repl("", options);
  std::fflush(stdout);
  dup2(out, STDOUT_FILENO);
  dup2(in, STDIN_FILENO);
  close(out);
  close(in);
  clearerr(stdin);
  return read_file("out.txt");
}

} // namespace

TEST_CASE("a piped session prints expressions, reads on, keeps going after errors") {
  int code = -1;
  CHECK(session("x = 3\nx * 2\n_ + 1\n", code) == "6\n7\n");
  CHECK(code == 0);
  CHECK(session("for i = 1, 2 do\n  print(i)\nend\n", code) == "1\n2\n");
  CHECK(session("1 +\n2\nx = {\n4\n}\n#x\n", code) == "3\n1\n");
  CHECK(session("5;\nnil\n\n'a\\nb', nil, 2.5\n", code) == "\"a\\nb\"\nnil\n2.5\n");
  CHECK(session("{ 1, 'x', n = {}, 2 }\n{}\n", code) == "{ 1, \"x\", 2, n = {...} }\n{}\n");
  CHECK(session("wane.tensor { { 1, 2 }, { 3, 4 } }\n", code)
        == "[2 x 2]   f32   cpu   16 B\n        1       2\n1  1.0000  2.0000\n2  3.0000  4.0000\n"
           "min 1   max 4   mean 2.5   std 1.118   nan 0\n");
  CHECK(code == 0);
  CHECK(session("y.z\n1 +\n", code) == "");
  CHECK(code == 1);
  CHECK(session("error 'x'\n'after'\n", code) == "\"after\"\n");
  CHECK(code == 1);
}
