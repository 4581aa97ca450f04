#include "runtime/fold.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "runtime/cpu/kernels.h"
#include "runtime/cpu/lanes.h"
#include "runtime/cpu/pool.h"
#include "runtime/pressure.h"

namespace wane {
namespace {

constexpr int64_t kElementsPerPart = 1 << 15; // of f64: what stays in a core's own cache

struct Step { // a FoldStep whose scale was read
  bool output;
  std::vector<double> scale;
  int64_t block;
};

// The magnitude from which on a number rounds to infinity.
double limit_of(DType t) {
  if (t == DType::f16) return 65520;
  if (t == DType::bf16) return std::ldexp(2 - std::ldexp(1.0, -8), 127);
  if (t == DType::f32) return std::ldexp(2 - std::ldexp(1.0, -24), 127);
  return std::numeric_limits<double>::infinity();
}

void widen(DType t, const std::byte* x, int64_t count, double* out) {
  if (t == DType::f64) {
    std::memcpy(out, x, size_t(count) * sizeof(double));
    return;
  }
  float room[256];
  for (int64_t i = 0; i < count; i += 256) {
    const int64_t many = std::min<int64_t>(256, count - i);
    const float* values = cpu::read_lanes(t, x + size_t(i) * size_of(t), many, room);
    for (int64_t j = 0; j < many; ++j) out[i + j] = values[j];
  }
}

// One step along the last dim of x [rows, n], in place.
void apply(const Step& step, double* x, int64_t rows, int64_t n) {
  const auto size = int64_t(step.scale.size());
  const bool joined = step.block && size % step.block == 0; // the kernel multiplies
  if (size && !joined)
    for (int64_t at = 0; at < rows * n; at += size)
      for (int64_t c = 0; c < size; ++c) x[at + c] *= step.scale[size_t(c)];
  if (!step.block) return;
  cpu::HadamardUse use;
  if (joined) use.factors = step.scale;
  cpu::hadamard_rows(DType::f64, x, x, rows * (n / step.block), step.block, use);
}

// out [columns, rows] = x [rows, columns], in tiles of whole cache lines on both sides.
void transpose(const double* x, int64_t x_stride, int64_t rows, int64_t columns, double* out,
               int64_t out_stride) {
  constexpr int64_t tile = 8;
  for (int64_t r = 0; r < rows; r += tile)
    for (int64_t c = 0; c < columns; c += tile)
      for (int64_t i = r; i < std::min(r + tile, rows); ++i)
        for (int64_t j = c; j < std::min(c + tile, columns); ++j)
          out[j * out_stride + i] = x[i * x_stride + j];
}

class FoldSource : public Source {
public:
  FoldSource(const Tensor& base, std::vector<FoldStep> steps) : base_(base), steps_(std::move(steps)) {
    for (auto& step : steps_) turns_rows_ |= step.output && step.block;
  }

  const Tensor& base() const { return base_; }
  const std::vector<FoldStep>& steps() const { return steps_; }

  BufferPtr produce() const override {
    BufferPtr out = allocate(size_t(rows() * row_bytes()), current_origin());
    Tensor whole = base_.dense();
    if (turns_rows_)
      by_columns(whole.bytes(), out->data());
    else
      by_rows(whole.bytes(), 0, rows(), out->data());
    return out;
  }

  void read_rows(int64_t first, int64_t count, std::byte* out) const override {
    if (turns_rows_) { // a row of the result needs all rows
      BufferPtr all = produced_.get([&] { return produce(); });
      std::memcpy(out, all->data() + first * row_bytes(), size_t(count * row_bytes()));
      return;
    }
    auto source = base_.node()->source;
    if (!source) return by_rows(base_.dense().bytes() + first * row_bytes(), first, count, out);
    source->read_rows(first, count, out);
    by_rows(out, first, count, out);
  }

  std::string describe() const override {
    auto source = base_.node()->source;
    return "folded" + (source ? " from " + source->describe() : std::string());
  }

private:
  int64_t rows() const { return base_.shape()[0]; }
  int64_t columns() const { return base_.rank() == 2 ? base_.shape()[1] : 1; }
  int64_t row_bytes() const { return columns() * int64_t(size_of(base_.dtype())); }

