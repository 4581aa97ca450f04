// The commands that run Lua: a recipe in its run folder, tests, benches, help.
#pragma once

#include <string>
#include <vector>

#include "bindings/host.h"

namespace wane::lua {

struct RunRequest {
  std::string script;
  std::vector<std::string> arguments;
};

// Each gives the process's exit code.
int run_recipe(const RunRequest& request, HostOptions options);
int run_tests(const std::vector<std::string>& paths, HostOptions options);
int run_benches(const std::vector<std::string>& names, HostOptions options);
int show_info(const std::string& path, HostOptions options);
// Calls `command` of a module of the standard library with these arguments: "wane.help", "wane.check".
int call_library(const char* module, const std::vector<std::string>& arguments, HostOptions options);
int repl(const std::string& model, HostOptions options);

} // namespace wane::lua
