// Second moments of a stream of rows: sums of x x^T (one triangle) or y x^T over tokens, in f32. Tokens are
// taken in runs of kGramTokens by their number, whatever pieces they come in, so the bits do not depend on
// the batches.
#pragma once

#include <vector>

#include "runtime/tensor.h"

namespace wane {

inline constexpr int64_t kGramTokens = 2048; // of one product: its K, which keeps f32 sums short

class Gram {
public:
  // x [tokens, channels], bf16 or f32; y (may be empty) [tokens, channels] likewise: then the sum is of y^T
  // x. Errors: other shapes or dtypes than before, y now and then.
  void add(const Tensor& x, const Tensor& y = {});
  // The sum over all tokens so far divided by their number, f32 [channels of y or x, channels of x].
  Tensor mean();
  int64_t tokens() const { return tokens_; }

private:
  struct Piece {
    Tensor x, y;
  };
  void run(int64_t count); // the product of the first `count` waiting tokens

  std::vector<Piece> waiting_;
  int64_t waiting_tokens_ = 0, tokens_ = 0;
  BufferPtr sum_; // [rows, columns]; of x^T x only the lower triangle, in strips
  int64_t rows_ = 0, columns_ = 0;
  bool crossed_ = false;
};

} // namespace wane
