// Reads what the CPU and the operating system offer (cpuid, xgetbv) and lowers it by WANE_ISA.
#include "runtime/cpu/isa.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <optional>
#include <string_view>

#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/error.h"

namespace wane {
namespace {

struct Registers {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
};
Registers leaf(unsigned number, unsigned sub = 0) {
  Registers r;
  __get_cpuid_count(number, sub, &r.eax, &r.ebx, &r.ecx, &r.edx); // zeros when the leaf is not there
  return r;
}
constexpr bool bit(unsigned word, int index) { return word >> index & 1; }

// Which register files the operating system saves: XCR0.
uint64_t saved_state() {
  if (!bit(leaf(1).ecx, 27)) return 0;
  unsigned low, high;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return uint64_t(high) << 32 | low;
}

IsaLevel detect_level() {
  Registers one = leaf(1), seven = leaf(7), extended = leaf(0x80000001);
  uint64_t saved = saved_state();
  // v2: sse3, ssse3, cmpxchg16b, sse4.1, sse4.2, popcnt, lahf
  bool v2 = bit(one.ecx, 0) && bit(one.ecx, 9) && bit(one.ecx, 13) && bit(one.ecx, 19) && bit(one.ecx, 20)
            && bit(one.ecx, 23) && bit(extended.ecx, 0);
  if (!v2)
    throw error("cpu: {} lacks x86-64-v2 (SSE4.2, POPCNT), the least this build runs on", cpu_model_name());
  // v3: fma, movbe, avx, f16c, lzcnt, bmi1, avx2, bmi2, and saved ymm registers
  bool v3 = bit(one.ecx, 12) && bit(one.ecx, 22) && bit(one.ecx, 28) && bit(one.ecx, 29)
            && bit(extended.ecx, 5) && bit(seven.ebx, 3) && bit(seven.ebx, 5) && bit(seven.ebx, 8)
            && (saved & 0x6) == 0x6;
  if (!v3) return IsaLevel::v2;
  // v4: avx512 f, dq, cd, bw, vl, and saved zmm and mask registers
  bool v4 = bit(seven.ebx, 16) && bit(seven.ebx, 17) && bit(seven.ebx, 28) && bit(seven.ebx, 30)
            && bit(seven.ebx, 31) && (saved & 0xe0) == 0xe0;
  return v4 ? IsaLevel::v4 : IsaLevel::v3;
}

std::optional<IsaLevel> requested_level() {
  const char* text = std::getenv("WANE_ISA");
  if (!text || !*text) return std::nullopt;
  std::string_view name = text;
  if (name == "v2") return IsaLevel::v2;
  if (name == "v3") return IsaLevel::v3;
  if (name == "v4") return IsaLevel::v4;
  throw error(Fault::usage, "WANE_ISA: '{}' is not one of v2, v3, v4", name);
}

// Linux gives the tiles' state to a process that asks for it.
bool tiles_allowed() {
  constexpr int kRequestPermission = 0x1023, kTileData = 18; // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return (saved_state() >> 17 & 3) == 3 && syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

CpuFeatures detect_features() {
  CpuFeatures f;
  if (isa_level() != IsaLevel::v4) return f;
  Registers seven = leaf(7), seven_one = leaf(7, 1);
  f.avx512_vnni = bit(seven.ecx, 11);
  f.avx512_bf16 = bit(seven_one.eax, 5);
  f.amx = f.avx512_bf16 && f.avx512_vnni && bit(seven.edx, 22) && bit(seven.edx, 24) && bit(seven.edx, 25)
          && tiles_allowed();
  return f;
}

} // namespace

IsaLevel isa_level() {
  static const IsaLevel level = [] {
    IsaLevel found = detect_level();
    return std::min(found, requested_level().value_or(found));
  }();
  return level;
}

const char* name_of(IsaLevel level) {
  switch (level) {
  case IsaLevel::v2: return "x86-64-v2";
  case IsaLevel::v3: return "x86-64-v3";
  case IsaLevel::v4: return "x86-64-v4";
  }
  return "?";
}

const CpuFeatures& cpu_features() {
  static const CpuFeatures features = detect_features();
  return features;
}

std::string cpu_model_name() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("model name")) continue;
    size_t colon = line.find(':');
    if (colon != std::string::npos && colon + 2 <= line.size()) return line.substr(colon + 2);
  }
  return "unknown CPU";
}

} // namespace wane
