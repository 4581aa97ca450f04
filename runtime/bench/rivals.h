// What the benches divide by: loops as one would write them by hand, and oneDNN called directly. Each is made
// once with buffers of its own, touched, and timed by the caller in turn with ours, so that both see the same
// machine.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "runtime/tensor.h"

namespace wane::bench {

struct Rival {
  std::string describe;      // implementation and threads, for the printed line
  std::function<void()> run; // one repetition
};

// y = silu(a) * b + 0.5 c over f32 vectors, one loop with plain stores, or with stores past the caches, for
// which the vectors are a multiple of 16 long.
Rival silu_loop(const Tensor& a, const Tensor& b, const Tensor& c, bool streaming);
// y = a * b + c with plain stores.
Rival mul_add_loop(const Tensor& a, const Tensor& b, const Tensor& c);
// Over the rows of x [rows, n] in f32, a row at a time: "rms_norm", "softmax", or "fake_quant" to 4 bits in
// groups.
Rival row_loop(const std::string& what, const Tensor& x, int64_t group);
// Sums 64-byte lines of `bytes` of memory.
Rival read_loop(int64_t bytes);
// memcpy of `bytes`, one part a thread.
Rival copy_loop(int64_t bytes);
// x [m, k] by w [n, k] of one dtype (f32, bf16, i8) with oneDNN's own threads and defaults; packed: the
// weights were put in the layout it asks for, else they are read as they lie. The result is f32, of i8 i32.
Rival direct_matmul(const Tensor& x, const Tensor& w, bool packed);
// LAPACK's Cholesky of x [n, n] in f32 or f64, and the inverse of its factor if `invert`: the route of
// cholesky and inverse_upper, in a copy of x. From OpenBLAS, with its own choice of kernels; nothing where it
// is not installed.
std::optional<Rival> lapack_cholesky(const Tensor& x, bool invert);
// The GPTQ solve of w [rows, columns] under its Hessian h, both f32, as C++ would write it with the engine's own calls
// and no Lua: 4 bits per channel, symmetric, extremes, columns as they stand, damping 0.01.
Rival gptq_solve(const Tensor& w, const Tensor& h);
// Our own tiles on packed weights, one product after another: the raw matmul time of a model. What a model's
// head gives is f32, what its other products give is of the computed dtype.
struct RawProduct {
  int64_t m, n, k;
  bool f32;
};
Rival raw_products(const std::vector<RawProduct>& sizes, DType dtype);

} // namespace wane::bench
