// Calls that move elements: joining, replacing, picking.
#include <algorithm>
#include <cstring>

#include "runtime/calls.h"
#include "runtime/cpu/kernels.h"
#include "runtime/node_memory.h"
#include "runtime/profile.h"

namespace wane {
namespace {

void check_dim(const char* op, const Tensor& x, int dim) {
  if (dim < 0 || dim >= x.rank())
    throw error("{}: dim {} of a tensor with {} dims", op, dim + 1, x.rank()).note("tensor", describe(x));
}

std::byte* at_offset(const Tensor& t, int64_t elements) {
  return t.bytes() + elements * int64_t(size_of(t.dtype()));
}

} // namespace

Tensor concat(std::span<const Tensor> parts, int dim) {
  if (parts.empty()) throw error("concat: no tensors");
  check_dim("concat", parts[0], dim);
  DType dtype = parts[0].dtype();
  Shape shape = parts[0].shape();
  shape[dim] = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    Shape other = parts[i].shape();
    if (other.rank() == shape.rank()) other[dim] = 0;
    if (!(other == shape))
      throw error("concat: shapes differ outside dim {}: {} and {}", dim + 1, to_string(parts[0].shape()),
                  to_string(parts[i].shape()))
          .note("first", describe(parts[0]))
          .note(fmt::format("part {}", i + 1), describe(parts[i]));
    dtype = promote(dtype, parts[i].dtype());
  }
  for (auto& part : parts) shape[dim] += part.shape()[dim];
  WorkSpan span("concat");
  Tensor out = empty(shape, dtype, "concat");
  span.moves(out, out);
  Strides strides = dense_strides(shape);
  int64_t place = 0;
  for (auto& part : parts) {
    Tensor x = cast(part, dtype).dense();
    if (x.count() > 0)
      cpu::copy_into_strided(size_of(dtype), x.bytes(), strides.begin(), x.shape().begin(), x.rank(),
                             at_offset(out, place * strides[dim]));
    place += part.shape()[dim];
  }
  return out;
}

Tensor with(const Tensor& x, std::span<const int64_t> first, std::span<const int64_t> count,
            const Tensor& value) {
  Shape box(count);
  WorkSpan span("with");
  if (box.rank() != x.rank() || first.size() != count.size())
    throw error("with: positions along {} dims of a tensor with {}", box.rank(), x.rank())
        .note("tensor", describe(x));
  Tensor from = x.dense();
  int64_t offset = 0;
  Strides strides = dense_strides(x.shape());
  for (int d = 0; d < x.rank(); ++d) {
    if (first[size_t(d)] < 0 || box[d] < 0 || first[size_t(d)] > x.shape()[d] - box[d])
      throw error("with: positions {} to {} of dim {}, which has {}", first[size_t(d)] + 1,
                  first[size_t(d)] + box[d], d + 1, x.shape()[d])
          .note("tensor", describe(x));
    offset += first[size_t(d)] * strides[d];
  }
  Shape fits;
  if (!broadcast(value.shape(), box, fits) || !(fits == box))
    throw error("with: a value of shape {} does not fill {}", to_string(value.shape()), to_string(box))
        .note("tensor", describe(x))
        .note("value", describe(value));
  Tensor wide = expand(cast(value, x.dtype()), box).dense();
  Tensor out = empty(x.shape(), x.dtype(), "with");
  span.moves(from, value, out);
  if (out.count() > 0) std::memcpy(out.bytes(), from.bytes(), size_t(out.count()) * size_of(out.dtype()));
  if (wide.count() > 0)
    cpu::copy_into_strided(size_of(x.dtype()), wide.bytes(), strides.begin(), box.begin(), box.rank(),
                           at_offset(out, offset));
  return out;
}

