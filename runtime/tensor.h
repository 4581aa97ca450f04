// A tensor is an immutable value: shape, dtype and a node that says where its elements come from. Elementwise
// maps and reductions along the last dim are deferred; reading a tensor, or a call such as matmul, flushes
// what it needs (flush.h). After a flush the node is a leaf and lets go of its operands.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/dtype.h"
#include "runtime/error.h"
#include "runtime/memory.h"
#include "runtime/op.h"
#include "runtime/shape.h"

namespace wane {

class PackedWeights;
class Version; // of a mutable buffer; see buffer.h

// Elements that are not in memory: a tensor of a file, or a quantized weight whose values are decoded on
// demand. What is produced is not kept by the node, so a weight that was packed for matmul exists once.
class Source {
public:
  virtual ~Source() = default;
  virtual BufferPtr produce() const = 0; // dense, all elements
  // Dense rows [first, first + rows) of a matrix, for embedding lookups.
  virtual void read_rows(int64_t first, int64_t rows, std::byte* out) const = 0;
  // May several threads read rows at the same time?
  virtual bool reads_in_parallel() const { return false; }
  virtual std::string describe() const = 0; // "model.layers.3.mlp.up_proj.weight"
};

enum class NodeKind : uint8_t { leaf, source, constant, map, reduce };

struct Node;
using NodePtr = std::shared_ptr<Node>;

struct Node {
  NodeKind kind = NodeKind::leaf;
  DType dtype = DType::f32;
  Op op{};               // map
  Reduction reduction{}; // reduce: along the last dim, which stays with size 1
  Shape shape;
  Origin origin;
  const char* made_by = ""; // the name a message gives: "matmul", "add"

  std::array<NodePtr, 3> args; // map: op's arity; reduce: one

  BufferPtr buffer; // leaf
  int64_t offset = 0;
  Strides strides;
  std::shared_ptr<Version> version; // leaf that views a mutable buffer
  int64_t seen_version = 0;

  std::shared_ptr<const Source> source;
  double value = 0; // constant, and its exact form for integers
  int64_t integer = 0;

  // Of the pending tree from here on, 0 for leaves; sums, which may count shared nodes twice (count_tree).
  int ops = 0, height = 0, inputs = 0, reductions = 0;
  int64_t row = 0;      // length of the reduced rows in the tree, 0 when none
  int64_t retained = 0; // bytes of leaves that the pending tree keeps alive
  bool was_interior = false;

  std::shared_ptr<const PackedWeights> packed; // the matmul layout, made at first use as weights
  std::weak_ptr<Buffer> produced;              // what the source gave last, while somebody still holds it
};

class Tensor {
public:
  Tensor() = default;
  explicit Tensor(NodePtr node) : node_(std::move(node)) {}
  explicit operator bool() const { return bool(node_); }

  const Shape& shape() const { return node_->shape; }
  DType dtype() const { return node_->dtype; }
  int rank() const { return node_->shape.rank(); }
  int64_t count() const { return node_->shape.count(); }
  Origin origin() const { return node_->origin; }
  const NodePtr& node() const { return node_; }

  // Makes the elements exist (flush) and gives them as a strided leaf; for a source that is another node than
  // this one, so that the elements go when their readers do. An Error when a mutable buffer was written
  // since.
  Tensor flushed() const;
  // The same, densely laid out (a copy only when it is not).
  Tensor dense() const;
  template <class T> T* data() const { // of a flushed tensor
    return reinterpret_cast<T*>(node_->buffer->data() + node_->offset * int64_t(size_of(dtype())));
  }
  const Strides& strides() const { return node_->strides; }
  std::byte* bytes() const { return data<std::byte>(); }

private:
  NodePtr node_;
};

// The line of the script that is running; nodes take it when they are made. Set by the binding.
Origin current_origin();
class OriginScope {
public:
  explicit OriginScope(Origin origin);
  ~OriginScope();
  OriginScope(const OriginScope&) = delete;

private:
  Origin previous_;
};

// -- making tensors
// ------------------------------------------------------------------------------------------
Tensor empty(const Shape& shape, DType dtype, const char* made_by = "empty"); // uninitialised leaf
Tensor from_bytes(const Shape& shape, DType dtype, std::span<const std::byte> bytes);
Tensor from_source(const Shape& shape, DType dtype, std::shared_ptr<const Source> source,
                   const char* made_by);
// A constant of any shape, stored once. An Error for a fractional or overflowing number on an integer dtype.
Tensor full(const Shape& shape, DType dtype, double value);
Tensor full(const Shape& shape, DType dtype, int64_t value);
Tensor arange(int64_t first, int64_t last, int64_t step, DType dtype);
Tensor eye(int64_t n, DType dtype);

// -- maps (deferred)
// ----------------------------------------------------------------------------------------- Promotes dtypes,
// broadcasts shapes and defers. Errors name the op and show both operands.
Tensor map(Op op, std::span<const Tensor> args);
inline Tensor map(Op op, const Tensor& a) { return map(op, std::span(&a, 1)); }
Tensor map(Op op, const Tensor& a, const Tensor& b);
Tensor map(Op op, const Tensor& a, const Tensor& b, const Tensor& c);
Tensor cast(const Tensor& x, DType dtype);
// table: a vector of at most 256 entries; x's values index it from 0, clamped; the result has the table's
// dtype.
Tensor lookup(const Tensor& x, const Tensor& table);
DType promote(DType a, DType b);

// -- reductions; the reduced dim stays with size 1
// -----------------------------------------------------------
Tensor reduce(Reduction kind, const Tensor& x, int dim);     // along the last dim deferred, else at once
double reduce_all(Reduction kind, const Tensor& x);          // waits
int64_t reduce_all_integer(Reduction kind, const Tensor& x); // the same of integers, exact

// -- views (flush what is pending, copy nothing; reshape copies when strides do not allow)
// -------------------
Tensor reshape(const Tensor& x, const Shape& shape);
Tensor transpose(const Tensor& x, int dim_a, int dim_b);
Tensor expand(const Tensor& x, const Shape& shape);
Tensor slice(const Tensor& x, int dim, int64_t first, int64_t count);
Tensor squeeze(const Tensor& x, int dim); // drops a dim of size 1

// -- reading
// -------------------------------------------------------------------------------------------------
std::string describe(const Tensor& x); // "[512 x 576]   bf16  made by rmsnorm at recipes/w4.lua:9"
double item(const Tensor& x, int64_t linear_index);
int64_t item_integer(const Tensor& x, int64_t linear_index);
bool same(const Tensor& x, const Tensor& y); // shape, dtype and bits

} // namespace wane
