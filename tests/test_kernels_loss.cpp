// Losses, KL and draws on rows of logits, and the calls that only move elements.
#include "runtime/cpu/kernels.h"
#include "runtime/cpu/row_kernels.h"
#include "runtime/error.h"
#include "tests/kernel_checks.h"

#include <algorithm>
#include <numeric>

using namespace wane;
using namespace wane::cpu;

namespace wane {
namespace isa_v2 {
const cpu::RowKernels& row_kernels();
}
namespace isa_v3 {
const cpu::RowKernels& row_kernels();
}
namespace isa_v4 {
const cpu::RowKernels& row_kernels();
}
} // namespace wane

namespace {

long double log_softmax(const float* x, int64_t n, int64_t i) {
  long double most = *std::max_element(x, x + n), sum = 0;
  for (int64_t j = 0; j < n; j++) sum += std::exp((long double)(x[j]) - most);
  return (long double)(x[i]) - most - std::log(sum);
}

} // namespace

TEST_CASE("losses and KL equal the long double ones within 1e-13") {
  for (int64_t vocab : {1, 2, 15, 16, 17, 1000, 4999}) {
    const int64_t rows = 7, stride = vocab + 3;
    auto x = drawn(size_t(rows * stride), 1, 3), b = drawn(size_t(rows * stride), 2, 3);
    for (size_t i = 0; i < b.size(); i++) b[i] = x[i] + 0.1f * b[i];
    std::vector<int32_t> targets;
    for (int64_t r = 0; r < rows; r++) targets.push_back(r == 3 ? -1 : int32_t(r * 37 % vocab));
    std::vector<double> nll(rows);
    std::vector<KlRow> kl(rows);
    nll_rows(x.data(), rows, vocab, stride, targets.data(), nll.data());
    kl_rows(x.data(), b.data(), rows, vocab, stride, targets.data(), kl.data());
    for (int64_t r = 0; r < rows; r++) {
      const float *p = &x[size_t(r * stride)], *q = &b[size_t(r * stride)];
      long double exact = 0;
      for (int64_t i = 0; i < vocab; i++) {
        long double l = log_softmax(q, vocab, i);
        exact += std::exp(l) * (l - log_softmax(p, vocab, i));
        if (vocab > 1000 && i > 300) break;
      }
      if (vocab <= 1000) CHECK(std::abs(kl[size_t(r)].kl - double(exact)) < 1e-13);
      CHECK(kl[size_t(r)].kl > -1e-15);
      const double loss = targets[size_t(r)] < 0 ? 0 : -double(log_softmax(p, vocab, targets[size_t(r)]));
      CHECK(std::abs(nll[size_t(r)] - loss) < 1e-13);
      CHECK(kl[size_t(r)].nll == doctest::Approx(loss).epsilon(1e-12));
      if (targets[size_t(r)] >= 0)
        CHECK(std::abs(kl[size_t(r)].nll_base + double(log_softmax(q, vocab, targets[size_t(r)]))) < 1e-13);
      CHECK(kl[size_t(r)].top1 == std::max_element(p, p + vocab) - p);
      CHECK(kl[size_t(r)].top1_base == std::max_element(q, q + vocab) - q);
    }
    kl_rows(x.data(), x.data(), rows, vocab, stride, nullptr, kl.data());
    for (const KlRow& k : kl) CHECK((k.kl == 0 && k.nll == 0));
    check_threads([&] {
      nll_rows(x.data(), rows, vocab, stride, targets.data(), nll.data());
      return nll;
    });
  }
  float one[3] = {1, 1, 0};
  int32_t outside = 3;
  double nll;
  CHECK_THROWS_WITH_AS(nll_rows(one, 1, 3, 3, &outside, &nll),
                       "cross_entropy: target 3 of row 1 is outside the vocabulary of 3", Error);
  nll_rows(one, 0, 3, 3, nullptr, nullptr);
}

