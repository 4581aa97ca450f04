#include "runtime/gram.h"

#include <algorithm>
#include <cstring>
#include <emmintrin.h>
#include <utility>

#include "runtime/calls.h"
#include "runtime/cpu/gram_tiles.h"
#include "runtime/cpu/isa.h"
#include "runtime/cpu/pool.h"
#include "runtime/profile.h"

namespace wane {
namespace {

constexpr int64_t kStrip = 256; // columns of a product: what is above the diagonal there is computed in vain

// Eight rows of eight 16-bit words at x become eight columns at out. SSE2 is part of every x86-64.
void transpose_block(const uint16_t* x, int64_t x_stride, uint16_t* out, int64_t out_stride) {
  __m128i a[8], b[8];
  for (int i = 0; i < 8; i++) a[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + i * x_stride));
  for (int i = 0; i < 4; i++) { // words of rows 2i and 2i + 1 in turn
    b[2 * i] = _mm_unpacklo_epi16(a[2 * i], a[2 * i + 1]);
    b[2 * i + 1] = _mm_unpackhi_epi16(a[2 * i], a[2 * i + 1]);
  }
  for (int i = 0; i < 2; i++) // pairs of rows 4i, 4i + 2: columns 0 1, 2 3, 4 5, 6 7
    for (int h = 0; h < 2; h++) {
      a[4 * i + 2 * h] = _mm_unpacklo_epi32(b[4 * i + h], b[4 * i + 2 + h]);
      a[4 * i + 2 * h + 1] = _mm_unpackhi_epi32(b[4 * i + h], b[4 * i + 2 + h]);
    }
  for (int c = 0; c < 4; c++) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + 2 * c * out_stride),
                     _mm_unpacklo_epi64(a[c], a[4 + c]));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + (2 * c + 1) * out_stride),
                     _mm_unpackhi_epi64(a[c], a[4 + c]));
  }
}
void transpose_block(const float* x, int64_t x_stride, float* out, int64_t out_stride) {
  for (int c = 0; c < 8; c++)
    for (int t = 0; t < 8; t++) out[c * out_stride + t] = x[t * x_stride + c];
}

// out [channels, tokens] (rows `stride` apart) from rows [tokens, channels]. A square goes through a buffer
// of its own: rows of the result often lie a power of two apart, in the same few places of a cache.
template <class E> void transpose_into(const E* x, int64_t tokens, int64_t channels, E* out, int64_t stride) {
  constexpr int64_t kBlock = 8, kChannels = 32, kTokens = 64;
  parallel_parts((channels + kChannels - 1) / kChannels, [&](int64_t part, int) {
    const int64_t first = part * kChannels, width = std::min(channels - first, kChannels);
    alignas(64) E square[kChannels * kTokens];
    for (int64_t t = 0; t < tokens; t += kTokens) {
      const int64_t deep = std::min(tokens - t, kTokens);
      const E* from = x + t * channels + first;
      for (int64_t c = 0; c < width; c += kBlock)
        for (int64_t i = 0; i < deep; i += kBlock) {
          if (i + kBlock <= deep && c + kBlock <= width) {
            transpose_block(from + i * channels + c, channels, square + c * kTokens + i, kTokens);
            continue;
          }
          for (int64_t u = c; u < std::min(width, c + kBlock); u++)
            for (int64_t v = i; v < std::min(deep, i + kBlock); v++)
              square[u * kTokens + v] = from[v * channels + u];
        }
      for (int64_t c = 0; c < width; c++)
        std::memcpy(out + (first + c) * stride + t, square + c * kTokens, size_t(deep) * sizeof(E));
    }
  });
}

