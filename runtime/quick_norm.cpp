// RMSNorm of a few rows at once: where the arithmetic takes a microsecond, making its maps, planning the
// program and looking it up took ten. The plan is kept by what it depends on, and only addresses change.
#include <bit>
#include <map>
#include <mutex>
#include <tuple>
#include <vector>

#include "runtime/calls.h"
#include "runtime/cpu/interpreter.h"
#include "runtime/flush.h"
#include "runtime/plan.h"
#include "runtime/profile.h"

namespace wane {
namespace {

constexpr int64_t kMostElements = 16384; // from there on deferred maps, which join what comes after
constexpr size_t kMostPlans = 256;

using Key = std::tuple<DType, DType, int64_t, int64_t, double>; // x, weight, rows, row, eps

// A bf16 weight is widened here, before the program reads it.
bool widens(const Tensor& x, const Tensor& weight) {
  return weight.dtype() == DType::bf16 && x.dtype() != DType::f64;
}
DType as_read(const Tensor& x, const Tensor& weight) {
  return widens(x, weight) ? DType::f32 : weight.dtype();
}
const float* widened(const Tensor& weight) {
  thread_local std::vector<float> wide;
  auto* from = weight.data<uint16_t>();
  wide.resize(size_t(weight.count()));
  for (size_t i = 0; i < wide.size(); i++) wide[i] = std::bit_cast<float>(uint32_t(from[i]) << 16);
  return wide.data();
}

std::shared_ptr<const Plan> plan_of(const Tensor& x, const Tensor& weight, double eps) {
  static std::mutex mutex;
  static auto* known = new std::map<Key, std::shared_ptr<const Plan>>;
  int64_t row = x.shape().back();
  Key key{x.dtype(), as_read(x, weight), x.count() / row, row, eps};
  std::lock_guard lock(mutex);
  if (auto found = known->find(key); found != known->end()) return found->second;
  Tensor read = cast(weight, as_read(x, weight)).dense();
  auto plan = std::make_shared<Plan>(sketch_plan(rms_norm(x, read, eps).node()));
  plan->leaves.clear();
  if (known->size() >= kMostPlans) known->clear();
  return known->emplace(key, std::move(plan)).first->second;
}

// Does the program read just these two as they are? (In f64 a narrower weight is widened beforehand.)
bool reads(const Program& program, const Tensor& x, const Tensor& weight) {
  if (program.inputs != 2) return false;
  for (auto& step : program.steps)
    if (step.kind == StepKind::input && step.dtype != (step.index ? as_read(x, weight) : x.dtype()))
      return false;
  return true;
}

bool is_plain(const Tensor& x) {
  return x.node()->kind == NodeKind::leaf && !x.node()->version && is_dense(x.shape(), x.strides());
}

} // namespace

Tensor quick_rms_norm(const Tensor& x, const Tensor& weight, double eps) {
  bool small = x.rank() > 0 && x.count() > 0 && x.count() <= kMostElements && fuse_enabled();
  bool fits = small && is_float(x.dtype()) && weight.rank() == 1 && weight.count() == x.shape().back()
              && is_plain(x) && x.node() != weight.node();
  if (fits && weight.node()->kind == NodeKind::constant) flush(weight.node());
  if (!fits || !is_plain(weight)) return rms_norm(x, weight, eps);
  std::shared_ptr<const Plan> plan = plan_of(x, weight, eps);
  if (!reads(plan->program, x, weight)) return rms_norm(x, weight, eps);
  WorkSpan span("rms norm");
  Tensor out = empty(x.shape(), x.dtype(), "rms_norm");
  span.moves(x, weight, out);
  Launch launch = plan->launch;
  launch.inputs[0].data = x.bytes();
  launch.inputs[1].data =
      widens(x, weight) ? reinterpret_cast<const std::byte*>(widened(weight)) : weight.bytes();
  launch.outputs = {{out.bytes()}};
  cpu::run(plan->program, launch);
  return out;
}

} // namespace wane
