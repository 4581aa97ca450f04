// Reductions and running sums over any dim, against long double and against the tree that program.h states.
#include "runtime/cpu/fold_kernels.h"
#include "runtime/cpu/kernels.h"
#include "runtime/cpu/map_kernels.h"
#include "runtime/error.h"
#include "tests/kernel_checks.h"

#include <algorithm>

using namespace wane;
using namespace wane::cpu;

namespace wane {
#define WANE_LEVEL(level)                                                                                    \
  namespace level {                                                                                          \
  const cpu::FoldTable& fold_kernels();                                                                      \
  const cpu::MapKernels& map_kernels();                                                                      \
  }
WANE_LEVEL(isa_v2)
WANE_LEVEL(isa_v3)
WANE_LEVEL(isa_v4)
#undef WANE_LEVEL
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
const Size kSizes[] = {{1, 1, 1},   {1, 1000, 1},   {3, 17, 1},      {2, 256, 5},  {1, 257, 300},
                       {4, 40, 16}, {1, 70000, 1},  {1, 1100, 4099}, {2, 9000, 3}, {1, 513, 777},
                       {100, 3, 2}, {1, 300000, 1}, {5, 1, 7}};

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

namespace {

// A reduction in one element at a time.
template <class T> T first_value(Reduction how) {
  using Limits = std::numeric_limits<T>;
  const bool whole = Limits::is_integer;
  if (how == Reduction::min) return whole ? Limits::max() : Limits::infinity();
  if (how == Reduction::max) return whole ? Limits::lowest() : -Limits::infinity();
  return T(how == Reduction::prod || how == Reduction::all);
}
template <class T> T joined(Reduction how, T a, T b) {
  const bool nan = b != b;
  switch (how) {
  case Reduction::sum:
  case Reduction::sumsq: return a + b;
  case Reduction::prod: return a * b;
  case Reduction::min:
  case Reduction::all: return nan || b < a ? b : a;
  default: return nan || b > a ? b : a;
  }
}
template <class T> T taken(Reduction how, T x) {
  if (how == Reduction::sumsq) return x * x;
  if (how == Reduction::absmax) return std::abs(x);
  return how == Reduction::any || how == Reduction::all ? T(x != 0) : x;
}

// The stated tree of x[0], x[stride] ...; `total` is what came before.
template <class T> T tree_of(Reduction how, const T* x, int64_t n, int64_t stride, T total) {
  for (int64_t block = 0; block < n; block += 256) {
    std::vector<T> lanes(16, first_value<T>(how));
    for (int64_t i = block; i < std::min(n, block + 256); i++)
      lanes[size_t(i % 16)] = joined(how, lanes[size_t(i % 16)], taken(how, x[i * stride]));
    for (size_t half = 8; half; half /= 2)
      for (size_t l = 0; l < half; l++) lanes[l] = joined(how, lanes[l], lanes[l + half]);
    total = joined(how, total, lanes[0]);
  }
  return total;
}

// Equal bits; any NaN is any other.
template <class T> bool alike(T a, T b) { return (a != a && b != b) || std::memcmp(&a, &b, sizeof a) == 0; }

// Numbers with NaN, infinities and zeros of both signs in some places, whole ones small.
template <class T> std::vector<T> with_specials(size_t n, unsigned seed) {
  const double special[] = {0, -0.0, NAN, INFINITY, -INFINITY};
  std::mt19937 rng(seed);
  std::vector<T> x;
  for (float v : drawn(n, seed))
    if constexpr (std::numeric_limits<T>::is_integer)
      x.push_back(T(v * 3));
    else // zeros often, the others seldom: most sums are numbers
      x.push_back(rng() % 4 == 0     ? T(special[rng() % 2])
                  : rng() % 400 == 0 ? T(special[2 + rng() % 3])
                                     : T(v));
  return x;
}

const Reduction kFolds[] = {Reduction::sum,   Reduction::min,  Reduction::max, Reduction::absmax,
                            Reduction::sumsq, Reduction::prod, Reduction::any, Reduction::all};

template <class T> void check_row_kernels(const MapKernels& k) {
  for (int64_t rows : {1, 2, 3, 4, 5, 8, 33})
    for (int64_t n : {0, 1, 5, 15, 16, 17, 31, 32, 40, 64, 100, 128, 255, 256, 257, 300, 530}) {
      const auto x = with_specials<T>(size_t(rows * n), unsigned(rows * 1000 + n));
      for (Reduction how : {kFolds[0], kFolds[1], kFolds[2], kFolds[3], kFolds[4]}) {
        std::vector<T> totals(static_cast<size_t>(rows));
        k.reduce_rows[int(how)][sizeof(T) == 8](x.data(), rows, n, totals.data());
        T one = T(3);
        k.reduce[int(how)][sizeof(T) == 8](x.data(), rows * n, &one, false);
        bool same = alike(one, tree_of(how, x.data(), rows * n, 1, T(3)));
        for (int64_t r = 0; r < rows; r++)
          same &= alike(totals[size_t(r)], tree_of(how, x.data() + r * n, n, 1, first_value<T>(how)));
        CAPTURE(rows);
        CAPTURE(n);
        CAPTURE(name_of(how));
        CHECK(same);
      }
    }
}

template <class T> void check_column_kernels(const FoldTable& table) {
  for (int64_t width : {1, 3, 8, 15, 16, 17, 37, 64, 130, 300})
    for (int64_t count : {1, 15, 16, 17, 63, 64, 65, 100, 256}) {
      const int64_t stride = width + count % 3;
      const auto x = with_specials<T>(size_t(stride * count), unsigned(width * 1000 + count));
      for (Reduction how : kFolds) {
        const auto& k = table.of<T>(how);
        std::vector<T> lanes(size_t(16 * width)), total(static_cast<size_t>(width), T(2));
        k.start(lanes.data(), 16 * width);
        k.rows(x.data(), count, width, stride, lanes.data());
        k.finish(lanes.data(), width, total.data());
        bool same = true;
        for (int64_t c = 0; c < width; c++)
          same &= alike(total[size_t(c)], tree_of(how, x.data() + c, count, stride, T(2)));
        T block = T(2);
        k.block(x.data(), std::min<int64_t>(256, count * stride), &block);
        same &= alike(block, tree_of(how, x.data(), std::min<int64_t>(256, count * stride), 1, T(2)));
        CAPTURE(width);
        CAPTURE(count);
        CAPTURE(name_of(how));
        CHECK(same);
      }
    }
}

void check_level(const MapKernels& maps, const FoldTable& folds) {
  check_row_kernels<float>(maps);
  check_row_kernels<double>(maps);
  check_column_kernels<float>(folds);
  check_column_kernels<double>(folds);
  check_column_kernels<int64_t>(folds);
}

} // namespace

TEST_CASE("reductions of rows and columns follow the stated tree at every x86-64 level") {
  check_level(isa_v2::map_kernels(), isa_v2::fold_kernels());
  if (isa_level() >= IsaLevel::v3) check_level(isa_v3::map_kernels(), isa_v3::fold_kernels());
  if (isa_level() >= IsaLevel::v4) check_level(isa_v4::map_kernels(), isa_v4::fold_kernels());
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
