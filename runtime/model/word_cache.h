// Ids of short words seen before. A fixed table in which a new word pushes an old one out: it costs the same
// memory for any text, and nearly all words of real text are in it. Longer words, or with more ids, are not
// kept.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "runtime/model/huge_pages.h"

namespace wane {

// Ids as they are made: a vector that is filled ahead of its end, so that a known word is appended by one
// copy of fixed size.
class IdList {
public:
  explicit IdList(size_t expected) : ids_(expected + kSlack) {}
  // Space for `most` more ids, of which the caller says how many it wrote by advance().
  int32_t* room(size_t most) {
    if (count_ + most > ids_.size()) ids_.resize(2 * ids_.size() + most);
    return ids_.data() + count_;
  }
  void advance(size_t written) { count_ += written; }
  void push_back(int32_t id) { *room(1) = id, ++count_; }
  size_t size() const { return count_; }
  const int32_t* data() const { return ids_.data(); }
  std::vector<int32_t> take() {
    ids_.resize(count_);
    return std::move(ids_);
  }

private:
  static constexpr size_t kSlack = 16;
  std::vector<int32_t> ids_;
  size_t count_ = 0;
};

// The first `size` of 16 bytes, as masks of two little-endian numbers.
struct WordMasks {
  std::array<uint64_t, 17> head{}, tail{};
  constexpr WordMasks() {
    for (int size = 0; size <= 16; ++size) {
      head[size_t(size)] = size >= 8 ? UINT64_MAX : (uint64_t{1} << 8 * size) - 1;
      tail[size_t(size)] = size == 16 ? UINT64_MAX : size <= 8 ? 0 : (uint64_t{1} << 8 * (size - 8)) - 1;
    }
  }
};
inline constexpr WordMasks kWordMasks;

class WordCache {
public:
  static constexpr size_t kLongestWord = 16, kMostIds = 5;
  static constexpr int32_t kMostTokens = 1 << 24; // ids are kept in three bytes

  // A word of 1 to 16 bytes as two numbers, zeros behind its end. `readable`: bytes that may be read from its
  // start; with 16 of them no branch depends on the size.
  struct Key {
    uint64_t head = 0, tail = 0, size = 0;
    Key() = default;
    Key(std::string_view word, size_t readable) : size(word.size()) {
      if (readable >= kLongestWord) {
        std::memcpy(&head, word.data(), 8), std::memcpy(&tail, word.data() + 8, 8);
        head &= kWordMasks.head[size], tail &= kWordMasks.tail[size];
      } else {
        char bytes[kLongestWord] = {};
        std::memcpy(bytes, word.data(), size);
        std::memcpy(&head, bytes, 8), std::memcpy(&tail, bytes + 8, 8);
      }
    }
    size_t set() const {
      uint64_t mixed = (head ^ size << 56) * 0x9E3779B97F4A7C15u + tail * 0xC2B2AE3D27D4EB4Fu;
      return size_t(((mixed ^ mixed >> 32) * 0x9E3779B97F4A7C15u) >> (64 - kBits));
    }
  };

  WordCache() : sets_(kSets) {}

  // Where the word's ids would lie, for a prefetch: the table is larger than the nearest caches. (The
  // prefetch itself cannot be a member: GCC takes a function that does nothing else for one without effect
  // and drops the call.)
  const void* place(const Key& key) const { return &sets_[key.set()]; }

  // Appends the word's ids and returns true when it is known.
  bool find(const Key& key, IdList& ids) const {
    const Set& set = sets_[key.set()];
    bool first = set.places[0].is(key), second = set.places[1].is(key);
    if (!first && !second) return false;
    const Place& place = set.places[first ? 0 : 1];
    int32_t* out = ids.room(kMostIds);
#pragma GCC unroll 5
    for (size_t i = 0; i < kMostIds; ++i) {
      uint32_t four; // an id above the byte before it
      std::memcpy(&four, place.rest + 3 * i, 4);
      out[i] = int32_t(four >> 8);
    }
    ids.advance(size_t(place.rest[0] & 7) - 1);
    return true;
  }
  void keep(const Key& key, const int32_t* ids, size_t count) {
    if (count > kMostIds) return;
    Set& set = sets_[key.set()];
    set.places[1] = set.places[0];
    Place& place = set.places[0];
    place = {key.head, key.tail, {uint8_t((key.size - 1) << 3 | (count + 1))}};
    for (size_t i = 0; i < count; ++i) std::memcpy(place.rest + 1 + 3 * i, &ids[i], 3);
  }

private:
  static constexpr int kBits = 16;
  static constexpr size_t kSets = size_t{1} << kBits;
  struct Place {
    uint64_t head, tail;
    // [0]: (size - 1) << 3 | (count + 1), 0 in an empty place; then three bytes for each id
    uint8_t rest[1 + 3 * kMostIds];

    bool is(const Key& key) const { // without a branch: which of two places holds a word is not predictable
      uint64_t size = uint64_t{rest[0]} >> 3, filled = rest[0] & 7;
      return ((head ^ key.head) | (tail ^ key.tail) | (size ^ (key.size - 1)) | uint64_t{filled == 0}) == 0;
    }
  };
  struct alignas(64) Set { // a cache line
    Place places[2];
  };
  static_assert(sizeof(Set) == 64);

  std::vector<Set, HugePages<Set>> sets_;
};

} // namespace wane