// The first `count` tokens of the pieces, transposed: [channels, count].
Tensor gathered(std::span<const Tensor> pieces, int64_t count) {
  const DType dtype = pieces[0].dtype();
  const int64_t channels = pieces[0].shape()[1];
  Tensor out = empty({channels, count}, dtype, "gram");
  int64_t at = 0;
  for (auto& piece : pieces) {
    const int64_t tokens = std::min(count - at, piece.shape()[0]);
    if (dtype == DType::f32)
      transpose_into(piece.data<float>(), tokens, channels, out.data<float>() + at, count);
    else
      transpose_into(piece.data<uint16_t>(), tokens, channels, out.data<uint16_t>() + at, count);
    at += tokens;
    if (at == count) break;
  }
  return out;
}

void add_rows(const float* from, int64_t rows, int64_t width, float* to, int64_t stride) {
  constexpr int64_t kRows = 64;
  parallel_parts((rows + kRows - 1) / kRows, [&](int64_t part, int) {
    for (int64_t r = part * kRows; r < std::min(rows, (part + 1) * kRows); r++)
      for (int64_t c = 0; c < width; c++) to[r * stride + c] += from[r * width + c];
  });
}

// The first `count` tokens of the pieces as rows.
std::vector<const uint16_t*> rows_of(std::span<const Tensor> pieces, int64_t count) {
  std::vector<const uint16_t*> rows;
  for (auto& piece : pieces)
    for (int64_t t = 0; t < piece.shape()[0] && int64_t(rows.size()) < count; t++)
      rows.push_back(piece.data<uint16_t>() + t * piece.shape()[1]);
  return rows;
}

// The lower triangle of sums as means, and its mirror image. A block of one is read while the other is
// written.
void mirror_means(float* sum, int64_t n, float tokens) {
  constexpr int64_t kBlock = 64;
  parallel_parts((n + kBlock - 1) / kBlock, [&](int64_t part, int) {
    const int64_t r0 = part * kBlock, r1 = std::min(n, r0 + kBlock);
    for (int64_t c0 = 0; c0 <= r0; c0 += kBlock)
      for (int64_t r = r0; r < r1; r++)
        for (int64_t c = c0; c < std::min(r + 1, c0 + kBlock); c++)
          sum[c * n + r] = sum[r * n + c] = sum[r * n + c] / tokens;
  });
}

Tensor checked(const Tensor& x) {
  if (x.rank() != 2 || (x.dtype() != DType::bf16 && x.dtype() != DType::f32))
    throw error("gram: {} {}, expected [tokens x channels] in bf16 or f32", to_string(x.shape()),
                name_of(x.dtype()))
        .note("tensor", describe(x));
  return x.dense();
}

} // namespace

void Gram::add(const Tensor& x_in, const Tensor& y_in) {
  Piece piece{checked(x_in), cross_ ? checked(y_in) : Tensor()};
  const int64_t columns = piece.x.shape()[1], rows = cross_ ? piece.y.shape()[1] : columns;
  if (tokens_ == 0) {
    rows_ = rows, columns_ = columns;
    auto zeros = [&](int64_t height, const char* name) {
      Tensor out = empty({height, columns}, DType::f32, name);
      std::memset(out.bytes(), 0, size_t(out.count()) * sizeof(float));
      return out;
    };
    if (square_) square_sum_ = zeros(columns, "hessian");
    if (cross_) cross_sum_ = zeros(rows, "cross");
  }
  const bool same_dtype = waiting_.empty() || waiting_[0].x.dtype() == piece.x.dtype();
  const bool fits =
      !cross_ || (piece.y.shape()[0] == piece.x.shape()[0] && piece.y.dtype() == piece.x.dtype());
  if (rows != rows_ || columns != columns_ || !same_dtype || !fits)
    throw error("gram: {} {} after tokens of {} channels", to_string(piece.x.shape()),
                name_of(piece.x.dtype()), columns_)
        .note("tensor", describe(x_in));
  tokens_ += piece.x.shape()[0], waiting_tokens_ += piece.x.shape()[0];
  waiting_.push_back(std::move(piece));
  while (waiting_tokens_ >= kGramTokens) run(kGramTokens);
}

