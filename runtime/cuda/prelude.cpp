#include "runtime/cuda/prelude.h"

#include <string_view>
#include <vector>

#include "runtime/embedded.h"
#include "runtime/error.h"

namespace wane::cuda {
namespace {

std::string_view embedded(std::string_view path) {
  for (size_t i = 0; i < embedded_kernels_count; ++i)
    if (embedded_kernels[i].path == path) return embedded_kernels[i].text();
  throw error(Fault::internal, "the binary carries no kernels/{}", path);
}

// Without what is for people and for the host's compiler alone: comment lines, includes, #pragma once.
void paste(std::string& out, std::string_view text) {
  while (!text.empty()) {
    std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    size_t start = line.find_first_not_of(' ');
    if (start == std::string_view::npos) continue;
    std::string_view code = line.substr(start);
    if (code.starts_with("//") || code.starts_with("#include") || code.starts_with("#pragma once")) continue;
    out.append(line).push_back('\n');
  }
}

std::string build(std::vector<std::string_view> files) {
  std::string out;
  for (auto file : files) paste(out, embedded(file));
  return out;
}

} // namespace

const std::string& prelude(Template which) {
  static const std::string flat =
      build({"math.h", "math_f64.h", "narrow.h", "ops.h", "lanes.cuh", "flat.cuh"});
  static const std::string row = build({"math.h", "math_f64.h", "narrow.h", "ops.h", "lanes.cuh", "row.cuh"});
  static const std::string both =
      build({"math.h", "math_f64.h", "narrow.h", "ops.h", "lanes.cuh", "flat.cuh", "row.cuh"});
  static const std::string sweep =
      build({"math.h", "math_f64.h", "narrow.h", "ops.h", "lanes.cuh", "sweep.cuh"});
  static const std::string ranges =
      build({"math.h", "math_f64.h", "narrow.h", "ops.h", "lanes.cuh", "row.cuh", "ranges.cuh"});
  switch (which) {
  case Template::flat: return flat;
  case Template::row: return row;
  case Template::both: return both;
  case Template::sweep: return sweep;
  case Template::ranges: return ranges;
  }
  throw error(Fault::internal, "cuda: template {}", int(which));
}

} // namespace wane::cuda
