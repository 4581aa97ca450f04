#include "runtime/explain.h"

#include <algorithm>
#include <array>
#include <set>

#include "runtime/cpu/interpreter.h"
#include "runtime/cuda/cache.h"
#include "runtime/cuda/emit.h"
#include "runtime/cuda/prelude.h"
#include "runtime/flush.h"
#include "runtime/plan.h"

namespace wane {
namespace {

constexpr int64_t kShortText = 60; // lines of CUDA text that are shown without being asked for

std::string size_text(double bytes) {
  const char* units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
  int unit = 0;
  while (bytes >= 1024 && unit < 4) bytes /= 1024, ++unit;
  return fmt::format("{:.{}f} {}", bytes, unit ? 1 : 0, units[unit]);
}

std::string count_text(double count) {
  if (count >= 1e9) return fmt::format("{:.1f} billion", count / 1e9);
  if (count >= 1e6) return fmt::format("{:.1f} million", count / 1e6);
  return fmt::format("{:.0f}", count);
}

std::string indented(const std::string& text, int spaces) {
  std::string out;
  for (size_t begin = 0; begin < text.size();) {
    size_t end = std::min(text.find('\n', begin), text.size());
    out += "\n" + (end > begin ? std::string(size_t(spaces), ' ') : "") + text.substr(begin, end - begin);
    begin = end + 1;
  }
  return out;
}

// One line a node, operands below their first user.
void append_tree(std::string& out, const NodePtr& pointer, int depth, std::set<const Node*>& shown) {
  const Node& node = *pointer;
  std::string indent(size_t(2 * depth + 2), ' ');
  if (!is_pending(node)) {
    out += fmt::format("\n{}{}", indent, describe(Tensor(pointer)));
    return;
  }
  auto place = to_string(node.origin);
  bool again = !shown.insert(&node).second;
  out += fmt::format("\n{}{}   {}   {}{}{}{}", indent,
                     node.kind == NodeKind::map ? info(node.op).name : name_of(node.reduction),
                     to_string(node.shape), name_of(node.dtype), place.empty() ? "" : "  at ", place,
                     again ? "  as above" : "");
  for (auto& arg : node.args)
    if (arg && !again) append_tree(out, arg, depth + 1, shown);
}

// How full the tree is, by limit, and which one would flush it first.
std::string limits_text(const TreeCounts& counts, int height) {
  struct Limit {
    const char* name;
    double used, most;
  };
  const std::array<Limit, 5> limits{{{"ops", double(counts.ops), kMaxOps},
                                     {"inputs", double(counts.inputs), kMaxInputs},
                                     {"height", double(height), kMaxHeight},
                                     {"reductions", double(counts.reductions), kMaxReductions},
                                     {"retained", double(counts.retained), double(retain_limit())}}};
  std::string out;
  const Limit* nearest = &limits[0];
  for (auto& limit : limits) {
    if (limit.used / limit.most > nearest->used / nearest->most) nearest = &limit;
    bool bytes = &limit == &limits.back();
    out += fmt::format("{}{} {} of {}", out.empty() ? "" : ", ", limit.name,
                       bytes ? size_text(limit.used) : count_text(limit.used),
                       bytes ? size_text(limit.most) : count_text(limit.most));
  }
  return fmt::format("{}; nearest: {}", out, nearest->name);
}

std::string cuda_text(const Program& program, bool whole_source) {
  std::string text = cuda::emit_cuda(program);
  cuda::KernelCache cache;
  bool kept = cache.find(cache.key(text)).has_value();
  auto head = fmt::format("\n  cuda      {}, {}", cuda::kernel_name(program),
                          kept ? fmt::format("compiled for {} already", cuda::kDefaultArch)
                               : fmt::format("not compiled for {} yet", cuda::kDefaultArch));
  if (whole_source) return head + indented(text, 4);
  auto shared = cuda::uses_rows(program) ? cuda::Template::row : cuda::Template::flat;
  std::string own = text.substr(cuda::prelude(shared).size()); // without what every kernel has in front
  auto lines = std::count(own.begin(), own.end(), '\n');
  if (lines <= kShortText) return head + indented(own, 4);
  return head + fmt::format("\n    {} lines of text; explain(x, {{ source = true }}) shows them", lines);
}

} // namespace

std::string explain(const Tensor& x, bool whole_source) {
  const Node& node = *x.node();
  if (!is_pending(node)) {
    const char* state = node.kind == NodeKind::source ? "read when it is used"
                        : node.kind == NodeKind::leaf ? "in memory"
                                                      : "one number";
    return fmt::format("{}\n  {}", describe(x), state);
  }
  TreeCounts counts = count_tree(node);
  std::set<const Node*> shown;
  auto out = fmt::format(
      "{}\n  pending: {} ops, {} reductions, {} inputs, height {}; one pass by the {} template", describe(x),
      counts.ops, counts.reductions, counts.inputs, node.height, node.row ? "row" : "flat");
  append_tree(out, x.node(), 1, shown);
  out += "\n  flushes   " + limits_text(counts, node.height);
  if (x.count() == 0) return out + "\n  no elements: nothing will run";
  Plan plan = sketch_plan(x.node());
  out +=
      fmt::format("\n  moves     {} in and out, {} operations, {} rows of {}", size_text(bytes_moved(plan)),
                  count_text(operations(plan)), plan.launch.rows, plan.launch.n);
  out += "\n  program" + indented(to_string(plan.program), 4);
  auto form = cpu::form_of(plan.program, plan.launch);
  out +=
      fmt::format("\n  cpu       {}, {} already", form.whole ? "whole rows in a tile" : "long rows in tiles",
                  form.lowered ? "lowered" : "not lowered");
  out += indented(form.text, 4);
  return out + cuda_text(plan.program, whole_source);
}

} // namespace wane