Tensor gather(const Tensor& x, int dim, const Tensor& positions) {
  check_dim("gather", x, dim);
  if (is_float(positions.dtype()) || positions.rank() != 1)
    throw error("gather: positions are a vector of whole numbers").note("positions", describe(positions));
  WorkSpan span("gather");
  Tensor p = cast(positions, DType::i64).dense();
  Tensor from = x.dense();
  int64_t n = x.shape()[dim];
  for (int64_t i = 0; i < p.count(); ++i)
    if (p.data<int64_t>()[i] < 0 || p.data<int64_t>()[i] >= n)
      throw error("gather: position {} of dim {}, which has {}", p.data<int64_t>()[i] + 1, dim + 1, n)
          .note("tensor", describe(x));
  Shape shape = x.shape();
  shape[dim] = p.count();
  int64_t outer = 1, inner = 1;
  for (int d = 0; d < dim; ++d) outer *= shape[d];
  for (int d = dim + 1; d < shape.rank(); ++d) inner *= shape[d];
  Tensor out = empty(shape, x.dtype(), "gather");
  span.moves(out, p, out);
  cpu::gather(size_of(x.dtype()), from.bytes(), out.bytes(), outer, n, inner, p.data<int64_t>(), p.count());
  return out;
}

Tensor embedding(const Tensor& tokens, const Tensor& table) {
  if (table.rank() != 2)
    throw error("embedding: the table is {}, expected [rows x width]", to_string(table.shape()))
        .note("table", describe(table));
  if (is_float(tokens.dtype()))
    throw error("embedding: tokens are {}, expected whole numbers", name_of(tokens.dtype()))
        .note("tokens", describe(tokens));
  if (tokens.dtype() == DType::i64)
    for (int64_t i = 0; i < tokens.count(); ++i)
      if (int64_t id = item_integer(tokens, i); id != int32_t(id))
        throw error("embedding: token {} at place {} of a table with {} rows", id, i + 1, table.shape()[0])
            .note("table", describe(table));
  WorkSpan span("embedding");
  Tensor ids = cast(tokens, DType::i32).dense();
  Shape shape = tokens.shape();
  shape.push_back(table.shape()[1]);
  Tensor out = empty(shape, table.dtype(), "embedding");
  span.moves(ids, out, out);
  int64_t rows = table.shape()[0], width = table.shape()[1];
  auto source = table.node()->source;
  if (source && table.node()->produced.expired()) { // rows straight from where they lie
    for (int64_t i = 0; i < ids.count(); ++i) {
      int32_t id = ids.data<int32_t>()[i];
      if (id < 0 || id >= rows)
        throw error("embedding: token {} at place {} of a table with {} rows", id, i + 1, rows)
            .note("table", describe(table));
      source->read_rows(id, 1, at_offset(out, i * width));
    }
    return out;
  }
  Tensor t = table.dense();
  cpu::embedding(t.dtype(), t.bytes(), rows, width, ids.data<int32_t>(), ids.count(), out.bytes());
  return out;
}

Tensor flip(const Tensor& x, int dim) {
  check_dim("flip", x, dim);
  WorkSpan span("flip");
  Tensor t = x.flushed();
  auto node = make_node(*t.node());
  node->packed = nullptr;
  node->offset += (t.shape()[dim] - 1) * t.strides()[dim];
  node->strides[dim] = -t.strides()[dim];
  node->origin = current_origin();
  return t.count() ? Tensor(node).dense() : t;
}

Tensor tile(const Tensor& x, const Shape& repeats) {
  int rank = std::max(x.rank(), repeats.rank());
  if (rank * 2 > kMaxRank) throw error("tile: not supported: more than {} dims", kMaxRank / 2);
  WorkSpan span("tile");
  Shape wide, split, result;
  for (int d = 0; d < rank; ++d) {
    int from = d - (rank - x.rank()), times = d - (rank - repeats.rank());
    int64_t size = from >= 0 ? x.shape()[from] : 1, count = times >= 0 ? repeats[times] : 1;
    split.push_back(1), split.push_back(size);
    wide.push_back(count), wide.push_back(size);
    result.push_back(count * size);
  }
  return reshape(expand(reshape(x, split), wide).dense(), result);
}

} // namespace wane
