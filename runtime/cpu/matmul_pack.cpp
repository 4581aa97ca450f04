// Weights into 64-column blocks. Of every type four bytes of one column lie together, so contiguous rows of
// weights pack as a transposition of words, whatever the type; the other order is a copy or an interleave.
#include <algorithm>
#include <cstring>

#include "runtime/cpu/linalg_kernels.h"
#include "runtime/cpu/map_kernels.h"
#include "runtime/cpu/matmul_tiles.h"
#include "runtime/cpu/pool.h"

namespace wane {
namespace {

constexpr int64_t kStrip = 512; // of K in one part

int64_t padded(int64_t k, DType compute) {
  int64_t step = compute == DType::i8 ? 64 : compute == DType::bf16 ? 32 : 16;
  return (k + step - 1) / step * step;
}

bool converts(DType compute, DType source) {
  if (compute == source)
    return compute == DType::f64 || compute == DType::f32 || compute == DType::bf16 || compute == DType::i8;
  return compute == DType::f32 && (is_float(source) || source == DType::i8);
}

template <class To, class From> void convert_strided(To* out, const From* in, int64_t stride, int64_t n) {
  for (int64_t i = 0; i < n; ++i) out[i] = To(in[i * stride]);
}

// `count` elements, stride apart, into dense compute type.
void gather_row(DType compute, DType source, const std::byte* in, int64_t stride, int64_t count, void* out) {
  auto copy = [&]<class T>(T) {
    convert_strided(static_cast<T*>(out), reinterpret_cast<const T*>(in), stride, count);
  };
  if (compute == source) {
    switch (size_of(compute)) {
    case 1: return copy(uint8_t{});
    case 2: return copy(uint16_t{});
    case 4: return copy(uint32_t{});
    default: return copy(uint64_t{});
    }
  }
  auto* f = static_cast<float*>(out);
  if (source == DType::f64) return convert_strided(f, reinterpret_cast<const double*>(in), stride, count);
  if (source == DType::i8) return convert_strided(f, reinterpret_cast<const int8_t*>(in), stride, count);
  cpu::map_kernels().load_strided[size_t(source)](out, in, stride, count);
}

struct Packing {
  DType compute, source;
  const std::byte* w;
  int64_t n, k, row_stride, col_stride;
  const PackedWeights& packed;
  int64_t first = 0; // row that lies at w

  int64_t strips() const { return (k + kStrip - 1) / kStrip; }
  int64_t parts() const { return packed.blocks() * strips(); }
  const std::byte* at(int64_t row, int64_t col) const {
    return w + ((row - first) * row_stride + col * col_stride) * int64_t(size_of(source));
  }

  void part(int64_t index) const {
    int64_t b = index / strips(), begin = index % strips() * kStrip;
    int64_t rows = std::min(n - b * 64, int64_t{64}), count = std::min(k - begin, kStrip);
    int64_t pad = begin + count == k ? padded(k, compute) - k : 0;
    std::byte* out = packed.block(b) + size_t(begin) * 64 * size_of(compute);
    if (compute == DType::f64) return wide(b * 64, begin, rows, count, pad, reinterpret_cast<double*>(out));
    // The words beyond the last one that is (partly) filled.
    int64_t per_word = 4 / int64_t(size_of(compute)), words = (count + per_word - 1) / per_word;
    std::memset(out + words * 256, 0, size_t((count + pad) / per_word - words) * 256);
    if (compute == source && col_stride == 1)
      by_rows(b * 64, begin, rows, count, out);
    else if (compute == source && row_stride == 1)
      by_columns(b * 64, begin, rows, count, out);
    else
      staged(b * 64, begin, rows, count, out);
  }

  void by_rows(int64_t row, int64_t col, int64_t rows, int64_t count, std::byte* out) const {
    int64_t per_word = 4 / int64_t(size_of(compute)), whole = count / per_word;
    matmul_kernels().transpose_words(at(row, col), row_stride * int64_t(size_of(source)), rows, whole, out);
    if (whole * per_word < count)
      staged(row, col + whole * per_word, rows, count - whole * per_word, out + whole * 256);
  }

  void by_columns(int64_t row, int64_t col, int64_t rows, int64_t count, std::byte* out) const {
    const std::byte* from = at(row, col);
    if (compute == DType::bf16)
      return matmul_kernels().interleave_pairs(reinterpret_cast<const uint16_t*>(from), col_stride, rows,
                                               count, reinterpret_cast<uint16_t*>(out));
    if (compute == DType::i8)
      return matmul_kernels().interleave_fours(reinterpret_cast<const int8_t*>(from), col_stride, rows, count,
                                               reinterpret_cast<int8_t*>(out));
    for (int64_t i = 0; i < count; ++i, out += 256, from += col_stride * 4) {
      std::memcpy(out, from, size_t(rows) * 4);
      std::memset(out + rows * 4, 0, size_t(64 - rows) * 4);
    }
  }

