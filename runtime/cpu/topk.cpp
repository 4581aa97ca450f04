// The k largest of each row. A bound with at least k elements from there on, found in parts of the row,
// leaves few to put in order; where it leaves many, for ties or for a pattern in the row, bisection of the
// whole row finds the k-th itself.
#include "runtime/cpu/kernels.h"
#include "runtime/cpu/keyed_items.h"
#include "runtime/cpu/select_kernels.h"

#include "runtime/cpu/pool.h"

#include <numeric>

namespace wane::cpu {
namespace {

constexpr int64_t kElementsPerPart = 1 << 14;
constexpr int64_t kLeastGroups = 128;
constexpr int64_t kRanked = 256; // from more than these on sorting takes less than comparing each with each

template <class T> class TopRow {
public:
  using K = KeyOf<T>;

  TopRow(DType dtype, int64_t n, int64_t k)
      : dtype_(dtype), n_(n), k_(k), enough_(2 * k + 64),
        groups_(std::max(kLeastGroups, (4 * k + 63) / 64 * 64)),
        wide_(dtype == computed_dtype<T>() ? 0 : size_t(n)), positions_(size_t(enough_ + kSelectSlack)),
        order_(size_t(std::max(k, kRanked))) {
    if (has_groups()) maxima_.resize(size_t(groups_));
  }

  void take(const char* row, char* values, int32_t* positions) {
    const T* x = read_lanes(dtype_, row, n_, wide_.data());
    put_in_order(x, candidates(x));
    auto position = [&](int64_t i) { return order_[size_t(i)]; };
    write_row(size_of(dtype_), row, k_, position, values, positions);
  }

private:
  bool has_groups() const { return 4 * groups_ <= n_; }

  int64_t all() {
    positions_.resize(std::max(positions_.size(), size_t(n_)));
    std::iota(positions_.begin(), positions_.begin() + n_, 0u);
    return n_;
  }

  // Puts positions into positions_ among which are those of the k largest, equal elements in order. Returns
  // how many.
  int64_t candidates(const T* x) {
    if (n_ <= enough_) return all();
    K floor = 0;
    if (has_groups()) {
      // Each group whose largest is not below the k-th of their largest has an element there.
      kernels_.group_maxima(x, n_, maxima_.data(), groups_);
      floor = floor_of(maxima_.data(), groups_, 0, k_ + k_ / 16).low;
      const int64_t count = kernels_.positions_from(x, n_, value_of<T>(floor), enough_, positions_.data());
      if (count <= enough_) return count;
    }
    return candidates_from(x, floor);
  }

  int64_t candidates_from(const T* x, K floor) {
    const Floor found = floor_of(x, n_, floor, enough_);
    if (found.nan) return all();
    if (found.count <= enough_)
      return kernels_.positions_from(x, n_, value_of<T>(found.low), enough_, positions_.data());
    // More than enough equal the k-th: what lies above it, then the first of them.
    const T kth = value_of<T>(found.low);
    int64_t count = 0;
    if (found.low != found.high)
      count = kernels_.positions_from(x, n_, value_of<T>(found.high), k_, positions_.data());
    tied_.resize(size_t(k_ + kSelectSlack));
    const int64_t many = kernels_.positions_from(x, n_, kth, k_, tied_.data());
    for (int64_t i = 0; i < many && count < k_; i++)
      if (x[tied_[size_t(i)]] == kth) positions_[size_t(count++)] = tied_[size_t(i)];
    return count;
  }

  struct Floor {
    K low, high;   // at least k elements are not below low, fewer than k not below high if high > low
    int64_t count; // not below low; n where low was given
    bool nan;      // one is there; it is not below anything
  };
  // The greatest low, or one with no more than `enough` elements from there on; more than that are from the
  // given low on.
  Floor floor_of(const T* x, int64_t n, K low, int64_t enough) {
    T least, largest;
    const bool nan = kernels_.extent(x, n, &least, &largest);
    const K high = key_of(largest);
    auto count_from = [&](K key) { return n - kernels_.count_below(x, n, value_of<T>(key)); };
    if (const int64_t count = count_from(high); count >= k_) return {high, high, count, nan};
    Floor found{std::max(low, key_of(least)), high, n, nan};
    while (found.high - found.low > 1 && found.count > enough) {
      const K middle = found.low + (found.high - found.low) / 2;
      if (const int64_t count = count_from(middle); count >= k_)
        found.low = middle, found.count = count;
      else
        found.high = middle;
    }
    return found;
  }

  void put_in_order(const T* x, int64_t count) {
    if (count <= kRanked)
      rank(x, count);
    else
      sort(x, count);
  }

  void rank(const T* x, int64_t count) {
    using Signed = typename SelectKernels<T>::Key;
    constexpr K sign = K(1) << (8 * sizeof(K) - 1);
    Signed keys[kRanked + 16], ranks[kRanked + 16];
    for (int64_t i = 0; i < count; i++) keys[i] = Signed(key_of(x[positions_[size_t(i)]]) ^ sign);
    std::fill(keys + count, keys + count + 16, Signed(0)); // read along with the last of them
    kernels_.ranks(keys, count, ranks);
    for (int64_t i = 0; i < count; i++)
      order_[size_t(ranks[i])] = positions_[size_t(i)]; // those beyond the k-th too: no branch to guess
  }

  void sort(const T* x, int64_t count) {
    items_.resize(size_t(count));
    for (int64_t i = 0; i < count; i++) {
      const uint32_t p = positions_[size_t(i)];
      items_[size_t(i)] = {K(~key_of(x[p])), p};
    }
    radix_sort(items_, room_);
    for (int64_t i = 0; i < k_; i++) order_[size_t(i)] = items_[size_t(i)].position;
  }

  const SelectKernels<T>& kernels_ = select_kernels().of<T>();
  const DType dtype_;
  const int64_t n_, k_, enough_, groups_;
  std::vector<T> wide_, maxima_;
  std::vector<uint32_t> positions_, tied_, order_;
  std::vector<Item<K>> items_, room_;
};

} // namespace

void topk_rows(DType dtype, const void* x, void* values, int32_t* positions, int64_t rows, int64_t n,
               int64_t k) {
  check_row_length("topk", n);
  if (k < 0 || k > n) throw error("topk: {} of {} elements", k, n);
  if (rows == 0 || k == 0) return;
  const size_t bytes = size_of(dtype);
  const int64_t step = std::max<int64_t>(1, kElementsPerPart / n);
  with_computed(dtype, [&](auto zero) {
    parallel_parts((rows + step - 1) / step, [&](int64_t part, int) {
      TopRow<decltype(zero)> top(dtype, n, k);
      for (int64_t r = part * step; r < std::min(rows, (part + 1) * step); r++)
        top.take(static_cast<const char*>(x) + size_t(r * n) * bytes,
                 values ? static_cast<char*>(values) + size_t(r * k) * bytes : nullptr,
                 positions ? positions + r * k : nullptr);
    });
  });
}

} // namespace wane::cpu
