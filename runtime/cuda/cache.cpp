#include "runtime/cuda/cache.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <sys/stat.h>
#include <unistd.h>

#include "runtime/hash.h"
#include "runtime/run/publish.h"

namespace wane::cuda {
namespace {

namespace fs = std::filesystem;
constexpr size_t kHashDigits = 64;
constexpr uintmax_t kMostBytes = uintmax_t(256) << 20;

std::string user_folder(const std::string& arch) {
  if (const char* cache = std::getenv("XDG_CACHE_HOME"); cache && *cache == '/')
    return fmt::format("{}/wane/{}", cache, arch);
  if (const char* home = std::getenv("HOME"); home && *home)
    return fmt::format("{}/.cache/wane/{}", home, arch);
  return "";
}

// Code that is run is read from folders alone that nobody else can write.
bool is_private(const std::string& folder) {
  struct stat status;
  if (::stat(folder.c_str(), &status) != 0) return false;
  return S_ISDIR(status.st_mode) && status.st_uid == ::geteuid()
         && (status.st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

bool make_private(const std::string& folder) {
  std::error_code problem;
  fs::create_directories(fs::path(folder).parent_path(), problem);
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return false;
  return is_private(folder);
}

void drop_oldest(const std::string& folder) {
  struct File {
    fs::path path;
    fs::file_time_type time;
    uintmax_t bytes;
  };
  std::vector<File> files;
  uintmax_t total = 0;
  std::error_code problem;
  for (auto& entry : fs::directory_iterator(folder, problem)) {
    if (entry.path().extension() != ".cubin") continue;
    files.push_back({entry.path(), entry.last_write_time(problem), entry.file_size(problem)});
    total += files.back().bytes;
  }
  std::sort(files.begin(), files.end(), [](auto& a, auto& b) { return a.time < b.time; });
  for (size_t i = 0; i < files.size() && total > kMostBytes; ++i) {
    fs::remove(files[i].path, problem);
    total -= files[i].bytes;
  }
}

} // namespace

KernelCache::KernelCache(std::string arch) : KernelCache(user_folder(arch), arch) {}
KernelCache::KernelCache(std::string folder, std::string arch)
    : folder_(std::move(folder)), arch_(std::move(arch)) {}

std::string KernelCache::key(const std::string& text) const {
  std::string all = fmt::format("{}\n{}\n{}\n", nvrtc_version(), arch_, fmt::join(compile_options(), " "));
  return sha256_hex(all + text);
}

std::optional<std::vector<std::byte>> KernelCache::find(const std::string& key) const {
  if (folder_.empty() || !is_private(folder_)) return std::nullopt;
  std::string path = fmt::format("{}/{}.cubin", folder_, key);
  std::ifstream file(path, std::ios::binary);
  if (!file) return std::nullopt;
  std::string all{std::istreambuf_iterator<char>(file), {}};
  if (all.size() > kHashDigits
      && sha256_hex(std::string_view(all).substr(kHashDigits)) == all.substr(0, kHashDigits)) {
    auto* bytes = reinterpret_cast<const std::byte*>(all.data());
    return std::vector<std::byte>(bytes + kHashDigits, bytes + all.size());
  }
  std::error_code problem;
  fs::remove(path, problem);
  return std::nullopt;
}

bool KernelCache::keep(const std::string& key, const std::vector<std::byte>& cubin) const {
  if (folder_.empty() || !make_private(folder_)) return false;
  try {
    OutputFile file(fmt::format("{}/{}.cubin", folder_, key));
    file.write(sha256_hex(cubin));
    file.write(cubin);
    file.commit();
  } catch (const Error&) {
    return false;
  }
  drop_oldest(folder_);
  return true;
}

CompiledKernel KernelCache::compiled(const std::string& text) const {
  std::string name = key(text);
  if (auto found = find(name)) return {std::move(*found)};
  CompiledKernel made = compile_cuda(text, arch_);
  keep(name, made.cubin);
  return made;
}

} // namespace wane::cuda
