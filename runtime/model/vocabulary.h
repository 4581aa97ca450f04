// The tokens of a tokenizer: one arena of bytes with the id of every text. Made for 10^5 tokens: no string
// per token.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace wane {

class Vocabulary {
public:
  // Adds the next id. Returns the id that already has this text, or -1 when it was new.
  int32_t add(std::string_view text);
  int32_t find(std::string_view text) const; // -1: no such token
  std::string_view text(int32_t id) const {
    return std::string_view(bytes_).substr(starts_[size_t(id)],
                                           starts_[size_t(id) + 1] - starts_[size_t(id)]);
  }
  int32_t size() const { return int32_t(starts_.size()) - 1; }
  bool has(int64_t id) const { return id >= 0 && id < size(); }

private:
  size_t slot_of(std::string_view text) const;
  void grow();

  std::string bytes_;
  std::vector<size_t> starts_{0};
  std::vector<int32_t> slots_; // open addressing, -1: empty; the size is a power of two
};

} // namespace wane
