// The kernel cache on disk, the run-time compiler's errors, and what is said where no GPU is.
#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include <sys/stat.h>

#include "runtime/cuda/cache.h"
#include "runtime/cuda/device.h"
#include "runtime/cuda/nvrtc.h"
#include "runtime/error.h"

using namespace wane;
namespace fs = std::filesystem;

namespace {

struct Scratch {
  std::string path = (fs::temp_directory_path() / "wane-cache-XXXXXX").string();
  Scratch() { REQUIRE(mkdtemp(path.data()) != nullptr); }
  ~Scratch() { fs::remove_all(path); }
};

std::vector<std::byte> bytes_of(std::string_view text) {
  auto* data = reinterpret_cast<const std::byte*>(text.data());
  return {data, data + text.size()};
}

} // namespace

TEST_CASE("kernel cache: keeps, finds, and drops what is damaged") {
  Scratch scratch;
  cuda::KernelCache cache(scratch.path + "/wane/sm_90", "sm_90");
  std::string key = cache.key("text");
  CHECK(key.size() == 64);
  CHECK(key != cache.key("text "));
  CHECK(key != cuda::KernelCache(cache.folder(), "sm_80").key("text"));
  CHECK_FALSE(cache.find(key));
  auto code = bytes_of("machine code");
  REQUIRE(cache.keep(key, code));
  CHECK(cache.find(key) == code);
  CHECK_FALSE(cache.find(cache.key("another")));
  struct stat status;
  REQUIRE(stat(cache.folder().c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0700);

  std::string file = cache.folder() + "/" + key + ".cubin";
  fs::resize_file(file, fs::file_size(file) - 1);
  CHECK_FALSE(cache.find(key));
  CHECK_FALSE(fs::exists(file)); // gone, so that it is made anew
  std::ofstream(file) << "short";
  CHECK_FALSE(cache.find(key));

  REQUIRE(cache.keep(key, code));
  fs::permissions(cache.folder(), fs::perms::others_write, fs::perm_options::add);
  CHECK_FALSE(cache.find(key)); // others could have put it there
  CHECK_FALSE(cache.keep(key, code));
}

TEST_CASE("kernel cache: a folder that cannot be made costs nothing but the cache") {
  Scratch scratch;
  std::ofstream(scratch.path + "/file") << "x";
  cuda::KernelCache cache(scratch.path + "/file/wane/sm_90", "sm_90");
  CHECK_FALSE(cache.keep(cache.key("t"), bytes_of("code")));
  CHECK_FALSE(cache.find(cache.key("t")));
}

TEST_CASE("nvrtc: code for a text, the first error of a wrong one") {
  if (!cuda::nvrtc_available()) {
    CHECK(cuda::nvrtc_version().empty());
    CHECK_THROWS_WITH_AS(cuda::compile_cuda(""), "no device: libnvrtc.so was not found", Error);
    MESSAGE("skipped: no NVRTC");
    return;
  }
  Scratch scratch;
  cuda::KernelCache cache(scratch.path + "/sm_90", "sm_90");
  std::string text = "extern \"C\" __global__ void k(float* x) { x[threadIdx.x] *= 2; }\n";
  auto first = cache.compiled(text), second = cache.compiled(text);
  CHECK(first.seconds > 0);
  CHECK(second.seconds == 0); // from the disk
  CHECK(first.cubin == second.cubin);
  CHECK(std::string(reinterpret_cast<const char*>(first.cubin.data()) + 1, 3) == "ELF");
  CHECK_THROWS_WITH_AS(cuda::compile_cuda("__global__ void k() {\n  return wrong;\n}\n"),
                       "nvrtc: wane.cu(2): error: identifier \"wrong\" is undefined", Error);
}

TEST_CASE("device: the CPU is there; cuda says what is missing") {
  CHECK_NOTHROW(select_device("cpu"));
  CHECK_THROWS_WITH_AS(select_device("tpu"), "device: unknown name \"tpu\"", Error);
  std::string missing = missing_gpu();
  std::string want = missing.empty() ? "not supported yet: running on cuda (programs compile for it)"
                                     : "no device: " + missing;
  try {
    select_device("cuda");
    FAIL("no error");
  } catch (const Error& e) {
    CHECK(std::string(e.what()) == want);
    CHECK(e.fault() == Fault::no_device);
  }
}
