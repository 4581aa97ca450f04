#include "runtime/cpu/lower.h"

#include <algorithm>

namespace wane::cpu {
namespace {

class Lowering {
public:
  Lowering(const Program& program, bool whole) : program_(program), whole_(whole), kernels_(map_kernels()) {}

  Lowered run() {
    const auto& steps = program_.steps;
    phase_.assign(steps.size(), 0);
    for (size_t s = 0; s < steps.size(); ++s) {
      for (int16_t arg : steps[s].args)
        if (arg >= 0) phase_[s] = std::max(phase_[s], phase_[size_t(arg)]);
      if (steps[s].kind == StepKind::reduce) ++phase_[s];
      out_.wide |= size_of(lane_of(steps[s].dtype)) == 8;
    }
    row_slot_.assign(steps.size(), -1);
    expand_slot_.assign(steps.size(), -1);
    constant_slot_.assign(steps.size(), -1);
    last_phase_ = 0;
    for (int16_t output : program_.outputs) last_phase_ = std::max(last_phase_, phase_[size_t(output)]);
    if (whole_)
      lower_whole();
    else
      lower_phases();
    return std::move(out_);
  }

private:
  const Step& step(int s) const { return program_.steps[size_t(s)]; }
  bool is_output(int s) const {
    return std::find(program_.outputs.begin(), program_.outputs.end(), s) != program_.outputs.end();
  }
  bool element_output(int s) const { return is_output(s) && !step(s).per_row; }

  int new_slot(Lane lane) {
    out_.slots.push_back({});
    out_.slots.back().lane = lane;
    return int(out_.slots.size()) - 1;
  }
  int new_row_slot(Lane lane) {
    int slot = new_slot(lane);
    out_.slots[size_t(slot)].row_reg = out_.row_registers++;
    return slot;
  }

  // -- the value of a step as a slot of elements or of rows, emitting what computes it
  // --------------------------
  int constant_slot(int s) {
    if (constant_slot_[size_t(s)] < 0) {
      int slot = new_slot(lane_of(step(s).dtype));
      out_.slots[size_t(slot)].constant = step(s).index;
      constant_slot_[size_t(s)] = slot;
    }
    return constant_slot_[size_t(s)];
  }

  int row_value(int s) {
    return step(s).kind == StepKind::constant ? constant_slot(s) : row_slot_[size_t(s)];
  }

  int element_value(int s) {
    if (step(s).kind == StepKind::constant) return constant_slot(s);
    if (!step(s).per_row) return element_slot_[size_t(s)];
    int& slot = expand_slot_[size_t(s)];
    if (slot < 0) {
      slot = new_slot(lane_of(step(s).dtype));
      Code code{.kind = CodeKind::expand,
                .lane = lane_of(step(s).dtype),
                .out = int16_t(slot),
                .a = int16_t(row_value(s))};
      if (whole_)
        elements_->push_back(code);
      else { // once a row: the filled tile serves every tile of the rest
        persistent_.push_back(slot);
        rows_before_use(s).push_back(code);
      }
    }
    return slot;
  }

  // Where per-row code of step s's phase goes in the long form.
  std::vector<Code>& rows_before_use(int s) {
    int phase = phase_[size_t(s)];
    return phase == 0 ? out_.before : out_.phases[size_t(phase - 1)].rows;
  }

