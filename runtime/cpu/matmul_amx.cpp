// Products on AMX tiles. A part is up to 64 rows by up to 256 columns: 32 rows at a time stay in the
// first-level cache while the part's weights pass from the second; results of 4 bytes go from the tiles to
// their place.
#include <cstring>

#include "runtime/cpu/isa.h"
#include "runtime/cpu/matmul_product.h"

namespace wane {
namespace {

constexpr int64_t kPartColumns = 256;
constexpr int64_t kPartsPerThread = 4; // at least, where there are columns enough
constexpr int64_t kTall = 32, kShort = 16;

struct TileRegisters {
  TileRegisters() { matmul_kernels().tiles_begin(); }
  ~TileRegisters() { matmul_kernels().tiles_end(); }
};

// Rows of a product as tiles read them: 32 or 16, in whole steps of 64 bytes. In place where they are such;
// else a copy, with zeros in what is lacking.
struct Rows {
  int64_t count, height, steps, stride; // stride in bytes
  const std::byte* data;

  Rows(const Product& p, int64_t row)
      : count(std::min(p.m - row, kTall)), height(count > kShort ? kTall : kShort) {
    int64_t bytes = p.k() * int64_t(size_of(p.compute));
    steps = (bytes + 63) / 64;
    stride = p.lda * int64_t(size_of(p.compute));
    data = p.a_row(row);
    if (count == height && bytes % 64 == 0) return;
    int64_t line = steps * 64;
    auto* copy = static_cast<std::byte*>(thread_scratch(1, size_t(height * line)));
    for (int64_t r = 0; r < height; ++r) {
      int64_t filled = r < count ? bytes : 0;
      std::memcpy(copy + r * line, data + r * stride, size_t(filled));
      std::memset(copy + r * line + filled, 0, size_t(line - filled));
    }
    data = copy, stride = line;
  }
  int64_t width() const { return height == kTall ? 32 : 64; } // columns of one multiplication

  // The sums of columns [col, col + width), rows of out `out_stride` bytes apart.
  void multiply(const Product& p, int64_t col, void* out, int64_t out_stride) const {
    const MatmulKernels& kernels = matmul_kernels();
    (height == kTall ? kernels.square_amx : kernels.strip_amx)(
        p.compute == DType::i8, data, stride, p.w.block(col / 64) + col % 64 * 4, steps, out, out_stride);
  }
};

// Calls body(rows, first row) for the rows of a tile, up to 32 at a time.
template <class F> void each_rows(const Product& p, int64_t row, F&& body) {
  for (int64_t end = std::min(p.m, row + kTileRows); row < end; row += kTall) body(Rows(p, row), row);
}

void part(const Product& p, int64_t row, int64_t col, int64_t columns) {
  TileRegisters open;
  bool as_they_are = p.lands_as_summed() && !p.streams;
  int64_t end = std::min(p.n(), col + columns);
  each_rows(p, row, [&](const Rows& a, int64_t first) {
    int64_t width = a.width(), group = p.streams ? columns : width; // long lines stream better
    for (int64_t c = col; c < end; c += group) {
      int64_t wanted = std::min(group, end - c);
      if (as_they_are && wanted == width && a.count == a.height) {
        a.multiply(p, c, p.out_at(first, c), p.ldo * 4);
        continue;
      }
      alignas(64) float sums[kTall * kPartColumns];
      for (int64_t i = 0; i < wanted; i += width) a.multiply(p, c + i, sums + i, group * 4);
      p.store(sums, group, first, c, a.count, wanted);
    }
  });
}

void part(const Gated& both, int64_t row, int64_t col, int64_t columns) {
  TileRegisters open;
  int64_t end = std::min(both.gate.n(), col + columns);
  each_rows(both.gate, row, [&](const Rows& a, int64_t first) {
    alignas(64) float gate[kTall * 32], up[kTall * 32];
    for (int64_t c = col, width = a.width(); c < end; c += width) {
      a.multiply(both.gate, c, gate, width * 4);
      a.multiply(both.up, c, up, width * 4);
      both.store(gate, up, width, first, c, a.count, std::min(width, end - c));
    }
  });
}

// Columns of a part: as many as the cache keeps of `panels` weights, but enough parts for all threads (whose
// number shows in no bit), of about the same size.
int64_t part_width(const Product& p, int64_t panels) {
  int64_t column = p.k() * int64_t(size_of(p.compute)) * panels;
  int64_t kept = std::clamp(kPanelBytes / column / 64, int64_t{1}, kPartColumns / panels / 64);
  int64_t row_tiles = (p.m + kTileRows - 1) / kTileRows;
  int64_t wanted = std::max((p.w.blocks() + kept - 1) / kept,
                            std::min(p.w.blocks(), kPartsPerThread * thread_count() / row_tiles));
  return (p.w.blocks() + wanted - 1) / wanted * 64;
}

} // namespace

bool amx_computes(DType compute) {
  return cpu_features().amx && (compute == DType::bf16 || compute == DType::i8);
}

void amx_tiles(std::span<const Product> all) {
  each_part(
      all, [](const Product& p) { return TileParts(p, part_width(p, 1)).count(); },
      [&](size_t i, int64_t index) {
        TileParts at(all[i], part_width(all[i], 1));
        part(all[i], at.row(index), at.col(index), at.width);
      });
}

void amx_tiles(const Gated& both) {
  TileParts at(both.gate, part_width(both.gate, 2));
  parallel_parts(at.count(), [&](int64_t index, int) { part(both, at.row(index), at.col(index), at.width); });
}

} // namespace wane
