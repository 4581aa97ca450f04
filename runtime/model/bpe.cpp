#include "runtime/model/bpe.h"

#include <algorithm>
#include <bit>
#include <functional>

#include "runtime/error.h"
#include "runtime/model/unicode_text.h"

namespace wane {
namespace {

constexpr size_t kShortWord = 48;        // symbols up to which scanning beats the heap
constexpr uint32_t kEnd = UINT32_MAX;    // no neighbour
constexpr uint32_t kMerged = UINT32_MAX; // a symbol that its left neighbour has taken in
constexpr size_t kLongestWord = size_t{1} << 31;

} // namespace

void MergeTable::reserve(size_t merges) {
  size_t slots = std::bit_ceil(std::max<size_t>(16, merges + merges / 2));
  slots_.assign(slots, Slot{});
  mask_ = slots - 1;
  shift_ = 64 - std::countr_zero(slots);
}

bool MergeTable::add(int32_t left, int32_t right, uint32_t rank, int32_t product) {
  uint64_t key = uint64_t(uint32_t(left)) << 32 | uint32_t(right);
  size_t slot = home(key);
  while (slots_[slot].key != kEmpty) {
    if (slots_[slot].key == key) return false;
    slot = (slot + 1) & mask_;
  }
  slots_[slot] = {key, {rank, uint32_t(product)}};
  return true;
}

Bpe::Bpe(BpeModel model, const Vocabulary* vocabulary) : model_(std::move(model)), vocabulary_(vocabulary) {
  if (!model_.byte_level) return;
  for (int32_t id : model_.byte_ids)
    if (id < 0) return; // a word then may have fewer symbols than bytes
  byte_ranks_.resize(size_t{256} * 256);
  for (size_t pair = 0; pair < byte_ranks_.size(); ++pair) {
    auto left = uint32_t(model_.byte_ids[pair >> 8]), right = uint32_t(model_.byte_ids[pair & 255]);
    byte_ranks_[pair] = model_.merges.find(left, right).rank;
  }
}

void Bpe::split_bytes(std::string_view word, std::vector<uint32_t>& symbols) const {
  bool after_unknown = false;
  for (char byte : word) {
    int32_t id = model_.byte_ids[uint8_t(byte)];
    bool unknown = id < 0;
    if (unknown) id = after_unknown && model_.fuse_unknown ? -1 : model_.unknown;
    if (id >= 0) symbols.push_back(uint32_t(id));
    after_unknown = unknown;
  }
}

void Bpe::split_chars(std::string_view word, std::vector<uint32_t>& symbols) const {
  bool after_unknown = false;
  for (size_t at = 0; at < word.size();) {
    size_t length = utf8_length(uint8_t(word[at]));
    std::string_view character = word.substr(at, length);
    at += length;
    int32_t id = model_.find(*vocabulary_, character);
    bool unknown = false;
    if (id >= 0) {
      symbols.push_back(uint32_t(id));
    } else if (model_.byte_fallback) {
      for (char byte : character) symbols.push_back(uint32_t(model_.byte_ids[uint8_t(byte)]));
    } else {
      unknown = true;
      if (model_.unknown >= 0 && !(after_unknown && model_.fuse_unknown)) {
        symbols.push_back(uint32_t(model_.unknown));
      }
    }
    after_unknown = unknown;
  }
}

void Bpe::merge_short(std::string_view word, std::vector<uint32_t>& symbols,
                      std::vector<uint32_t>& ranks) const {
  size_t count = symbols.size();
  auto rank_at = [&](size_t i) { return model_.merges.find(symbols[i], symbols[i + 1]).rank; };
  ranks.resize(count);
  auto byte = [&](size_t i) { return size_t(uint8_t(word[i])); };
  for (size_t i = 0; i + 1 < count; ++i) {
    ranks[i] = byte_ranks_.empty() ? rank_at(i) : byte_ranks_[byte(i) << 8 | byte(i + 1)];
  }
  while (count > 1) {
    size_t best =
        size_t(std::min_element(ranks.begin(), ranks.begin() + ptrdiff_t(count) - 1) - ranks.begin());
    if (ranks[best] == MergeTable::kNone) break;
    symbols[best] = model_.merges.find(symbols[best], symbols[best + 1]).product;
    std::copy(symbols.begin() + ptrdiff_t(best) + 2, symbols.begin() + ptrdiff_t(count),
              symbols.begin() + ptrdiff_t(best) + 1);
    std::copy(ranks.begin() + ptrdiff_t(best) + 2, ranks.begin() + ptrdiff_t(count),
              ranks.begin() + ptrdiff_t(best) + 1);
    --count;
    if (best + 1 < count) ranks[best] = rank_at(best);
    if (best > 0) ranks[best - 1] = rank_at(best - 1);
  }
  symbols.resize(count);
}

void Bpe::merge_long(Scratch& s) const {
  if (s.symbols.size() >= kLongestWord) {
    throw error("encode: {} bytes without a place to split, at most {} are supported", s.symbols.size(),
                kLongestWord);
  }
  auto count = uint32_t(s.symbols.size());
  s.next.resize(count), s.previous.resize(count), s.heap.clear();
  auto later = std::greater<>{};
  auto consider = [&](uint32_t left, uint32_t right) {
    auto merge = model_.merges.find(s.symbols[left], s.symbols[right]);
    if (merge.rank == MergeTable::kNone) return;
    s.heap.emplace_back(uint64_t(merge.rank) << 32 | left,
                        uint64_t(s.symbols[left]) << 32 | s.symbols[right]);
  };
  for (uint32_t i = 0; i < count; ++i) {
    s.previous[i] = i == 0 ? kEnd : i - 1;
    s.next[i] = i + 1 == count ? kEnd : i + 1;
    if (i + 1 < count) consider(i, i + 1);
  }
  std::make_heap(s.heap.begin(), s.heap.end(), later);
  while (!s.heap.empty()) {
    std::pop_heap(s.heap.begin(), s.heap.end(), later);
    auto [order, pair] = s.heap.back();
    s.heap.pop_back();
    auto left = uint32_t(order);
    uint32_t right = s.next[left];
    // Entries are never removed when their symbols change; such a one no longer names the pair that lies
    // there.
    if (s.symbols[left] == kMerged || right == kEnd
        || pair != (uint64_t(s.symbols[left]) << 32 | s.symbols[right])) {
      continue;
    }
    s.symbols[left] = model_.merges.find(s.symbols[left], s.symbols[right]).product;
    s.symbols[right] = kMerged;
    s.next[left] = s.next[right];
    if (s.next[right] != kEnd) s.previous[s.next[right]] = left;
    for (uint32_t begin : {s.previous[left], left}) {
      size_t before = s.heap.size();
      if (begin != kEnd && s.next[begin] != kEnd) consider(begin, s.next[begin]);
      if (s.heap.size() > before) std::push_heap(s.heap.begin(), s.heap.end(), later);
    }
  }
  std::erase(s.symbols, kMerged);
}

void Bpe::encode(std::string_view word, Scratch& scratch, IdList& ids) const {
  if (word.empty()) return;
  if (model_.ignore_merges) {
    int32_t whole =
        model_.find(*vocabulary_, model_.byte_level ? bytes_to_alphabet(word) : std::string(word));
    if (whole >= 0) {
      ids.push_back(whole);
      return;
    }
  }
  scratch.symbols.clear();
  model_.byte_level ? split_bytes(word, scratch.symbols) : split_chars(word, scratch.symbols);
  if (scratch.symbols.size() <= kShortWord)
    merge_short(word, scratch.symbols, scratch.next);
  else
    merge_long(scratch);
  std::copy(scratch.symbols.begin(), scratch.symbols.end(), ids.room(scratch.symbols.size()));
  ids.advance(scratch.symbols.size());
}

} // namespace wane
