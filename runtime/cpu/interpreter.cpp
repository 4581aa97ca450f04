#include "runtime/cpu/interpreter.h"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <unordered_map>

#include "runtime/cpu/lower.h"
#include "runtime/cpu/pool.h"
#include "runtime/cpu/stream.h"

namespace wane::cpu {
namespace {

// Lanes of a tile. From memory small ones, so that loads of the next tile start under the arithmetic of this
// one; larger where calls would show: in long programs, where per-row values are few beside their elements,
// and in cache.
constexpr int64_t kMemoryLanes = 128, kManyLoopsLanes = 256, kCacheLanes = 512;
constexpr size_t kManyLoops = 8;
constexpr int64_t kAheadBytes = 2048;      // of an operand in memory, asked for before they are needed
constexpr int64_t kWholeRow = 8192;        // longest row that a tile holds complete
constexpr int64_t kPartElements = 1 << 15; // work of one part
constexpr int64_t kSmall = 1 << 14;        // below this the caller does it alone
constexpr int64_t kLongRow = 1 << 20;      // from here on the threads share a row that is reduced
constexpr int64_t kFromMemory = int64_t(4) << 20;
constexpr size_t kLoweredPrograms = 2048; // kept; some kilobytes each

// Lowered programs by key. A session meets new ones for as long as it lasts, so the half that was not used
// for longest goes whenever there are too many.
class LoweredPrograms {
public:
  static LoweredPrograms& all() {
    static auto* instance = new LoweredPrograms; // never destroyed
    return *instance;
  }

  std::shared_ptr<const Lowered> get(const Program& program, bool whole) {
    std::lock_guard lock(mutex_);
    auto& entry = entries_[key_of(program, whole)];
    entry.used = ++clock_;
    if (!entry.low) entry.low = lower(program, whole);
    auto low = entry.low; // the entry may go at once
    if (entries_.size() > kLoweredPrograms) drop_older_half();
    return low;
  }
  // What is there already, or null.
  std::shared_ptr<const Lowered> find(const Program& program, bool whole) {
    std::lock_guard lock(mutex_);
    auto found = entries_.find(key_of(program, whole));
    return found == entries_.end() ? nullptr : found->second.low;
  }

private:
  struct Entry {
    std::shared_ptr<const Lowered> low;
    uint64_t used = 0;
  };
  static std::string key_of(const Program& program, bool whole) {
    return program.key() + (whole ? 'w' : 'p');
  }
  void drop_older_half() {
    std::vector<uint64_t> times;
    for (auto& [key, entry] : entries_) times.push_back(entry.used);
    auto middle = times.begin() + int64_t(times.size() / 2);
    std::nth_element(times.begin(), middle, times.end());
    std::erase_if(entries_, [&](auto& item) { return item.second.used < *middle; });
  }

  std::mutex mutex_;
  std::unordered_map<std::string, Entry> entries_;
  uint64_t clock_ = 0;
};

// Without reductions long rows need no whole tile; n == 0 still has to give the empty row's result.
bool in_whole_rows(const Program& program, const Launch& launch) {
  return launch.n <= kWholeRow && !(program.reductions == 0 && launch.rows == 1);
}

struct Scratch { // of one thread; grows, never shrinks
  std::vector<std::byte> bytes;
  std::byte* get(size_t n) {
    if (bytes.size() < n + 64) bytes.resize(n + 64);
    auto base = reinterpret_cast<uintptr_t>(bytes.data());
    return bytes.data() + ((64 - base % 64) % 64);
  }
};

int64_t row_offset(const Shape& outer, const Strides& strides, int64_t row) {
  int64_t offset = 0;
  for (int d = outer.rank() - 1; d >= 0; --d) {
    offset += row % outer[d] * strides[d];
    row /= outer[d];
  }
  return offset;
}

// One lookup table in its lane type.
struct Table {
  std::vector<std::byte> values;
  int64_t entries = 0;
};

// The reductions of one phase of a long row before they are joined: a total for every block of kReduceBlock,
// so that pieces of the row can be taken in any order and the totals are then added in the one order there
// is.
class BlockTotals {
public:
  BlockTotals(const Phase& phase, size_t slots, int64_t n) : blocks_((n + kReduceBlock - 1) / kReduceBlock) {
    of_slot_.assign(slots, -1);
    for (auto& code : phase.elements)
      if (code.kind == CodeKind::reduce) of_slot_[size_t(code.out)] = count_++;
    if (count_) data_ = allocate(size_t(count_ * blocks_) * 8);
  }

