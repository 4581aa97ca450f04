// Which x86-64 level this process runs on. WANE_ISA (v2, v3, v4) lowers it, never raises it.
#pragma once

#include <string>

namespace wane {

enum class IsaLevel { v2, v3, v4 };

IsaLevel isa_level();          // chosen once; an Error names a CPU below v2 or an unknown WANE_ISA
const char* name_of(IsaLevel); // "x86-64-v4"
struct CpuFeatures {
  bool avx512_vnni = false, avx512_bf16 = false, amx = false; // already lowered by WANE_ISA
};
const CpuFeatures& cpu_features();
std::string cpu_model_name(); // as /proc/cpuinfo gives it

} // namespace wane
