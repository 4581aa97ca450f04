#include "runtime/cpu/lane_maps.h"

#include <cstring>
#include <utility>

#include "runtime/error.h"

namespace wane::cpu {

LaneRunner::LaneRunner(const LaneMaps& maps, const Lowered& low, int64_t lanes)
    : maps_(maps), low_(low), kernels_(map_kernels()), lanes_(lanes) {
  const size_t place = size_t((lanes + 15) / 16 * 16) * 8;
  room_.resize(place * (size_t(low.registers) + maps.constants.size() + 2 * maps.inputs.size() + 1) + 64);
  std::byte* at = room_.data() + (64 - reinterpret_cast<uintptr_t>(room_.data()) % 64) % 64;
  auto take = [&] { return std::exchange(at, at + place); };
  std::vector<std::byte*> registers(size_t(low.registers)), constants(maps.constants.size());
  for (auto& r : registers) r = take();
  for (auto& c : constants) c = take();
  for (size_t i = 0; i < maps.inputs.size(); i++) inputs_.push_back({take(), take()});
  at_.resize(low.slots.size());
  for (size_t s = 0; s < at_.size(); s++) {
    const Slot& slot = low.slots[s];
    if (slot.constant >= 0)
      at_[s] = constants[size_t(slot.constant)], fill_constant(at_[s], slot);
    else
      at_[s] = slot.reg >= 0 ? registers[size_t(slot.reg)] : nullptr;
  }
  fill_fixed_inputs();
}

void LaneRunner::fill_constant(std::byte* out, const Slot& slot) {
  const double real = maps_.constants[size_t(slot.constant)];
  const int64_t whole = maps_.integers[size_t(slot.constant)];
  for (int64_t i = 0; i < lanes_; i++) switch (slot.lane) {
    case Lane::f32: reinterpret_cast<float*>(out)[i] = float(real); break;
    case Lane::f64: reinterpret_cast<double*>(out)[i] = real; break;
    case Lane::i32: reinterpret_cast<int32_t*>(out)[i] = int32_t(whole); break;
    case Lane::i64: reinterpret_cast<int64_t*>(out)[i] = whole; break;
    }
}

void LaneRunner::fill_fixed_inputs() {
  tables_.resize(maps_.inputs.size());
  for (auto& step : maps_.program->steps) {
    if (step.kind != StepKind::input) continue;
    const auto& in = maps_.inputs[size_t(step.index)];
    if (in.kind == LaneMaps::Kind::table) {
      auto& table = tables_[size_t(step.index)];
      table.resize(size_t(in.count) * size_of(lane_of(step.dtype)));
      kernels_.load_strided[size_t(step.dtype)](table.data(), in.data, 1, in.count);
    } else if (in.kind == LaneMaps::Kind::number) {
      const size_t size = size_of(step.dtype);
      for (int64_t i = 0; i < lanes_; i++)
        std::memcpy(inputs_[size_t(step.index)].values + size_t(i) * size, in.data, size);
    }
  }
}

void LaneRunner::run(const void* const* given, int64_t n) {
  const auto in = [&](int16_t slot) -> const void* { return slot >= 0 ? at_[size_t(slot)] : nullptr; };
  for (const Code& code : low_.phases[0].elements) {
    void* out = code.out >= 0 ? at_[size_t(code.out)] : nullptr;
    switch (code.kind) {
    case CodeKind::load: load(code, given, n); break;
    case CodeKind::map: code.fn(out, in(code.a), in(code.b), in(code.c), n); break;
    case CodeKind::convert: code.convert(out, in(code.a), n); break;
    case CodeKind::lookup: {
      const auto& table = tables_[size_t(code.index)];
      code.lookup_fn(out, in(code.a), table.data(), maps_.inputs[size_t(code.index)].count, n);
      break;
    }
    case CodeKind::expand:
    case CodeKind::reduce: throw error(Fault::internal, "a reduction in traced maps");
    }
  }
}

void LaneRunner::load(const Code& code, const void* const* given, int64_t n) {
  const auto& place = inputs_[size_t(code.index)];
  const auto& input = maps_.inputs[size_t(code.index)];
  const auto* from =
      input.kind == LaneMaps::Kind::lanes ? static_cast<const std::byte*>(given[input.which]) : place.values;
  const bool same = size_of(code.dtype) == size_of(lane_of(code.dtype)) && code.dtype != DType::boolean;
  if (!same) kernels_.load[size_t(code.dtype)](place.loaded, from, n);
  at_[size_t(code.out)] = same ? const_cast<std::byte*>(from) : place.loaded;
}

} // namespace wane::cpu
