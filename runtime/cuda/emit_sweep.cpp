#include "runtime/cuda/emit_sweep.h"

#include <algorithm>

#include "runtime/cuda/emit_ops.h"
#include "runtime/cuda/prelude.h"
#include "runtime/hash.h"

namespace wane::cuda {
namespace {

using Kind = cpu::SweepMaps::Kind;

std::string input_text(const Step& step, const cpu::SweepMaps::Input& in) {
  switch (in.kind) {
  case Kind::weight: return "w";
  case Kind::param: return fmt::format("wane_parameter(launch, {}, row, group)", step.index);
  case Kind::number:
    return fmt::format("wane_load_{}(launch.inputs[{}], 0, 0)", name_of(step.dtype), step.index);
  case Kind::table: break;
  }
  throw error(Fault::internal, "sweep: a table where a value was expected");
}

// The quantizer's steps as definitions v0, v1, ... of one weight.
std::string steps_text(const SweepQuantizer& quantizer, OpFunctions& functions) {
  const auto maps = quantizer.maps();
  return lane_steps_text(quantizer.traced().program, functions,
                         [&](const Step& step) { return input_text(step, maps.inputs[size_t(step.index)]); });
}

constexpr const char* kCodeKernel =
    R"(extern "C" __global__ void __launch_bounds__(128) {name}(const __grid_constant__ {launch} launch) {{
  __shared__ {type} tile[kWaneSweepColumns][kWaneSweepRows];
  __shared__ {type} triangle[kWaneSweepColumns * (kWaneSweepColumns + 1) / 2];
{room}  const int count = (int)launch.count, mine = threadIdx.x;
  wane_stage_triangle(triangle, launch.u, launch.columns, launch.first, count);
{stage}  __syncthreads();
  const long long row = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= launch.rows) return;
#pragma unroll 1
  for (int j = 0; j < count; ++j) {{
    const long long at = (launch.first + j) * launch.rows + row;
    {type} w = launch.state[at];
    for (int k = 0; k < j; ++k) {{
      w = wane_fma(tile[k][mine], triangle[wane_triangle(k, j, count)], w);
{repay}    }}
{keep}    const long long group = launch.group_columns ? launch.order[launch.first + j] / launch.group_columns : 0;
{steps}    const {type} code = v{code}, value = v{value};
    const bool fits = code >= 0 && code < launch.levels;
    const int whole = fits ? (int)code : 0;
    if (!fits || ({type})whole != code) *launch.bad = 1;
    launch.codes[at] = (unsigned char)whole;
    tile[j][mine] = (value - w) / triangle[wane_triangle(j, j, count)];
    launch.state[at] = tile[j][mine];
  }}
}}
)";

constexpr const char* kUpdateKernel =
    R"(extern "C" __global__ void __launch_bounds__(128) {name}(const __grid_constant__ {launch} launch) {{
  __shared__ {type} staged[kWaneSweepDeep][8];
{room}  wane_update_columns<{type}>(launch, staged, {other});
}}
)";

// What a second triangle adds to the kernels; a row's weights as they were coded are its own thread's.
struct SecondText {
  std::string room = {}, stage = {}, repay = {}, keep = {}, update_room = {}, update = {};
};
SecondText second_text(bool second, const std::string& type) {
  if (!second) return {.update = "nullptr"};
  return {
      .room = "  __shared__ " + type + " second[kWaneSweepColumns * (kWaneSweepColumns + 1) / 2];\n",
      .stage = "  wane_stage_triangle(second, launch.second, launch.columns, launch.first, count);\n",
      .repay = "      w = wane_fma(launch.seen[(launch.first + k) * launch.rows + row], "
               "second[wane_triangle(k, j, count)], w);\n",
      .keep = "    launch.seen[at] = w;\n",
      .update_room = "  __shared__ " + type + " other[kWaneSweepDeep][8];\n",
      .update = "other",
  };
}

} // namespace

std::string emit_sweep(const SweepQuantizer& quantizer, SweepKernelNames& names, bool second) {
  OpFunctions functions;
  const Program& program = quantizer.traced().program;
  const std::string steps = steps_text(quantizer, functions), type = type_of(lane_of(quantizer.dtype()));
  const SecondText extra = second_text(second, type);
  const std::string digits =
      sha256_hex(fmt::format("{} {} {} {} {}", type, steps, program.outputs[0], program.outputs[1], second))
          .substr(0, 16);
  names.code = "wane_sweep_" + digits;
  names.update = "wane_sweep_update_" + digits;
  names.code_launch =
      fmt::format("WaneSweep<{}, {}, {}>", type, std::max(1, program.inputs), std::max(1, program.constants));
  names.update_launch = fmt::format("WaneSweepUpdate<{}>", type);
  return prelude(Template::sweep) + functions.text()
         + fmt::format(kCodeKernel, fmt::arg("name", names.code), fmt::arg("launch", names.code_launch),
                       fmt::arg("type", type), fmt::arg("steps", steps), fmt::arg("code", program.outputs[0]),
                       fmt::arg("value", program.outputs[1]), fmt::arg("room", extra.room),
                       fmt::arg("stage", extra.stage), fmt::arg("repay", extra.repay),
                       fmt::arg("keep", extra.keep))
         + fmt::format(kUpdateKernel, fmt::arg("name", names.update), fmt::arg("launch", names.update_launch),
                       fmt::arg("type", type), fmt::arg("room", extra.update_room),
                       fmt::arg("other", extra.update));
}

} // namespace wane::cuda
