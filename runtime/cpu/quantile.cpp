// Quantiles by selection and histograms. A row is narrowed down, so that only the few elements near the rank
// are gathered: by counting what lies below a bound that bisects the keys, a long one by a parallel histogram
// of its keys' leading bits.
#include "runtime/cpu/kernels.h"
#include "runtime/cpu/ordered_keys.h"
#include "runtime/cpu/select_kernels.h"

#include "runtime/cpu/pool.h"
#include "runtime/error.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace wane::cpu {
namespace {

constexpr int64_t kChunk = 4096;      // elements converted at a time
constexpr int64_t kLongRow = 1 << 18; // from here a row is worth the pool
constexpr int64_t kMaxParts = 128;
constexpr int64_t kFew = 64;           // elements that are gathered rather than bisected further
constexpr int64_t kManyBins = 1 << 12; // from more than these on four tables of counts leave a near cache
constexpr int kBinBits = 14;

// Calls body(values, count) for consecutive chunks of [begin, end).
template <class T, class F>
void for_chunks(DType dtype, const void* x, int64_t begin, int64_t end, F&& body) {
  T room[kChunk];
  for (int64_t i = begin; i < end; i += kChunk) {
    const int64_t many = std::min(kChunk, end - i);
    body(read_lanes(dtype, static_cast<const char*>(x) + size_t(i) * size_of(dtype), many, room), many);
  }
}

struct Split { // of n elements into parts that the length alone decides
  int64_t n, step, parts;
  explicit Split(int64_t n) : n(n) {
    step = std::clamp<int64_t>((n + kMaxParts - 1) / kMaxParts, 1 << 16, int64_t(1) << 31);
    parts = (n + step - 1) / step;
  }
  int64_t begin(int64_t part) const { return part * step; }
  int64_t end(int64_t part) const { return std::min(n, (part + 1) * step); }
};

// The keys whose leading bits are those of ranks `low` and `low + 1`, and how many keys lie below them.
template <class T>
std::vector<KeyOf<T>> near_rank(DType dtype, const void* x, int64_t n, int64_t& low, bool& nan) {
  using K = KeyOf<T>;
  constexpr int shift = 8 * sizeof(K) - kBinBits;
  const Split split(n);
  std::vector<std::vector<uint32_t>> counts(size_t(split.parts),
                                            std::vector<uint32_t>(size_t(1) << kBinBits));
  std::vector<char> saw_nan(size_t(split.parts), 0);
  parallel_parts(split.parts, [&](int64_t part, int) {
    auto& count = counts[size_t(part)];
    for_chunks<T>(dtype, x, split.begin(part), split.end(part), [&](const T* v, int64_t many) {
      for (int64_t i = 0; i < many; i++) {
        count[key_of(v[i]) >> shift]++;
        saw_nan[size_t(part)] |= char(v[i] != v[i]);
      }
    });
  });
  nan = std::find(saw_nan.begin(), saw_nan.end(), 1) != saw_nan.end();
  if (nan) return {};
  int64_t below = 0, seen = 0;
  size_t first = 0, last = 0;
  for (size_t bin = 0; bin < counts[0].size(); bin++) {
    int64_t many = 0;
    for (auto& count : counts) many += count[bin];
    if (many == 0) continue;
    if (seen <= low) first = bin, below = seen;
    if (seen <= std::min(low + 1, n - 1)) last = bin;
    seen += many;
  }
  low -= below;
  std::vector<std::vector<K>> found(size_t(split.parts));
  parallel_parts(split.parts, [&](int64_t part, int) {
    for_chunks<T>(dtype, x, split.begin(part), split.end(part), [&](const T* v, int64_t many) {
      for (int64_t i = 0; i < many; i++)
        if (K key = key_of(v[i]); key >> shift >= first && key >> shift <= last)
          found[size_t(part)].push_back(key);
    });
  });
  std::vector<K> keys;
  for (auto& part : found) keys.insert(keys.end(), part.begin(), part.end());
  return keys;
}

double between(double a, double b, double t) {
  if (t == 0 || a == b) return a;
  return t < 0.5 ? a + (b - a) * t : b - (b - a) * (1 - t);
}

// From the keys, which hold rank `low` and, unless t is 0, the next.
template <class T> double pick(KeyOf<T>* keys, int64_t count, int64_t low, double t) {
  auto *at = keys + low, *end = keys + count;
  std::nth_element(keys, at, end);
  const auto a = double(value_of<T>(*at));
  return t == 0 ? a : between(a, double(value_of<T>(*std::min_element(at + 1, end))), t);
}

struct Rank { // of n: this and, a share t of the way on, the next
  int64_t low;
  double t;
  Rank(double p, int64_t n) {
    const double rank = p * double(n - 1);
    low = std::min(int64_t(rank), n - 1);
    t = low == n - 1 ? 0 : rank - double(low);
  }
};

template <class T> double quantile_of_row(const T* x, double p, int64_t n) {
  using K = KeyOf<T>;
  const auto& kernels = select_kernels().of<T>();
  const auto [rank, t] = Rank(p, n);
  const int64_t next = rank + (t != 0);
  T least, largest;
  if (kernels.extent(x, n, &least, &largest)) return std::numeric_limits<double>::quiet_NaN();
  K low = key_of(least), high = key_of(largest); // the keys of both ranks lie within
  int64_t below = 0, up_to = n;                  // elements below low, and not above high
  while (low < high && up_to - below > kFew) {
    const K middle = low + (high - low) / 2 + 1;
    const int64_t count = kernels.count_below(x, n, value_of<T>(middle));
    if (count <= rank)
      low = middle, below = count;
    else if (count > next)
      high = middle - 1, up_to = count;
    else {
      T a, b;
      kernels.neighbours(x, n, value_of<T>(middle), &a, &b);
      return between(double(value_of<T>(key_of(a))), double(value_of<T>(key_of(b))), t);
    }
  }
  if (low == high) return double(value_of<T>(low));
  // The bits of -0 stand between those of the negative numbers and 0, which -0 equals.
  if (!std::is_integral_v<T> && high == key_of(T(0)) - 1) high--;
  uint32_t positions[kFew + kSelectSlack];
  K keys[kFew];
  const int64_t count = kernels.positions_within(x, n, value_of<T>(low), value_of<T>(high), kFew, positions);
  for (int64_t i = 0; i < count; i++) keys[i] = key_of(x[positions[i]]);
  return pick<T>(keys, count, rank - below, t);
}

template <class T> double quantile_of_long_row(DType dtype, const void* x, double p, int64_t n) {
  auto [low, t] = Rank(p, n);
  bool nan = false;
  auto keys = near_rank<T>(dtype, x, n, low, nan);
  if (nan) return std::numeric_limits<double>::quiet_NaN();
  return pick<T>(keys.data(), int64_t(keys.size()), low, t);
}

} // namespace

