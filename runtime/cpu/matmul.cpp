// Which kernel computes which tile. Tiles follow from the shape alone; the pool hands them out.
#include "runtime/cpu/matmul.h"

#include <algorithm>
#include <cstring>

#include "runtime/cpu/isa.h"
#include "runtime/cpu/map_kernels.h"
#include "runtime/cpu/matmul_product.h"
#include "runtime/cpu/stream.h"

namespace wane {
namespace {

constexpr int64_t kFewRows = 8; // the most that the own kernels take
constexpr int64_t kTileColumns = 512, kTileColumnsOfFew = 192;
constexpr size_t kPartBytes = 96 << 10; // of weights that one part of few rows reads
constexpr size_t kTileBytes = size_t(kTileRows * kTileColumns) * 4; // of sums
constexpr int64_t kWholeBytes = int64_t(4) << 20; // of weights that whole rows of results may wait for

void check(const Product& p) {
  bool together = false;
  switch (p.compute) {
  case DType::f32:
  case DType::bf16: together = p.out_dtype == DType::f32 || p.out_dtype == DType::bf16; break;
  case DType::i8: together = p.out_dtype == DType::i32 && !p.bias && !p.plus; break;
  case DType::f64: together = p.out_dtype == DType::f64 && !p.bias && !p.plus; break;
  default: break;
  }
  if (!together || p.w.dtype() != p.compute)
    throw error(Fault::internal, "matmul: {} times weights packed for {} to {}{}", name_of(p.compute),
                name_of(p.w.dtype()), name_of(p.out_dtype), p.bias ? " with bias" : "");
  if (p.compute == DType::bf16 && !native_bf16())
    throw error(Fault::internal, "matmul: this CPU has no bf16 products; they are computed in f32");
  if (p.m < 0 || p.lda < p.k() || p.ldo < p.n())
    throw error(Fault::internal, "matmul: [{} x {}] with rows {} apart to [{} x {}] with rows {} apart", p.m,
                p.k(), p.lda, p.m, p.n(), p.ldo);
}

// Up to how many rows the own kernel is the faster one (the bits are the same). AMX tiles read the weights as
// fast from 3 rows on (bf16) and from 5 (i8).
int64_t few_limit(DType compute) {
  if (!amx_computes(compute)) return kFewRows;
  return compute == DType::bf16 ? 2 : 4;
}

// k = 0: a sum of nothing.
void fill_empty(const Product& p) {
  for (int64_t row = 0; row < p.m; ++row) {
    if (p.bias) {
      std::vector<float> zeros(size_t(p.n()));
      p.store(zeros.data(), p.n(), row, 0, 1, p.n());
    } else {
      std::memset(p.out_at(row, 0), 0, size_t(p.n()) * size_of(p.out_dtype));
    }
  }
}

// ---- few rows: read-bound, one block after the other ----

// Rows padded as the own kernels want them: to 32 elements, with zeros.
struct PaddedRows {
  int64_t rows, line;
  std::byte* data;

  PaddedRows(const Product& p, const std::byte* from, int64_t lda, int64_t rows_)
      : rows(rows_), line((p.k() + 31) / 32 * 32) {
    size_t bytes = size_of(p.compute);
    data = static_cast<std::byte*>(thread_scratch(1, size_t(rows * line) * bytes));
    for (int64_t row = 0; row < rows; ++row) {
      std::byte* to = data + size_t(row * line) * bytes;
      std::memcpy(to, from + size_t(row * lda) * bytes, size_t(p.k()) * bytes);
      std::memset(to + size_t(p.k()) * bytes, 0, size_t(line - p.k()) * bytes);
    }
  }
};

// The sums of one block of columns.
void few_rows_sums(const Product& p, const PaddedRows& a, int64_t b, float* sums) {
  rows_in_order(sum_order(p.compute, p.k()), p.compute, a.data, a.line, int(a.rows), p.w.block(b), p.k(),
                sums);
}

// One block of columns of the result, from `row` on.
void few_rows_block(const Product& p, const PaddedRows& a, int64_t row, int64_t b) {
  alignas(64) float sums[kFewRows * 64];
  int64_t columns = std::min(p.n() - b * 64, int64_t{64});
  if (p.compute == DType::i8) {
    auto* exact = reinterpret_cast<int32_t*>(sums);
    matmul_kernels().rows_i8_vnni(reinterpret_cast<const int8_t*>(a.data), a.line, int(a.rows),
                                  reinterpret_cast<const int8_t*>(p.w.block(b)), p.k(), exact);
    for (int64_t r = 0; r < a.rows; ++r)
      std::memcpy(p.out_at(row + r, b * 64), exact + r * 64, size_t(columns) * 4);
    return;
  }
  few_rows_sums(p, a, b, sums);
  p.store(sums, 64, row, b * 64, a.rows, columns);
}

// Is the order known in which the library would sum these?
bool order_known(const Product& p) {
  return p.compute == DType::i8 || sum_order(p.compute, p.k()).kind != SumOrder::unknown;
}

// Blocks of columns go in parts of some.
struct BlockParts {
  int64_t blocks, group;

