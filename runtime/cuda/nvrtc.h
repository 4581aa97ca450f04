// NVIDIA's run-time compiler, loaded when it is first needed; nothing here needs a GPU or a driver.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace wane::cuda {

inline constexpr const char* kDefaultArch = "sm_90";

// Whether libnvrtc was found: by name, in CUDA_HOME and CUDA_PATH, under /usr/local/cuda.
bool nvrtc_available();
std::string nvrtc_version();               // "13.0", or "" without NVRTC
bool nvrtc_knows(const std::string& arch); // whether this version compiles for "sm_120"

// The options of every compile, without the architecture: no contraction, IEEE division and roots, subnormals
// kept.
const std::vector<std::string>& compile_options();

struct CompiledKernel {
  std::vector<std::byte> cubin;
  double seconds = 0;
};

// Machine code for one architecture. Errors: Fault::no_device without NVRTC; Fault::internal with the
// compiler's first line (and the source line it names) when the text does not compile, since all text is
// generated.
CompiledKernel compile_cuda(const std::string& text, const std::string& arch = kDefaultArch);

} // namespace wane::cuda
