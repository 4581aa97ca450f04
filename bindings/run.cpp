#include "bindings/run.h"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bindings/failure.h"
#include "bindings/interrupt.h"
#include "bindings/progress.h"
#include "bindings/version.h"
#include "bindings/wrap_json.h"
#include "bindings/wrap_profile.h"
#include "runtime/cpu/pool.h"
#include "runtime/cuda/proof.h"
#include "runtime/hash.h"
#include "runtime/model/source.h"
#include "runtime/run/publish.h"

namespace wane::lua {
namespace fs = std::filesystem;
namespace {

int fail_with(const Failure& failure) {
  hide_progress();
  std::fflush(stdout);
  std::fprintf(stderr, "%s\n", failure.text.c_str());
  return int(failure.fault);
}

State start(HostOptions options) {
  State L(open_state(std::move(options)));
  install_interrupts(L.get());
  return L;
}

// package.path begins with the folder of the script.
void add_script_folder(lua_State* L, const std::string& script) {
  auto folder = fs::path(script).parent_path().string();
  if (folder.empty()) return;
  lua_getglobal(L, "package");
  lua_getfield(L, -1, "path");
  auto path = folder + "/?.lua;" + lua_tostring(L, -1);
  push(L, std::string_view(path));
  lua_setfield(L, -3, "path");
  lua_pop(L, 2);
}

// -- the run folder
// -------------------------------------------------------------------------------------------
struct RunFolder {
  std::string path, id, recipe_hash;
  bool is_new = true;
};

// runs/SCRIPT-ID; ID: four hex digits of what determines the result on one machine.
RunFolder name_run(const std::string& script, const std::string& text, const HostOptions& options) {
  RunFolder run;
  run.recipe_hash = sha256_hex(text);
  Sha256 sum;
  sum.update(std::string_view(text));
  auto part = [&](std::string_view piece) { sum.update(fmt::format("\n{} ", piece.size())).update(piece); };
  for (auto& argument : options.arguments) part(argument);
  part(fmt::format("seed {}", options.seed));
  run.id = sum.hex().substr(0, 4);
  run.path = (fs::path("runs") / (fs::path(script).stem().string() + "-" + run.id)).string();
  run.is_new = !fs::exists(run.path);
  return run;
}

void make_folder(const RunFolder& run) {
  std::error_code problem;
  fs::create_directories(run.path, problem);
  if (problem) throw error(Fault::no_create, "run: {}: {}", run.path, problem.message());
}

// A run that ended early keeps its folder for the rows and files in it. A new one with nothing but what every
// run starts with goes.
bool discard_if_empty(const RunFolder& run) {
  std::error_code ignored;
  for (auto& entry : fs::directory_iterator(run.path, ignored))
    if (entry.path().filename() != "recipe" && entry.path().filename() != "manifest.json") return false;
  if (!run.is_new) return false;
  fs::remove_all(run.path, ignored);
  fs::remove(fs::path(run.path).parent_path(), ignored); // where it was the only one
  return true;
}

// Tables and the profile of an earlier run of the same recipe are computed anew, not added to.
void clear_tables(const std::string& folder) {
  std::error_code ignored;
  for (auto& entry : fs::directory_iterator(folder, ignored))
    if (entry.path().extension() == ".jsonl" || entry.path().filename() == "profile.svg")
      fs::remove(entry.path(), ignored);
}

void write_manifest(const RunFolder& run, const HostOptions& options) {
  std::string arguments;
  for (auto& argument : options.arguments)
    arguments += (arguments.empty() ? "" : ", ") + json_string(argument);
  std::string classes;
  for (auto& [name, value] : matmul_classes())
    classes +=
        fmt::format("{}\n    {}: {}", classes.empty() ? "" : ",", json_string(name), json_string(value));
  auto text = fmt::format(
      "{{\n  \"wane\": {},\n  \"script\": {},\n  \"recipe\": {},\n  \"arguments\": [{}],\n"
      "  \"seed\": {},\n  \"device\": {},\n  \"matmul\": {{{}\n  }}\n}}\n",
      json_string(version_text()), json_string(fs::path(options.script).filename().string()),
      json_string(run.recipe_hash), arguments, options.seed, json_string(options.device), classes);
  publish_text(run.path + "/manifest.json", text);
}

void write_header(const RunFolder& run, const HostOptions& options) {
  write_note(fmt::format("run       {:<30} {}", run.path, run.is_new ? "new" : "computed anew"));
  auto recipe =
      fmt::format("{} {}", fs::path(options.script).filename().string(), run.recipe_hash.substr(0, 6));
  write_note(fmt::format("recipe    {:<30} wane {}, {}, seed {}", recipe, version_text(), machine_text(),
                         options.seed));
}

// Rows of the script's tables; metrics.jsonl holds those of every solved layer, profile.jsonl where time
// went.
int64_t count_rows(const std::string& folder) {
  int64_t rows = 0;
  std::error_code ignored;
  for (auto& entry : fs::directory_iterator(folder, ignored)) {
    auto stem = entry.path().stem();
    if (entry.path().extension() != ".jsonl" || stem == "metrics" || stem == "profile") continue;
    std::ifstream file(entry.path());
    for (std::string line; std::getline(file, line);) ++rows;
  }
  return rows;
}

// The table on stdout, profile.jsonl and profile.svg; also of a run that failed.
std::optional<Failure> report_profile(lua_State* L, const std::string& folder) {
  clear_interrupts(L);
  lua_getglobal(L, "require");
  lua_pushliteral(L, "wane.profile");
  auto failure = call(L, 1, 1);
  if (!failure) {
    push(L, std::string_view(folder));
    failure = call(L, 1, 0);
  }
  stop_profile();
  std::fflush(stdout);
  return failure;
}

int finish_run(lua_State* L, const RunFolder& run, bool strict) {
  auto& deviations = host(L).deviations;
  int64_t rows = count_rows(run.path);
  auto words = fmt::format("{} row{}, {} deviation{}", rows, rows == 1 ? "" : "s", deviations.size(),
                           deviations.size() == 1 ? "" : "s");
  write_note(fmt::format("done      {:<30} {}", words, run.path));
  for (auto& each : deviations) write_note("          " + each);
  return strict && !deviations.empty() ? int(Fault::degraded) : 0;
}

} // namespace

int run_recipe(const RunRequest& request, HostOptions options) {
  FileSource file(request.script);
  auto text = file.text(64 << 20);
  options.script = request.script;
  options.arguments = request.arguments;
  auto run = name_run(request.script, text, options);
  options.run = run.path;
  auto state = start(options);
  lua_State* L = state.get();
  add_script_folder(L, request.script);
  if (auto failure = load_script(L, request.script))
    return fail_with(*failure); // it does not parse: no folder
  make_folder(run);
  write_header(run, options);
  clear_tables(run.path);
  publish_text(run.path + "/recipe", text);
  write_manifest(run, options);
  if (options.profile) start_profile(L);
  for (auto& argument : request.arguments) push(L, std::string_view(argument));
  auto failure = call(L, int(request.arguments.size()), 0);
  hide_progress();
  std::fflush(stdout);
  if (options.profile) {
    auto problem = report_profile(L, run.path);
    if (problem && !failure) failure = problem;
  }
  if (!failure) return finish_run(L, run, options.strict);
  auto place = discard_if_empty(run) ? std::string("nothing was kept") : run.path;
  if (failure->fault != Fault::interrupted) {
    int code = fail_with(*failure);
    write_note("failed    " + place);
    return code;
  }
  write_note(fmt::format("interrupted\npaused    {}; the same command starts it again", place));
  return int(Fault::interrupted);
}

int run_tests(const std::vector<std::string>& paths, HostOptions options) {
  auto state = start(std::move(options));
  lua_State* L = state.get();
  lua_getglobal(L, "require");
  lua_pushliteral(L, "wane.test");
  if (auto failure = call(L, 1, 1)) return fail_with(*failure);
  push(L, std::span<const std::string>(paths));
  cuda::CudaProof::start();
  auto failure = call(L, 1, 1);
  if (const char* path = std::getenv("WANE_PROGRAMS")) cuda::CudaProof::save(path);
  auto proof = cuda::CudaProof::finish(); // every program these tests ran is CUDA text that compiles, too
  if (failure) return fail_with(*failure);
  for (auto& problem : proof.failures) std::printf("%s\n", problem.c_str());
  std::fprintf(stderr, "%s\n", proof.line().c_str());
  return lua_toboolean(L, -1) && proof.passed() ? 0 : int(Fault::recipe);
}

namespace {

int bench_process(const std::string& name) {
  auto threads = std::to_string(thread_count());
  const char* arguments[] = {"wane", "bench", name.c_str(), "--threads", threads.c_str(), nullptr};
  std::fflush(stdout);
  pid_t child = 0;
  int status = 0;
  int problem =
      posix_spawn(&child, "/proc/self/exe", nullptr, nullptr, const_cast<char**>(arguments), environ);
  if (problem) throw error(Fault::internal, "bench: cannot start '{}': {}", name, std::strerror(problem));
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : int(Fault::interrupted);
}

} // namespace

int run_benches(const std::vector<std::string>& names, HostOptions options) {
  const fs::path folder = "scripts/bench";
  std::vector<std::string> scripts;
  std::error_code problem;
  for (fs::directory_iterator it(folder, problem), end; !problem && it != end; it.increment(problem))
    if (it->path().extension() == ".lua") scripts.push_back(it->path().stem().string());
  std::sort(scripts.begin(), scripts.end());
  if (scripts.empty())
    throw error(Fault::missing, "bench: no scripts in {}", folder.string())
        .hint("run it in wane's own folder");
  for (auto& name : names)
    if (std::find(scripts.begin(), scripts.end(), name) == scripts.end())
      throw error(Fault::usage, "bench: no bench '{}'", name)
          .note("there are", fmt::format("{}", fmt::join(scripts, ", ")));
  auto& wanted = names.empty() ? scripts : names;
  if (wanted.size() > 1) { // each in a process of its own: one's memory is no part of another's peak
    int worst = 0;
    for (auto& name : wanted) worst = std::max(worst, bench_process(name));
    return worst;
  }
  auto script = (folder / (wanted[0] + ".lua")).string();
  auto state = start(options);
  add_script_folder(state.get(), script);
  auto failure = load_script(state.get(), script);
  if (!failure) failure = call(state.get(), 0, 0);
  return failure ? fail_with(*failure) : 0;
}

int call_library(const char* module, const std::vector<std::string>& arguments, HostOptions options) {
  auto state = start(std::move(options));
  lua_State* L = state.get();
  lua_getglobal(L, "require");
  push(L, std::string_view(module));
  if (auto failure = call(L, 1, 1)) return fail_with(*failure);
  lua_getfield(L, -1, "command");
  for (auto& argument : arguments) push(L, std::string_view(argument));
  if (auto failure = call(L, int(arguments.size()), 1)) return fail_with(*failure);
  return int(lua_tointeger(L, -1)); // nothing is 0
}

int show_info(const std::string& path, HostOptions options) {
  auto state = start(std::move(options));
  lua_State* L = state.get();
  lua_getglobal(L, "require");
  lua_pushliteral(L, "wane.info");
  if (auto failure = call(L, 1, 1)) return fail_with(*failure);
  push(L, std::string_view(path));
  if (auto failure = call(L, 1, 0)) return fail_with(*failure);
  return 0;
}

} // namespace wane::lua
