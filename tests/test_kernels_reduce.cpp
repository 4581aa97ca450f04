// Reductions and running sums over any dim, against long double and against the tree that program.h states.
#include "runtime/cpu/fold_kernels.h"
#include "runtime/cpu/kernels.h"
#include "runtime/error.h"
#include "tests/kernel_checks.h"

#include <algorithm>

using namespace wane;
using namespace wane::cpu;

namespace wane {
namespace isa_v2 {
const cpu::FoldTable& fold_kernels();
}
namespace isa_v3 {
const cpu::FoldTable& fold_kernels();
}
namespace isa_v4 {
const cpu::FoldTable& fold_kernels();
}
} // namespace wane

namespace {

// The stated tree for one column.
template <class T> T tree_sum(const std::vector<T>& x) {
  T total = 0;
  for (size_t block = 0; block < x.size(); block += 256) {
    T lanes[16] = {};
    for (size_t i = block; i < std::min(x.size(), block + 256); i++) lanes[i % 16] += x[i];
    for (int half = 8; half; half /= 2)
      for (int l = 0; l < half; l++) lanes[l] += lanes[l + half];
    total += lanes[0];
  }
  return total;
}

struct Size {
  int64_t outer, n, inner;
};
const Size kSizes[] = {{1, 1, 1},     {1, 1000, 1}, {3, 17, 1},    {2, 256, 5}, {1, 257, 300},  {4, 40, 16},
                       {1, 70000, 1}, {2, 9000, 3}, {1, 513, 777}, {100, 3, 2}, {1, 300000, 1}, {5, 1, 7}};

template <class T> std::vector<T> column(const std::vector<T>& x, const Size& s, int64_t o, int64_t c) {
  std::vector<T> out;
  for (int64_t i = 0; i < s.n; i++) out.push_back(x[size_t((o * s.n + i) * s.inner + c)]);
  return out;
}

} // namespace

TEST_CASE("reductions over any dim") {
  for (const Size& s : kSizes) {
    CAPTURE(s.n);
    CAPTURE(s.inner);
    const auto x = drawn(size_t(s.outer * s.n * s.inner), unsigned(s.n), 0.5f);
    const size_t results = size_t(s.outer * s.inner);
    auto run = [&](Reduction how, DType out_dtype, auto zero) {
      std::vector<decltype(zero)> out(results);
      reduce_strided(how, DType::f32, x.data(), out.data(), out_dtype, s.outer, s.n, s.inner);
      return out;
    };
    const auto sum = run(Reduction::sum, DType::f32, 0.0f), squares = run(Reduction::sumsq, DType::f32, 0.0f);
    const auto low = run(Reduction::min, DType::f32, 0.0f), high = run(Reduction::max, DType::f32, 0.0f);
    const auto largest = run(Reduction::absmax, DType::f32, 0.0f);
    const auto high_at = run(Reduction::argmax, DType::i32, int32_t(0));
    const auto low_at = run(Reduction::argmin, DType::i64, int64_t(0));
    bool equal = true, near = true;
    for (int64_t o = 0; o < s.outer; o++)
      for (int64_t c = 0; c < s.inner; c++) {
        const size_t at = size_t(o * s.inner + c);
        const auto v = column(x, s, o, c);
        equal &= sum[at] == tree_sum(v);
        double exact = 0, magnitude = 0;
        for (float e : v) exact += double(e) * e, magnitude = std::max(magnitude, double(std::abs(e)));
        near &= std::abs(squares[at] - exact) <= 2e-6 * exact;
        equal &= low[at] == *std::min_element(v.begin(), v.end())
                 && high[at] == *std::max_element(v.begin(), v.end());
        equal &= double(largest[at]) == magnitude;
        equal &= high_at[at] == std::max_element(v.begin(), v.end()) - v.begin();
        equal &= low_at[at] == std::min_element(v.begin(), v.end()) - v.begin();
      }
    CHECK(equal);
    CHECK(near);
    for (Reduction how : {Reduction::sum, Reduction::sumsq, Reduction::prod, Reduction::argmax})
      check_threads([&] { return run(how, DType::f32, 0.0f); });
  }
}