void Gram::run(int64_t count) {
  WorkSpan span("gram");
  span.bytes(2.0 * double(count) * double(columns_ + (cross_ ? rows_ : 0)));
  span.product(double(count) * double(columns_) * (square_ ? double(columns_) : 0.0)
               + 2.0 * double(count) * double(columns_) * (cross_ ? double(rows_) : 0.0));
  std::vector<Tensor> xs, ys;
  for (auto& piece : waiting_) xs.push_back(piece.x), ys.push_back(piece.y);
  if (xs[0].dtype() == DType::bf16 && cpu_features().amx)
    run_tiles(xs, ys, count);
  else
    run_strips(xs, ys, count);
  for (int64_t left = count; left > 0;) { // the tokens that are done go
    Piece& first = waiting_.front();
    const int64_t tokens = first.x.shape()[0], gone = std::min(left, tokens);
    if (gone == tokens) {
      waiting_.erase(waiting_.begin());
    } else {
      first.x = slice(first.x, 0, gone, tokens - gone).dense();
      if (cross_) first.y = slice(first.y, 0, gone, tokens - gone).dense();
    }
    left -= gone;
  }
  waiting_tokens_ -= count;
}

void Gram::run_tiles(std::span<const Tensor> xs, std::span<const Tensor> ys, int64_t count) {
  const cpu::GramPanels right(columns_, count);
  const cpu::GramPanels left = square_ ? cpu::GramPanels(columns_, count) : cpu::GramPanels();
  const cpu::GramPanels other = cross_ ? cpu::GramPanels(rows_, count) : cpu::GramPanels();
  cpu::gram_pack(rows_of(xs, count), columns_, left, right);
  std::vector<cpu::GramProduct> products;
  if (cross_) {
    cpu::gram_pack(rows_of(ys, count), rows_, other, {});
    products.push_back({other, right, cross_sum_.data<float>(), rows_, columns_, false});
  }
  if (square_) products.push_back({left, right, square_sum_.data<float>(), columns_, columns_, true});
  cpu::gram_add(products);
}

void Gram::run_strips(std::span<const Tensor> xs, std::span<const Tensor> ys, int64_t count) {
  const Tensor x = gathered(xs, count), y = cross_ ? gathered(ys, count) : Tensor();
  for (int64_t c0 = 0; c0 < columns_; c0 += kStrip) {
    const int64_t width = std::min(kStrip, columns_ - c0);
    const Tensor strip = slice(x, 0, c0, width); // packed once for both products
    auto add = [&](const Tensor& left, int64_t r0, float* sum) {
      const int64_t rows = left.shape()[0] - r0;
      const Tensor part = linear(slice(left, 0, r0, rows), strip, {}, DType::f32).dense();
      add_rows(part.data<float>(), rows, width, sum + r0 * columns_ + c0, columns_);
    };
    if (square_) add(x, c0, square_sum_.data<float>());
    if (cross_) add(y, 0, cross_sum_.data<float>());
  }
}

Tensor Gram::taken(Tensor& sum, const char* what) {
  if (tokens_ == 0) throw error("gram: no tokens were seen");
  if (!sum) throw error(Fault::internal, "gram: no {} sums, or they were taken before", what);
  if (waiting_tokens_ > 0) run(waiting_tokens_);
  return std::exchange(sum, Tensor());
}

Tensor Gram::square_mean() {
  Tensor out = taken(square_sum_, "square");
  mirror_means(out.data<float>(), columns_, float(tokens_));
  return out;
}

Tensor Gram::cross_mean() {
  Tensor out = taken(cross_sum_, "cross");
  float* to = out.data<float>();
  const auto tokens = float(tokens_);
  parallel_parts(rows_, [&](int64_t r, int) {
    for (int64_t c = r * columns_; c < (r + 1) * columns_; c++) to[c] /= tokens;
  });
  return out;
}

} // namespace wane