  int emit_map(int s, std::vector<Code>& code, bool per_row) {
    const Step& st = step(s);
    auto value = [&](int arg) {
      int slot = per_row ? row_value(arg) : element_value(arg);
      if (slot < 0)
        throw error(Fault::internal, "step {} reads step {}, which has no value yet:\n{}", s, arg,
                    to_string(program_));
      return int16_t(slot);
    };
    Lane lane = lane_of(st.dtype);
    Code c{.kind = CodeKind::map, .per_row = per_row, .lane = lane};
    c.a = value(st.args[0]);
    Lane from = lane_of(step(st.args[0]).dtype);
    if (st.op == Op::cast) {
      bool keeps = from == lane && (size_of(st.dtype) >= 4 && st.dtype != DType::boolean);
      if (keeps) return c.a; // widening inside the same lane changes nothing
      c.kind = CodeKind::convert;
      c.convert = kernels_.cast[int(from)][int(st.dtype)];
    } else if (st.op == Op::lookup) {
      c.kind = CodeKind::lookup;
      c.index = step(st.args[1]).index;
      c.lookup_fn = kernels_.lookup[int(from)][int(lane)];
    } else {
      if (st.args[1] >= 0) c.b = value(st.args[1]);
      if (st.args[2] >= 0) c.c = value(st.args[2]);
      int typed = info(st.op).rule == ResultRule::chosen ? st.args[1] : st.args[0];
      c.fn = kernels_.map[int(st.op)][int(lane_of(step(typed).dtype))];
    }
    c.out = int16_t(per_row ? new_row_slot(lane) : new_slot(lane));
    bool narrow =
        size_of(st.dtype) < 4 && st.dtype != DType::boolean && st.op != Op::cast && st.op != Op::lookup;
    bool store_rounds = !per_row && element_output(s) && uses_[size_t(s)] == 0;
    MapFn rounding =
        narrow && !store_rounds && st.dtype == DType::bf16 ? kernels_.map_bf16[int(st.op)] : nullptr;
    if (rounding) c.fn = rounding;
    code.push_back(c);
    if (narrow && !store_rounds && !rounding)
      code.push_back({.kind = CodeKind::convert,
                      .per_row = per_row,
                      .lane = lane,
                      .out = c.out,
                      .a = c.out,
                      .convert = kernels_.round[int(st.dtype)]});
    return c.out;
  }

  int emit_load(int s, std::vector<Code>& code, bool per_row) {
    Lane lane = lane_of(step(s).dtype);
    int slot = per_row ? new_row_slot(lane) : new_slot(lane);
    code.push_back({.kind = CodeKind::load,
                    .per_row = per_row,
                    .lane = lane,
                    .out = int16_t(slot),
                    .index = step(s).index,
                    .dtype = step(s).dtype});
    return slot;
  }

  void emit_reduce(int s, std::vector<Code>& code) {
    if (row_slot_[size_t(s)] < 0) row_slot_[size_t(s)] = new_row_slot(lane_of(step(s).dtype));
    code.push_back({.kind = CodeKind::reduce,
                    .lane = lane_of(step(step(s).args[0]).dtype),
                    .reduction = step(s).reduction,
                    .out = int16_t(row_slot_[size_t(s)]),
                    .a = int16_t(element_value(step(s).args[0]))});
  }

  void count_uses(const std::vector<bool>& needed) {
    uses_.assign(program_.steps.size(), 0);
    for (size_t s = 0; s < program_.steps.size(); ++s)
      if (needed[s])
        for (int16_t arg : step(int(s)).args)
          if (arg >= 0) ++uses_[size_t(arg)];
  }

  bool is_table_input(int s) const {
    return step(s).kind == StepKind::input && program_.is_table(step(s).index);
  }

  void lower_whole() {
    out_.phases.resize(1);
    elements_ = &out_.phases[0].elements;
    element_slot_.assign(program_.steps.size(), -1);
    count_uses(std::vector<bool>(program_.steps.size(), true));
    for (int s = 0; s < int(program_.steps.size()); ++s) {
      if (step(s).kind == StepKind::constant || is_table_input(s)) continue;
      auto& slot = step(s).per_row ? row_slot_[size_t(s)] : element_slot_[size_t(s)];
      if (step(s).kind == StepKind::input)
        slot = emit_load(s, *elements_, step(s).per_row);
      else if (step(s).kind == StepKind::reduce)
        emit_reduce(s, *elements_);
      else
        slot = emit_map(s, *elements_, step(s).per_row);
    }
    finish_outputs();
    fuse_pairs(*elements_);
    assign_registers(*elements_);
  }

