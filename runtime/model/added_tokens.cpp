#include "runtime/model/added_tokens.h"

#include <algorithm>
#include <cstring>

#include "runtime/model/unicode_text.h"

namespace wane {
namespace {

bool word_before(std::string_view text, size_t at) {
  if (at == 0) return false;
  size_t begin = at - 1;
  while (begin > 0 && (uint8_t(text[begin]) & 0xC0) == 0x80) --begin;
  return is_word_char(utf8_at(text, begin));
}

bool word_after(std::string_view text, size_t at) {
  return at < text.size() && is_word_char(utf8_at(text, at));
}

} // namespace

void AddedTokens::add(const AddedToken& token, std::string_view content) {
  if (content.empty()) return;
  starts_[uint8_t(content[0])] = true;
  only_start_ = std::count(starts_.begin(), starts_.end(), true) == 1 ? uint8_t(content[0]) : -1;
  uint32_t node = 0;
  for (char byte : content) {
    auto [child, is_new] = children_.try_emplace(uint64_t(node) << 8 | uint8_t(byte), uint32_t(ends_.size()));
    if (is_new) ends_.push_back(-1);
    node = child->second;
  }
  if (ends_[node] < 0) ends_[node] = int32_t(tokens_.size());
  tokens_.push_back(token);
}

int32_t AddedTokens::longest_at(std::string_view input, size_t at, size_t& end) const {
  int32_t best = -1;
  uint32_t node = 0;
  while (at < input.size()) {
    auto child = children_.find(uint64_t(node) << 8 | uint8_t(input[at++]));
    if (child == children_.end()) break;
    node = child->second;
    if (ends_[node] >= 0) best = ends_[node], end = at;
  }
  return best;
}

bool AddedTokens::find(std::string_view input, size_t done, size_t at, Match& match) const {
  for (; at < input.size(); ++at) {
    if (only_start_ >= 0) {
      const void* next = std::memchr(input.data() + at, only_start_, input.size() - at);
      if (!next) return false;
      at = size_t(static_cast<const char*>(next) - input.data());
    }
    if (!starts_[uint8_t(input[at])]) continue;
    size_t end = at;
    int32_t index = longest_at(input, at, end);
    if (index < 0) continue;
    const AddedToken& token = tokens_[size_t(index)];
    if (token.single_word && (word_before(input, at) || word_after(input, end))) {
      at = end - 1; // this occurrence is passed over whole
      continue;
    }
    match = {std::max(at, done), end, end, token.id};
    if (token.lstrip) match.begin = std::max(at - trailing_space(input.substr(0, at)), done);
    if (token.rstrip) match.end = end + leading_space(input.substr(end));
    match.end = std::max(match.end, done);
    return true;
  }
  return false;
}

} // namespace wane
