#include "runtime/cuda/emit.h"

#include <algorithm>
#include <map>
#include <set>

#include "runtime/cuda/emit_ops.h"
#include "runtime/cuda/prelude.h"
#include "runtime/hash.h"

namespace wane::cuda {
namespace {

const char* fold_of(Reduction reduction) {
  switch (reduction) {
  case Reduction::sum: return "WaneSum";
  case Reduction::sumsq: return "WaneSumsq";
  case Reduction::min: return "WaneMin";
  case Reduction::max: return "WaneMax";
  case Reduction::absmax: return "WaneAbsmax";
  default: throw error(Fault::internal, "cuda: the row template has no {}", name_of(reduction));
  }
}

class KernelWriter {
public:
  KernelWriter(const Program& program, OpFunctions& functions) : program_(program), functions_(functions) {
    if (program.outputs.size() != 1)
      throw error(Fault::internal, "cuda: a program with {} results:\n{}", program.outputs.size(),
                  to_string(program));
    root_ = program.outputs[0];
    phase_.assign(program.steps.size(), 0);
    for (size_t s = 0; s < phase_.size(); ++s) {
      for (int16_t arg : program.steps[s].args)
        if (arg >= 0) phase_[s] = std::max(phase_[s], phase_[size_t(arg)]);
      phase_[s] += program.steps[s].kind == StepKind::reduce;
    }
  }

  // The kernel under a name made from its body.
  std::string write(std::string& name) {
    bool row = uses_rows(program_);
    constants();
    row ? write_rows() : write_flat();
    name = fmt::format("wane_{}_{}", row ? "row" : "flat", sha256_hex(out_).substr(0, 16));
    return fmt::format("extern \"C\" __global__ void __launch_bounds__({}) {}(const __grid_constant__ "
                       "WaneLaunch<{}, {}> launch) {{\n{}}}\n",
                       row ? 512 : 256, name, std::max(1, program_.inputs), std::max(1, program_.constants),
                       out_);
  }

private:
  const Step& step(int s) const { return program_.steps[size_t(s)]; }
  int count() const { return int(program_.steps.size()); }
  bool is_table(int s) const { return step(s).kind == StepKind::input && program_.is_table(step(s).index); }

  template <class... A> void line(int depth, fmt::format_string<A...> text, A&&... args) {
    out_.append(size_t(depth) * 2, ' ');
    out_ += fmt::format(text, std::forward<A>(args)...);
    out_ += '\n';
  }

  void constants() {
    for (int s = 0; s < count(); ++s) {
      if (step(s).kind != StepKind::constant) continue;
      Lane lane = lane_of(step(s).dtype);
      line(1, "const {} v{} = ({})launch.constants[{}].{};", type_of(lane), s, type_of(lane), step(s).index,
           is_real(lane) ? "real" : "whole");
    }
  }

  std::string value(int s) const {
    const Step& st = step(s);
    if (st.kind == StepKind::input)
      return fmt::format("wane_load_{0}(launch.inputs[{1}], at{1}, {2})", name_of(st.dtype), st.index,
                         st.per_row ? "0" : "column");
    return map_text(program_, s, functions_, [](const Step& table, const std::string& index) {
      return fmt::format("wane_load_{0}(launch.inputs[{1}], 0, wane_entry({2}, launch.inputs[{1}].count))",
                         name_of(table.dtype), table.index, index);
    });
  }

  void define(int s, int depth) {
    line(depth, "const {} v{} = {};", type_of(lane_of(step(s).dtype)), s, value(s));
  }

  void write_flat() {
    line(0, "#pragma unroll 1");
    line(1, "for (WaneWalk walk(launch); walk.row < launch.rows; walk.next(launch.n)) {{");
    line(2, "const long long row = walk.row, column = walk.column;");
    row_offsets();
    for (int s = 0; s < count(); ++s)
      if (step(s).kind != StepKind::constant && !is_table(s)) define(s, 2);
    line(2, "wane_store_{}(launch.output, row * launch.n + column, v{});", name_of(step(root_).dtype), root_);
    line(1, "}}");
  }

  void write_rows() {
    for (int s = 0; s < count(); ++s)
      if (step(s).kind == StepKind::reduce)
        line(1, "__shared__ {} shared{}[2][kWaneTeams];", type_of(lane_of(step(s).dtype)), s);
    line(1, "WaneGroup group;");
    line(1, "const long long blocks = wane_blocks(launch.n);");
    line(0, "#pragma unroll 1");
    line(1, "for (long long row = group.first_row(); row < launch.rows; row += group.row_step()) {{");
    row_offsets();
    int last = phase_[size_t(root_)];
    for (int phase = 0; phase <= last; ++phase) {
      row_values(phase);
      if (phase < last) reduce_phase(phase);
    }
    store_row();
    line(1, "}}");
  }

