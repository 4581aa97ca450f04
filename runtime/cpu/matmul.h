// Matrix products on the CPU. The same bits for any thread count and any number of rows in the batch: work is
// cut in tiles by shape alone, weights lie packed in 64-column blocks that every kernel reads, and kernels
// that would sum in another order are not used. What a machine cannot hold is in matmul_class().notes.
//
// Who computes: bf16 and i8 own kernels on AMX where there are such tiles. From AVX-512 on, else, oneDNN
// (f32; bf16 and i8 where native) and an own kernel with its order of summation for few rows. Below, oneDNN
// has only kernels whose bits depend on the batch (measured: 34 of 64 row counts with AVX2, one row with
// SSE4.1), so f32 is an own kernel too. f64 always is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "runtime/dtype.h"
#include "runtime/error.h"
#include "runtime/memory.h"

namespace wane {

// Weights [n, k] in the layout of a compute type: f32 BA16a64b, bf16 BA16a64b2a, i8 BA16a64b4a (oneDNN's
// names), f64 like f32. Columns are padded to 64, k to 16 words, with zeros.
class PackedWeights {
public:
  PackedWeights(DType dtype, int64_t n, int64_t k, Origin origin);

  DType dtype() const { return dtype_; }
  int64_t n() const { return n_; }
  int64_t k() const { return k_; }
  size_t bytes() const { return buffer_->bytes() + (sums_ ? sums_->bytes() : 0); }

  int64_t blocks() const { return (n_ + 63) / 64; }
  size_t block_bytes() const;
  std::byte* block(int64_t index) const { return buffer_->data() + size_t(index) * block_bytes(); }
  int32_t* column_sums() const {
    return sums_ ? sums_->as<int32_t>() : nullptr;
  } // i8: of every column, padded to 64

private:
  DType dtype_;
  int64_t n_, k_;
  BufferPtr buffer_, sums_;
};
using PackedWeightsPtr = std::shared_ptr<const PackedWeights>;

// Element (i, j) of the [n, k] weights lies at w + i * row_stride + j * col_stride, in elements of `source`;
// so both [out, in] weights and transposed operands pack without a copy. Sources: f32 and f64 from any float
// type or i8 (f64 from f64 only), bf16 from bf16, i8 from i8.
PackedWeightsPtr pack_weights(DType compute, DType source, const void* w, int64_t n, int64_t k,
                              int64_t row_stride, int64_t col_stride, Origin origin = {});

// The same of weights that need not lie in memory as a whole: read(first, rows, out) gives dense rows of
// `source` elements, on any thread.
using ReadRows = std::function<void(int64_t first, int64_t rows, std::byte* out)>;
PackedWeightsPtr pack_rows(DType compute, DType source, int64_t n, int64_t k, const ReadRows& read,
                           Origin origin = {});

// out[m, n] = a[m, k] * W^T (+ bias[n]). a has rows of `compute` type lda elements apart. Sums are f32 (i8:
// i32, exact modulo 2^32; f64: f64); bias is f32 and added before out_dtype (f32 or bf16; i32; f64) rounds.
// Errors: types that do not go together, a compute type that is not native here.
// The form with targets multiplies the same rows by several weights of one k, in one dispatch; `plus` (f32
// and bf16, of out_dtype and laid out as out) is added to the rounded result, which rounds again.
struct Target {
  const PackedWeights& w;
  void* out;
  int64_t ldo;
  const float* bias = nullptr;
  const void* plus = nullptr;
};
void matmul_packed(DType compute, const void* a, int64_t m, int64_t lda, std::span<const Target> targets,
                   DType out_dtype);
inline void matmul_packed(DType compute, const void* a, int64_t m, int64_t lda, const PackedWeights& w,
                          void* out, DType out_dtype, int64_t ldo, const float* bias = nullptr) {
  Target to{w, out, ldo, bias};
  matmul_packed(compute, a, m, lda, std::span<const Target>(&to, 1), out_dtype);
}

// out[m, n] = silu(a * gate^T + gate_bias) * (a * up^T + up_bias), rounded to out_dtype (f32, bf16) after
// each step: the bits of matmul_packed twice and of the maps, without their results in memory. For compute
// types and inner sizes that gates_in_tiles and k > 0 allow; gate and up are [n, k] both, with two biases or
// none.
bool gates_in_tiles(DType compute);
void matmul_gated(DType compute, const void* a, int64_t m, int64_t lda, const PackedWeights& gate,
                  const PackedWeights& up, void* out, DType out_dtype, int64_t ldo, const float* gate_bias,
                  const float* up_bias);

// out[m, n] = a[m, k] * b[k, n], b with both strides in elements. compute f16 runs in f32, the others as
// above. The operand b is packed for this one call.
void matmul_plain(DType compute, const void* a, int64_t m, int64_t lda, const void* b, int64_t b_row_stride,
                  int64_t b_col_stride, int64_t n, int64_t k, void* out, DType out_dtype, int64_t ldo);

bool native_bf16(); // else the caller computes in f32 and says so
bool native_int8(); // else i8 runs on a slower own kernel, as exact

// What determines the bits of a product on this machine.
struct MatmulClass {
  std::string isa;                          // "x86-64-v4"
  std::vector<std::string> implementations; // "bf16 brg:avx512_core_amx_bf16"
  std::string probe_hash;                   // of a fixed product in every native type, 16 hex digits
  std::vector<std::string> notes;           // promises that do not hold here, by name
};
const MatmulClass& matmul_class(); // probed at the first call

} // namespace wane
