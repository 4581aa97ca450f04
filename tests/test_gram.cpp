// Second moments of tokens: the bits of the library's products of whole runs of tokens, summed in order,
// whatever pieces the tokens come in and however many threads there are.
#include "runtime/gram.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "runtime/calls.h"
#include "runtime/cpu/pool.h"
#include "runtime/error.h"
#include "tests/kernel_checks.h"
#include "tests/settings.h"

using namespace wane;

namespace {

// Values of several magnitudes, some zero, as activations have them.
Tensor tokens_of(int64_t count, int64_t channels, DType dtype, unsigned seed) {
  auto values = drawn(size_t(count * channels), seed);
  for (size_t i = 0; i < values.size(); i++) values[i] *= i % 7 ? 1.0f : i % 3 ? 100.0f : 0.0f;
  Tensor x = empty({count, channels}, DType::f32, "tokens");
  std::copy(values.begin(), values.end(), x.data<float>());
  return cast(x, dtype).dense();
}

// The mean of y x^T: products of runs of kGramTokens, their sums added in order.
std::vector<float> expected(const Tensor& y, const Tensor& x) {
  const int64_t rows = y.shape()[1], columns = x.shape()[1], tokens = x.shape()[0];
  std::vector<float> sum(size_t(rows * columns));
  for (int64_t first = 0; first < tokens; first += kGramTokens) {
    const int64_t count = std::min(kGramTokens, tokens - first);
    auto turned = [&](const Tensor& t) { return transpose(slice(t, 0, first, count), 0, 1).dense(); };
    const Tensor part = linear(turned(y), turned(x), {}, DType::f32).dense();
    for (size_t i = 0; i < sum.size(); i++) sum[i] += part.data<float>()[i];
  }
  for (auto& each : sum) each /= float(tokens);
  return sum;
}

bool same(const Tensor& x, const std::vector<float>& y) {
  return size_t(x.count()) == y.size() && std::memcmp(x.data<float>(), y.data(), y.size() * 4) == 0;
}

struct Moments {
  Tensor square, cross;
};
Moments gathered(const Tensor& x, const Tensor& y, unsigned seed) {
  std::minstd_rand random{seed};
  Gram gram(true, true);
  for (int64_t first = 0, tokens = x.shape()[0]; first < tokens;) {
    const int64_t count = std::min<int64_t>(tokens - first, 1 + int64_t(random() % 1500));
    gram.add(slice(x, 0, first, count), slice(y, 0, first, count));
    first += count;
  }
  return {gram.square_mean(), gram.cross_mean()};
}

} // namespace

TEST_CASE("gram: the bits of the library's products, for any pieces and threads") {
  Settings restored;
  struct Shape {
    int64_t tokens, channels, others;
  };
  for (auto [tokens, channels, others] :
       {Shape{1, 1, 3}, {37, 17, 33}, {1000, 100, 100}, {4096, 64, 16}, {5003, 257, 210}, {9000, 416, 400}})
    for (DType dtype : {DType::bf16, DType::f32}) {
      CAPTURE(tokens);
      CAPTURE(channels);
      CAPTURE(name_of(dtype));
      const Tensor x = tokens_of(tokens, channels, dtype, 1), y = tokens_of(tokens, others, dtype, 2);
      const auto square = expected(x, x), cross = expected(y, x);
      for (int n : {1, 2, 3}) {
        set_thread_count(n);
        const Moments found = gathered(x, y, unsigned(n));
        CHECK(same(found.square, square));
        CHECK(same(found.cross, cross));
      }
      Gram alone(true, false), only_cross(false, true);
      alone.add(x, {});
      only_cross.add(x, y);
      CHECK(same(alone.square_mean(), square));
      CHECK(same(only_cross.cross_mean(), cross));
    }
}

TEST_CASE("gram: what does not go together") {
  auto message = [](auto&& run) {
    try {
      run();
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  Gram gram(true, false);
  CHECK(message([&] { gram.square_mean(); }) == "gram: no tokens were seen");
  gram.add(tokens_of(3, 8, DType::bf16, 1), {});
  CHECK(message([&] { gram.add(tokens_of(3, 9, DType::bf16, 1), {}); })
        == "gram: [3 x 9] bf16 after tokens of 8 channels");
}
