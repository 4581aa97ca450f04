// Compiled kernels on disk, so that a kernel is compiled once per machine and not once per process:
// $XDG_CACHE_HOME/wane/<arch>/<hash>.cubin (~/.cache where the variable is unset). The name is the hash of
// everything that decides the code: source, options, the compiler's version, the architecture. A file starts
// with the hash of its payload, so that a torn or edited one is compiled anew and never run.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "runtime/cuda/nvrtc.h"

namespace wane::cuda {

class KernelCache {
public:
  // For the user's folder, or for another one.
  explicit KernelCache(std::string arch = kDefaultArch);
  KernelCache(std::string folder, std::string arch);

  const std::string& folder() const { return folder_; } // "" when there is no home to put it in
  std::string key(const std::string& text) const;       // 64 hex digits

  // The machine code kept under a key; nothing when there is none or it is damaged (which also removes it).
  std::optional<std::vector<std::byte>> find(const std::string& key) const;
  // Keeps it for later processes; false when the folder cannot be written or others may write it, which costs
  // a later compile and nothing else. Over 256 MiB the oldest files go.
  bool keep(const std::string& key, const std::vector<std::byte>& cubin) const;
  // Found, or compiled and kept.
  CompiledKernel compiled(const std::string& text) const;

private:
  std::string folder_, arch_;
};

} // namespace wane::cuda