  const std::vector<Step>& read_steps() const {
    if (read_.empty())
      for (auto& step : steps_) {
        Tensor scale = step.scale ? cast(step.scale, DType::f64).dense() : Tensor();
        const double* first = scale ? scale.data<double>() : nullptr;
        read_.push_back({step.output, {first, first + (scale ? scale.count() : 0)}, step.block});
      }
    return read_;
  }

  // body(first, count, room) for parts of `n` lines; room holds a part of lines of `width` doubles.
  template <class F> static void for_parts(int64_t n, int64_t step, int64_t width, F&& body) {
    std::vector<std::vector<double>> rooms(static_cast<size_t>(thread_count()));
    parallel_parts((n + step - 1) / step, [&](int64_t part, int thread) {
      auto& room = rooms[size_t(thread)];
      room.resize(size_t(step * width));
      body(part * step, std::min(step, n - part * step), room.data());
    });
  }
  static int64_t lines_for(int64_t width) {
    return std::max<int64_t>(1, kElementsPerPart / std::max<int64_t>(width, 1));
  }

  // x: `count` rows from row `first` on, in f64, under the steps of the input side.
  void turn_inputs(const std::byte* x, int64_t count, double* out) const {
    widen(base_.dtype(), x, count * columns(), out);
    for (auto& step : read_)
      if (!step.output) apply(step, out, count, columns());
  }

  // Rows that need no others; out may be x.
  void by_rows(const std::byte* x, int64_t first, int64_t count, std::byte* out) const {
    read_steps();
    for_parts(count, lines_for(columns()), columns(), [&](int64_t at, int64_t many, double* room) {
      turn_inputs(x + at * row_bytes(), many, room);
      for (auto& step : read_)
        if (step.output)
          for (int64_t r = 0; r < many; ++r) {
            const double factor = step.scale[size_t(first + at + r) % step.scale.size()];
            for (int64_t c = 0; c < columns(); ++c) room[r * columns() + c] *= factor;
          }
      round(room, many * columns(), out + at * row_bytes());
    });
  }

  // The input side into one f64 matrix, then the output side, some columns at a time.
  void by_columns(const std::byte* x, std::byte* out) const {
    read_steps();
    BufferPtr wide = allocate(size_t(rows() * columns()) * sizeof(double), current_origin());
    double* matrix = wide->as<double>();
    for_parts(rows(), lines_for(columns()), 0, [&](int64_t at, int64_t many, double*) {
      turn_inputs(x + at * row_bytes(), many, matrix + at * columns());
    });
    const int64_t columns_at_once = std::max<int64_t>(16, 2 * lines_for(rows()) / 8 * 8);
    const auto size = int64_t(size_of(base_.dtype()));
    for_parts(columns(), columns_at_once, 2 * rows(), [&](int64_t at, int64_t many, double* strip) {
      double* back = strip + many * rows();
      transpose(matrix + at, columns(), rows(), many, strip, rows());
      for (auto& step : read_)
        if (step.output) apply(step, strip, many, rows());
      transpose(strip, rows(), many, rows(), back, many);
      for (int64_t r = 0; r < rows(); ++r) round(back + r * many, many, out + r * row_bytes() + at * size);
    });
  }

  // Stores in the weight's dtype; what is not finite would spread over whole rows unseen.
  void round(const double* x, int64_t count, std::byte* out) const {
    const double limit = limit_of(base_.dtype());
    bool good = true;
    for (int64_t i = 0; i < count; ++i) good &= std::abs(x[i]) < limit;
    if (!good) refuse(x, count);
    cpu::write_lanes(base_.dtype(), x, out, count);
  }

  [[noreturn]] void refuse(const double* x, int64_t count) const {
    const bool finite = std::all_of(x, x + count, [](double v) { return std::isfinite(v); });
    auto problem = finite ? error("fold: values beyond the range of {}", name_of(base_.dtype()))
                          : error("fold: NaN or Inf in the weight");
    throw problem.note("weight", wane::describe(base_));
  }

  Tensor base_;
  std::vector<FoldStep> steps_;
  mutable std::vector<Step> read_;
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
