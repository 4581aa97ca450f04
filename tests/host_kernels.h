// Builds CUDA text with the host's compiler (tests/host_cuda.h) and runs its kernels on the CPU, so that
// their results can be compared bit by bit without a GPU.
//
// Programs of the engine need no more than HostKernels(programs) and difference() of tests/host_launch.h. A
// kernel of another template joins like this: give its whole text (prelude, functions, kernels), say for each
// __global__ function its name and the type of its one parameter, a struct passed by value; then call run()
// with the geometry that its launcher chooses and the struct's bytes, and compare what it wrote with the CPU.
// Arrays that kernels get should be GuardedBytes, which find accesses outside.
//
//   HostKernels kernels(text, {{"wane_sweep_0f3a", "WaneSweep<2, 1>"}});
//   REQUIRE(kernels.problem() == "");
//   CHECK(kernels.run("wane_sweep_0f3a", {.blocks = {4}, .threads = {64, 2}}, &arguments, seed) == "");
#pragma once

#include <cstring>
#include <string>
#include <vector>

#include "runtime/program.h"

struct HostKernel {
  std::string name;      // of the __global__ function
  std::string parameter; // its type
};

struct HostSize {
  unsigned x = 1, y = 1, z = 1;
};
struct HostGrid {
  HostSize blocks = {}, threads = {}; // of the grid, of a block
  bool meetings = true;               // whether its threads wait for each other (barriers, shuffles)
};

// Built text as a shared library, which is kept in the user's cache under the hash of all that decides it.
class HostKernels {
public:
  HostKernels(const std::string& text, const std::vector<HostKernel>& kernels);
  // The text of all of these programs.
  explicit HostKernels(const std::vector<wane::Program>& programs);
  ~HostKernels();
  HostKernels(const HostKernels&) = delete;
  HostKernels& operator=(const HostKernels&) = delete;

  static bool compiler_available();
  // "" when the library was built, else the compiler's first line.
  const std::string& problem() const { return problem_; }
  // Runs one kernel on the bytes of its argument. `seed` draws the orders of blocks and threads. "" or what
  // went wrong.
  std::string run(const std::string& name, const HostGrid& grid, const void* argument, uint32_t seed) const;
  // Runs one program with the grid the launcher would choose for `multiprocessors`.
  std::string run(const wane::Program& program, const wane::Launch& launch, int multiprocessors,
                  uint32_t seed) const;

private:
  void build(const std::string& source);
  void open(const std::string& library);

  std::string folder_, problem_;
  void* library_ = nullptr;
};

// The text of programs and what HostKernels needs to know of it.
std::string host_text(const std::vector<wane::Program>& programs, std::vector<HostKernel>& kernels);
std::string host_name(const wane::Program& program);

// Memory that starts as NaNs (of whole numbers: something far off) between two guards of the same, which
// should be longer than what a wrong index is likely to miss by, such as a row.
class GuardedBytes {
public:
  GuardedBytes() = default;
  explicit GuardedBytes(size_t bytes, size_t guard = 4096)
      : guard_(rounded(guard)), bytes_(bytes), all_(pattern(rounded(bytes) + 2 * guard_)) {}
  std::byte* data() { return all_.data() + guard_; }
  const std::byte* data() const { return all_.data() + guard_; }
  size_t size() const { return bytes_; }
  // Whether the guards are as they were.
  bool intact() const {
    size_t after = guard_ + rounded(bytes_), rest = rounded(bytes_) - bytes_;
    auto fresh = pattern(guard_ + 16);
    return std::memcmp(all_.data(), fresh.data(), guard_) == 0
           && std::memcmp(all_.data() + after, fresh.data(), guard_) == 0
           && std::memcmp(all_.data() + after - rest, fresh.data() + 16 - rest, rest) == 0;
  }

private:
  static size_t rounded(size_t bytes) { return (bytes + 15) / 16 * 16; }
  static std::vector<std::byte> pattern(size_t bytes) {
    std::vector<uint32_t> words(bytes / 4, 0x7ff4beef);
    auto* first = reinterpret_cast<const std::byte*>(words.data());
    return {first, first + bytes};
  }

  size_t guard_ = 0, bytes_ = 0;
  std::vector<std::byte> all_;
};
