#include "runtime/model/spm.h"

#include <algorithm>
#include <cmath>

#include "runtime/error.h"
#include "runtime/model/unicode_text.h"

namespace wane {
namespace {

// All splits of a piece are looked up, which costs its length squared; real pieces have a few dozen bytes.
constexpr size_t kLongestPiece = 2048;
constexpr int32_t kNormal = 1;

} // namespace

std::vector<RankedMerge> merges_from_scores(const Vocabulary& tokens, std::span<const float> scores,
                                            std::span<const int32_t> types, const std::string& path) {
  auto is_normal = [&](int32_t id) { return id >= 0 && (types.empty() || types[size_t(id)] == kNormal); };
  std::vector<RankedMerge> merges;
  for (int32_t id = 0; id < tokens.size(); ++id) {
    if (!is_normal(id)) continue;
    if (!std::isfinite(scores[size_t(id)])) {
      throw error(Fault::bad_file, "{}: the score of token {} is {}", path, id, scores[size_t(id)]);
    }
    std::string_view text = tokens.text(id);
    if (text.size() > kLongestPiece) {
      throw error(Fault::bad_file, "{}: token {} has {} bytes, at most {} are supported", path, id,
                  text.size(), kLongestPiece);
    }
    for (size_t at = text.empty() ? 0 : utf8_length(uint8_t(text[0])); at < text.size();
         at += utf8_length(uint8_t(text[at]))) {
      int32_t left = tokens.find(text.substr(0, at)), right = tokens.find(text.substr(at));
      if (is_normal(left) && is_normal(right)) merges.push_back({left, right, id, 0});
    }
  }
  // Order among equal scores matters only to readers that know no ties: longer left halves first, as the
  // converter of the reference implementation writes them.
  auto score = [&](const RankedMerge& m) { return scores[size_t(m.product)]; };
  auto before = [&](const RankedMerge& a, const RankedMerge& b) {
    if (score(a) != score(b)) return score(a) > score(b);
    size_t a_left = tokens.text(a.left).size(), b_left = tokens.text(b.left).size();
    return a_left != b_left ? a_left > b_left : a.product < b.product;
  };
  std::stable_sort(merges.begin(), merges.end(), before);
  uint32_t rank = 0;
  for (size_t i = 0; i < merges.size(); ++i) {
    if (i > 0 && score(merges[i]) != score(merges[i - 1])) ++rank;
    merges[i].rank = rank;
  }
  return merges;
}

} // namespace wane
