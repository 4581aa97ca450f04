// Sorting, row by row, on ordered keys that carry their position: equal keys keep their order.
#include "runtime/cpu/kernels.h"
#include "runtime/cpu/keyed_items.h"

#include "runtime/cpu/pool.h"

namespace wane::cpu {
namespace {

constexpr int64_t kElementsPerPart = 1 << 14;
constexpr int64_t kRadixFrom = 512;

template <class T> class RowSorter {
public:
  RowSorter(DType dtype, int64_t n, bool descending)
      : dtype_(dtype), n_(n), descending_(descending), items_(size_t(n)),
        wide_(dtype == computed_dtype<T>() ? 0 : size_t(n)) {}

  void sort(const char* row, char* values, int32_t* positions) {
    const T* x = read_lanes(dtype_, row, n_, wide_.data());
    for (int64_t i = 0; i < n_; i++) {
      const auto key = key_of(x[i]);
      items_[size_t(i)] = {descending_ ? falling_key<T>(key) : key, uint32_t(i)};
    }
    if (n_ >= kRadixFrom)
      radix_sort(items_, room_);
    else
      std::sort(items_.begin(), items_.end());
    auto position = [&](int64_t i) { return items_[size_t(i)].position; };
    write_row(size_of(dtype_), row, n_, position, values, positions);
  }

private:
  const DType dtype_;
  const int64_t n_;
  const bool descending_;
  std::vector<Item<KeyOf<T>>> items_, room_;
  std::vector<T> wide_;
};

} // namespace

void sort_rows(DType dtype, const void* x, void* values, int32_t* positions, int64_t rows, int64_t n,
               bool descending) {
  check_row_length("sort", n);
  if (rows == 0 || n == 0) return;
  const size_t row_bytes = size_t(n) * size_of(dtype);
  const int64_t step = std::max<int64_t>(1, kElementsPerPart / n);
  with_computed(dtype, [&](auto zero) {
    parallel_parts((rows + step - 1) / step, [&](int64_t part, int) {
      RowSorter<decltype(zero)> sorter(dtype, n, descending);
      for (int64_t r = part * step; r < std::min(rows, (part + 1) * step); r++)
        sorter.sort(static_cast<const char*>(x) + size_t(r) * row_bytes,
                    values ? static_cast<char*>(values) + size_t(r) * row_bytes : nullptr,
                    positions ? positions + r * n : nullptr);
    });
  });
}

} // namespace wane::cpu