  // Where the row starts in each input.
  void row_offsets() {
    for (int s = 0; s < count(); ++s)
      if (step(s).kind == StepKind::input && !is_table(s))
        line(2, "const long long at{0} = wane_at(launch, {0}, row);", step(s).index);
  }

  void row_values(int phase) {
    for (int s = 0; s < count(); ++s) {
      bool here = step(s).per_row && phase_[size_t(s)] == phase && !is_table(s);
      if (here && (step(s).kind == StepKind::map || step(s).kind == StepKind::input)) define(s, 2);
    }
  }

  // Element steps that `roots` are made of; values a row are there already.
  std::set<int> elements_of(const std::vector<int>& roots) const {
    std::set<int> needed;
    for (int root : roots)
      if (!step(root).per_row) needed.insert(root);
    for (int s = count() - 1; s >= 0; --s)
      if (needed.count(s) && step(s).kind == StepKind::map)
        for (int16_t arg : step(s).args)
          if (arg >= 0 && !step(arg).per_row && step(arg).kind != StepKind::constant && !is_table(arg))
            needed.insert(arg);
    return needed;
  }
  void define_elements(const std::vector<int>& roots, int depth) {
    for (int s : elements_of(roots))
      if (step(s).kind != StepKind::constant) define(s, depth);
  }

  // One pass over the row for all reductions whose operands are complete now.
  void reduce_phase(int phase) {
    std::vector<int> reductions, operands;
    for (int s = 0; s < count(); ++s)
      if (step(s).kind == StepKind::reduce && phase_[size_t(s)] == phase + 1)
        reductions.push_back(s), operands.push_back(step(s).args[0]);
    auto type = [&](int s) { return type_of(lane_of(step(s).dtype)); };
    for (int s : reductions)
      line(2, "{0} v{1} = {2}::start({0}(0));", type(s), s, fold_of(step(s).reduction));
    line(0, "#pragma unroll 1");
    line(2, "for (long long first = 0; first < blocks; first += group.teams) {{");
    for (int s : reductions)
      line(3, "{0} part{1} = {2}::start({0}(0));", type(s), s, fold_of(step(s).reduction));
    line(3, "const long long end = group.end(first, launch.n);");
    line(0, "#pragma unroll 1");
    line(3, "for (long long column = group.begin(first); column < end; column += kWaneLanes) {{");
    define_elements(operands, 4);
    for (int s : reductions) {
      const char* fold = fold_of(step(s).reduction);
      line(4, "part{0} = {1}::join(part{0}, {1}::take(v{2}));", s, fold, step(s).args[0]);
    }
    line(3, "}}");
    for (int s : reductions)
      line(3, "v{1} = wane_join<{0}>(shared{1}[group.turn], v{1}, part{1}, blocks - first);",
           fold_of(step(s).reduction), s);
    line(3, "group.turn ^= 1;");
    line(2, "}}");
  }

  void store_row() {
    const Step& root = step(root_);
    if (root.per_row) {
      line(2, "if (group.leads()) wane_store_{}(launch.output, row, v{});", name_of(root.dtype), root_);
      return;
    }
    line(0, "#pragma unroll 1");
    line(2, "for (long long column = threadIdx.x; column < launch.n; column += blockDim.x) {{");
    define_elements({root_}, 3);
    line(3, "wane_store_{}(launch.output, row * launch.n + column, v{});", name_of(root.dtype), root_);
    line(2, "}}");
  }

  const Program& program_;
  OpFunctions& functions_;
  std::vector<int> phase_;
  int root_ = 0;
  std::string out_;
};

} // namespace

bool uses_rows(const Program& program) {
  return program.reductions > 0 || program.steps[size_t(program.outputs[0])].per_row;
}

std::string kernel_name(const Program& program) {
  OpFunctions functions;
  std::string name;
  KernelWriter(program, functions).write(name);
  return name;
}

std::string kernel_text(const Program& program) {
  OpFunctions functions;
  std::string name, text = KernelWriter(program, functions).write(name);
  return functions.text() + text;
}

std::string emit_cuda(std::span<const Program* const> programs) {
  OpFunctions functions;
  std::map<std::string, std::string> kernels;
  bool flat = false, row = false;
  for (const Program* program : programs) {
    std::string name, text = KernelWriter(*program, functions).write(name);
    kernels.emplace(name, std::move(text));
    (uses_rows(*program) ? row : flat) = true;
  }
  std::string out = prelude(flat && row ? Template::both
                            : row       ? Template::row
                                        : Template::flat)
                    + functions.text();
  for (auto& [name, text] : kernels) out += text;
  return out;
}

std::string emit_cuda(const Program& program) {
  const Program* one[] = {&program};
  return emit_cuda(one);
}

} // namespace wane::cuda