  std::byte* at(int16_t slot, int64_t block) const {
    return data_->data() + size_t(of_slot_[size_t(slot)] * blocks_ + block) * 8;
  }

  void join(const Code& code, std::byte* total) const {
    if (code.lane == Lane::f64)
      join_as<double>(code, total);
    else
      join_as<float>(code, total);
  }

private:
  template <class T> void join_as(const Code& code, std::byte* total) const {
    auto value = [&](int64_t block) { return *reinterpret_cast<const T*>(at(code.out, block)); };
    T sum = value(0);
    for (int64_t i = 1; i < blocks_; ++i) {
      T next = value(i);
      switch (code.reduction) {
      case Reduction::sum:
      case Reduction::sumsq: sum += next; break;
      case Reduction::min: sum = next != next || next < sum ? next : sum; break;
      default: sum = next != next || next > sum ? next : sum; break; // NaN wins, as in the blocks
      }
    }
    *reinterpret_cast<T*>(total) = sum;
  }

  int64_t blocks_, count_ = 0;
  std::vector<int64_t> of_slot_;
  BufferPtr data_;
};

class Runner {
public:
  Runner(const Program& program, const Launch& launch, const Lowered& low, bool whole)
      : program_(program), launch_(launch), low_(low), whole_(whole), kernels_(map_kernels()) {
    int64_t bytes = 0;
    for (size_t i = 0; i < launch.inputs.size(); ++i)
      bytes += launch.inputs[i].inner ? launch.rows * launch.n * 4 : 0;
    int64_t out_bytes =
        int64_t(size_of(program.steps[size_t(program.outputs[0])].dtype)) * launch.rows * launch.n;
    from_memory_ = bytes + out_bytes > kFromMemory;
    bool many_loops = program.reductions > 0 || low.phases[0].elements.size() >= kManyLoops;
    lanes_ = !from_memory_ ? kCacheLanes : many_loops ? kManyLoopsLanes : kMemoryLanes;
    if (whole) {
      rows_per_tile_ = std::max<int64_t>(1, lanes_ / std::max<int64_t>(launch.n, 1));
      lanes_ = std::max(lanes_, launch.n);
    }
    register_bytes_ = size_t(lanes_) * (low.wide ? 8 : 4);
    register_bytes_ = (register_bytes_ + 63) / 64 * 64;
    row_bytes_ = size_t(rows_per_tile_) * 8 + 64;
    streaming_ = out_bytes > kStreamBytes && !program.steps[size_t(program.outputs[0])].per_row;
    constant_bytes_ = register_bytes_ * size_t(program.constants);
    prepare_inputs();
  }

  void run() {
    int64_t rows = launch_.rows, n = launch_.n;
    bool split_columns = !whole_ && program_.reductions == 0 && n > kPartElements && !output_per_row();
    if (split_columns) {
      int64_t pieces = (n + kPartElements - 1) / kPartElements;
      parallel_parts(rows * pieces, [&](int64_t part, int) {
        Tile tile(*this);
        int64_t first = part % pieces * kPartElements;
        tile.walk_row(part / pieces, first, std::min(n, first + kPartElements));
      });
      return;
    }
    if (!whole_ && program_.reductions > 0 && n >= kLongRow) return run_long_rows();
    int64_t per_part = std::max<int64_t>(1, kPartElements / std::max<int64_t>(n, 1));
    per_part = (per_part + rows_per_tile_ - 1) / rows_per_tile_ * rows_per_tile_;
    int64_t parts = rows * n <= kSmall ? 1 : (rows + per_part - 1) / per_part;
    if (parts == 1) per_part = rows;
    parallel_parts(parts, [&](int64_t part, int) {
      Tile tile(*this);
      int64_t last = std::min(rows, (part + 1) * per_part);
      for (int64_t row = part * per_part; row < last; row += rows_per_tile_) {
        if (whole_)
          tile.whole_rows(row, std::min(rows_per_tile_, last - row));
        else
          tile.walk_row(row, 0, n);
      }
    });
  }

private:
  // Row by row, each phase in pieces that the threads share; between two phases one thread joins the totals.
  void run_long_rows() {
    int64_t n = launch_.n, pieces = (n + kPartElements - 1) / kPartElements;
    std::vector<std::byte> row_values(row_bytes_ * size_t(low_.row_registers + 1));
    Tile lead(*this, row_values.data());
    for (int64_t row = 0; row < launch_.rows; ++row) {
      lead.start_row(row);
      for (size_t p = 0; p < low_.phases.size(); ++p) {
        auto& phase = low_.phases[p];
        bool final = p + 1 == low_.phases.size() && !output_per_row();
        BlockTotals totals(phase, low_.slots.size(), n);
        if (!phase.elements.empty() || final)
          parallel_parts(pieces, [&](int64_t part, int) {
            Tile tile(*this, row_values.data());
            int64_t first = part * kPartElements;
            tile.piece(row, p, first, std::min(n, first + kPartElements), final, totals);
          });
        lead.finish_phase(p, totals);
      }
      if (output_per_row()) lead.store();
    }
  }