TEST_CASE("logits with infinities and NaN") {
  const float inf = INFINITY;
  float base[4] = {0, -inf, 1, -inf}, other[4] = {0, 5, 1, -inf}, broken[4] = {0, NAN, 1, 2};
  int32_t target = 1;
  KlRow row;
  kl_rows(other, base, 1, 4, 4, &target, &row);
  const double kl = std::log((std::exp(5) + 1 + std::exp(1)) / (1 + std::exp(1)));
  CHECK(row.kl == doctest::Approx(kl).epsilon(1e-12)); // what the base rules out adds nothing
  CHECK(row.nll_base == inf);
  kl_rows(base, other, 1, 4, 4, &target, &row);
  CHECK(row.kl == inf); // what only the other model rules out costs everything
  kl_rows(broken, base, 1, 4, 4, &target, &row);
  CHECK(std::isnan(row.kl));
  CHECK(row.top1 == 1);
  CHECK_THROWS_WITH_AS(sample_row(broken, 4, 1, 0, 1, 0.5), "sample: the logit of token 1 is NaN", Error);
  float none[2] = {-inf, -inf};
  CHECK_THROWS_WITH_AS(sample_row(none, 2, 1, 0, 1, 0.5), "sample: the largest logit is -inf", Error);
}

TEST_CASE("row kernels give the same bits at every x86-64 level") {
  const auto x = drawn(1003, 1, 4), b = drawn(1003, 2, 4);
  auto run = [&](const RowKernels& k) {
    std::vector<double> out(4);
    k.kl_sums(x.data(), b.data(), 1003, k.largest(x.data(), 1003), k.largest(b.data(), 1003), out.data());
    out[3] = k.exp_sum(x.data(), 1003, 7.5f);
    return out;
  };
  const auto v2 = run(isa_v2::row_kernels());
  if (isa_level() >= IsaLevel::v3) CHECK(same_bytes(v2, run(isa_v3::row_kernels())));
  if (isa_level() >= IsaLevel::v4) CHECK(same_bytes(v2, run(isa_v4::row_kernels())));
}

TEST_CASE("sampling draws from the candidates in their proportions") {
  const int64_t vocab = 700;
  auto x = drawn(size_t(vocab), 5, 2);
  x[13] = x[200] = *std::max_element(x.begin(), x.end()) + 1; // two equals
  CHECK(sample_row(x.data(), vocab, 0, 0, 1, 0.9) == 13);
  CHECK(sample_row(x.data(), vocab, 1, 1, 1, 0.9) == 13);

  struct Setting {
    float temperature;
    int64_t top_k;
    double top_p;
  };
  for (Setting s : {Setting{1, 0, 1},
                    {0.7f, 0, 1},
                    {1, 5, 1},
                    {1, 0, 0.5},
                    {2, 100, 0.9},
                    {1, 10000, 1},
                    {1, 3, 0.999}}) {
    std::vector<int32_t> order(vocab);
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return x[size_t(a)] > x[size_t(b)]; });
    if (s.top_k && s.top_k < vocab) order.resize(size_t(s.top_k));
    std::vector<double> p(vocab, 0.0);
    double total = 0, sum = 0;
    for (int32_t i : order) total += std::exp(double(x[size_t(i)]) / s.temperature);
    for (int32_t i : order) {
      if (sum >= s.top_p * total * (1 - 1e-14)) break;
      sum += p[size_t(i)] = std::exp(double(x[size_t(i)]) / s.temperature);
    }
    double walked = 0;
    for (int64_t i = 0; i < vocab; i++) {
      if (p[size_t(i)] == 0) continue;
      const double middle = (walked + p[size_t(i)] / 2) / sum;
      CHECK(sample_row(x.data(), vocab, s.temperature, s.top_k, s.top_p, middle) == i);
      walked += p[size_t(i)];
    }
  }
  CHECK_THROWS_WITH_AS(sample_row(x.data(), vocab, -1, 0, 1, 0), "sample: temperature is 0 or more, not -1",
                       Error);
  CHECK_THROWS_WITH_AS(sample_row(x.data(), vocab, 1, -1, 1, 0), "sample: top_k is 0 (all) or more, not -1",
                       Error);
  CHECK_THROWS_WITH_AS(sample_row(x.data(), vocab, 1, 0, 0, 0),
                       "sample: top_p is above 0 and at most 1, not 0", Error);
  CHECK_THROWS_WITH_AS(sample_row(x.data(), 0, 1, 0, 1, 0), "sample: the vocabulary is empty", Error);
}

