#include "runtime/expression.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "runtime/node_memory.h"
#include "runtime/pressure.h"

namespace wane {
namespace {

using Copies = std::unordered_map<const Node*, NodePtr>;

// Copies what is pending; leaves, sources and constants are shared.
NodePtr copy_pending(const NodePtr& node, Copies& copies) {
  if (node->kind != NodeKind::map && node->kind != NodeKind::reduce) return node;
  NodePtr& copy = copies[node.get()];
  if (copy) return copy;
  copy = make_node(*node);
  copy->was_interior = false;
  NodePtr result = copy; // the map may move while operands are copied
  for (auto& arg : result->args)
    if (arg) arg = copy_pending(arg, copies);
  return result;
}

class ExpressionSource : public Source {
public:
  explicit ExpressionSource(const Tensor& expression) : expression_(copy(expression)) {}

  BufferPtr produce() const override {
    Tensor t = copy(expression_).dense();
    const Node& node = *t.node();
    size_t bytes = size_t(t.count()) * size_of(t.dtype());
    if (node.offset == 0 && node.buffer->bytes() == bytes) return node.buffer;
    BufferPtr buffer = allocate(bytes, node.origin); // an expression that is a view
    if (bytes) std::memcpy(buffer->data(), t.bytes(), bytes);
    return buffer;
  }

  void read_rows(int64_t first, int64_t rows, std::byte* out) const override {
    int64_t width = expression_.count() / std::max<int64_t>(expression_.shape()[0], 1);
    BufferPtr table = rows_.get([&] { return produce(); });
    size_t row = size_t(width) * size_of(expression_.dtype());
    std::memcpy(out, table->data() + size_t(first) * row, size_t(rows) * row);
  }

  std::string describe() const override { return "decoded from codes"; }

private:
  static Tensor copy(const Tensor& t) {
    Copies copies;
    return Tensor(copy_pending(t.node(), copies));
  }

  Tensor expression_;
  mutable KeptBuffer rows_; // a table that is read by rows is read again for the next token
};

} // namespace

Tensor from_expression(const Tensor& expression) {
  Tensor t = from_source(expression.shape(), expression.dtype(),
                         std::make_shared<ExpressionSource>(expression), "quantize");
  return t;
}

} // namespace wane
