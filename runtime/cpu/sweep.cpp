#include "runtime/cpu/sweep.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "runtime/cpu/isa.h"
#include "runtime/cpu/lane_maps.h"
#include "runtime/cpu/pool.h"
#include "runtime/cpu/sweep_kernels.h"
#include "runtime/memory.h"

namespace wane::cpu {

const SweepTable& sweep_kernels() {
  static const SweepTable& chosen = isa_level() == IsaLevel::v4   ? isa_v4::sweep_kernels()
                                    : isa_level() == IsaLevel::v3 ? isa_v3::sweep_kernels()
                                                                  : isa_v2::sweep_kernels();
  return chosen;
}

namespace {

constexpr int64_t kLanes = 128, kLaneStep = 16; // rows of a tile, at most and in steps of
constexpr int64_t kBlock = 256, kSubBlock = 32; // columns brought up to date together
constexpr int64_t kRowsAtOnce = 8; // of a transposition: rows a power of two apart share cache sets

// A quantizer's maps as lanes: array 0 is a column of weights, array 1 + i the values of input i.
LaneMaps lanes_of(const SweepMaps& maps) {
  LaneMaps out{maps.program, {}, maps.constants, maps.integers};
  for (size_t i = 0; i < maps.inputs.size(); i++) {
    const auto& in = maps.inputs[i];
    switch (in.kind) {
    case SweepMaps::Kind::weight: out.inputs.push_back({LaneMaps::Kind::lanes, 0}); break;
    case SweepMaps::Kind::param: out.inputs.push_back({LaneMaps::Kind::lanes, int(1 + i)}); break;
    case SweepMaps::Kind::table: out.inputs.push_back({LaneMaps::Kind::table, 0, in.data, in.count}); break;
    case SweepMaps::Kind::number: out.inputs.push_back({LaneMaps::Kind::number, 0, in.data, 1}); break;
    }
  }
  return out;
}

// A quantizer's program on one tile, with the parameters of its rows.
template <class T> class TileMaps {
public:
  TileMaps(const SweepMaps& maps, const LaneMaps& lane_maps, const Lowered& low, const SweepParams& params,
           int64_t first_row, int64_t rows, int64_t lanes)
      : maps_(maps), params_(params), runner_(lane_maps, low, lanes), first_row_(first_row), rows_(rows),
        lanes_(lanes), values_(maps.inputs.size()), given_(1 + maps.inputs.size()) {
    for (size_t i = 0; i < maps.inputs.size(); i++)
      if (maps.inputs[i].kind == SweepMaps::Kind::param)
        values_[i].resize(size_t(lanes)), given_[1 + i] = values_[i].data();
  }

  // The parameters of a group become those of the lanes.
  void enter_group(int64_t group) {
    if (group == group_) return;
    group_ = group;
    for (size_t input = 0; input < values_.size(); input++) {
      const auto& in = maps_.inputs[input];
      if (in.kind != SweepMaps::Kind::param) continue;
      const int64_t width = params_.width[size_t(in.param)];
      for (int64_t i = 0; i < lanes_; i++) { // rows that only fill the tile repeat its last one
        const int64_t row = first_row_ + std::min(i, rows_ - 1);
        values_[input][size_t(i)] =
            params_.data[size_t(in.param)]
                        [(row * params_.row_step + group * params_.group_step) * width + in.column];
      }
    }
  }

  // Codes and values of one column of weights.
  void run(const T* w, const T*& codes, const T*& values) {
    given_[0] = w;
    runner_.run(given_.data(), lanes_);
    codes = runner_.template output<T>(0);
    values = runner_.template output<T>(1);
  }

private:
  const SweepMaps& maps_;
  const SweepParams& params_;
  LaneRunner runner_;
  int64_t first_row_, rows_, lanes_, group_ = -1;
  std::vector<std::vector<float>> values_; // of inputs that are parameters
  std::vector<const void*> given_;
};

template <class T> class Tiles final : public SweepTiles {
public:
  Tiles(const T* w, const T* u, const T* second, int64_t rows, std::vector<int32_t> order)
      : rows_(rows), columns_(int64_t(order.size())), order_(std::move(order)) {
    // As many tiles as keep all threads busy to the end: rows are independent, so this choice shows in no
    // bit.
    const int64_t threads = thread_count(), least = (rows + kLanes - 1) / kLanes;
    const int64_t wanted = std::max<int64_t>(1, (least + threads - 1) / threads * threads);
    lanes_ = std::max<int64_t>(1, (rows + wanted - 1) / wanted);
    lanes_ = (lanes_ + kLaneStep - 1) / kLaneStep * kLaneStep;
    tiles_ = (rows + lanes_ - 1) / lanes_;
    const size_t all = size_t(tiles_ * lanes_ * columns_);
    state_ = allocate(all * sizeof(T), current_origin());
    codes_ = allocate(all, current_origin());
    if (second) seen_ = allocate(all * sizeof(T), current_origin());
    panels_ = packed(u);
    if (second) second_ = packed(second);
    pivots_.resize(size_t(columns_));
    for (int64_t j = 0; j < columns_; j++) pivots_[size_t(j)] = u[j * columns_ + j];
    read(w);
  }

  int64_t position() const override { return position_; }

  void next_columns(int64_t count, void* out) override {
    bring_up_to_date(count);
    auto* to = static_cast<T*>(out);
    parallel_parts(tiles_, [&](int64_t tile, int) {
      const T* s = state(tile);
      for (int64_t r = 0; r < rows_of(tile); r++)
        for (int64_t c = 0; c < count; c++)
          to[(tile * lanes_ + r) * count + c] = s[(position_ + c) * lanes_ + r];
    });
  }

  std::optional<BadCode> advance(int64_t count, const SweepMaps& maps, const SweepParams& params) override {
    const auto low = lower(*maps.program, true);
    const LaneMaps lane_maps = lanes_of(maps);
    std::vector<std::optional<BadCode>> bad{size_t(tiles_)};
    parallel_parts(tiles_, [&](int64_t tile, int) {
      TileMaps<T> run(maps, lane_maps, *low, params, tile * lanes_, rows_of(tile), lanes_);
      bad[size_t(tile)] = advance_tile(tile, count, run, params.group_columns, maps.levels);
    });
    position_ += count;
    std::optional<BadCode> first;
    for (auto& found : bad)
      if (found && (!first || std::pair(found->column, found->row) < std::pair(first->column, first->row)))
        first = found;
    return first;
  }

  void codes(uint8_t* out) const override { write(codes_->as<uint8_t>(), out); }
  void errors(void* out) const override {
    auto* to = static_cast<T*>(out);
    write(state_->as<T>(), to);
    parallel_parts(rows_, [&](int64_t r, int) {
      for (int64_t c = 0; c < columns_; c++) to[r * columns_ + c] = -to[r * columns_ + c];
    });
  }
  void row_losses(double* out) const override {
    parallel_parts(tiles_, [&](int64_t tile, int) {
      double sum[kLanes] = {};
      const T* s = state(tile);
      for (int64_t j = 0; j < columns_; j++, s += lanes_)
        for (int64_t r = 0; r < lanes_; r++) sum[r] += double(s[r]) * double(s[r]);
      std::copy(sum, sum + rows_of(tile), out + tile * lanes_);
    });
  }

private:
  T* state(int64_t tile) const { return state_->as<T>() + tile * lanes_ * columns_; }
  T* seen(int64_t tile) const { return seen_ ? seen_->as<T>() + tile * lanes_ * columns_ : nullptr; }
  const T* second() const { return second_ ? second_->as<T>() : nullptr; }
  int64_t rows_of(int64_t tile) const { return std::min(lanes_, rows_ - tile * lanes_); }

  BufferPtr packed(const T* u) const {
    const int64_t panels = (columns_ + kPanelColumns - 1) / kPanelColumns;
    BufferPtr out = allocate(size_t(panel_offset(panels)) * sizeof(T), current_origin());
    parallel_parts(panels, [&](int64_t panel, int) {
      T* to = out->as<T>() + panel_offset(panel);
      const int64_t first = panel * kPanelColumns, rows = first + kPanelColumns;
      for (int64_t k = 0; k < rows; k++)
        for (int64_t c = first; c < rows; c++)
          *to++ = k < columns_ && c < columns_ ? u[k * columns_ + c] : T(0);
    });
    return out;
  }

  void read(const T* w) {
    parallel_parts(tiles_, [&](int64_t tile, int) {
      T* s = state(tile);
      const int64_t rows = rows_of(tile);
      for (int64_t r0 = 0; r0 < lanes_; r0 += kRowsAtOnce)
        for (int64_t j = 0; j < columns_; j++)
          for (int64_t r = r0; r < r0 + kRowsAtOnce; r++)
            s[j * lanes_ + r] = r < rows ? w[(tile * lanes_ + r) * columns_ + order_[size_t(j)]] : T(0);
    });
  }

  template <class E> void write(const E* from, E* out) const {
    parallel_parts(tiles_, [&](int64_t tile, int) {
      const E* s = from + tile * lanes_ * columns_;
      const int64_t rows = rows_of(tile);
      for (int64_t r0 = 0; r0 < rows; r0 += kRowsAtOnce)
        for (int64_t j = 0; j < columns_; j++)
          for (int64_t r = r0; r < std::min(rows, r0 + kRowsAtOnce); r++)
            out[(tile * lanes_ + r) * columns_ + order_[size_t(j)]] = s[j * lanes_ + r];
    });
  }

  // Columns [position, position + count) take the repayments of all that are coded.
  void bring_up_to_date(int64_t count) {
    const auto& kernels = sweep_kernels().of<T>();
    const int64_t from = std::max(position_, current_to_), to = position_ + count;
    if (from >= to) return;
    if (current_to_ <= position_) current_to_ = position_;
    parallel_parts(tiles_, [&](int64_t tile, int) {
      kernels.update(state(tile), seen(tile), lanes_, 0, position_, from, to, panels_->as<T>(), second());
    });
    current_to_ = to, current_at_ = position_;
  }

  std::optional<BadCode> advance_tile(int64_t tile, int64_t count, TileMaps<T>& maps, int64_t group_columns,
                                      int64_t levels) {
    const auto& kernels = sweep_kernels().of<T>();
    T* s = state(tile);
    auto update = [&](int64_t k0, int64_t k1, int64_t c0, int64_t c1) {
      if (k0 < k1) kernels.update(s, seen(tile), lanes_, k0, k1, c0, c1, panels_->as<T>(), second());
    };
    const int64_t end = position_ + count;
    for (int64_t b0 = position_; b0 < end;) {
      const bool current = b0 < current_to_;
      const int64_t b1 = std::min({end, b0 + kBlock, current ? current_to_ : end});
      update(current ? current_at_ : 0, b0, b0, b1);
      for (int64_t s0 = b0; s0 < b1; s0 += kSubBlock) {
        const int64_t s1 = std::min(b1, s0 + kSubBlock);
        update(b0, s0, s0, s1);
        for (int64_t j = s0; j < s1; j++) {
          update(s0, j, j, j + 1);
          const int64_t column = order_[size_t(j)];
          maps.enter_group(group_columns ? column / group_columns : 0);
          if (auto bad = code_column(tile, j, maps, levels)) return bad;
        }
      }
      b0 = b1;
    }
    return {};
  }

  // Codes column j, whose weights become -e.
  std::optional<BadCode> code_column(int64_t tile, int64_t j, TileMaps<T>& maps, int64_t levels) {
    T* w = state(tile) + j * lanes_;
    if (seen_) std::copy(w, w + lanes_, seen(tile) + j * lanes_);
    const T *codes, *values;
    maps.run(w, codes, values);
    uint8_t* out = codes_->as<uint8_t>() + tile * lanes_ * columns_ + j * lanes_;
    const bool good =
        sweep_kernels().of<T>().settle(codes, values, w, pivots_[size_t(j)], T(levels), lanes_, out);
    // Rows that only fill the tile may have no code.
    return good ? std::nullopt : find_bad(tile, j, codes, levels);
  }

  std::optional<BadCode> find_bad(int64_t tile, int64_t j, const T* codes, int64_t levels) const {
    for (int64_t r = 0; r < rows_of(tile); r++)
      if (!(codes[r] >= T(0) && codes[r] < T(levels) && std::trunc(codes[r]) == codes[r]))
        return BadCode{tile * lanes_ + r, order_[size_t(j)], double(codes[r])};
    return {};
  }

  int64_t rows_, columns_, lanes_ = 0, tiles_ = 0, position_ = 0;
  int64_t current_to_ = 0,
          current_at_ = 0; // columns below the one have the repayments of those below the other
  std::vector<int32_t> order_;
  std::vector<T> pivots_;
  BufferPtr state_; // [tile][column][lane]: weights still to be coded, -e where they are
  BufferPtr seen_;  // with a second triangle: the weights as they were coded
  BufferPtr codes_; // [tile][column][lane]
  BufferPtr panels_, second_;
};

} // namespace

std::unique_ptr<SweepTiles> SweepTiles::make(DType dtype, const void* w, const void* u, const void* second,
                                             int64_t rows, std::vector<int32_t> order) {
  auto typed = [&](auto zero) -> std::unique_ptr<SweepTiles> {
    using T = decltype(zero);
    return std::make_unique<Tiles<T>>(static_cast<const T*>(w), static_cast<const T*>(u),
                                      static_cast<const T*>(second), rows, std::move(order));
  };
  if (dtype == DType::f64) return typed(double());
  return typed(float());
}

} // namespace wane::cpu
