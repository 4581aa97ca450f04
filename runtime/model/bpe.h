// Byte-pair encoding of one word: the pair with the best rank is merged first, the leftmost among equals,
// until no pair of neighbours is a known merge (Sennrich et al. 2016; SentencePiece's form has the same loop
// with ranks made from scores). Short words scan for the best pair, long ones keep a heap, so that time grows
// as n log n.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "runtime/model/huge_pages.h"
#include "runtime/model/vocabulary.h"
#include "runtime/model/word_cache.h"

namespace wane {

// The pairs that may be merged: (left, right) -> (rank, product). A flat table with open addressing.
class MergeTable {
public:
  struct Merge {
    uint32_t rank, product;
  };
  static constexpr uint32_t kNone = UINT32_MAX; // the rank of a pair that is no merge

  void reserve(size_t merges);
  // False when the pair is there already.
  bool add(int32_t left, int32_t right, uint32_t rank, int32_t product);
  Merge find(uint32_t left, uint32_t right) const {
    if (slots_.empty()) return {kNone, 0};
    uint64_t key = uint64_t(left) << 32 | right;
    for (size_t slot = home(key);; slot = (slot + 1) & mask_) {
      if (slots_[slot].key == key) return slots_[slot].merge;
      if (slots_[slot].key == kEmpty) return {kNone, 0};
    }
  }

private:
  static constexpr uint64_t kEmpty = UINT64_MAX; // ids stay below 2^31
  struct Slot {
    uint64_t key = kEmpty;
    Merge merge{kNone, 0};
  };
  size_t home(uint64_t key) const { return size_t((key * 0x9E3779B97F4A7C15u) >> shift_); }

  std::vector<Slot, HugePages<Slot>> slots_;
  size_t mask_ = 0;
  int shift_ = 64;
};

// How a word's first symbols are made, and what may follow from them.
struct BpeModel {
  // The token of the model's own vocabulary with this text, -1 where there is none.
  int32_t find(const Vocabulary& vocabulary, std::string_view text) const {
    int32_t id = vocabulary.find(text);
    return id >= 0 && !added_only.empty() && added_only[size_t(id)] ? -1 : id;
  }

  MergeTable merges;
  bool ignore_merges = false; // a word that is a token is taken whole
  bool byte_level = true;     // symbols are bytes, else characters
  bool byte_fallback = false; // characters that are no token become byte tokens
  bool fuse_unknown = false;  // neighbouring unknown characters give one unknown token
  int32_t unknown = -1; // -1: what is not in the vocabulary is dropped, as the reference implementation does
  std::vector<bool> added_only; // by id: tokens that only text matching makes; empty where there are none
  std::array<int32_t, 256> byte_ids{}; // byte -> token, -1: none (byte level and byte fallback)
};

class Bpe {
public:
  // Space that encode() reuses; one per thread.
  struct Scratch {
    std::vector<uint32_t> symbols, next, previous;
    std::vector<std::pair<uint64_t, uint64_t>> heap; // (rank, position), the pair of ids it was made for
  };

  Bpe() = default;
  // A byte-level word is found in the vocabulary by its bytes' alphabet, so `vocabulary` must outlive this.
  Bpe(BpeModel model, const Vocabulary* vocabulary);

  // Appends the ids of one word (raw bytes for a byte-level model, valid UTF-8 for the other).
  void encode(std::string_view word, Scratch& scratch, IdList& ids) const;
  const BpeModel& model() const { return model_; }

private:
  void split_bytes(std::string_view word, std::vector<uint32_t>& symbols) const;
  void split_chars(std::string_view word, std::vector<uint32_t>& symbols) const;
  void merge_short(std::string_view word, std::vector<uint32_t>& symbols, std::vector<uint32_t>& ranks) const;
  void merge_long(Scratch& scratch) const;

  BpeModel model_;
  const Vocabulary* vocabulary_ = nullptr;
  // Byte level: ranks of the pairs of single bytes, with which every word begins, by (left << 8 | right).
  std::vector<uint32_t> byte_ranks_;
};

} // namespace wane
