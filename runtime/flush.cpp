#include "runtime/flush.h"

#include <atomic>
#include <cstdlib>
#include <cstring>

#include "runtime/cpu/interpreter.h"
#include "runtime/node_memory.h"
#include "runtime/plan.h"
#include "runtime/pressure.h"
#include "runtime/profile.h"

namespace wane {
namespace {

bool fuse_from_environment() {
  const char* set = std::getenv("WANE_FUSE");
  if (!set || !*set || std::strcmp(set, "1") == 0) return true;
  if (std::strcmp(set, "0") == 0) return false;
  throw error(Fault::usage, "WANE_FUSE: '{}' is neither 0 nor 1", set);
}
std::atomic<bool>& fuse() {
  static std::atomic<bool> on{fuse_from_environment()};
  return on;
}
std::atomic<ProgramHook> hook{nullptr};

void become_leaf(Node& node, BufferPtr buffer) {
  node.kind = NodeKind::leaf;
  node.buffer = std::move(buffer);
  node.strides = dense_strides(node.shape);
  node.offset = 0;
  node.args = {};
  node.ops = node.height = node.inputs = node.reductions = 0;
  node.row = node.retained = 0;
}

// A program of one constant: stored out in full.
NodePtr stored_constant(const NodePtr& node) {
  auto copy = make_node();
  copy->kind = NodeKind::map;
  copy->op = Op::cast;
  copy->dtype = node->dtype;
  copy->shape = node->shape;
  copy->origin = node->origin;
  copy->made_by = node->made_by;
  copy->args[0] = make_node(*node);
  copy->ops = copy->height = 1;
  return copy;
}

} // namespace

void flush(const NodePtr& node) { flush(node, current_cause()); }

void flush(const NodePtr& node, FlushCause cause) {
  if (node->kind == NodeKind::constant) {
    NodePtr copy = stored_constant(node);
    flush(copy, cause);
    become_leaf(*node, copy->buffer);
    return;
  }
  if (!is_pending(*node)) return;
  check_interrupt();
  BufferPtr buffer = allocate(size_t(node->shape.count()) * size_of(node->dtype), node->origin);
  if (!is_pending(*node)) return; // a collection that made room may have run code that reads it
  if (node->shape.count() > 0) {
    try {
      WorkSpan span("program");
      Plan plan = make_plan(node, [](const NodePtr& shared) { flush(shared, FlushCause::shared); });
      plan.launch.outputs = {{buffer->data()}};
      if (auto seen = hook.load()) seen(plan.program);
      if (span.on())
        span.program(short_name(plan.program), cause, node->origin, op_count(plan.program), bytes_moved(plan),
                     operations(plan));
      cpu::run(plan.program, plan.launch);
    } catch (Error& e) {
      e.at(node->origin);
      throw;
    }
  }
  become_leaf(*node, std::move(buffer));
}

int64_t retain_limit() { return int64_t(memory_ceiling() / 4); }
bool fuse_enabled() { return fuse().load(std::memory_order_relaxed); }
void set_fuse(bool on) { fuse().store(on); }
void set_program_hook(ProgramHook h) { hook.store(h); }

} // namespace wane