void quantile_rows(DType dtype, const void* x, double p, void* out, int64_t rows, int64_t n) {
  if (!(p >= 0 && p <= 1)) throw error("quantile: p lies between 0 and 1, not {}", p);
  if (rows == 0) return;
  if (n == 0) throw error("quantile: of no elements");
  auto row = [&](int64_t r) { return static_cast<const char*>(x) + size_t(r * n) * size_of(dtype); };
  auto put = [&](int64_t r, double q) {
    if (dtype == DType::f64)
      static_cast<double*>(out)[r] = q;
    else
      static_cast<float*>(out)[r] = float(q);
  };
  with_computed(dtype, [&](auto zero) {
    using T = decltype(zero);
    if (n >= kLongRow) { // each row fills the pool by itself
      for (int64_t r = 0; r < rows; r++) put(r, quantile_of_long_row<T>(dtype, row(r), p, n));
      return;
    }
    const int64_t step = std::max<int64_t>(1, (1 << 14) / n);
    parallel_parts((rows + step - 1) / step, [&](int64_t part, int) {
      std::vector<T> room(dtype == computed_dtype<T>() ? 0 : size_t(n));
      for (int64_t r = part * step; r < std::min(rows, (part + 1) * step); r++)
        put(r, quantile_of_row<T>(read_lanes(dtype, row(r), n, room.data()), p, n));
    });
  });
}

void histogram(DType dtype, const void* x, int64_t count, double lo, double hi, int64_t bins,
               int64_t* counts) {
  if (bins < 1 || bins > (1 << 20)) throw error("histogram: 1 to 2^20 bins, not {}", bins);
  if (!(lo < hi) || !std::isfinite(hi - lo)) throw error("histogram: no range from {} to {}", lo, hi);
  std::fill(counts, counts + bins, int64_t(0));
  if (count == 0) return;
  const Split split(count);
  const int64_t tables = bins > kManyBins ? 1 : 4, stride = tables == 1 ? 0 : bins + 1;
  std::vector<std::vector<uint32_t>> own(size_t(split.parts));
  parallel_parts(split.parts, [&](int64_t part, int) {
    auto& table = own[size_t(part)];
    table.resize(size_t(tables * (bins + 1)));
    with_computed(dtype, [&](auto zero) {
      using T = decltype(zero);
      for_chunks<T>(dtype, x, split.begin(part), split.end(part), [&](const T* v, int64_t many) {
        select_kernels().of<T>().tally(v, many, lo, hi, bins, table.data(), stride);
      });
    });
  });
  for (auto& table : own)
    for (int64_t t = 0; t < tables; t++)
      for (int64_t b = 0; b < bins; b++) counts[b] += table[size_t(t * stride + b)];
}

} // namespace wane::cpu
