// The command line.
#include <CLI/CLI.hpp>

#include <cstdio>
#include <optional>

#include "bindings/failure.h"
#include "bindings/fetch.h"
#include "bindings/progress.h"
#include "bindings/run.h"
#include "bindings/version.h"
#include "bindings/wrap_json.h"
#include "runtime/cpu/pool.h"
#include "runtime/cuda/device.h"
#include "runtime/flush.h"

namespace {

using namespace wane;
using namespace wane::lua;

struct CommandLine {
  HostOptions options;
  std::optional<int> threads;
  std::optional<int64_t> seed;
  RunRequest run;
  std::string path, name;
  std::vector<std::string> names;
  bool library = false; // of help
};

void print_version(bool as_json) {
  if (as_json) {
    std::string rows;
    for (auto& [name, value] : matmul_classes())
      rows += fmt::format(", {}: {}", json_string("matmul_" + name), json_string(value));
    std::printf("{\"wane\": %s, \"machine\": %s%s}\n", json_string(version_text()).c_str(),
                json_string(machine_text()).c_str(), rows.c_str());
    return;
  }
  std::printf("wane %s\n%s\n", version_text().c_str(), machine_text().c_str());
  for (auto& [name, value] : matmul_classes())
    if (!value.empty()) std::printf("matmul %s: %s\n", name.c_str(), value.c_str());
}

int dispatch(CLI::App& app, CommandLine& line) {
  select_device(line.options.device);
  fuse_enabled(); // a WANE_FUSE that is neither 0 nor 1 is said before anything runs
  if (line.seed) {
    if (*line.seed < 0)
      throw error(Fault::usage, "--seed {}: expected a whole number of at least 0", *line.seed);
    line.options.seed = uint64_t(*line.seed);
  }
  if (line.threads) {
    if (*line.threads < 1 || *line.threads > kMaxThreads)
      throw error(Fault::usage, "--threads {}: expected 1 to {}", *line.threads, kMaxThreads);
    set_thread_count(*line.threads);
  }
  set_quiet(line.options.quiet);
  auto is = [&](const char* name) { return app.got_subcommand(name); };
  if (is("run")) return run_recipe(line.run, line.options);
  if (is("repl")) return repl(line.path, line.options);
  if (is("info")) return show_info(line.path, line.options);
  if (is("fetch")) return std::printf("%s\n", fetch_model(line.name, line.options.quiet).c_str()), 0;
  if (is("help")) return call_library("wane.help", {line.library ? "--library" : line.name}, line.options);
  if (is("test")) return run_tests(line.names, line.options);
  if (is("bench")) return run_benches(line.names, line.options);
  if (is("check")) return call_library("wane.check", line.names, line.options);
  return print_version(line.options.json), 0;
}

void add_options(CLI::App& app, CommandLine& line) {
  app.add_option("--threads", line.threads, "Threads to compute with (default: the cores at hand)");
  app.add_option("--device", line.options.device, "cpu or cuda")->capture_default_str();
  app.add_option("--seed", line.seed, "Seed of all random streams (default 0)");
  app.add_flag("--strict", line.options.strict, "Exit 3 where a fallback was taken");
  app.add_flag("--quiet", line.options.quiet, "No progress, results only");
  app.add_flag("--json", line.options.json,
               "Results as JSON: of run one line per table row on stdout, what it prints goes to stderr");
}

void add_commands(CLI::App& app, CommandLine& line) {
  auto command = [&](const char* name, const char* text) {
    auto* sub = app.add_subcommand(name, text);
    sub->fallthrough();
    return sub;
  };
  auto* run = command("run", "Run a recipe in its run folder");
  run->add_option("script", line.run.script, "The recipe")->required();
  run->add_flag("--profile", line.options.profile,
                "Where the time went: a table at the end, profile.jsonl and profile.svg in the run folder");
  run->add_option("arguments", line.run.arguments, "What the recipe gets as ...");
  command("repl", "Explore, line by line")->add_option("model", line.path, "A model to load as `model`");
  command("info", "What a model file holds")->add_option("path", line.path, "A model")->required();
  command("fetch", "Fetch a known model")->add_option("name", line.name, "Its name")->required();
  auto* help = command("help", "What is written about a name");
  help->add_option("name", line.name, "A function, method or noun");
  help->add_flag("--library", line.library, "Definitions of all names for the Lua language server");
  command("test", "Run Lua tests")->add_option("paths", line.names, "Files or folders (default: tests/lua)");
  command("bench", "Run scripts/bench")->add_option("names", line.names, "Which (default: all)");
  command("check", "Check scripts without running them")
      ->add_option("files", line.names, "The scripts")
      ->required();
  command("version", "What this binary and machine are");
}

int report(const Error& problem) {
  hide_progress();
  std::fprintf(stderr, "wane: %s\n", text_of(problem).c_str());
  return int(problem.fault());
}

void refuse_extras(const CLI::App& app) {
  auto extras = app.remaining();
  if (extras.empty()) return;
  bool is_option = extras[0].compare(0, 1, "-") == 0;
  std::vector<std::string> known;
  if (is_option)
    for (auto* option : app.get_options()) known.push_back("--" + option->get_single_name());
  else
    for (auto* command : app.get_subcommands(nullptr)) known.push_back(command->get_name());
  if (!is_option && !app.get_subcommands().empty())
    throw error(Fault::usage, "{}: takes no '{}'", app.get_subcommands()[0]->get_name(), extras[0]);
  auto near = nearest_name(extras[0], known);
  throw error(Fault::usage, "no {} '{}'{}", is_option ? "option" : "command", extras[0],
              near.empty() ? "" : fmt::format("; did you mean '{}'?", near))
      .note("there are", fmt::format("{}", fmt::join(known, ", ")));
}

int main_guarded(int argc, char** argv) {
  CLI::App app{"wane: a scripting host for LLM quantization"};
  app.require_subcommand(0, 1);
  app.allow_extras(); // refused below, with the nearest name
  CommandLine line;
  add_options(app, line);
  add_commands(app, line);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& problem) {
    return app.exit(problem) ? int(Fault::usage) : 0;
  }
  refuse_extras(app);
  if (app.get_subcommands().empty()) {
    std::fputs(app.help().c_str(), stderr);
    return int(Fault::usage);
  }
  return dispatch(app, line);
}

} // namespace

int main(int argc, char** argv) {
  std::setvbuf(stdout, nullptr, _IOLBF,
               0); // so that lines reach a pipe as they are printed, in order with stderr
  int code;
  try {
    code = main_guarded(argc, argv);
  } catch (const wane::Error& problem) {
    code = report(problem);
  } catch (const std::exception& problem) {
    std::fprintf(stderr, "wane: internal: %s\n", problem.what());
    code = int(wane::Fault::internal);
  }
  if (std::fflush(stdout) != 0 && code == 0) code = int(wane::Fault::io);
  return code;
}
