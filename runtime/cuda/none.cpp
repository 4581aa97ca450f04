// Device selection where programs are compiled for CUDA (emit, nvrtc) but none is run there.
#include "runtime/cuda/device.h"

#include <dlfcn.h>

#include "runtime/error.h"

namespace wane {
namespace {

// Of the driver's interface only what counts devices.
std::string ask_driver(void* driver) {
  auto init = reinterpret_cast<int (*)(unsigned)>(dlsym(driver, "cuInit"));
  auto count = reinterpret_cast<int (*)(int*)>(dlsym(driver, "cuDeviceGetCount"));
  if (!init || !count) return "libcuda.so.1 is not a CUDA driver";
  if (int code = init(0)) return fmt::format("the driver reports no GPU (cuInit gives error {})", code);
  int devices = 0;
  if (int code = count(&devices)) return fmt::format("the driver cannot count its GPUs (error {})", code);
  return devices > 0 ? "" : "the driver reports no GPU";
}

} // namespace

std::string missing_gpu() {
  void* driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
  return driver ? ask_driver(driver) : "libcuda.so.1 was not found";
}

void select_device(std::string_view name) {
  if (name == "cpu") return;
  if (name != "cuda")
    throw error(Fault::usage, "device: unknown name \"{}\"", name).note("devices", "cpu, cuda");
  std::string missing = missing_gpu();
  if (!missing.empty()) throw error(Fault::no_device, "no device: {}", missing);
  throw error(Fault::no_device, "not supported yet: running on cuda (programs compile for it)");
}

} // namespace wane