  struct Input {
    bool dense = false;     // element (row, j) lies at row * n + j
    bool same_lane = false; // memory and lane are the same type
    bool row_dense = false; // per-row operand with one stride over all rows
    bool invariant = false; // does not depend on the row
    int64_t row_stride = 0;
  };

  void prepare_inputs() {
    dtypes_.resize(launch_.inputs.size());
    for (auto& step : program_.steps)
      if (step.kind == StepKind::input) dtypes_[size_t(step.index)] = step.dtype;
    inputs_.resize(launch_.inputs.size());
    tables_.resize(launch_.inputs.size());
    for (size_t i = 0; i < inputs_.size(); ++i) {
      auto& in = launch_.inputs[i];
      auto& out = inputs_[i];
      DType dtype = dtypes_[i];
      if (program_.is_table(int(i))) {
        tables_[i].entries = in.count;
        tables_[i].values.resize(size_t(in.count) * size_of(lane_of(dtype)));
        kernels_.load_strided[int(dtype)](tables_[i].values.data(), in.data, in.inner, in.count);
        continue;
      }
      out.same_lane = size_of(dtype) == size_of(lane_of(dtype)) && dtype != DType::boolean;
      bool one_outer = launch_.outer.rank() <= 1;
      out.row_stride = launch_.outer.rank() == 1 ? in.outer[0] : 0;
      out.dense = one_outer && in.inner == 1 && (launch_.rows == 1 || out.row_stride == launch_.n);
      out.row_dense = one_outer;
      out.invariant = true;
      for (int d = 0; d < launch_.outer.rank(); ++d)
        out.invariant &= in.outer[d] == 0 || launch_.outer[d] == 1;
    }
  }

  // The state of one part: where each slot's values are.
  class Tile {
  public:
    // row_values: where the per-row values lie when several tiles share a row, else null.
    explicit Tile(const Runner& runner, std::byte* row_values = nullptr) : r_(runner), k_(runner.kernels_) {
      static thread_local Scratch scratch;
      size_t need = r_.constant_bytes_ + r_.register_bytes_ * size_t(r_.low_.registers)
                    + r_.row_bytes_ * size_t(r_.low_.row_registers);
      std::byte* base = scratch.get(need);
      std::byte* registers = base + r_.constant_bytes_;
      std::byte* rows = row_values ? row_values : registers + r_.register_bytes_ * size_t(r_.low_.registers);
      at_.resize(r_.low_.slots.size());
      home_.resize(at_.size());
      for (size_t s = 0; s < at_.size(); ++s) {
        auto& slot = r_.low_.slots[s];
        if (slot.constant >= 0)
          home_[s] = base + r_.register_bytes_ * size_t(slot.constant), fill_constant(home_[s], slot);
        else if (slot.reg >= 0)
          home_[s] = registers + r_.register_bytes_ * size_t(slot.reg);
        else if (slot.row_reg >= 0)
          home_[s] = rows + r_.row_bytes_ * size_t(slot.row_reg);
        at_[s] = home_[s];
      }
    }

    void whole_rows(int64_t row, int64_t rows) {
      row_ = row, rows_ = rows, column_ = 0, width_ = r_.launch_.n;
      point_output();
      for (auto& code : r_.low_.phases[0].elements) execute(code, true);
      store();
    }

    void walk_row(int64_t row, int64_t first, int64_t last) {
      start_row(row);
      size_t phases = r_.low_.phases.size();
      for (size_t p = 0; p < phases; ++p) {
        auto& phase = r_.low_.phases[p];
        bool final = p + 1 == phases && !r_.output_per_row();
        if (!phase.elements.empty() || final) walk(phase, first, last, final);
        width_ = r_.lanes_;
        for (auto& code : phase.rows) execute(code, true);
      }
      if (r_.output_per_row()) store();
    }

