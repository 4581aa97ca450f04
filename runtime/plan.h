// What a pending tree becomes: one program and the launch that runs it over these operands.
#pragma once

#include "runtime/program.h"

namespace wane {

inline bool is_pending(const Node& node) {
  return node.kind == NodeKind::map || node.kind == NodeKind::reduce;
}

struct Plan {
  Program program;
  Launch launch;              // its output is the caller's to set
  std::vector<Tensor> leaves; // by input number; flushed, so alive until the run is over
};

// What hangs on a pending node, itself included: each operation, operand and buffer once, however many of the
// others read it.
struct TreeCounts {
  int ops = 0, inputs = 0, reductions = 0;
  int64_t retained = 0; // bytes
};
TreeCounts count_tree(const Node& root);

// The plan of the tree under `root`. What must be in memory first is computed: operands that have a second
// reader by `flush_node`, sources by reading them.
using FlushNode = void (*)(const NodePtr&);
Plan make_plan(const NodePtr& root, FlushNode flush_node);
// The same to look at: nothing is computed or read, addresses are null.
Plan sketch_plan(const NodePtr& root);

double bytes_moved(const Plan& plan); // read and written, each operand once, broadcast ones as they lie
int op_count(const Program& program); // maps and reductions
double operations(const Plan& plan);  // one per map or reduction and element
std::string short_name(const Program& program); // its first operations: "mul add silu +2"

} // namespace wane