  void staged(int64_t row, int64_t col, int64_t rows, int64_t count, std::byte* out) const {
    size_t bytes = size_of(compute);
    int64_t per_word = 4 / int64_t(bytes), words = (count + per_word - 1) / per_word;
    auto* stage = static_cast<std::byte*>(thread_scratch(2, size_t(64 * kStrip) * 4));
    for (int64_t r = 0; r < rows; ++r) {
      std::byte* line = stage + r * kStrip * 4;
      gather_row(compute, source, at(row + r, col), col_stride, count, line);
      std::memset(line + size_t(count) * bytes, 0, size_t(words * 4) - size_t(count) * bytes);
    }
    matmul_kernels().transpose_words(stage, kStrip * 4, rows, words, out);
  }

  void wide(int64_t row, int64_t col, int64_t rows, int64_t count, int64_t pad, double* out) const {
    auto* from = reinterpret_cast<const double*>(at(row, col));
    std::memset(out + count * 64, 0, size_t(pad) * 64 * sizeof(double));
    if (rows < 64) std::memset(out, 0, size_t(count) * 64 * sizeof(double));
    if (col_stride == 1) return cpu::linalg_kernels<double>().turn(from, row_stride, out, 64, count, rows);
    for (int64_t i = 0; i < count; ++i)
      if (row_stride == 1)
        std::memcpy(out + i * 64, from + i * col_stride, size_t(rows) * sizeof(double));
      else
        convert_strided(out + i * 64, from + i * col_stride, row_stride, rows);
  }
};

} // namespace

PackedWeights::PackedWeights(DType dtype, int64_t n, int64_t k, Origin origin)
    : dtype_(dtype), n_(n), k_(k),
      buffer_(allocate(size_t(blocks() * padded(k, dtype)) * 64 * size_of(dtype), origin)) {
  if (dtype == DType::i8) sums_ = allocate(size_t(blocks()) * 64 * sizeof(int32_t), origin);
}

size_t PackedWeights::block_bytes() const { return size_t(padded(k_, dtype_)) * 64 * size_of(dtype_); }

namespace {

std::shared_ptr<PackedWeights> empty_weights(DType compute, DType source, int64_t n, int64_t k,
                                             Origin origin) {
  if (n < 0 || k < 0) throw error(Fault::internal, "pack_weights: sizes {} x {}", n, k);
  if (!converts(compute, source))
    throw error(Fault::internal, "pack_weights: {} weights for a product in {}", name_of(source),
                name_of(compute));
  return std::make_shared<PackedWeights>(compute, n, k, origin);
}

void sum_columns(const PackedWeights& packed) {
  if (packed.dtype() != DType::i8) return;
  parallel_parts(packed.blocks(), [&](int64_t b, int) {
    matmul_kernels().column_sums(reinterpret_cast<const int8_t*>(packed.block(b)),
                                 int64_t(packed.block_bytes() / 256), packed.column_sums() + b * 64);
  });
}

} // namespace

PackedWeightsPtr pack_weights(DType compute, DType source, const void* w, int64_t n, int64_t k,
                              int64_t row_stride, int64_t col_stride, Origin origin) {
  auto packed = empty_weights(compute, source, n, k, origin);
  if (n == 0 || k == 0) return packed;
  Packing job{compute, source, static_cast<const std::byte*>(w), n, k, row_stride, col_stride, *packed};
  parallel_parts(job.parts(), [&](int64_t part, int) { job.part(part); });
  sum_columns(*packed);
  return packed;
}

PackedWeightsPtr pack_rows(DType compute, DType source, int64_t n, int64_t k, const ReadRows& read,
                           Origin origin) {
  auto packed = empty_weights(compute, source, n, k, origin);
  if (n == 0 || k == 0) return packed;
  parallel_parts(packed->blocks(), [&](int64_t b, int) {
    auto* rows = static_cast<std::byte*>(thread_scratch(5, size_t(64 * k) * size_of(source)));
    read(b * 64, std::min(n - b * 64, int64_t{64}), rows);
    Packing job{compute, source, rows, n, k, k, 1, *packed, b * 64};
    for (int64_t strip = 0; strip < job.strips(); ++strip) job.part(b * job.strips() + strip);
  });
  sum_columns(*packed);
  return packed;
}

} // namespace wane
