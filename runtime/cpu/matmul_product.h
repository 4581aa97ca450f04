// Inside of matmul: a product as every kernel sees it, where its tiles lie, and the tiles on AMX.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "runtime/cpu/matmul.h"
#include "runtime/cpu/matmul_tiles.h"
#include "runtime/cpu/pool.h"

namespace wane {

inline constexpr int64_t kTileRows = 64;
inline constexpr int64_t kPanelBytes = 768 << 10; // of weights that all row tiles read again: they stay in L2

struct Product {
  DType compute;
  const std::byte* a;
  int64_t m, lda;
  const PackedWeights& w;
  std::byte* out;
  DType out_dtype;
  int64_t ldo;
  const float* bias;
  const std::byte* plus; // laid out as the result

  bool streams = false; // the result is too large to be found in a cache later

  int64_t n() const { return w.n(); }
  int64_t k() const { return w.k(); }
  const std::byte* a_row(int64_t row) const { return a + row * lda * int64_t(size_of(compute)); }
  std::byte* out_at(int64_t row, int64_t col) const {
    return out + (row * ldo + col) * int64_t(size_of(out_dtype));
  }

  // Are sums results, as they are?
  bool lands_as_summed() const { return size_of(out_dtype) == 4 && !bias && !plus; }

  // A tile of sums to its place in the result.
  void store(const void* tile, int64_t tile_stride, int64_t row, int64_t col, int64_t rows,
             int64_t columns) const {
    const MatmulKernels& kernels = matmul_kernels();
    const float* shift = bias ? bias + col : nullptr;
    auto* sums = static_cast<const float*>(tile);
    if (out_dtype == DType::bf16)
      (native_bf16() ? kernels.store_bf16_native : kernels.store_bf16)(
          sums, tile_stride, rows, columns, shift, reinterpret_cast<uint16_t*>(out_at(row, col)), ldo);
    else if (streams && !bias)
      kernels.stream_words(tile, tile_stride, rows, columns, out_at(row, col), ldo);
    else
      kernels.store_f32(sums, tile_stride, rows, columns, shift, reinterpret_cast<float*>(out_at(row, col)),
                        ldo);
    if (plus)
      kernels.add_rows(out_dtype == DType::bf16, plus + (out_at(row, col) - out), out_at(row, col), ldo, rows,
                       columns);
  }
};

struct Gated {
  Product gate, up; // equal but for the weights and the bias

  void store(const float* g, const float* u, int64_t tile_stride, int64_t row, int64_t col, int64_t rows,
             int64_t columns) const {
    matmul_kernels().store_gated(g, u, tile_stride, rows, columns, gate.bias ? gate.bias + col : nullptr,
                                 up.bias ? up.bias + col : nullptr, gate.out_dtype == DType::bf16,
                                 gate.out_at(row, col), gate.ldo);
  }
};

// Calls body(product, part) for every part of every product, in one dispatch.
template <class Count, class F> void each_part(std::span<const Product> all, Count&& count, F&& body) {
  int64_t total = 0;
  for (auto& p : all) total += count(p);
  parallel_parts(total, [&](int64_t part, int) {
    size_t i = 0;
    for (int64_t here; part >= (here = count(all[i])); ++i) part -= here;
    body(i, part);
  });
}

// Where the tiles of a product lie; neighbouring ones share a tile of weights, the larger operand.
struct TileParts {
  int64_t width, row_tiles, col_tiles;

  TileParts(const Product& p, int64_t width_)
      : width(width_), row_tiles((p.m + kTileRows - 1) / kTileRows), col_tiles((p.n() + width - 1) / width) {}
  int64_t count() const { return row_tiles * col_tiles; }
  int64_t row(int64_t part) const { return part % row_tiles * kTileRows; }
  int64_t col(int64_t part) const { return part / row_tiles * width; }
};

// Own tiles on AMX (matmul_amx.cpp): bf16 and i8 where the CPU has them. One accumulator per sum over all of
// K, so that no choice of tile shows in the bits.
bool amx_computes(DType compute);
void amx_tiles(std::span<const Product> all); // of one k and the same rows
void amx_tiles(const Gated& both);

} // namespace wane
