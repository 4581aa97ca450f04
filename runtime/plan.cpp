#include "runtime/plan.h"

#include <algorithm>
#include <unordered_map>

#include "runtime/node_memory.h"
#include "runtime/trace.h"

namespace wane {
namespace {

// The program of one pending tree, with the leaves it reads.
class Builder {
public:
  Builder(const NodePtr& root, bool sketch, FlushNode flush_node)
      : root_(root), sketch_(sketch), flush_node_(flush_node) {
    program.reductions = 0;
    visit(root);
    program.outputs = {index_.at(root.get())};
  }

  // Several results of one traced function; nothing below them is computed here.
  explicit Builder(std::span<const Tensor> roots) : traced_(true) {
    program.reductions = 0;
    for (auto& root : roots) program.outputs.push_back(visit(root.node()));
  }

  Program program;
  std::vector<Tensor> leaves; // by input number; flushed, so alive until the run is over
  // Copies, not nodes: an operand that is flushed on the way lets go of its own operands.
  struct Number {
    double value;
    int64_t integer;
  };
  std::vector<Number> constants;
  std::vector<bool> one_a_row; // by step: the last dim is 1, or there is none

private:
  int16_t visit(const NodePtr& node) {
    if (auto found = index_.find(node.get()); found != index_.end()) return found->second;
    bool inside = is_pending(*node);
    if (inside && !traced_ && node != root_) {
      // Computed inside an earlier program already: cheap once, but the second reader gets the stored
      // elements.
      if (node->was_interior && node.use_count() > 1) {
        inside = false;
        if (!sketch_) flush_node_(node);
      } else if (!sketch_) {
        node->was_interior = true;
      }
    }
    Step step{.kind = StepKind::input, .dtype = node->dtype};
    if (node->kind == NodeKind::constant) {
      step.kind = StepKind::constant;
      step.index = int16_t(program.constants++);
      constants.push_back({node->value, node->integer});
    } else if (inside) {
      step.kind = node->kind == NodeKind::map ? StepKind::map : StepKind::reduce;
      step.op = node->op;
      step.reduction = node->reduction;
      bool looks_up = step.kind == StepKind::map && step.op == Op::lookup;
      step.args[0] = visit(node->args[0]);
      for (size_t i = 1; i < 3 && node->args[i]; ++i)
        step.args[i] = looks_up ? table(node->args[i]) : visit(node->args[i]);
      program.reductions += step.kind == StepKind::reduce;
    } else {
      step.index = input(node);
    }
    return index_.emplace(node.get(), put(step, *node)).first->second;
  }

  // A table is read whole, so it is an input of its own also where the same tensor is an operand.
  int16_t table(const NodePtr& node) {
    if (auto found = table_.find(node.get()); found != table_.end()) return found->second;
    Step step{.kind = StepKind::input, .dtype = node->dtype, .index = input(node)};
    program.tables.push_back(step.index);
    return table_.emplace(node.get(), put(step, *node)).first->second;
  }

  int16_t input(const NodePtr& node) {
    leaves.push_back(sketch_ ? outline(*node) : Tensor(node).flushed());
    return int16_t(program.inputs++);
  }

  // As the node will be once it is flushed, without its elements.
  static Tensor outline(const Node& node) {
    auto leaf = make_node();
    leaf->shape = node.shape;
    leaf->dtype = node.dtype;
    leaf->strides = node.kind == NodeKind::leaf ? node.strides : dense_strides(node.shape);
    return Tensor(leaf);
  }

  int16_t put(const Step& step, const Node& node) {
    program.steps.push_back(step);
    one_a_row.push_back(node.shape.back() == 1);
    return int16_t(program.steps.size() - 1);
  }

