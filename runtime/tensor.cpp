#include "runtime/tensor.h"

#include <limits>

#include <cmath>
#include <cstring>

#include "kernels/math.h"
#include "runtime/buffer.h"
#include "runtime/cpu/kernels.h"
#include "runtime/flush.h"
#include "runtime/node_memory.h"
#include "runtime/pressure.h"
#include "runtime/profile.h"

namespace wane {
namespace {

thread_local Origin line;

NodePtr new_node(NodeKind kind, const Shape& shape, DType dtype, const char* made_by) {
  auto node = make_node();
  node->kind = kind;
  node->shape = shape;
  node->dtype = dtype;
  node->made_by = made_by;
  node->origin = line;
  return node;
}

Tensor leaf(const Shape& shape, DType dtype, BufferPtr buffer, const char* made_by) {
  auto node = new_node(NodeKind::leaf, shape, dtype, made_by);
  node->strides = dense_strides(shape);
  node->buffer = std::move(buffer);
  return Tensor(node);
}

// What a number becomes when it is stored in a dtype; constants are rounded when they are made.
double rounded(double value, DType dtype) {
  switch (dtype) {
  case DType::f64: return value;
  case DType::f32: return float(value);
  case DType::bf16: return wane_from_bf16(wane_to_bf16(wane_odd(value)));
  case DType::f16: return wane_from_f16(wane_to_f16(wane_odd(value)));
  case DType::e4m3: return wane_from_e4m3(wane_to_e4m3(wane_odd(value)));
  case DType::e5m2: return wane_from_e5m2(wane_to_e5m2(wane_odd(value)));
  default: return value;
  }
}

double rounded(int64_t value, DType dtype) { // in one rounding, also beyond the digits of f64
  if (dtype == DType::f32) return float(value);
  if (dtype == DType::f64) return double(value);
  return rounded(double(wane_odd(static_cast<long long>(value))), dtype);
}

bool fits(int64_t value, DType dtype) {
  switch (dtype) {
  case DType::i32: return value == int32_t(value);
  case DType::i8: return value == int8_t(value);
  case DType::u8: return value == uint8_t(value);
  case DType::boolean: return value == 0 || value == 1;
  default: return true;
  }
}

std::string range_text(DType dtype) { // of whole numbers
  switch (dtype) {
  case DType::i32: return fmt::format("{} to {}", INT32_MIN, INT32_MAX);
  case DType::i8: return "-128 to 127";
  case DType::u8: return "0 to 255";
  case DType::boolean: return "0 to 1";
  default: return fmt::format("{} to {}", INT64_MIN, INT64_MAX);
  }
}

Tensor constant(const Shape& shape, DType dtype, double value, int64_t integer) {
  auto node = new_node(NodeKind::constant, shape, dtype, "full");
  node->value = value;
  node->integer = integer;
  return Tensor(node);
}

// A view of a leaf under another shape.
Tensor view(const Tensor& x, const Shape& shape, const Strides& strides, int64_t offset) {
  auto node = make_node();
  const Node& from = *x.node();
  node->dtype = from.dtype;
  node->shape = shape;
  node->strides = strides;
  node->offset = from.offset + offset;
  node->buffer = from.buffer;
  node->version = from.version;
  node->seen_version = from.seen_version;
  node->origin = line ? line : from.origin;
  node->made_by = from.made_by;
  return Tensor(node);
}

void check_dim(const char* op, const Tensor& x, int dim) {
  if (dim < 0 || dim >= x.rank())
    throw error("{}: dim {} of a tensor with {} dims", op, dim + 1, x.rank()).note("tensor", describe(x));
}

} // namespace

Origin current_origin() { return line; }
OriginScope::OriginScope(Origin origin) : previous_(line) { line = origin; }
OriginScope::~OriginScope() { line = previous_; }

// -- making
// --------------------------------------------------------------------------------------------------

Tensor empty(const Shape& shape, DType dtype, const char* made_by) {
  return leaf(shape, dtype, allocate(size_t(shape.count()) * size_of(dtype), line), made_by);
}

Tensor from_bytes(const Shape& shape, DType dtype, std::span<const std::byte> bytes) {
  Tensor t = empty(shape, dtype, "tensor");
  if (bytes.size() != size_t(shape.count()) * size_of(dtype))
    throw error(Fault::internal, "from_bytes: {} bytes for {} {}", bytes.size(), to_string(shape),
                name_of(dtype));
  if (!bytes.empty()) std::memcpy(t.bytes(), bytes.data(), bytes.size());
  return t;
}

Tensor from_source(const Shape& shape, DType dtype, std::shared_ptr<const Source> source,
                   const char* made_by) {
  auto node = new_node(NodeKind::source, shape, dtype, made_by);
  node->source = std::move(source);
  return Tensor(node);
}

Tensor full(const Shape& shape, DType dtype, double value) {
  if (is_float(dtype)) return constant(shape, dtype, rounded(value, dtype), 0);
  if (value != std::floor(value))
    throw error("the number {} is not whole and the tensor holds {}", value, name_of(dtype))
        .hint("x:to \"f32\" first");
  if (!(std::abs(value) < 9.3e18)) throw error("the number {} does not fit in {}", value, name_of(dtype));
  return full(shape, dtype, int64_t(value));
}

Tensor full(const Shape& shape, DType dtype, int64_t value) {
  if (is_float(dtype)) return constant(shape, dtype, rounded(value, dtype), 0);
  if (!fits(value, dtype))
    throw error("the number {} does not fit in {}: {}", value, name_of(dtype), range_text(dtype));
  return constant(shape, dtype, double(value), value);
}

Tensor arange(int64_t first, int64_t last, int64_t step, DType dtype) {
  if (step == 0) throw error("arange: the step is 0");
  using Wide = __int128; // the ends may lie further apart than i64 reaches
  Wide length = ((step > 0 ? Wide(last) - first : Wide(first) - last) + (step > 0 ? Wide(step) : -Wide(step)))
                / (step > 0 ? Wide(step) : -Wide(step));
  length = std::max<Wide>(length, 0);
  if (length > INT64_MAX / 8) throw error("arange: {} to {} in steps of {} is too long", first, last, step);
  auto count = int64_t(length);
  for (Wide end : {Wide(first), Wide(first) + (length - 1) * step})
    if (count > 0 && !is_float(dtype) && !fits(int64_t(end), dtype))
      throw error("arange: {} to {} does not fit in {}: {} is outside of {}", first, last, name_of(dtype),
                  int64_t(end), range_text(dtype));
  Tensor t = empty({count}, DType::i64, "arange");
  for (int64_t i = 0; i < count; ++i) // a partial product may wrap, the sum is in range
    t.data<int64_t>()[i] = int64_t(uint64_t(first) + uint64_t(i) * uint64_t(step));
  return dtype == DType::i64 ? t : cast(t, dtype).flushed();
}

Tensor eye(int64_t n, DType dtype) {
  if (n < 0) throw error("eye: size {}", n);
  Tensor t = empty({n, n}, DType::f32, "eye");
  std::memset(t.bytes(), 0, size_t(n) * size_t(n) * 4);
  for (int64_t i = 0; i < n; ++i) t.data<float>()[i * n + i] = 1;
  return dtype == DType::f32 ? t : cast(t, dtype).flushed();
}

// -- reading
// -------------------------------------------------------------------------------------------------

Tensor Tensor::flushed() const {
  Node& node = *node_;
  if (node.kind == NodeKind::leaf) {
    if (node.version && node.version->number != node.seen_version)
      throw error("this view of a buffer is stale: the buffer was written at {}",
                  to_string(node.version->written))
          .note("view", describe(*this))
          .hint("read what you need before the write, or use buffer:freeze()");
    return *this;
  }
  if (node.kind == NodeKind::source) {
    BufferPtr buffer = node.produced.lock();
    if (!buffer) {
      WorkSpan span("read");
      MemoryLabel label(node.source->describe());
      node.produced = buffer = node.source->produce();
      span.moves(*this);
    }
    Tensor t = leaf(node.shape, node.dtype, std::move(buffer), node.made_by);
    t.node()->origin = node.origin;
    return t;
  }
  flush(node_);
  return *this;
}

Tensor Tensor::dense() const {
  Tensor t = flushed();
  if (is_dense(t.shape(), t.strides())) return t;
  WorkSpan span("copy");
  Tensor out = empty(shape(), dtype(), node_->made_by);
  span.moves(*this, out);
  cpu::copy_strided(size_of(dtype()), t.bytes(), t.strides().begin(), shape().begin(), rank(), out.bytes());
  return out;
}

std::string describe(const Tensor& x) {
  std::string text = fmt::format("{}   {}", to_string(x.shape()), name_of(x.dtype()));
  const Node& node = *x.node();
  if (node.kind == NodeKind::source) return text + "  " + node.source->describe();
  if (node.kind == NodeKind::constant)
    return text + fmt::format("  the number {}", is_float(node.dtype) ? node.value : double(node.integer));
  if (*node.made_by) text += fmt::format("  made by {}", node.made_by);
  if (node.origin) text += fmt::format(" at {}", to_string(node.origin));
  return text;
}

namespace {

int64_t element_offset(const Tensor& x, int64_t linear) {
  int64_t offset = 0;
  for (int d = x.rank() - 1; d >= 0; --d) {
    offset += linear % x.shape()[d] * x.strides()[d];
    linear /= x.shape()[d];
  }
  return offset;
}

} // namespace

double item(const Tensor& x, int64_t linear) {
  CauseScope value(FlushCause::value);
  Tensor t = x.flushed();
  int64_t at = element_offset(t, linear);
  switch (t.dtype()) {
  case DType::f64: return t.data<double>()[at];
  case DType::f32: return t.data<float>()[at];
  case DType::bf16: return wane_from_bf16(t.data<unsigned short>()[at]);
  case DType::f16: return wane_from_f16(t.data<unsigned short>()[at]);
  case DType::e4m3: return wane_from_e4m3(t.data<unsigned char>()[at]);
  case DType::e5m2: return wane_from_e5m2(t.data<unsigned char>()[at]);
  default: return double(item_integer(t, linear));
  }
}

int64_t item_integer(const Tensor& x, int64_t linear) {
  CauseScope value(FlushCause::value);
  Tensor t = x.flushed();
  int64_t at = element_offset(t, linear);
  switch (t.dtype()) {
  case DType::i64: return t.data<int64_t>()[at];
  case DType::i32: return t.data<int32_t>()[at];
  case DType::i8: return t.data<int8_t>()[at];
  case DType::u8: return t.data<uint8_t>()[at];
  case DType::boolean: return t.data<uint8_t>()[at] != 0;
  default: return int64_t(item(t, linear));
  }
}

bool same(const Tensor& x, const Tensor& y) {
  if (x.dtype() != y.dtype() || !(x.shape() == y.shape())) return false;
  CauseScope value(FlushCause::value);
  Tensor a = x.dense(), b = y.dense();
  size_t bytes = size_t(a.count()) * size_of(a.dtype());
  return bytes == 0 || std::memcmp(a.bytes(), b.bytes(), bytes) == 0;
}

// -- views
// ---------------------------------------------------------------------------------------------------

Tensor reshape(const Tensor& x, const Shape& shape) {
  if (shape.count() != x.count())
    throw error("reshape: {} elements do not fill {}", x.count(), to_string(shape))
        .note("tensor", describe(x));
  if (x.node()->kind == NodeKind::constant) {
    auto node = make_node(*x.node());
    node->shape = shape;
    node->packed = nullptr; // laid out for the other shape
    return Tensor(node);
  }
  Tensor t = x.flushed();
  Strides strides;
  if (reshape_strides(t.shape(), t.strides(), shape, strides)) return view(t, shape, strides, 0);
  t = t.dense();
  return view(t, shape, dense_strides(shape), 0);
}

Tensor transpose(const Tensor& x, int a, int b) {
  check_dim("transpose", x, a), check_dim("transpose", x, b);
  Tensor t = x.flushed();
  Shape shape = t.shape();
  Strides strides = t.strides();
  std::swap(shape[a], shape[b]);
  std::swap(strides[a], strides[b]);
  return view(t, shape, strides, 0);
}

Tensor expand(const Tensor& x, const Shape& shape) {
  Shape wide;
  if (!broadcast(x.shape(), shape, wide) || !(wide == shape))
    throw error("expand: {} does not broadcast to {}", to_string(x.shape()), to_string(shape))
        .note("tensor", describe(x));
  Tensor t = x.flushed();
  return view(t, shape, broadcast_strides(t.shape(), t.strides(), shape), 0);
}

Tensor slice(const Tensor& x, int dim, int64_t first, int64_t count) {
  check_dim("slice", x, dim);
  if (first < 0 || count < 0 || first > x.shape()[dim] - count) {
    auto place = [](int64_t a, int64_t b) { // what is asked for may lie beyond all numbers
      int64_t sum;
      return __builtin_add_overflow(a, b, &sum) ? std::numeric_limits<int64_t>::max() : sum;
    };
    throw error("positions {} to {} of dim {}, which has {}", place(first, 1), place(first, count), dim + 1,
                x.shape()[dim])
        .note("tensor", describe(x));
  }
  Tensor t = x.flushed();
  Shape shape = t.shape();
  shape[dim] = count;
  return view(t, shape, t.strides(), first * t.strides()[dim]);
}

Tensor squeeze(const Tensor& x, int dim) {
  check_dim("squeeze", x, dim);
  if (x.shape()[dim] != 1)
    throw error("squeeze: dim {} has {} elements, not 1", dim + 1, x.shape()[dim])
        .note("tensor", describe(x));
  Shape shape;
  for (int d = 0; d < x.rank(); ++d)
    if (d != dim) shape.push_back(x.shape()[d]);
  return reshape(x, shape);
}

} // namespace wane
