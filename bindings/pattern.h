// Lua's string patterns (Lua manual, 6.4.1) with a matcher that counts its steps and can be interrupted: the
// stock one runs for hours on a hostile pattern, deaf to Ctrl-C.
#pragma once

#include <bitset>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

namespace wane {

inline constexpr int kMaxCaptures = 32;

struct Capture {
  static constexpr int64_t kPosition = -2; // a "()" capture: only where
  int64_t start = 0, length = 0;
};

struct PatternMatch {
  int64_t start = 0, end = 0; // in bytes, from 0
  int captures = 0;
  Capture capture[kMaxCaptures];
};

class Pattern {
public:
  // `anchors`: whether a leading ^ ties the match to where the search begins (not so in gmatch). An Error
  // says what is malformed.
  Pattern(std::string_view text, bool anchors);
  bool anchored() const { return anchored_; }
  int captures() const { return captures_; }

  // A match that begins exactly at `at`.
  bool match_at(std::string_view subject, int64_t at, PatternMatch& out) const;
  // The first match at or after `from`.
  bool find(std::string_view subject, int64_t from, PatternMatch& out) const;

private:
  friend class Matcher;
  friend class PatternParser;
  enum class Kind : uint8_t {
    one,
    star,
    plus,
    shortest,
    optional,
    open,
    close,
    position,
    balance,
    frontier,
    back,
    end
  };
  struct Item {
    Kind kind;
    uint8_t first = 0, second = 0; // capture number; the two characters of %b
    uint16_t set = 0;              // one .. optional, frontier
  };
  std::vector<Item> items_;
  std::vector<std::bitset<256>> sets_;
  bool anchored_ = false;
  int captures_ = 0;
};

// Compiled patterns are kept, since scripts use few of them often.
std::shared_ptr<const Pattern> cached_pattern(std::string_view text, bool anchors);

} // namespace wane
