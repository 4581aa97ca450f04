// Quantiles by selection and histograms. Long rows are narrowed down by a parallel histogram of their keys'
// leading bits, so that only the few elements near the rank are gathered.
#include "runtime/cpu/kernels.h"
#include "runtime/cpu/ordered_keys.h"

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
    step = std::max<int64_t>(1 << 16, (n + kMaxParts - 1) / kMaxParts);
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

template <class T> double quantile(DType dtype, const void* x, double p, int64_t n) {
  using K = KeyOf<T>;
  const double rank = p * double(n - 1);
  int64_t low = std::min(int64_t(rank), n - 1);
  const double t = rank - double(low);
  std::vector<K> keys;
  bool nan = false;
  if (n >= kLongRow)
    keys = near_rank<T>(dtype, x, n, low, nan);
  else {
    keys.reserve(size_t(n));
    for_chunks<T>(dtype, x, 0, n, [&](const T* v, int64_t many) {
      for (int64_t i = 0; i < many; i++) {
        keys.push_back(key_of(v[i]));
        nan |= v[i] != v[i];
      }
    });
  }
  if (nan) return std::numeric_limits<double>::quiet_NaN();
  auto at = keys.begin() + low;
  std::nth_element(keys.begin(), at, keys.end());
  const double a = double(value_of<T>(*at));
  if (t == 0 || at + 1 == keys.end()) return a;
  const double b = double(value_of<T>(*std::min_element(at + 1, keys.end())));
  if (a == b) return a;
  return t < 0.5 ? a + (b - a) * t : b - (b - a) * (1 - t);
}

} // namespace

void quantile_rows(DType dtype, const void* x, double p, void* out, int64_t rows, int64_t n) {
  if (!(p >= 0 && p <= 1)) throw error("quantile: p lies between 0 and 1, not {}", p);
  if (rows == 0) return;
  if (n == 0) throw error("quantile: of no elements");
  auto one = [&](int64_t r) {
    const void* row = static_cast<const char*>(x) + size_t(r * n) * size_of(dtype);
    const double q =
        with_computed(dtype, [&](auto zero) { return quantile<decltype(zero)>(dtype, row, p, n); });
    if (dtype == DType::f64)
      static_cast<double*>(out)[r] = q;
    else
      static_cast<float*>(out)[r] = float(q);
  };
  if (n >= kLongRow) { // each row fills the pool by itself
    for (int64_t r = 0; r < rows; r++) one(r);
    return;
  }
  const int64_t step = std::max<int64_t>(1, (1 << 14) / n);
  parallel_parts((rows + step - 1) / step, [&](int64_t part, int) {
    for (int64_t r = part * step; r < std::min(rows, (part + 1) * step); r++) one(r);
  });
}

void histogram(DType dtype, const void* x, int64_t count, double lo, double hi, int64_t bins,
               int64_t* counts) {
  if (bins < 1 || bins > (1 << 20)) throw error("histogram: 1 to 2^20 bins, not {}", bins);
  if (!(lo < hi) || !std::isfinite(hi - lo)) throw error("histogram: no range from {} to {}", lo, hi);
  std::fill(counts, counts + bins, int64_t(0));
  if (count == 0) return;
  const Split split(count);
  std::vector<std::vector<int64_t>> own(size_t(split.parts), std::vector<int64_t>(size_t(bins)));
  const double per_unit = double(bins) / (hi - lo);
  parallel_parts(split.parts, [&](int64_t part, int) {
    with_computed(dtype, [&](auto zero) {
      for_chunks<decltype(zero)>(
          dtype, x, split.begin(part), split.end(part), [&](const auto* v, int64_t many) {
            for (int64_t i = 0; i < many; i++) {
              const double value = double(v[i]);
              if (!(value >= lo && value <= hi)) continue;
              own[size_t(part)][size_t(std::min(int64_t((value - lo) * per_unit), bins - 1))]++;
            }
          });
    });
  });
  for (auto& part : own)
    for (int64_t b = 0; b < bins; b++) counts[b] += part[size_t(b)];
}

} // namespace wane::cpu
