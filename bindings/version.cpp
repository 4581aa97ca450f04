#include "bindings/version.h"

#include <fmt/format.h>

#include "runtime/cpu/isa.h"
#include "runtime/cpu/matmul.h"

namespace wane {

std::string version_text() { return "0.1.0"; }

std::string machine_text() { return fmt::format("cpu {}, {}", cpu_model_name(), name_of(isa_level())); }

std::vector<std::pair<std::string, std::string>> matmul_classes() {
  auto& found = matmul_class();
  auto joined = [](const std::vector<std::string>& list) {
    std::string out;
    for (auto& each : list) out += (out.empty() ? "" : "; ") + each;
    return out;
  };
  return {{"isa", found.isa},
          {"implementations", joined(found.implementations)},
          {"probe", found.probe_hash},
          {"notes", joined(found.notes)}};
}

bool has_native_bf16() { return native_bf16(); }

} // namespace wane