    // -- a long row, phase by phase
    void start_row(int64_t row) {
      row_ = row, rows_ = 1;
      width_ = r_.lanes_;
      for (auto& code : r_.low_.before) execute(code, true);
    }

    void piece(int64_t row, size_t p, int64_t first, int64_t last, bool final, const BlockTotals& totals) {
      row_ = row, rows_ = 1;
      width_ = r_.lanes_;
      auto refill = [&](const std::vector<Code>& codes) { // tiles of one row value: each thread has its own
        for (auto& code : codes)
          if (code.kind == CodeKind::expand) execute(code, true);
      };
      refill(r_.low_.before);
      for (size_t i = 0; i < p; ++i) refill(r_.low_.phases[i].rows);
      totals_ = &totals;
      walk(r_.low_.phases[p], first, last, final);
    }

    void finish_phase(size_t p, const BlockTotals& totals) {
      auto& phase = r_.low_.phases[p];
      for (auto& code : phase.elements)
        if (code.kind == CodeKind::reduce) totals.join(code, at_[size_t(code.out)]);
      for (auto& code : phase.rows) execute(code, true);
    }

    void store() {
      if (r_.low_.direct_output && !r_.streaming_) return;
      const Step& root = r_.program_.steps[size_t(r_.program_.outputs[0])];
      std::byte* to = output_address();
      const void* from = at_[size_t(r_.low_.output_slots[0])];
      int64_t count = root.per_row ? rows_ : rows_ * width_;
      bool stream = r_.streaming_ && count % 64 == 0 && reinterpret_cast<uintptr_t>(to) % 64 == 0;
      (stream ? k_.stream : k_.store)[int(root.dtype)](to, from, count);
    }

  private:
    // The tiles of one phase; a row without elements has one empty tile.
    void walk(const Phase& phase, int64_t first, int64_t last, bool final) {
      for (column_ = first; column_ < last || (column_ == first && first == last); column_ += r_.lanes_) {
        width_ = std::min(r_.lanes_, last - column_);
        if (final) point_output();
        for (auto& code : phase.elements) execute(code, column_ == first);
        if (final) store();
        if (first == last) break;
      }
    }

    void reduce(const Code& code, const void* in, void* out, bool first) {
      int real = code.lane == Lane::f64;
      auto& kernel = k_.reduce[int(code.reduction)][real];
      if (r_.whole_) return k_.reduce_rows[int(code.reduction)][real](in, rows_, width_, out);
      if (!totals_) return kernel(in, width_, out, first);
      for (int64_t at = 0; at < width_; at += kReduceBlock)
        kernel(static_cast<const std::byte*>(in) + size_t(at) * size_of(code.lane),
               std::min(kReduceBlock, width_ - at), totals_->at(code.out, (column_ + at) / kReduceBlock),
               true);
    }

    void fill_constant(std::byte* out, const Slot& slot) {
      auto index = size_t(slot.constant);
      double real = r_.launch_.constants[index];
      float single = float(real);
      int64_t whole = r_.launch_.integers[index];
      int narrow = int(whole);
      const void* value = slot.lane == Lane::f32   ? static_cast<const void*>(&single)
                          : slot.lane == Lane::f64 ? static_cast<const void*>(&real)
                          : slot.lane == Lane::i32 ? static_cast<const void*>(&narrow)
                                                   : static_cast<const void*>(&whole);
      k_.fill[int(slot.lane)](out, value, r_.lanes_);
    }

    void execute(const Code& code, bool first) {
      int64_t count = code.per_row ? rows_ : rows_ * width_;
      void* out = code.out >= 0 ? at_[size_t(code.out)] : nullptr;
      auto in = [&](int16_t slot) -> const void* { return slot >= 0 ? at_[size_t(slot)] : nullptr; };
      switch (code.kind) {
      case CodeKind::load: code.per_row ? load_rows(code) : load_elements(code); break;
      case CodeKind::map: code.fn(out, in(code.a), in(code.b), in(code.c), count); break;
      case CodeKind::convert: code.convert(out, in(code.a), count); break;
      case CodeKind::lookup: {
        auto& table = r_.tables_[size_t(code.index)];
        code.lookup_fn(out, in(code.a), table.values.data(), table.entries, count);
        break;
      }
      case CodeKind::expand: k_.expand[int(code.lane)](out, in(code.a), rows_, width_); break;
      case CodeKind::reduce: reduce(code, in(code.a), out, first); break;
      }
    }