  NodePtr root_;
  bool sketch_ = false, traced_ = false;
  FlushNode flush_node_ = nullptr;
  std::unordered_map<const Node*, int16_t> index_, table_;
};

// Merges neighbouring dims of `shape` wherever every operand walks them as one.
void collapse(Shape& shape, std::vector<Strides>& strides) {
  Shape merged;
  std::vector<Strides> out(strides.size());
  for (int d = 0; d < shape.rank(); ++d) {
    if (shape[d] == 1) continue;
    bool joins = merged.rank() > 0;
    for (size_t i = 0; joins && i < strides.size(); ++i) joins = out[i].back() == strides[i][d] * shape[d];
    if (joins) {
      merged[merged.rank() - 1] *= shape[d];
      for (size_t i = 0; i < strides.size(); ++i) out[i][merged.rank() - 1] = strides[i][d];
    } else {
      merged.push_back(shape[d]);
      for (size_t i = 0; i < strides.size(); ++i) out[i].push_back(strides[i][d]);
    }
  }
  shape = merged;
  strides = out;
}

Shape drop_last(const Shape& shape) {
  Shape out;
  for (int d = 0; d + 1 < shape.rank(); ++d) out.push_back(shape[d]);
  return out;
}

// Marks steps that have one value a row. `inputs` says it for the inputs; a map has what its operands have.
void mark_rows(Builder& build, const std::vector<bool>& inputs) {
  for (auto& step : build.program.steps) {
    if (step.kind == StepKind::input) step.per_row = inputs[size_t(step.index)];
    if (step.kind == StepKind::reduce) step.per_row = true;
    if (step.kind != StepKind::map) continue;
    bool any = false, all = true;
    int operands = step.op == Op::lookup ? 1 : 3;
    for (int i = 0; i < operands && step.args[i] >= 0; ++i) {
      const Step& arg = build.program.steps[size_t(step.args[i])];
      if (arg.kind == StepKind::constant) continue;
      any |= arg.per_row;
      all &= arg.per_row;
    }
    step.per_row = any && all;
  }
}

void fill_inputs(Builder& build, Launch& launch, const std::vector<Strides>& strides, bool has_row_dim) {
  launch.inputs.resize(build.leaves.size());
  for (size_t i = 0; i < build.leaves.size(); ++i) {
    LaunchInput& in = launch.inputs[i];
    const Tensor& leaf = build.leaves[i];
    in.data = leaf.node()->buffer ? leaf.bytes() : nullptr; // of a sketch
    if (build.program.is_table(int(i))) {
      in.count = leaf.count();
      in.inner = leaf.strides().back();
      in.outer = launch.outer; // unused, but of the right rank
      continue;
    }
    in.outer = has_row_dim ? drop_last(strides[i]) : strides[i];
    in.inner = has_row_dim ? strides[i].back() : 0;
  }
  for (auto& number : build.constants) {
    launch.constants.push_back(number.value);
    launch.integers.push_back(number.integer);
  }
}

// Maps alone: dims collapse as far as they go and the innermost is the row.
void plan_flat(Builder& build, Launch& launch, const Shape& shape) {
  std::vector<Strides> strides;
  for (size_t i = 0; i < build.leaves.size(); ++i) {
    const Tensor& leaf = build.leaves[i];
    bool table = build.program.is_table(int(i));
    strides.push_back(table ? broadcast_strides({}, {}, shape)
                            : broadcast_strides(leaf.shape(), leaf.strides(), shape));
  }
  Shape merged = shape;
  strides.push_back(dense_strides(shape)); // the result keeps the order of its elements
  collapse(merged, strides);
  strides.pop_back();
  if (merged.rank() == 0) {
    merged.push_back(1);
    for (auto& s : strides) s.push_back(1);
  }
  launch.n = merged.back();
  launch.outer = drop_last(merged);
  launch.rows = launch.outer.count();
  std::vector<bool> per_row;
  for (size_t i = 0; i < strides.size(); ++i)
    per_row.push_back(strides[i].back() == 0 && launch.n > 1 && !build.program.is_table(int(i)));
  mark_rows(build, per_row);
  build.program.steps[size_t(build.program.outputs[0])].per_row = false;
  fill_inputs(build, launch, strides, true);
}

// With reductions the last dim is the row, as long as the reduced operands are.
void plan_rows(Builder& build, Launch& launch, const Shape& shape, int64_t row) {
  Shape full = shape;
  full[full.rank() - 1] = row;
  std::vector<Strides> strides;
  std::vector<int64_t> inner;
  std::vector<bool> per_row;
  for (size_t i = 0; i < build.leaves.size(); ++i) {
    const Tensor& leaf = build.leaves[i];
    bool table = build.program.is_table(int(i));
    Strides s =
        table ? broadcast_strides({}, {}, full) : broadcast_strides(leaf.shape(), leaf.strides(), full);
    bool one = leaf.rank() == 0 || leaf.shape().back() == 1;
    inner.push_back(one && row > 1 ? 0 : row == 1 ? 1 : s.back());
    per_row.push_back(one && row > 1 && !table);
    strides.push_back(drop_last(s));
  }
  Shape outer = drop_last(full);
  strides.push_back(dense_strides(outer));
  collapse(outer, strides);
  strides.pop_back();
  launch.n = row;
  launch.outer = outer;
  launch.rows = outer.count();
  mark_rows(build, per_row);
  for (size_t s = 0; s < build.program.steps.size(); ++s) { // a wide constant makes its map wide
    auto& step = build.program.steps[s];
    if (step.kind == StepKind::map && row > 1) step.per_row = build.one_a_row[s];
  }
  fill_inputs(build, launch, strides, false);
  for (size_t i = 0; i < inner.size(); ++i)
    if (!build.program.is_table(int(i))) launch.inputs[i].inner = inner[i];
}

Plan plan(const NodePtr& root, bool sketch, FlushNode flush_node) {
  Builder build(root, sketch, flush_node);
  Plan out;
  if (root->row)
    plan_rows(build, out.launch, root->shape, root->row);
  else
    plan_flat(build, out.launch, root->shape);
  out.program = std::move(build.program);
  out.leaves = std::move(build.leaves);
  return out;
}

} // namespace

TreeCounts count_tree(const Node& root) {
  TreeCounts out;
  std::vector<const Node*> met{&root}; // some dozens: looking through them is quicker than a set
  for (size_t i = 0; i < met.size(); ++i) {
    const Node& node = *met[i];
    if (!is_pending(node)) {
      out.inputs += node.kind != NodeKind::constant;
      out.retained += node.buffer ? int64_t(node.buffer->bytes()) : 0;
      continue;
    }
    ++out.ops;
    out.reductions += node.kind == NodeKind::reduce;
    for (auto& arg : node.args)
      if (arg && std::find(met.begin(), met.end(), arg.get()) == met.end()) met.push_back(arg.get());
  }
  return out;
}

Plan make_plan(const NodePtr& root, FlushNode flush_node) { return plan(root, false, flush_node); }
Plan sketch_plan(const NodePtr& root) { return plan(root, true, nullptr); }

Traced trace_program(std::span<const Tensor> roots) {
  Builder build(roots);
  Traced traced{std::move(build.program), std::move(build.leaves), {}, {}};
  for (auto& number : build.constants) {
    traced.constants.push_back(number.value);
    traced.integers.push_back(number.integer);
  }
  return traced;
}

double bytes_moved(const Plan& plan) {
  const Launch& launch = plan.launch;
  std::vector<DType> dtypes(launch.inputs.size());
  for (auto& step : plan.program.steps)
    if (step.kind == StepKind::input) dtypes[size_t(step.index)] = step.dtype;
  double bytes = 0;
  for (size_t i = 0; i < launch.inputs.size(); ++i) {
    auto& in = launch.inputs[i];
    double count = in.inner ? double(launch.n) : 1;
    for (int d = 0; d < launch.outer.rank(); ++d)
      if (in.outer[d]) count *= double(launch.outer[d]);
    bytes += (in.count ? double(in.count) : count) * double(size_of(dtypes[i]));
  }
  const Step& root = plan.program.steps[size_t(plan.program.outputs[0])];
  return bytes + double(launch.rows) * (root.per_row ? 1 : double(launch.n)) * double(size_of(root.dtype));
}

int op_count(const Program& program) {
  return int(std::count_if(program.steps.begin(), program.steps.end(), [](const Step& step) {
    return step.kind == StepKind::map || step.kind == StepKind::reduce;
  }));
}

double operations(const Plan& plan) {
  double count = 0, rows = double(plan.launch.rows);
  for (auto& step : plan.program.steps) {
    if (step.kind == StepKind::map) count += step.per_row ? rows : rows * double(plan.launch.n);
    if (step.kind == StepKind::reduce) count += rows * double(plan.launch.n);
  }
  return count;
}

std::string short_name(const Program& program) {
  constexpr size_t kShown = 3;
  std::vector<std::string_view> names;
  for (auto& step : program.steps) {
    if (step.kind != StepKind::map && step.kind != StepKind::reduce) continue;
    auto name = step.kind == StepKind::map ? info(step.op).name : name_of(step.reduction);
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  size_t more = names.size() > kShown ? names.size() - kShown : 0;
  names.resize(names.size() - more);
  return fmt::format("{}{}", fmt::join(names, " "), more ? fmt::format(" +{}", more) : "");
}

} // namespace wane
