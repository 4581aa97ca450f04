// Sorting and the k largest, row by row, on ordered keys that carry their position: equal keys keep their
// order.
#include "runtime/cpu/kernels.h"
#include "runtime/cpu/ordered_keys.h"

#include "runtime/cpu/pool.h"
#include "runtime/error.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <vector>

namespace wane::cpu {
namespace {

constexpr int64_t kElementsPerPart = 1 << 14;
constexpr int64_t kRadixFrom = 512;

template <class K> struct Item {
  K key;
  uint32_t position;
  bool operator<(const Item& o) const { return key != o.key ? key < o.key : position < o.position; }
};

// Least significant byte first; bytes that are the same everywhere are passed over.
template <class K> void radix_sort(std::vector<Item<K>>& items, std::vector<Item<K>>& room) {
  constexpr size_t bytes = sizeof(K);
  std::array<std::array<uint32_t, 256>, bytes> counts{};
  for (const auto& item : items)
    for (size_t b = 0; b < bytes; b++) counts[b][(item.key >> (8 * b)) & 255]++;
  room.resize(items.size());
  for (size_t b = 0; b < bytes; b++) {
    auto& count = counts[b];
    if (std::find(count.begin(), count.end(), uint32_t(items.size())) != count.end()) continue;
    uint32_t start = 0;
    for (uint32_t& c : count) {
      uint32_t many = c;
      c = start;
      start += many;
    }
    for (const auto& item : items) room[count[(item.key >> (8 * b)) & 255]++] = item;
    items.swap(room);
  }
}

void check_length(const char* op, int64_t n) {
  if (n > std::numeric_limits<int32_t>::max())
    throw error("{}: not supported: rows of {} elements; at most 2^31 - 1", op, n);
}

// Runs body(row, items, room) with the keys of each row.
template <class T>
void for_keyed_rows(DType dtype, const void* x, int64_t rows, int64_t n, auto&& make_key, auto&& body) {
  using K = KeyOf<T>;
  const int64_t step = std::max<int64_t>(1, kElementsPerPart / std::max<int64_t>(1, n));
  const size_t row_bytes = size_t(n) * size_of(dtype);
  parallel_parts((rows + step - 1) / step, [&](int64_t part, int) {
    std::vector<Item<K>> items, room;
    std::vector<T> wide(dtype == computed_dtype<T>() ? 0 : size_t(n));
    for (int64_t r = part * step; r < std::min(rows, (part + 1) * step); r++) {
      const T* row = read_lanes(dtype, static_cast<const char*>(x) + size_t(r) * row_bytes, n, wide.data());
      items.resize(size_t(n));
      for (int64_t i = 0; i < n; i++) items[size_t(i)] = {make_key(key_of(row[i])), uint32_t(i)};
      body(r, items, room);
    }
  });
}

template <class K>
void write_row(size_t bytes, const char* row, const std::vector<Item<K>>& items, int64_t count, char* values,
               int32_t* positions) {
  for (int64_t i = 0; i < count; i++) {
    const uint32_t p = items[size_t(i)].position;
    if (values) std::memcpy(values + size_t(i) * bytes, row + size_t(p) * bytes, bytes);
    if (positions) positions[i] = int32_t(p);
  }
}

// Moves what may be among the k least to the front and gives their number: whatever is not below the k-th
// least so far is dropped as it comes. Of equal keys the earlier position is the lesser, so an equal one that
// comes later is out.
template <class K> int64_t candidates(std::vector<Item<K>>& items, int64_t k) {
  const auto n = int64_t(items.size()), most = 4 * k;
  if (most >= n) return n;
  int64_t count = most;
  for (int64_t i = most;;) {
    std::nth_element(items.begin(), items.begin() + (k - 1), items.begin() + count);
    const K limit = items[size_t(k - 1)].key;
    count = k;
    for (; i < n && count < most; i++)
      if (items[size_t(i)].key < limit) items[size_t(count++)] = items[size_t(i)];
    if (i == n) return count;
  }
}

} // namespace

void sort_rows(DType dtype, const void* x, void* values, int32_t* positions, int64_t rows, int64_t n,
               bool descending) {
  check_length("sort", n);
  if (rows == 0 || n == 0) return;
  const size_t bytes = size_of(dtype);
  with_computed(dtype, [&](auto zero) {
    using T = decltype(zero);
    for_keyed_rows<T>(
        dtype, x, rows, n, [&](KeyOf<T> key) { return descending ? falling_key<T>(key) : key; },
        [&](int64_t r, auto& items, auto& room) {
          if (n >= kRadixFrom)
            radix_sort(items, room);
          else
            std::sort(items.begin(), items.end());
          const size_t offset = size_t(r * n) * bytes;
          write_row(bytes, static_cast<const char*>(x) + offset, items, n,
                    values ? static_cast<char*>(values) + offset : nullptr,
                    positions ? positions + r * n : nullptr);
        });
  });
}

void topk_rows(DType dtype, const void* x, void* values, int32_t* positions, int64_t rows, int64_t n,
               int64_t k) {
  check_length("topk", n);
  if (k < 0 || k > n) throw error("topk: {} of {} elements", k, n);
  if (rows == 0 || k == 0) return;
  const size_t bytes = size_of(dtype);
  with_computed(dtype, [&](auto zero) {
    using T = decltype(zero);
    for_keyed_rows<T>(
        dtype, x, rows, n, [](KeyOf<T> key) { return KeyOf<T>(~key); },
        [&](int64_t r, auto& items, auto&) {
          const int64_t count = candidates(items, k);
          if (k < count) std::nth_element(items.begin(), items.begin() + (k - 1), items.begin() + count);
          std::sort(items.begin(), items.begin() + k);
          write_row(bytes, static_cast<const char*>(x) + size_t(r * n) * bytes, items, k,
                    values ? static_cast<char*>(values) + size_t(r * k) * bytes : nullptr,
                    positions ? positions + r * k : nullptr);
        });
  });
}

} // namespace wane::cpu
