// The inner kernels of matmul, compiled once per x86-64 level. Weights come as packed 64-column blocks (see
// runtime/cpu/matmul.h): of one block, element (k, column) lies at
//   4-byte types  k * 64 + column            8-byte types  k * 64 + column
//   bf16          k/2 * 128 + column * 2 + k%2      i8     k/4 * 256 + column * 4 + k%4
#pragma once

#include <cstdint>

namespace wane {

struct MatmulKernels {
  // out[rows][64] of up to 8 rows; a has lda elements per row. K is cut into chunks: within one, a single
  // accumulator per output from zero, in K order; the chunk sums are added in order. bf16 takes pairs, so a
  // holds an even number of elements per row, the odd one zero. Null where the level lacks the instructions.
  void (*rows_f32)(const float* a, int64_t lda, int rows, const float* block, int64_t k, int64_t chunk,
                   float* out);
  void (*rows_bf16)(const uint16_t* a, int64_t lda, int rows, const uint16_t* block, int64_t k, int64_t chunk,
                    float* out);
  // The order of TDPBF16PS: per 32 of K the even and the odd products are summed apart, in order, then
  // together, and that is added to the output. Subnormals are zero, as they are for that instruction. a
  // padded to 32 with zeros.
  void (*rows_bf16_amx)(const uint16_t* a, int64_t lda, int rows, const uint16_t* block, int64_t k,
                        float* out);
  // Exact, any number of rows. a padded to 4 with anything. The first needs VNNI.
  void (*rows_i8_vnni)(const int8_t* a, int64_t lda, int rows, const int8_t* block, int64_t k, int32_t* out);
  void (*rows_i8_plain)(const int8_t* a, int64_t lda, int rows, const int8_t* block, int64_t k, int32_t* out);

  // AMX; null below it. Between tiles_begin and tiles_end of the calling thread: sums of 32 rows by half a
  // block (w: its first word, or the one 32 columns on) and of 16 rows by a whole one, f32 of bf16, or i32 of
  // i8 (`bytes`). Rows of a and of out are `stride` and `out_stride` bytes apart; a has steps * 64 bytes in
  // each of them, zero beyond k.
  void (*tiles_begin)();
  void (*tiles_end)();
  void (*square_amx)(bool bytes, const void* a, int64_t stride, const void* w, int64_t steps, void* out,
                     int64_t out_stride);
  void (*strip_amx)(bool bytes, const void* a, int64_t stride, const void* w, int64_t steps, void* out,
                    int64_t out_stride);

  // out[rows][64], out rows ldo apart, any number of rows: one accumulator per output over all of K, in K
  // order.
  void (*block_f32)(const float* a, int64_t lda, int64_t rows, const float* block, int64_t k, float* out,
                    int64_t ldo);
  void (*block_f64)(const double* a, int64_t lda, int64_t rows, const double* block, int64_t k, double* out,
                    int64_t ldo);

  // dst[j][64] = src[i][j] in 4-byte words for i < rows <= 64, the rest of 64 zero; src rows stride bytes
  // apart.
  void (*transpose_words)(const void* src, int64_t stride, int64_t rows, int64_t words, void* dst);
  // dst[j/2][column][j%2] = src[j][column] for 16-bit values, and the same by fours for bytes; `count` values
  // of j, src rows src_stride elements apart, columns < 64 of them; the rest zero.
  void (*interleave_pairs)(const uint16_t* src, int64_t src_stride, int64_t columns, int64_t count,
                           uint16_t* dst);
  void (*interleave_fours)(const int8_t* src, int64_t src_stride, int64_t columns, int64_t count,
                           int8_t* dst);
  // sums[column] of a whole i8 block of `groups` times 4 of k.
  void (*column_sums)(const int8_t* block, int64_t groups, int32_t* sums);

  // A finished tile to its place: plus bias (may be null), rounded to nearest even by integer operations for
  // bf16.
  void (*store_f32)(const float* tile, int64_t tile_stride, int64_t rows, int64_t columns, const float* bias,
                    float* out, int64_t ldo);
  void (*store_bf16)(const float* tile, int64_t tile_stride, int64_t rows, int64_t columns, const float* bias,
                     uint16_t* out, int64_t ldo);
  // The same where the CPU rounds to bf16; null below AVX-512.
  void (*store_bf16_native)(const float* tile, int64_t tile_stride, int64_t rows, int64_t columns,
                            const float* bias, uint16_t* out, int64_t ldo);
  // out = plus + out, rounded, of bf16 or f32 rows ldo apart in both.
  void (*add_rows)(bool bf16, const void* plus, void* out, int64_t ldo, int64_t rows, int64_t columns);
  // silu(gate) * up of two finished tiles, to bf16 or f32. Every step rounds to the type of the result, so
  // the bits are those of storing both and of the maps after it. Both have a bias or neither (null).
  void (*store_gated)(const float* gate, const float* up, int64_t tile_stride, int64_t rows, int64_t columns,
                      const float* gate_bias, const float* up_bias, bool bf16, void* out, int64_t ldo);
  // 4-byte words past the caches, for a result that nobody will find there.
  void (*stream_words)(const void* tile, int64_t tile_stride, int64_t rows, int64_t columns, void* out,
                       int64_t ldo);
  // Of u8 x s8 with a shifted by 128: takes 128 * column sum off again.
  void (*store_i8)(const int32_t* tile, int64_t tile_stride, int64_t rows, int64_t columns,
                   const int32_t* sums, int32_t* out, int64_t ldo);
  void (*shift_i8)(const int8_t* a, uint8_t* out, int64_t n); // out = a + 128
};

namespace isa_v2 {
const MatmulKernels& matmul_kernels();
}
namespace isa_v3 {
const MatmulKernels& matmul_kernels();
}
namespace isa_v4 {
const MatmulKernels& matmul_kernels();
}

} // namespace wane
