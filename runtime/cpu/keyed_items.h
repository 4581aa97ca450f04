// Ordered keys that carry the position they came from: what sorting and the k largest move about.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <vector>

#include "runtime/cpu/ordered_keys.h"
#include "runtime/error.h"

namespace wane::cpu {

template <class K> struct Item {
  K key;
  uint32_t position;
  bool operator<(const Item& o) const { return key != o.key ? key < o.key : position < o.position; }
};

// Stable: least significant byte first; bytes that are the same everywhere are passed over.
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

inline void check_row_length(const char* op, int64_t n) {
  if (n > std::numeric_limits<int32_t>::max())
    throw error("{}: not supported: rows of {} elements; at most 2^31 - 1", op, n);
}

// Place i of a row's result becomes the row's element at position(i). Either result may be null.
template <class F>
void write_row(size_t bytes, const char* row, int64_t count, F&& position, char* values, int32_t* positions) {
  auto copy = [&](auto sample) {
    for (int64_t i = 0; i < count; i++)
      std::memcpy(values + size_t(i) * sizeof sample, row + size_t(position(i)) * sizeof sample,
                  sizeof sample);
  };
  if (values && bytes == 1) copy(uint8_t());
  if (values && bytes == 2) copy(uint16_t());
  if (values && bytes == 4) copy(uint32_t());
  if (values && bytes == 8) copy(uint64_t());
  if (positions)
    for (int64_t i = 0; i < count; i++) positions[i] = int32_t(position(i));
}

} // namespace wane::cpu