  void lower_phases() {
    out_.phases.resize(size_t(last_phase_) + 1);
    emit_row_maps(0, out_.before);
    for (int p = 0; p <= last_phase_; ++p) {
      auto needed = needed_elements(p);
      count_uses(needed);
      element_slot_.assign(program_.steps.size(), -1);
      auto& code = out_.phases[size_t(p)].elements;
      elements_ = &code;
      for (int s = 0; s < int(program_.steps.size()); ++s) {
        if (!needed[size_t(s)] || step(s).per_row || step(s).kind == StepKind::constant || is_table_input(s))
          continue;
        element_slot_[size_t(s)] =
            step(s).kind == StepKind::input ? emit_load(s, code, false) : emit_map(s, code, false);
      }
      for (int s = 0; s < int(program_.steps.size()); ++s)
        if (step(s).kind == StepKind::reduce && phase_[size_t(s)] == p + 1) emit_reduce(s, code);
      if (p == last_phase_) finish_outputs();
      fuse_pairs(code);
      assign_registers(code);
      if (p < last_phase_) emit_row_maps(p + 1, out_.phases[size_t(p)].rows);
    }
    for (int slot : persistent_) out_.slots[size_t(slot)].reg = out_.registers++;
  }

  // Per-row inputs and maps that are complete at the start of phase p.
  void emit_row_maps(int p, std::vector<Code>& code) {
    count_uses(std::vector<bool>(program_.steps.size(), true));
    for (int s = 0; s < int(program_.steps.size()); ++s) {
      if (!step(s).per_row || phase_[size_t(s)] != p || is_table_input(s)) continue;
      if (step(s).kind == StepKind::input)
        row_slot_[size_t(s)] = emit_load(s, code, true);
      else if (step(s).kind == StepKind::map)
        row_slot_[size_t(s)] = emit_map(s, code, true);
    }
  }

  // Element steps that phase p computes: what its reductions (or the outputs) are made of.
  std::vector<bool> needed_elements(int p) const {
    std::vector<bool> needed(program_.steps.size(), false);
    if (p == last_phase_)
      for (int16_t output : program_.outputs) needed[size_t(output)] = !step(output).per_row;
    for (int s = int(program_.steps.size()) - 1; s >= 0; --s) {
      if (step(s).kind == StepKind::reduce && phase_[size_t(s)] == p + 1)
        needed[size_t(step(s).args[0])] = true;
      if (!needed[size_t(s)] || step(s).per_row) continue;
      for (int16_t arg : step(s).args)
        if (arg >= 0 && step(s).kind == StepKind::map) needed[size_t(arg)] = true;
    }
    return needed;
  }

  void finish_outputs() {
    for (int16_t output : program_.outputs)
      out_.output_slots.push_back(int16_t(step(output).per_row ? row_value(output) : element_value(output)));
    const Step& root = step(program_.outputs[0]);
    bool plain = size_of(root.dtype) >= 4 && root.dtype != DType::boolean;
    out_.direct_output = program_.outputs.size() == 1 && !root.per_row && root.kind == StepKind::map && plain
                         && !elements_->empty() && elements_->back().out == out_.output_slots[0]
                         && elements_->back().kind != CodeKind::load; // a widening cast is its input's slot
  }

  // -- pairs
  // ---------------------------------------------------------------------------------------------------
  static bool pair_of(Op first, Op second, bool result_is_left, Pair& pair, bool& swap) {
    swap = !result_is_left;
    bool commutes = second == Op::add || second == Op::mul;
    if (!result_is_left && !commutes && !(first == Op::mul && second == Op::sub)) return false;
    if (first == Op::mul && second == Op::add) return pair = Pair::mul_add, true;
    if (first == Op::mul && second == Op::sub)
      return pair = result_is_left ? Pair::mul_sub : Pair::mul_rsub, true;
    if (first == Op::add && second == Op::mul) return pair = Pair::add_mul, true;
    if (first == Op::sub && second == Op::mul) return pair = Pair::sub_mul, true;
    if (first == Op::mul && second == Op::mul) return pair = Pair::mul_mul, true;
    if (first == Op::add && second == Op::add) return pair = Pair::add_add, true;
    if (first == Op::div && second == Op::round) return pair = Pair::div_round, true;
    if (first == Op::mul && second == Op::round) return pair = Pair::mul_round, true;
    if (first == Op::silu && second == Op::mul) return pair = Pair::silu_mul, true;
    if (first == Op::maximum && second == Op::minimum && result_is_left) return pair = Pair::clamp, true;
    if (first == Op::square && second == Op::add) return pair = Pair::square_add, true;
    return false;
  }

  bool op_of(const Code& code, Op& op) const {
    if (code.kind != CodeKind::map || code.lane != Lane::f32) return false;
    for (int o = 0; o < kOpCount; ++o)
      if (kernels_.map[o][int(Lane::f32)] == code.fn) return op = Op(o), true;
    return false;
  }