    const std::byte* address(const LaunchInput& in, int64_t row, size_t size) const {
      return in.data + (row_offset(r_.launch_.outer, in.outer, row) + column_ * in.inner) * int64_t(size);
    }

    void load_elements(const Code& code) {
      auto& in = r_.launch_.inputs[size_t(code.index)];
      auto& how = r_.inputs_[size_t(code.index)];
      size_t size = size_of(code.dtype), slot = size_t(code.out);
      if (how.dense || (rows_ == 1 && in.inner == 1)) {
        const std::byte* from =
            how.dense ? in.data + (row_ * r_.launch_.n + column_) * int64_t(size) : address(in, row_, size);
        if (how.dense && r_.from_memory_) ask_for(from + kAheadBytes, rows_ * width_ * int64_t(size));
        if (how.same_lane)
          at_[slot] = const_cast<std::byte*>(from);
        else
          k_.load[int(code.dtype)](home_[slot], from, rows_ * width_);
        return;
      }
      std::byte* to = home_[slot];
      for (int64_t i = 0; i < rows_; ++i) {
        if (how.invariant && i > 0) { // copy the first row
          std::memcpy(to + size_t(i * width_) * size_of(code.lane), to, size_t(width_) * size_of(code.lane));
          continue;
        }
        const std::byte* from = address(in, row_ + i, size);
        std::byte* place = to + size_t(i * width_) * size_of(code.lane);
        if (in.inner == 1)
          k_.load[int(code.dtype)](place, from, width_);
        else
          k_.load_strided[int(code.dtype)](place, from, in.inner, width_);
      }
    }

    // Prefetches; beyond the end of a tensor that changes nothing.
    static void ask_for(const std::byte* from, int64_t bytes) {
      for (int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(from + at);
    }

    void load_rows(const Code& code) {
      auto& in = r_.launch_.inputs[size_t(code.index)];
      auto& how = r_.inputs_[size_t(code.index)];
      int64_t size = int64_t(size_of(code.dtype));
      std::byte* to = home_[size_t(code.out)];
      if (how.row_dense) {
        k_.load_strided[int(code.dtype)](to, in.data + row_ * how.row_stride * size, how.row_stride, rows_);
        return;
      }
      for (int64_t i = 0; i < rows_; ++i)
        k_.load[int(code.dtype)](to + size_t(i) * size_of(code.lane),
                                 in.data + row_offset(r_.launch_.outer, in.outer, row_ + i) * size, 1);
    }

    std::byte* output_address() const {
      const Step& root = r_.program_.steps[size_t(r_.program_.outputs[0])];
      int64_t element = root.per_row ? row_ : row_ * r_.launch_.n + column_;
      return r_.launch_.outputs[0].data + element * int64_t(size_of(root.dtype));
    }

    // The last loop writes the result's memory itself where no conversion stands between.
    void point_output() {
      if (r_.low_.direct_output && !r_.streaming_) at_[size_t(r_.low_.output_slots[0])] = output_address();
    }

    const Runner& r_;
    const MapKernels& k_;
    std::vector<std::byte*> at_, home_;
    const BlockTotals* totals_ = nullptr; // of a long row
    int64_t row_ = 0, rows_ = 1, column_ = 0, width_ = 0;
  };

  bool output_per_row() const { return program_.steps[size_t(program_.outputs[0])].per_row; }

  const Program& program_;
  const Launch& launch_;
  const Lowered& low_;
  bool whole_;
  const MapKernels& kernels_;
  int64_t lanes_ = 0, rows_per_tile_ = 1;
  size_t register_bytes_ = 0, row_bytes_ = 0, constant_bytes_ = 0;
  bool streaming_ = false, from_memory_ = false;
  std::vector<Input> inputs_;
  std::vector<DType> dtypes_;
  std::vector<Table> tables_;
};

} // namespace

void run(const Program& program, const Launch& launch) {
  bool whole = in_whole_rows(program, launch);
  auto low = LoweredPrograms::all().get(program, whole);
  Runner(program, launch, *low, whole).run();
}

Form form_of(const Program& program, const Launch& launch) {
  bool whole = in_whole_rows(program, launch);
  auto known = LoweredPrograms::all().find(program, whole);
  return {whole, known != nullptr, to_string(known ? *known : *lower(program, whole))};
}

} // namespace wane::cpu
