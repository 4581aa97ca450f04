#include "runtime/fold.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "runtime/calls.h"
#include "runtime/cpu/kernels.h"
#include "runtime/pressure.h"

namespace wane {
namespace {

constexpr int64_t kElementsAtOnce = 1 << 21; // of f64: what a fold holds besides the weight itself

// x [rows, n] under one step along its last dim.
Tensor stepped(const Tensor& x, const FoldStep& step) {
  int64_t rows = x.shape()[0], n = x.shape()[1], size = step.scale ? step.scale.count() : 0;
  if (step.block && size % step.block == 0) return rotate(x, step.scale, step.block);
  Tensor y = x;
  if (step.scale) {
    Tensor scale = cast(reshape(step.scale, {1, size}), DType::f64);
    y = map(Op::mul, y, expand(size < n ? tile(scale, {1, n / size}) : scale, {rows, n}));
  }
  return step.block ? rotate(y, Tensor(), step.block) : y;
}

class FoldSource : public Source {
public:
  FoldSource(const Tensor& base, std::vector<FoldStep> steps) : base_(base), steps_(std::move(steps)) {
    for (auto& step : steps_) turns_rows_ |= step.output && step.block;
  }

  const Tensor& base() const { return base_; }
  const std::vector<FoldStep>& steps() const { return steps_; }

  BufferPtr produce() const override {
    BufferPtr out = allocate(size_t(base_.count()) * size_of(base_.dtype()), current_origin());
    Tensor whole = base_.flushed();
    if (turns_rows_)
      by_columns(whole, out->data());
    else
      for_chunks(rows(), columns(), [&](int64_t first, int64_t count) {
        write(by_rows(slice(whole, 0, first, count), first), out->data() + first * row_bytes());
      });
    return out;
  }

  void read_rows(int64_t first, int64_t count, std::byte* out) const override {
    if (turns_rows_) { // a row of the result needs all rows
      BufferPtr all = produced_.get([&] { return produce(); });
      std::memcpy(out, all->data() + first * row_bytes(), size_t(count * row_bytes()));
      return;
    }
    Tensor some = slice_rows(first, count);
    write(by_rows(some, first), out);
  }

  std::string describe() const override {
    auto source = base_.node()->source;
    return "folded" + (source ? " from " + source->describe() : std::string());
  }

private:
  int64_t rows() const { return base_.shape()[0]; }
  int64_t columns() const { return base_.rank() == 2 ? base_.shape()[1] : 1; }
  int64_t row_bytes() const { return columns() * int64_t(size_of(base_.dtype())); }

  template <class F> static void for_chunks(int64_t n, int64_t width, F&& body) {
    int64_t step = std::max<int64_t>(1, kElementsAtOnce / std::max<int64_t>(width, 1));
    for (int64_t first = 0; first < n; first += step) body(first, std::min(step, n - first));
  }

  Tensor slice_rows(int64_t first, int64_t count) const {
    auto source = base_.node()->source;
    if (!source || !base_.node()->produced.expired()) return slice(base_.flushed(), 0, first, count);
    Shape shape = base_.shape();
    shape[0] = count;
    Tensor out = empty(shape, base_.dtype(), "fold");
    source->read_rows(first, count, out.bytes());
    return out;
  }

  // Rows [first, ..) in f64 under all steps of the input side and the scales of the output side.
  Tensor by_rows(const Tensor& some, int64_t first) const {
    int64_t count = some.shape()[0];
    Tensor x = cast(reshape(some, {count, columns()}), DType::f64);
    for (auto& step : steps_)
      if (!step.output) x = stepped(x, step);
    if (!turns_rows_)
      for (auto& step : steps_)
        if (step.output)
          x = map(Op::mul, x,
                  expand(slice(cast(tiled(step.scale), DType::f64), 0, first, count), {count, columns()}));
    return x;
  }

  Tensor tiled(const Tensor& scale) const { // [rows, 1]
    Tensor column = reshape(scale, {scale.count(), 1});
    return scale.count() < rows() ? tile(column, {rows() / scale.count(), 1}) : column;
  }

  // The input side row by row into one f64 matrix, then the output side, some columns at a time.
  void by_columns(const Tensor& whole, std::byte* out) const {
    Tensor wide = empty({rows(), columns()}, DType::f64, "fold");
    for_chunks(rows(), columns(), [&](int64_t first, int64_t count) {
      Tensor x = by_rows(slice(whole, 0, first, count), first).dense();
      std::memcpy(wide.bytes() + first * columns() * 8, x.bytes(), size_t(count * columns()) * 8);
    });
    for_chunks(columns(), rows(), [&](int64_t first, int64_t count) {
      Tensor x = transpose(slice(wide, 1, first, count), 0, 1).dense();
      for (auto& step : steps_)
        if (step.output) x = stepped(x, step);
      Tensor strip = checked(transpose(x, 0, 1)).dense();
      size_t bytes = size_of(strip.dtype()), width = size_t(count) * bytes;
      for (int64_t row = 0; row < rows(); ++row)
        std::memcpy(out + row * row_bytes() + first * int64_t(bytes), strip.bytes() + size_t(row) * width,
                    width);
    });
  }

  // Rounded to the weight's dtype; what is not finite would spread over whole rows unseen.
  Tensor checked(const Tensor& x) const {
    Tensor y = cast(x, base_.dtype()).flushed();
    if (y.count() == 0 || std::isfinite(reduce_all(Reduction::absmax, y))) return y;
    auto problem = std::isfinite(reduce_all(Reduction::absmax, x))
                       ? error("fold: values beyond the range of {}", name_of(base_.dtype()))
                       : error("fold: NaN or Inf in the weight");
    throw problem.note("weight", wane::describe(base_));
  }

  void write(const Tensor& x, std::byte* out) const {
    Tensor y = checked(x).dense();
    std::memcpy(out, y.bytes(), size_t(y.count()) * size_of(y.dtype()));
  }

  Tensor base_;
  std::vector<FoldStep> steps_;
  bool turns_rows_ = false;
  mutable KeptBuffer produced_;
};

void check_step(const FoldStep& step, const Tensor& weight) {
  if (!step.output && weight.rank() != 2)
    throw error("fold: a vector has no input side").note("weight", describe(weight));
  int64_t n = weight.shape()[step.output ? 0 : 1];
  const char* side = step.output ? "rows" : "columns";
  if (step.scale && (step.scale.count() < 1 || n % step.scale.count() != 0))
    throw error("fold: {} scales for {} {}", step.scale.count(), n, side).note("weight", describe(weight));
  if (step.block < 0 || (step.block && n % step.block != 0))
    throw error("fold: blocks of {} do not divide {} {}", step.block, n, side)
        .note("weight", describe(weight));
  if (step.block && !cpu::has_hadamard(step.block))
    throw error("not supported: hadamard of size {}", step.block);
}

} // namespace

Tensor folded(const Tensor& weight, std::vector<FoldStep> steps) {
  if (!is_float(weight.dtype()) || weight.rank() < 1 || weight.rank() > 2)
    throw error("fold: expected floats of one or two dims").note("weight", describe(weight));
  for (auto& step : steps) check_step(step, weight);
  std::erase_if(steps, [](const FoldStep& step) { return !step.scale && !step.block; });
  Tensor base = weight;
  if (auto* before = dynamic_cast<const FoldSource*>(weight.node()->source.get())) {
    base = before->base();
    steps.insert(steps.begin(), before->steps().begin(), before->steps().end());
  }
  auto source = std::make_shared<FoldSource>(base, std::move(steps));
  return from_source(weight.shape(), weight.dtype(), source, "fold");
}

} // namespace wane
