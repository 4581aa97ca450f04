// Tokens that are looked for in the text itself, before anything is cut: control tokens and words added to a
// finished vocabulary. Matching follows the reference implementation: the leftmost longest one wins, `lstrip`
// and `rstrip` take the spaces beside it along, `single_word` asks for no word character on either side.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace wane {

struct AddedToken {
  int32_t id = -1;
  std::string content;
  bool special = false;    // left out by decode(ids, skip_special)
  bool normalized = false; // looked for in the normalized text
  bool lstrip = false, rstrip = false, single_word = false;
};

class AddedTokens {
public:
  // `content` is what is looked for: the token's own text, or that text normalized.
  void add(const AddedToken& token, std::string_view content);
  bool empty() const { return tokens_.empty(); }

  // Calls text(std::string_view) for what lies between the tokens of `input` and token(id) for each, in
  // order.
  template <class Text, class Token> void split(std::string_view input, Text&& text, Token&& token) const {
    size_t done = 0, at = 0;
    Match match;
    while (!tokens_.empty() && find(input, done, at, match)) {
      if (match.begin > done) text(input.substr(done, match.begin - done));
      token(match.id);
      done = match.end;
      at = match.resume;
    }
    if (done < input.size()) text(input.substr(done));
  }

private:
  struct Match {
    size_t begin, end, resume; // with the spaces it takes along; where the search goes on
    int32_t id;
  };
  // The first match at or after `at`; spaces are not taken from before `done`.
  bool find(std::string_view input, size_t done, size_t at, Match& match) const;
  // The longest token that starts at `at`: its index and end, or -1.
  int32_t longest_at(std::string_view input, size_t at, size_t& end) const;

  std::vector<AddedToken> tokens_;
  std::array<bool, 256> starts_{}; // bytes that some token starts with
  int only_start_ = -1;            // the one such byte, if there is just one: most texts hold few of it
  std::unordered_map<uint64_t, uint32_t> children_; // (node, byte) -> node
  std::vector<int32_t> ends_{-1};                   // node -> index of the token that ends there
};

} // namespace wane