  explicit BlockParts(const PackedWeights& w)
      : blocks(w.blocks()), group(std::max<int64_t>(1, int64_t(kPartBytes / w.block_bytes()))) {}
  int64_t count() const { return (blocks + group - 1) / group; }
  template <class F> void run(int64_t part, F&& body) const {
    for (int64_t b = part * group; b < std::min(blocks, (part + 1) * group); ++b) body(b);
  }
};

void few_rows(std::span<const Product> all) {
  PaddedRows a(all[0], all[0].a, all[0].lda, all[0].m);
  size_t bytes = 0;
  for (auto& p : all) bytes += size_t(p.w.blocks()) * p.w.block_bytes();
  if (bytes <= kPartBytes) { // not worth waking a thread
    for (auto& p : all)
      for (int64_t b = 0; b < p.w.blocks(); ++b) few_rows_block(p, a, 0, b);
    return;
  }
  each_part(
      all, [](const Product& p) { return BlockParts(p.w).count(); },
      [&](size_t i, int64_t part) {
        BlockParts(all[i].w).run(part, [&](int64_t b) { few_rows_block(all[i], a, 0, b); });
      });
}

// ---- own kernels: tiles of 64 rows by one block ----

template <class T, class Kernel> void own_tile(const Product& p, Kernel kernel, int64_t row, int64_t b) {
  int64_t rows = std::min(p.m - row, kTileRows), columns = std::min(p.n() - b * 64, int64_t{64});
  auto* a = reinterpret_cast<const T*>(p.a_row(row));
  auto* block = reinterpret_cast<const T*>(p.w.block(b));
  bool direct = columns == 64 && !p.bias && !p.plus && size_of(p.out_dtype) == sizeof(T);
  if (direct) return kernel(a, p.lda, rows, block, p.k(), reinterpret_cast<T*>(p.out_at(row, b * 64)), p.ldo);
  alignas(64) T sums[kTileRows * 64];
  kernel(a, p.lda, rows, block, p.k(), sums, 64);
  if constexpr (sizeof(T) == 8) {
    for (int64_t r = 0; r < rows; ++r)
      std::memcpy(p.out_at(row + r, b * 64), sums + r * 64, size_t(columns) * sizeof(T));
  } else {
    p.store(sums, 64, row, b * 64, rows, columns);
  }
}

void own_tile_i8(const Product& p, int64_t row, int64_t b) {
  int64_t rows = std::min(p.m - row, kTileRows), columns = std::min(p.n() - b * 64, int64_t{64});
  int64_t padded = (p.k() + 3) / 4 * 4;
  auto* a = static_cast<int8_t*>(thread_scratch(2, size_t(rows * padded)));
  std::memset(a, 0, size_t(rows * padded));
  for (int64_t r = 0; r < rows; ++r) std::memcpy(a + r * padded, p.a_row(row + r), size_t(p.k()));
  int32_t sums[kTileRows * 64];
  matmul_kernels().rows_i8_plain(a, padded, int(rows), reinterpret_cast<const int8_t*>(p.w.block(b)), p.k(),
                                 sums);
  for (int64_t r = 0; r < rows; ++r)
    std::memcpy(p.out_at(row + r, b * 64), sums + r * 64, size_t(columns) * 4);
}

void own_tiles(const Product& p) {
  int64_t row_tiles = (p.m + kTileRows - 1) / kTileRows;
  parallel_parts(row_tiles * p.w.blocks(), [&](int64_t part, int) {
    int64_t row = part % row_tiles * kTileRows, b = part / row_tiles;
    if (p.compute == DType::f64) return own_tile<double>(p, matmul_kernels().block_f64, row, b);
    if (p.compute == DType::f32) return own_tile<float>(p, matmul_kernels().block_f32, row, b);
    own_tile_i8(p, row, b);
  });
}

// ---- the library's tiles ----

// Dense rows as the library takes them; i8 becomes u8, shifted by 128. `held` keeps a copy alive.
const std::byte* dense_rows(const Product& p, BufferPtr& held) {
  bool shift = p.compute == DType::i8;
  if (!shift && (p.lda == p.k() || p.m == 1)) return p.a;
  size_t row_bytes = size_t(p.k()) * size_of(p.compute);
  held = allocate(size_t(p.m) * row_bytes);
  parallel_parts((p.m + 63) / 64, [&](int64_t part, int) {
    for (int64_t row = part * 64; row < std::min(p.m, part * 64 + 64); ++row) {
      std::byte* line = held->data() + size_t(row) * row_bytes;
      if (shift)
        matmul_kernels().shift_i8(reinterpret_cast<const int8_t*>(p.a_row(row)),
                                  reinterpret_cast<uint8_t*>(line), p.k());
      else
        std::memcpy(line, p.a_row(row), row_bytes);
    }
  });
  return held->data();
}

// Columns of a tile: 512, or fewer where that many columns of the weights (of `panels` of them) leave the
// cache before the next row tile comes; and then about as many in every tile. Whole rows need no copy to
// their place, which for small products costs more than reading the weights again.
int64_t tile_width(const Product& p, int64_t panels = 1) {
  if (p.m <= kTileRows) return kTileColumnsOfFew;
  int64_t longest = p.k() * int64_t(size_of(p.compute)) * panels;
  int64_t tail = p.m % kTileRows;
  bool direct = panels == 1 && p.compute == DType::f32 && p.lands_as_summed() && p.ldo == p.n()
                && p.n() % 64 == 0 && (tail == 0 || tail >= kLeastRows);
  if (direct && p.m >= 2 * kTileRows * thread_count() && p.n() * longest <= kWholeBytes) return p.n();
  int64_t width = kTileColumns / panels;
  while (width > 128 && width * longest > kPanelBytes) width /= 2;
  int64_t tiles = (p.n() + width - 1) / width;
  return (p.w.blocks() + tiles - 1) / tiles * 64;
}

struct LibraryTiles {
  const Product& p;
  const std::byte* a; // of dense_rows
  int64_t width;
  bool known; // the order, for tiles of few rows

