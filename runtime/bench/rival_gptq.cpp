#include <algorithm>
#include <vector>

#include "runtime/bench/rivals.h"
#include "runtime/calls.h"
#include "runtime/cpu/pool.h"
#include "runtime/sweep.h"

namespace wane::bench {
namespace {

constexpr int kBits = 4;
constexpr double kHalf = 1 << (kBits - 1), kTop = (1 << kBits) - 1, kDamp = 0.01;

Tensor number(double x) { return full({1, 1}, DType::f32, x); }

// Scales [rows, 1] as they are stored; one that is zero becomes one.
Tensor scales_of(const Tensor& w) {
  const Tensor stored =
      cast(cast(map(Op::mul, map(Op::div, reduce(Reduction::absmax, w, 1), number(kTop)), number(2)), DType::bf16),
           DType::f32);
  return map(Op::where, map(Op::eq, stored, number(0)), number(1), stored).dense();
}

SweepQuantizer quantizer() {
  auto placeholder = [] {
    Tensor out = empty({16, 1}, DType::f32);
    std::fill_n(out.data<float>(), 16, 0.0f);
    return out;
  };
  const Tensor w = placeholder(), scale = placeholder();
  TraceScope tracing;
  const Tensor steps = map(Op::add, map(Op::round, map(Op::div, w, scale)), number(kHalf));
  const Tensor codes = map(Op::minimum, map(Op::maximum, steps, number(0)), number(kTop));
  const Tensor params[] = {scale};
  return SweepQuantizer(w, params, codes, map(Op::mul, map(Op::sub, codes, number(kHalf)), scale), kBits);
}

} // namespace

Rival gptq_solve(const Tensor& w, const Tensor& h) {
  const Tensor weights = w.dense(), hessian = h.dense();
  return {fmt::format("the same calls from C++, {} threads", thread_count()), [weights, hessian] {
            const int64_t columns = weights.shape()[1];
            double mean = 0;
            for (int64_t i = 0; i < columns; ++i) mean += double(hessian.data<float>()[i * (columns + 1)]);
            mean /= double(columns);
            const Tensor u = inverse_upper(hessian, full({columns}, DType::f32, double(float(kDamp * mean))));
            Sweep sweep(weights, u, {}, {});
            const Tensor params[] = {scales_of(weights)};
            sweep.advance(columns, quantizer(), params, 0);
            sweep.codes(), sweep.row_losses();
          }};
}

} // namespace wane::bench
