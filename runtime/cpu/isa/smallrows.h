// Declarations shared by the sources of MatmulKernels, once per x86-64 level.
#pragma once

#include <cstdint>

namespace wane::WANE_ISA_NAMESPACE {

void rows_f32(const float* a, int64_t lda, int rows, const float* block, int64_t k, int64_t chunk,
              float* out);
void rows_bf16(const uint16_t* a, int64_t lda, int rows, const uint16_t* block, int64_t k, int64_t chunk,
               float* out);
void rows_bf16_amx(const uint16_t* a, int64_t lda, int rows, const uint16_t* block, int64_t k, float* out);
void rows_i8_vnni(const int8_t* a, int64_t lda, int rows, const int8_t* block, int64_t k, int32_t* out);
void rows_i8_plain(const int8_t* a, int64_t lda, int rows, const int8_t* block, int64_t k, int32_t* out);

void store_bf16_native(const float* tile, int64_t tile_stride, int64_t rows, int64_t columns,
                       const float* bias, uint16_t* out, int64_t ldo);
void tiles_begin();
void tiles_end();
void square_amx(bool bytes, const void* a, int64_t stride, const void* w, int64_t steps, void* out,
                int64_t out_stride);
void strip_amx(bool bytes, const void* a, int64_t stride, const void* w, int64_t steps, void* out,
               int64_t out_stride);

} // namespace wane::WANE_ISA_NAMESPACE