  // The gate of a model in bf16: silu rounded, then the product that the store rounds.
  bool is_bf16_gate(const Code& first, const Code& second) const {
    Op second_op{};
    return first.kind == CodeKind::map && first.fn == kernels_.map_bf16[int(Op::silu)]
           && op_of(second, second_op) && second_op == Op::mul;
  }

  void fuse_pairs(std::vector<Code>& code) {
    for (size_t i = 0; i + 1 < code.size();) {
      size_t next = i + 1; // what is loaded in between can be loaded before
      while (next + 1 < code.size() && code[next].kind == CodeKind::load) ++next;
      Code &first = code[i], &second = code[next];
      Op x{}, y{};
      Pair pair{};
      bool swap = false;
      bool feeds_left = second.a == first.out, feeds_right = second.b == first.out;
      bool gate = is_bf16_gate(first, second);
      if (gate) pair = Pair::silu_bf16_mul;
      bool fits = (gate || (op_of(first, x) && op_of(second, y))) && first.per_row == second.per_row
                  && feeds_left != feeds_right && !used_elsewhere(code, first, second)
                  && (gate || pair_of(x, y, feeds_left, pair, swap));
      if (!fits) {
        ++i;
        continue;
      }
      int16_t other = feeds_left ? second.b : second.a;
      second.fn = pair_kernels()[int(pair)];
      second.a = first.a;
      second.b = first.b >= 0 ? first.b : other;
      second.c = first.b >= 0 ? other : int16_t(-1);
      code.erase(code.begin() + int64_t(i));
    }
  }

  // Whether anybody but `second` reads what `first` makes.
  bool used_elsewhere(const std::vector<Code>& code, const Code& first, const Code& second) const {
    int16_t slot = first.out;
    for (auto& other : code)
      if (&other != &first && &other != &second
          && (other.a == slot || other.b == slot || other.c == slot || other.out == slot))
        return true;
    auto& outs = out_.output_slots;
    return std::find(outs.begin(), outs.end(), slot) != outs.end();
  }

  // -- registers: a slot's register is free again after its last use in this list
  // --------------------------------
  void assign_registers(const std::vector<Code>& code) {
    std::vector<int> last(out_.slots.size(), -1);
    auto touch = [&](int16_t slot, int at) {
      if (slot >= 0) last[size_t(slot)] = at;
    };
    for (int i = 0; i < int(code.size()); ++i)
      for (int16_t slot : {code[size_t(i)].a, code[size_t(i)].b, code[size_t(i)].c, code[size_t(i)].out})
        touch(slot, i);
    for (int16_t slot : out_.output_slots) touch(slot, int(code.size()));
    std::vector<int> free;
    int used = 0;
    auto needs = [&](int16_t slot) {
      auto& s = out_.slots[size_t(slot)];
      return s.reg < 0 && s.row_reg < 0 && s.constant < 0
             && std::find(persistent_.begin(), persistent_.end(), slot) == persistent_.end();
    };
    for (int i = 0; i < int(code.size()); ++i) {
      int16_t out = code[size_t(i)].out;
      if (needs(out)) {
        if (free.empty()) free.push_back(used++);
        out_.slots[size_t(out)].reg = free.back();
        free.pop_back();
      }
      for (int16_t slot : {code[size_t(i)].a, code[size_t(i)].b, code[size_t(i)].c, out}) {
        if (slot < 0 || last[size_t(slot)] != i) continue;
        last[size_t(slot)] = -1; // once, also when it is named twice
        if (out_.slots[size_t(slot)].reg >= 0) free.push_back(out_.slots[size_t(slot)].reg);
      }
    }
    out_.registers = std::max(out_.registers, used);
  }

  const Program& program_;
  bool whole_;
  const MapKernels& kernels_;
  Lowered out_;
  std::vector<int> phase_, uses_;
  std::vector<int> row_slot_, element_slot_, expand_slot_, constant_slot_, persistent_;
  std::vector<Code>* elements_ = nullptr;
  int last_phase_ = 0;
};

} // namespace

std::shared_ptr<const Lowered> lower(const Program& program, bool whole) {
  return std::make_shared<const Lowered>(Lowering(program, whole).run());
}

} // namespace wane::cpu