TEST_CASE("reductions of other types") {
  const int64_t n = 600, inner = 9;
  auto f = drawn(size_t(n * inner), 3);
  const auto half = to_bf16(f);
  std::vector<float> rounded(f.size()), sum(inner), expected(inner);
  for (size_t i = 0; i < f.size(); i++) rounded[i] = wane_from_bf16(half[i]);
  reduce_strided(Reduction::sum, DType::bf16, half.data(), sum.data(), DType::f32, 1, n, inner);
  reduce_strided(Reduction::sum, DType::f32, rounded.data(), expected.data(), DType::f32, 1, n, inner);
  CHECK(same_bytes(sum, expected));

  std::vector<double> wide(f.begin(), f.end()), wide_sum(inner);
  reduce_strided(Reduction::sum, DType::f64, wide.data(), wide_sum.data(), DType::f64, 1, n, inner);
  for (int64_t c = 0; c < inner; c++)
    CHECK(wide_sum[size_t(c)] == tree_sum(column(wide, {1, n, inner}, 0, c)));

  std::vector<int8_t> small;
  for (float v : f) small.push_back(int8_t(v * 40));
  std::vector<int64_t> whole(inner);
  std::vector<int32_t> narrow(inner);
  reduce_strided(Reduction::sum, DType::i8, small.data(), whole.data(), DType::i64, 1, n, inner);
  reduce_strided(Reduction::absmax, DType::i8, small.data(), narrow.data(), DType::i32, 1, n, inner);
  for (int64_t c = 0; c < inner; c++) {
    int64_t total = 0, most = 0;
    for (int8_t v : column(small, {1, n, inner}, 0, c))
      total += v, most = std::max<int64_t>(most, std::abs(v));
    CHECK(whole[size_t(c)] == total);
    CHECK(narrow[size_t(c)] == most);
  }

  const uint8_t flags[] = {1, 0, 0, 1, 1, 0};
  uint8_t any[3], all[3];
  reduce_strided(Reduction::any, DType::boolean, flags, any, DType::boolean, 1, 2, 3);
  reduce_strided(Reduction::all, DType::boolean, flags, all, DType::boolean, 1, 2, 3);
  CHECK((any[0] == 1 && any[1] == 1 && any[2] == 0));
  CHECK((all[0] == 1 && all[1] == 0 && all[2] == 0));
  const int64_t edge[] = {int64_t(1) << 62, int64_t(1) << 62, 3};
  int64_t wrapped;
  reduce_strided(Reduction::sum, DType::i64, edge, &wrapped, DType::i64, 1, 3, 1);
  CHECK(wrapped == std::numeric_limits<int64_t>::min() + 3);
}

TEST_CASE("reductions: NaN shows, equals give the first, nothing gives the neutral element") {
  const float x[] = {1, NAN, 3, NAN, 3, 3};
  float out[2];
  int32_t at[2];
  for (Reduction how : {Reduction::sum, Reduction::prod, Reduction::min, Reduction::max, Reduction::absmax}) {
    reduce_strided(how, DType::f32, x, out, DType::f32, 2, 3, 1);
    CHECK((std::isnan(out[0]) && std::isnan(out[1])));
  }
  reduce_strided(Reduction::argmax, DType::f32, x, at, DType::i32, 2, 3, 1);
  CHECK((at[0] == 1 && at[1] == 0));
  reduce_strided(Reduction::argmin, DType::f32, x, at, DType::i32, 2, 3, 1);
  CHECK((at[0] == 1 && at[1] == 0));
  reduce_strided(Reduction::argmax, DType::f32, x + 4, at, DType::i32, 1, 2, 1);
  CHECK(at[0] == 0);
  reduce_strided(Reduction::sum, DType::f32, nullptr, out, DType::f32, 1, 0, 2);
  CHECK((out[0] == 0 && out[1] == 0));
  reduce_strided(Reduction::prod, DType::f32, nullptr, out, DType::f32, 2, 0, 1);
  CHECK((out[0] == 1 && out[1] == 1));
  reduce_strided(Reduction::sum, DType::f32, nullptr, nullptr, DType::f32, 0, 5, 2);
  CHECK_THROWS_WITH_AS(reduce_strided(Reduction::max, DType::f32, x, out, DType::f32, 1, 0, 1),
                       "max: of no elements", Error);
}

TEST_CASE("fold kernels give the same bits at every x86-64 level") {
  const auto x = drawn(256 * 37, 11);
  auto run = [&](const FoldTable& table) {
    std::vector<float> lanes(16 * 37), total(38);
    const auto& k = table.of<float>(Reduction::sum);
    k.start(lanes.data(), 16 * 37);
    for (int64_t i = 0; i < 256; i += 16) k.rows(x.data() + i * 37, 16, 37, 37, lanes.data());
    k.finish(lanes.data(), 37, total.data());
    k.block(x.data(), 251, &total[37]);
    return total;
  };
  const auto v2 = run(isa_v2::fold_kernels());
  if (isa_level() >= IsaLevel::v3) CHECK(same_bytes(v2, run(isa_v3::fold_kernels())));
  if (isa_level() >= IsaLevel::v4) CHECK(same_bytes(v2, run(isa_v4::fold_kernels())));
}

TEST_CASE("running sums") {
  for (const Size& s : kSizes) {
    const auto x = drawn(size_t(s.outer * s.n * s.inner), unsigned(s.n + 1));
    std::vector<float> out(x.size());
    auto run = [&] {
      cumsum(DType::f32, x.data(), out.data(), DType::f32, s.outer, s.n, s.inner);
      return out;
    };
    check_threads(run);
    bool equal = true;
    for (int64_t o = 0; o < s.outer; o++)
      for (int64_t c = 0; c < s.inner; c++) {
        float total = 0;
        for (int64_t i = 0; i < s.n; i++) {
          const size_t at = size_t((o * s.n + i) * s.inner + c);
          total += x[at];
          equal &= out[at] == total;
        }
      }
    CHECK(equal);
  }
  const int8_t small[] = {100, 100, -7};
  int32_t sums[3];
  cumsum(DType::i8, small, sums, DType::i32, 1, 3, 1);
  CHECK((sums[0] == 100 && sums[1] == 200 && sums[2] == 193));
}