  // Rows [row, row + rows) by the blocks at col; fewer than kLeastRows are filled up with the first.
  void sum(int64_t row, int64_t rows, int64_t col, int64_t columns, void* sums) const {
    size_t row_bytes = size_t(p.k()) * size_of(p.compute);
    const std::byte* from = a + size_t(row) * row_bytes;
    if (rows < kLeastRows) {
      auto* filled = static_cast<std::byte*>(thread_scratch(1, size_t(kLeastRows) * row_bytes));
      for (int64_t r = 0; r < kLeastRows; ++r)
        std::memcpy(filled + size_t(r) * row_bytes, from + (r < rows ? size_t(r) * row_bytes : 0), row_bytes);
      from = filled;
    }
    library_tile(p.compute, from, std::max(rows, kLeastRows), p.k(), p.w.block(col / 64), columns, sums);
  }

  // Do rows of this many go to the own kernels?
  bool few(int64_t rows) const { return rows <= few_limit(p.compute) && known && p.compute != DType::i8; }

  void tile(int64_t row, int64_t col) const {
    int64_t rows = std::min(p.m - row, kTileRows), wanted = std::min(p.n() - col, width);
    int64_t columns = (wanted + 63) / 64 * 64; // the weights are padded to that
    if (few(rows)) {
      PaddedRows padded(p, p.a_row(row), p.lda, rows);
      for (int64_t b = col / 64; b < (col + columns) / 64; ++b) few_rows_block(p, padded, row, b);
      return;
    }
    bool shifted = p.compute == DType::i8;
    bool direct = rows >= kLeastRows && columns == p.n() && p.ldo == p.n() && !shifted && p.lands_as_summed();
    void* sums = direct ? static_cast<void*>(p.out_at(row, col)) : thread_scratch(2, kTileBytes);
    sum(row, rows, col, columns, sums);
    if (direct) return;
    if (shifted)
      matmul_kernels().store_i8(static_cast<const int32_t*>(sums), columns, rows, wanted,
                                p.w.column_sums() + col, reinterpret_cast<int32_t*>(p.out_at(row, col)),
                                p.ldo);
    else
      p.store(sums, columns, row, col, rows, wanted);
  }
};

bool ends_with_few(const Product& p) {
  int64_t tail = p.m % kTileRows;
  return tail >= 1 && tail <= few_limit(p.compute);
}

void library_tiles(std::span<const Product> all) {
  BufferPtr held;
  const std::byte* rows = dense_rows(all[0], held);
  bool known = ends_with_few(all[0]) && order_known(all[0]);
  each_part(
      all, [](const Product& p) { return TileParts(p, tile_width(p)).count(); },
      [&](size_t i, int64_t part) {
        LibraryTiles work{all[i], rows, tile_width(all[i]), known};
        TileParts at(all[i], work.width);
        work.tile(at.row(part), at.col(part));
      });
}

// ---- silu(gate) * up ----

void gated_block(const Gated& both, const PaddedRows& a, int64_t row, int64_t b) {
  alignas(64) float g[kFewRows * 64], u[kFewRows * 64];
  few_rows_sums(both.gate, a, b, g);
  few_rows_sums(both.up, a, b, u);
  both.store(g, u, 64, row, b * 64, a.rows, std::min(both.gate.n() - b * 64, int64_t{64}));
}

void gated_few_rows(const Gated& both) {
  PaddedRows a(both.gate, both.gate.a, both.gate.lda, both.gate.m);
  BlockParts blocks(both.gate.w);
  parallel_parts(blocks.count(), [&](int64_t part, int) {
    blocks.run(part, [&](int64_t b) { gated_block(both, a, 0, b); });
  });
}

void gated_tile(const Gated& both, const LibraryTiles& gates, const LibraryTiles& ups, int64_t row,
                int64_t col) {
  const Product& gate = both.gate;
  int64_t rows = std::min(gate.m - row, kTileRows), wanted = std::min(gate.n() - col, gates.width);
  int64_t columns = (wanted + 63) / 64 * 64;
  if (gates.few(rows)) {
    PaddedRows padded(gate, gate.a_row(row), gate.lda, rows);
    for (int64_t b = col / 64; b < (col + columns) / 64; ++b) gated_block(both, padded, row, b);
    return;
  }
  auto* g = static_cast<float*>(thread_scratch(2, kTileBytes));
  auto* u = static_cast<float*>(thread_scratch(4, kTileBytes));
  gates.sum(row, rows, col, columns, g);
  ups.sum(row, rows, col, columns, u);
  both.store(g, u, columns, row, col, rows, wanted);
}

void gated_library_tiles(const Gated& both) {
  BufferPtr held;
  int64_t width = tile_width(both.gate, 2);
  const std::byte* rows = dense_rows(both.gate, held);
  bool known = ends_with_few(both.gate) && order_known(both.gate);
  LibraryTiles gates{both.gate, rows, width, known}, ups{both.up, rows, width, known};
  TileParts at(both.gate, width);
  parallel_parts(at.count(),
                 [&](int64_t part, int) { gated_tile(both, gates, ups, at.row(part), at.col(part)); });
}

} // namespace

const MatmulKernels& matmul_kernels() {
  static const MatmulKernels& chosen = isa_level() == IsaLevel::v4   ? isa_v4::matmul_kernels()
                                       : isa_level() == IsaLevel::v3 ? isa_v3::matmul_kernels()
                                                                     : isa_v2::matmul_kernels();
  return chosen;
}

bool native_bf16() { return cpu_features().avx512_bf16; }
bool native_int8() { return cpu_features().avx512_vnni; }

namespace {

Product product(DType compute, const void* a, int64_t m, int64_t lda, const Target& to, DType out_dtype) {
  Product p{.compute = compute,
            .a = static_cast<const std::byte*>(a),
            .m = m,
            .lda = lda,
            .w = to.w,
            .out = static_cast<std::byte*>(to.out),
            .out_dtype = out_dtype,
            .ldo = to.ldo,
            .bias = to.bias,
            .plus = static_cast<const std::byte*>(to.plus)};
  check(p);
  p.streams = m * p.n() * int64_t(size_of(out_dtype)) > kStreamBytes && !p.plus;
  return p;
}

} // namespace

void matmul_packed(DType compute, const void* a, int64_t m, int64_t lda, std::span<const Target> targets,
                   DType out_dtype) {
  std::vector<Product> all;
  for (auto& to : targets) {
    Product p = product(compute, a, m, lda, to, out_dtype);
    if (p.k() != targets[0].w.k())
      throw error(Fault::internal, "matmul: weights of k = {} beside k = {}", p.k(), targets[0].w.k());
    if (p.m == 0 || p.n() == 0) continue;
    if (p.k() == 0)
      fill_empty(p);
    else
      all.push_back(p);
  }
  if (all.empty()) return;
  if (!library_computes(compute) && !amx_computes(compute)) {
    for (auto& p : all) own_tiles(p);
  } else if (m <= few_limit(compute) && order_known(all[0])) {
    few_rows(all);
  } else if (amx_computes(compute)) {
    amx_tiles(all);
  } else {
    library_tiles(all);
  }
}

bool gates_in_tiles(DType compute) {
  return compute != DType::i8 && (library_computes(compute) || amx_computes(compute));
}

void matmul_gated(DType compute, const void* a, int64_t m, int64_t lda, const PackedWeights& gate,
                  const PackedWeights& up, void* out, DType out_dtype, int64_t ldo, const float* gate_bias,
                  const float* up_bias) {
  Gated g{product(compute, a, m, lda, {gate, out, ldo, gate_bias}, out_dtype),
          product(compute, a, m, lda, {up, out, ldo, up_bias}, out_dtype)};
  if (!gates_in_tiles(compute) || gate.n() != up.n() || gate.k() != up.k() || gate.k() == 0
      || !gate_bias != !up_bias)
    throw error(Fault::internal, "matmul_gated: {} by weights [{} x {}] and [{} x {}]", name_of(compute),
                gate.n(), gate.k(), up.n(), up.k());
  if (m == 0 || gate.n() == 0) return;
  if (m <= few_limit(compute) && order_known(g.gate)) return gated_few_rows(g);
  if (amx_computes(compute)) return amx_tiles(g);
  gated_library_tiles(g);
}

void matmul_plain(DType compute, const void* a, int64_t m, int64_t lda, const void* b, int64_t b_row_stride,
                  int64_t b_col_stride, int64_t n, int64_t k, void* out, DType out_dtype, int64_t ldo) {
  if (compute != DType::f16) {
    auto packed = pack_weights(compute, compute, b, n, k, b_col_stride, b_row_stride);
    return matmul_packed(compute, a, m, lda, *packed, out, out_dtype, ldo);
  }
  auto packed = pack_weights(DType::f32, DType::f16, b, n, k, b_col_stride, b_row_stride);
  BufferPtr wide = allocate(size_t(m * k) * sizeof(float));
  auto* rows = static_cast<const uint16_t*>(a);
  parallel_parts(m, [&](int64_t row, int) {
    cpu::map_kernels().load[size_t(DType::f16)](wide->as<float>() + row * k, rows + row * lda, k);
  });
  matmul_packed(DType::f32, wide->data(), m, k, *packed, out, out_dtype, ldo);
}

} // namespace wane
