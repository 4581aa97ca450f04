#include "tests/host_kernels.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>

#include <dlfcn.h>

#include "runtime/cuda/cache.h"
#include "runtime/cuda/emit.h"
#include "runtime/cuda/launch.h"

using namespace wane;

namespace {

using Kernel = void (*)(const void*);
using RunFn = const char* (*)(HostSize grid, HostSize block, bool meetings, Kernel kernel,
                              const void* argument, uint32_t seed);

// Unoptimised: the text is long and runs little. The mathematics is as for the engine.
const char* const kOptions = "-std=c++20 -O0 -w -fPIC -shared -s -fno-gnu-unique -fvisibility=hidden "
                             "-ffp-contract=off -fno-math-errno -msse4.1 -U_FORTIFY_SOURCE";

// A plain function around each kernel, for dlsym.
std::string launcher(const HostKernel& kernel) {
  return fmt::format("WANE_VISIBLE void call_{0}(const void* argument) {{ {0}(*(const {1}*)argument); }}\n",
                     kernel.name, kernel.parameter);
}
const char* const kRunner =
    "WANE_VISIBLE const char* run_host(host_cuda::Index grid, host_cuda::Index block, bool meetings,\n"
    "                                  host_cuda::Kernel kernel, const void* argument, unsigned seed) {\n"
    "  return host_cuda::run(grid, block, meetings, kernel, argument, seed);\n}\n";

std::string contents(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::string first_error(const std::string& log) {
  size_t at = log.find("error");
  size_t start = at == std::string::npos ? 0 : log.rfind('\n', at) + 1; // npos + 1 is 0
  std::string line = log.substr(start, log.find('\n', start) - start);
  return line.empty() ? "the compiler failed" : line;
}

std::string new_folder() {
  std::string name = (std::filesystem::temp_directory_path() / "wane-host-XXXXXX").string();
  if (!mkdtemp(name.data())) throw error(Fault::io, "{}: cannot be created", name);
  return name;
}

const std::string& compiler_version() {
  static const std::string version = [] {
    std::string folder = new_folder(), file = folder + "/version";
    int status = std::system(("g++ --version > " + file + " 2>&1").c_str());
    std::string text = status == 0 ? contents(file) : "";
    std::filesystem::remove_all(folder);
    return text;
  }();
  return version;
}

} // namespace

bool HostKernels::compiler_available() { return !compiler_version().empty(); }

std::string host_name(const Program& program) { return cuda::kernel_name(program); }

std::string host_text(const std::vector<Program>& programs, std::vector<HostKernel>& kernels) {
  std::vector<const Program*> all;
  std::set<std::string> names;
  for (auto& program : programs) {
    std::string name = host_name(program);
    if (!names.insert(name).second) continue;
    all.push_back(&program);
    kernels.push_back({name, fmt::format("WaneLaunch<{}, {}>", std::max(1, program.inputs),
                                         std::max(1, program.constants))});
  }
  return cuda::emit_cuda(all);
}

HostKernels::HostKernels(const std::vector<Program>& programs) {
  std::vector<HostKernel> kernels;
  std::string text = host_text(programs, kernels);
  for (auto& kernel : kernels) text += launcher(kernel);
  build(text);
}

HostKernels::HostKernels(const std::string& text, const std::vector<HostKernel>& kernels) {
  std::string all = text;
  for (auto& kernel : kernels) all += launcher(kernel);
  build(all);
}

void HostKernels::build(const std::string& text) {
  folder_ = new_folder();
  std::string library = folder_ + "/kernels.so";
  std::string source = "#include \"tests/host_cuda.h\"\n#define WANE_VISIBLE extern \"C\" "
                       "__attribute__((visibility(\"default\")))\n"
                       + text + kRunner;
  static const std::string header = contents(WANE_SOURCE_DIR "/tests/host_cuda.h");
  cuda::KernelCache cache("host");
  std::string key = cache.key(fmt::format("{}\n{}\n{}\n{}", kOptions, compiler_version(), header, source));
  if (auto kept = cache.find(key)) {
    std::ofstream(library, std::ios::binary)
        .write(reinterpret_cast<const char*>(kept->data()), std::streamsize(kept->size()));
    open(library);
    return;
  }
  std::ofstream(folder_ + "/kernels.cpp") << source;
  std::string command = fmt::format("g++ {0} -I{1} {2}/kernels.cpp -o {3} 2> {2}/log", kOptions,
                                    WANE_SOURCE_DIR, folder_, library);
  if (std::system(command.c_str()) != 0) {
    problem_ = first_error(contents(folder_ + "/log"));
    return;
  }
  std::string bytes = contents(library);
  auto* first = reinterpret_cast<const std::byte*>(bytes.data());
  cache.keep(key, {first, first + bytes.size()});
  open(library);
}

void HostKernels::open(const std::string& library) {
  library_ = dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!library_) problem_ = dlerror();
}

HostKernels::~HostKernels() {
  if (library_) dlclose(library_);
  std::error_code ignored;
  if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
}

std::string HostKernels::run(const std::string& name, const HostGrid& grid, const void* argument,
                             uint32_t seed) const {
  if (!library_) return "not built: " + problem_;
  auto kernel = reinterpret_cast<Kernel>(dlsym(library_, ("call_" + name).c_str()));
  auto runner = reinterpret_cast<RunFn>(dlsym(library_, "run_host"));
  if (!kernel || !runner) return "no kernel " + name;
  const char* problem = runner(grid.blocks, grid.threads, grid.meetings, kernel, argument, seed);
  return problem ? problem : "";
}

std::string HostKernels::run(const Program& program, const Launch& launch, int multiprocessors,
                             uint32_t seed) const {
  cuda::Grid grid = cuda::grid_of(program, launch, multiprocessors);
  std::vector<std::byte> arguments = cuda::arguments_of(program, launch);
  HostGrid shape{{grid.blocks, 1, 1}, {grid.threads_x, grid.threads_y, 1}, cuda::uses_rows(program)};
  return run(host_name(program), shape, arguments.data(), seed);
}
