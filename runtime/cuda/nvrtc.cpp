#include "runtime/cuda/nvrtc.h"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string_view>

#include <dlfcn.h>

#include "runtime/error.h"

namespace wane::cuda {
namespace {

// The part of nvrtc.h that is used; the C interface is the same in every version since 11.2.
using Result = int;
using Handle = void*;
struct Library {
  void* handle = nullptr;
  Result (*version)(int*, int*) = nullptr;
  const char* (*error_string)(Result) = nullptr;
  Result (*create)(Handle*, const char*, const char*, int, const char* const*, const char* const*) = nullptr;
  Result (*destroy)(Handle*) = nullptr;
  Result (*compile)(Handle, int, const char* const*) = nullptr;
  Result (*log_size)(Handle, size_t*) = nullptr;
  Result (*log)(Handle, char*) = nullptr;
  Result (*cubin_size)(Handle, size_t*) = nullptr;
  Result (*cubin)(Handle, char*) = nullptr;
  Result (*arch_count)(int*) = nullptr;
  Result (*archs)(int*) = nullptr;
};

void* open_library() {
  std::vector<std::string> folders{""};
  for (const char* variable : {"CUDA_HOME", "CUDA_PATH"})
    if (const char* home = std::getenv(variable); home && *home)
      for (const char* lib : {"/lib64/", "/lib/"}) folders.push_back(std::string(home) + lib);
  for (const char* lib : {"/usr/local/cuda/lib64/", "/usr/local/cuda/lib/"}) folders.push_back(lib);
  for (auto& folder : folders)
    for (const char* name : {"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"})
      if (void* handle = dlopen((folder + name).c_str(), RTLD_NOW | RTLD_LOCAL)) return handle;
  return nullptr;
}

Library load() {
  Library lib;
  lib.handle = open_library();
  if (!lib.handle) return lib;
  bool complete = true;
  auto find = [&](auto& function, const char* name) {
    function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(lib.handle, name));
    complete &= function != nullptr;
  };
  find(lib.version, "nvrtcVersion");
  find(lib.error_string, "nvrtcGetErrorString");
  find(lib.create, "nvrtcCreateProgram");
  find(lib.destroy, "nvrtcDestroyProgram");
  find(lib.compile, "nvrtcCompileProgram");
  find(lib.log_size, "nvrtcGetProgramLogSize");
  find(lib.log, "nvrtcGetProgramLog");
  find(lib.cubin_size, "nvrtcGetCUBINSize");
  find(lib.cubin, "nvrtcGetCUBIN");
  find(lib.arch_count, "nvrtcGetNumSupportedArchs");
  find(lib.archs, "nvrtcGetSupportedArchs");
  if (!complete) lib.handle = nullptr;
  return lib;
}

const Library& library() {
  static const Library lib = load(); // stays loaded: its static state does not survive unloading
  return lib;
}

class Compilation {
public:
  Compilation(const Library& lib, const std::string& text) : lib_(lib) {
    check(lib.create(&handle_, text.c_str(), "wane.cu", 0, nullptr, nullptr), "create");
  }
  ~Compilation() { lib_.destroy(&handle_); }
  Compilation(const Compilation&) = delete;
  Compilation& operator=(const Compilation&) = delete;

  void run(const std::vector<std::string>& options) {
    std::vector<const char*> pointers;
    for (auto& option : options) pointers.push_back(option.c_str());
    Result result = lib_.compile(handle_, int(pointers.size()), pointers.data());
    if (result == 0) return;
    std::string text = log();
    Error e =
        error(Fault::internal, "nvrtc: {}", text.empty() ? lib_.error_string(result) : first_error(text));
    throw e;
  }

  std::vector<std::byte> cubin() {
    size_t bytes = 0;
    check(lib_.cubin_size(handle_, &bytes), "cubin size");
    std::vector<std::byte> out(bytes);
    check(lib_.cubin(handle_, reinterpret_cast<char*>(out.data())), "cubin");
    return out;
  }

private:
  void check(Result result, const char* what) const {
    if (result) throw error(Fault::internal, "nvrtc: {}: {}", what, lib_.error_string(result));
  }
  std::string log() const {
    size_t bytes = 0;
    if (lib_.log_size(handle_, &bytes) || bytes < 2) return "";
    std::string text(bytes, '\0');
    lib_.log(handle_, text.data());
    return text.substr(0, text.find('\0'));
  }
  static std::string_view first_error(std::string_view log) {
    size_t at = log.find("error");
    size_t start = at == std::string_view::npos ? 0 : log.rfind('\n', at) + 1; // npos + 1 is 0
    return log.substr(start, log.find('\n', start) - start);
  }

  const Library& lib_;
  Handle handle_ = nullptr;
};

} // namespace

bool nvrtc_available() { return library().handle != nullptr; }

std::string nvrtc_version() {
  int major = 0, minor = 0;
  if (!nvrtc_available() || library().version(&major, &minor)) return "";
  return fmt::format("{}.{}", major, minor);
}

bool nvrtc_knows(const std::string& arch) {
  int count = 0;
  if (!nvrtc_available() || library().arch_count(&count)) return false;
  std::vector<int> numbers(static_cast<size_t>(count));
  if (library().archs(numbers.data())) return false;
  return std::any_of(numbers.begin(), numbers.end(),
                     [&](int number) { return fmt::format("sm_{}", number) == arch; });
}

const std::vector<std::string>& compile_options() {
  static const std::vector<std::string> options{"--std=c++17",       "--fmad=false", "--prec-div=true",
                                                "--prec-sqrt=true",  "--ftz=false",  "--minimal",
                                                "--disable-warnings"};
  return options;
}

CompiledKernel compile_cuda(const std::string& text, const std::string& arch) {
  if (!nvrtc_available()) throw error(Fault::no_device, "no device: libnvrtc.so was not found");
  std::vector<std::string> options = compile_options();
  options.push_back("--gpu-architecture=" + arch);
  auto start = std::chrono::steady_clock::now();
  Compilation compilation(library(), text);
  compilation.run(options);
  CompiledKernel out{compilation.cubin()};
  out.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return out;
}

} // namespace wane::cuda