TEST_CASE("embedding and gather pick rows") {
  const auto table = drawn(50 * 7, 9);
  const std::vector<int32_t> ids{0, 49, 3, 3, 21};
  std::vector<float> out(ids.size() * 7);
  embedding(DType::f32, table.data(), 50, 7, ids.data(), 5, out.data());
  for (size_t i = 0; i < ids.size(); i++)
    for (size_t j = 0; j < 7; j++) CHECK(out[i * 7 + j] == table[size_t(ids[i]) * 7 + j]);
  const int32_t wrong[2] = {4, 50};
  CHECK_THROWS_WITH_AS(embedding(DType::f32, table.data(), 50, 7, wrong, 2, out.data()),
                       "embedding: token 50 at position 2 is outside the table of 50 rows", Error);
  embedding(DType::f32, nullptr, 0, 7, nullptr, 0, nullptr);

  std::vector<uint8_t> bytes(3 * 4 * 5);
  std::iota(bytes.begin(), bytes.end(), uint8_t(0));
  const int64_t positions[3] = {3, 0, 3};
  std::vector<uint8_t> picked(3 * 3 * 5);
  gather(1, bytes.data(), picked.data(), 3, 4, 5, positions, 3);
  for (size_t o = 0; o < 3; o++)
    for (size_t i = 0; i < 3; i++)
      for (size_t j = 0; j < 5; j++)
        CHECK(picked[(o * 3 + i) * 5 + j] == bytes[(o * 4 + size_t(positions[i])) * 5 + j]);
}

TEST_CASE("strided copies equal an index by index copy, and their inverse undoes them") {
  std::mt19937 draw(3);
  auto check = [&](auto zero, std::vector<int64_t> shape, std::vector<int> order, std::vector<bool> flipped) {
    using T = decltype(zero);
    const int rank = int(shape.size());
    int64_t count = 1;
    std::vector<int64_t> strides(shape.size());
    for (int i = rank - 1; i >= 0; i--) { // order[i]: which dim lies i-th from the outside in memory
      strides[size_t(order[size_t(i)])] = count;
      count *= shape[size_t(order[size_t(i)])];
    }
    std::vector<T> memory(static_cast<size_t>(count)), dense(memory.size()), back(memory.size());
    for (T& v : memory) v = T(draw());
    const T* base = memory.data();
    T* target = back.data();
    for (int i = 0; i < rank; i++)
      if (flipped[size_t(i)]) {
        base += (shape[size_t(i)] - 1) * strides[size_t(i)];
        target += (shape[size_t(i)] - 1) * strides[size_t(i)];
        strides[size_t(i)] = -strides[size_t(i)];
      }
    copy_strided(sizeof(T), base, strides.data(), shape.data(), rank, dense.data());
    bool equal = true;
    for (int64_t i = 0; i < count; i++) {
      int64_t rest = i, at = 0;
      for (int k = rank - 1; k >= 0; k--) {
        at += rest % shape[size_t(k)] * strides[size_t(k)];
        rest /= shape[size_t(k)];
      }
      equal &= dense[size_t(i)] == base[at];
    }
    CHECK(equal);
    copy_into_strided(sizeof(T), dense.data(), strides.data(), shape.data(), rank, target);
    CHECK(back == memory);
  };
  check(uint8_t(0), {}, {}, {});
  check(uint16_t(0), {5}, {0}, {true});
  check(uint32_t(0), {700, 300}, {1, 0}, {false, false});
  check(uint16_t(0), {700, 301}, {1, 0}, {true, false});
  check(uint64_t(0), {3, 65, 130}, {2, 0, 1}, {false, false, true});
  check(uint8_t(0), {4, 1, 33, 70}, {1, 0, 3, 2}, {false, false, false, false});
  check(uint32_t(0), {2, 3, 4, 5, 6}, {4, 2, 0, 1, 3}, {true, false, true, false, true});
  check(uint32_t(0), {40, 3, 500}, {1, 0, 2}, {false, false, false});
  check(uint32_t(0), {300000}, {0}, {false});

  // Stride 0 repeats.
  const std::vector<float> row{1, 2, 3};
  const int64_t shape[2] = {2, 3}, strides[2] = {0, 1}, across[2] = {1, 0}, none[2] = {0, 3};
  std::vector<float> out(6);
  copy_strided(4, row.data(), strides, shape, 2, out.data());
  CHECK(out == std::vector<float>{1, 2, 3, 1, 2, 3});
  copy_strided(4, row.data(), across, shape, 2, out.data());
  CHECK(out == std::vector<float>{1, 1, 1, 2, 2, 2});
  copy_strided(4, nullptr, strides, none, 2, nullptr);
}
