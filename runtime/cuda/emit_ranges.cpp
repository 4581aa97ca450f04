#include "runtime/cuda/emit_ranges.h"

#include <algorithm>

#include "runtime/cuda/emit_ops.h"
#include "runtime/cuda/prelude.h"
#include "runtime/hash.h"

namespace wane::cuda {
namespace {

// The program with its inputs and constants counted from these numbers on.
Program shifted(Program program, int inputs, int constants) {
  for (Step& step : program.steps) {
    if (step.kind == StepKind::input) step.index = int16_t(step.index + inputs);
    if (step.kind == StepKind::constant) step.index = int16_t(step.index + constants);
  }
  for (int16_t& table : program.tables) table = int16_t(table + inputs);
  return program;
}

// Steps of traced maps whose arrays are these names.
std::string steps_of(const TracedMaps& maps, std::span<const std::string> arrays, int inputs, int constants,
                     OpFunctions& functions) {
  return lane_steps_text(shifted(maps.traced().program, inputs, constants), functions, [&](const Step& step) {
    const auto& in = maps.inputs()[size_t(step.index - inputs)];
    if (in.kind == cpu::LaneMaps::Kind::lanes) return arrays[size_t(in.which)];
    return fmt::format("wane_load_{}(launch.inputs[{}], 0, 0)", name_of(step.dtype), step.index);
  });
}

constexpr const char* kKernel =
    R"(extern "C" __global__ void __launch_bounds__(128) {name}(const __grid_constant__ {launch} launch) {{
  __shared__ float shared[2 * kWaneTeams];
  const WaneGroup group;
  int turn = 0;
  for (long long row = group.first_row(); row < launch.rows; row += group.row_step()) {{
    float least = 0, best = 0;
#pragma unroll 1
    for (long long i = 0; i < launch.tries; ++i) {{
      const float low = launch.lo[row] * launch.shares[i], high = launch.hi[row] * launch.shares[i];
      float {params};
      {{
{fit}{fitted}      }}
      float total = 0;
#pragma unroll 1
      for (long long first = 0; first < wane_blocks(launch.n); ++first) {{
        float part = 0;
        const long long end = group.end(first, launch.n);
#pragma unroll 1
        for (long long at = group.begin(first); at < end; at += kWaneLanes) {{
          const float x = launch.x[row * launch.n + at];
          const float weight = launch.weights ? launch.weights[row * launch.n + at] : x;
{off}          part = part + v{error};
        }}
        total = wane_join<WaneSum>(shared + turn, total, part, 1);
        turn ^= kWaneTeams;
      }}
      wane_try(least, best, total, launch.shares[i], i == 0);
    }}
    if (group.leads()) launch.best[row] = best;
  }}
}}
)";

} // namespace

std::string emit_ranges(const RangeQuantizer& quantizer, RangeKernelNames& names) {
  OpFunctions functions;
  const Program &fit = quantizer.fit.traced().program, &off = quantizer.off.traced().program;
  const std::vector<std::string> ends{"low", "high"};
  std::vector<std::string> arrays{"x", "weight"};
  std::string declared, fitted;
  for (int i = 0; i < quantizer.params; ++i) {
    arrays.push_back(fmt::format("p{}", i));
    declared += fmt::format("{}p{}", i ? ", " : "", i);
    fitted += fmt::format("        p{} = v{};\n", i, fit.outputs[size_t(i)]);
  }
  const std::string fit_steps = steps_of(quantizer.fit, ends, 0, 0, functions);
  const std::string off_steps = steps_of(quantizer.off, arrays, fit.inputs, fit.constants, functions);
  names.kernel =
      "wane_ranges_"
      + sha256_hex(fmt::format("{} {} {} {}", fit_steps, fitted, off_steps, off.outputs[0])).substr(0, 16);
  names.launch = fmt::format("WaneRanges<{}, {}>", std::max(1, fit.inputs + off.inputs),
                             std::max(1, fit.constants + off.constants));
  return prelude(Template::ranges) + functions.text()
         + fmt::format(kKernel, fmt::arg("name", names.kernel), fmt::arg("launch", names.launch),
                       fmt::arg("params", declared), fmt::arg("fit", fit_steps), fmt::arg("fitted", fitted),
                       fmt::arg("off", off_steps), fmt::arg("error", off.outputs[0]));
}

} // namespace wane::cuda
