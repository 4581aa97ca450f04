// Second moments of a stream of rows: sums of x x^T (one triangle) or y x^T over tokens, in f32. Tokens are
// taken in runs of kGramTokens by their number, whatever pieces they come in, so the bits do not depend on
// the batches.
#pragma once

#include <span>
#include <vector>

#include "runtime/tensor.h"

namespace wane {

inline constexpr int64_t kGramTokens = 4096; // of one product: its K

class Gram {
public:
  // The sum of x x^T (`square`), of y x^T (`cross`), or both from one reading of x.
  Gram(bool square, bool cross) : square_(square), cross_(cross) {}
  // x [tokens, channels], bf16 or f32; y [tokens, channels] likewise where the cross sum is wanted, else
  // empty. Errors: other shapes or dtypes than before.
  void add(const Tensor& x, const Tensor& y);
  // The sums over all tokens divided by their number, f32 [channels, channels of x]. Each once, after the
  // last add: the sums themselves become the result.
  Tensor square_mean();
  Tensor cross_mean();
  int64_t tokens() const { return tokens_; }

private:
  struct Piece {
    Tensor x, y;
  };
  void run(int64_t count); // the product of the first `count` waiting tokens, by one of two ways, same bits:
  void run_tiles(std::span<const Tensor> xs, std::span<const Tensor> ys, int64_t count);
  void run_strips(std::span<const Tensor> xs, std::span<const Tensor> ys, int64_t count);
  Tensor taken(Tensor& sum, const char* what);

  const bool square_, cross_;
  std::vector<Piece> waiting_;
  int64_t waiting_tokens_ = 0, tokens_ = 0;
  Tensor square_sum_, cross_sum_;  // [rows, columns]; of x x^T only the lower triangle
  int64_t rows_ = 0, columns_ = 0; // channels of y and of x
};

} // namespace wane
