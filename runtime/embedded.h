// Text files carried inside the binary: stdlib/*.lua and the CUDA text of kernels/.
#pragma once

#include <cstddef>
#include <string_view>

namespace wane {

struct EmbeddedFile {
  const char* path; // relative to the folder, with /
  const char* data;
  size_t bytes;
  std::string_view text() const { return {data, bytes}; }
};

extern const EmbeddedFile embedded_stdlib[];
extern const size_t embedded_stdlib_count;
extern const EmbeddedFile embedded_kernels[];
extern const size_t embedded_kernels_count;

} // namespace wane
