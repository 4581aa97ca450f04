#include "bindings/pattern.h"

#include <cctype>
#include <string>
#include <unordered_map>

#include "runtime/error.h"

namespace wane {
namespace {

constexpr int64_t kMaxSteps = 200'000'000; // about a second, plus a share of the text's length
constexpr int64_t kStepsPerByte = 50;
constexpr int64_t kPollMask = (1 << 14) - 1;
constexpr size_t kMaxItems = 4000; // bounds the recursion

using Set = std::bitset<256>;

// The characters of a class letter as %a; an upper-case letter is the complement.
bool class_set(unsigned char letter, Set& set) {
  int (*test)(int) = nullptr;
  switch (std::tolower(letter)) {
  case 'a': test = std::isalpha; break;
  case 'c': test = std::iscntrl; break;
  case 'd': test = std::isdigit; break;
  case 'g': test = std::isgraph; break;
  case 'l': test = std::islower; break;
  case 'p': test = std::ispunct; break;
  case 's': test = std::isspace; break;
  case 'u': test = std::isupper; break;
  case 'w': test = std::isalnum; break;
  case 'x': test = std::isxdigit; break;
  default: return false;
  }
  for (int c = 0; c < 256; ++c)
    if (test(c)) set.set(size_t(c));
  if (std::isupper(letter)) set.flip();
  return true;
}

} // namespace

class PatternParser {
public:
  PatternParser(std::string_view text, Pattern& out) : text_(text), out_(out) {}

  void parse(bool anchors) {
    if (anchors && !text_.empty() && text_[0] == '^') out_.anchored_ = true, ++at_;
    while (at_ < text_.size()) item();
    if (!open_.empty()) throw error("malformed pattern: '(' is not closed");
    if (out_.items_.size() > kMaxItems) throw error("malformed pattern: more than {} items", kMaxItems);
  }

private:
  using Kind = Pattern::Kind;

  void item() {
    char c = text_[at_];
    if (c == '(') return open();
    if (c == ')') return close();
    if (c == '$' && at_ + 1 == text_.size()) return ++at_, add(Kind::end);
    if (c == '%' && at_ + 1 < text_.size()) {
      char next = text_[at_ + 1];
      if (next == 'b') return balance();
      if (next == 'f') return frontier();
      if (next >= '0' && next <= '9') return back(next);
    }
    Set set = single();
    Kind kind = Kind::one;
    if (at_ < text_.size()) {
      switch (text_[at_]) {
      case '*': kind = Kind::star; break;
      case '+': kind = Kind::plus; break;
      case '-': kind = Kind::shortest; break;
      case '?': kind = Kind::optional; break;
      default: break;
      }
      if (kind != Kind::one) ++at_;
    }
    add(kind, 0, 0, set_index(set));
  }

  void add(Kind kind, uint8_t first = 0, uint8_t second = 0, uint16_t set = 0) {
    out_.items_.push_back({kind, first, second, set});
  }
  uint16_t set_index(const Set& set) {
    if (out_.sets_.size() >= kMaxItems) throw error("malformed pattern: more than {} items", kMaxItems);
    out_.sets_.push_back(set);
    return uint16_t(out_.sets_.size() - 1);
  }

  void open() {
    if (out_.captures_ == kMaxCaptures) throw error("pattern: more than {} captures", kMaxCaptures);
    auto number = uint8_t(out_.captures_++);
    if (at_ + 1 < text_.size() && text_[at_ + 1] == ')') {
      at_ += 2;
      return add(Kind::position, number);
    }
    ++at_;
    open_.push_back(number);
    add(Kind::open, number);
  }
  void close() {
    if (open_.empty()) throw error("malformed pattern: ')' without '('");
    ++at_;
    add(Kind::close, open_.back());
    open_.pop_back();
  }
  void balance() {
    if (at_ + 3 >= text_.size()) throw error("malformed pattern: %b needs two characters");
    add(Kind::balance, uint8_t(text_[at_ + 2]), uint8_t(text_[at_ + 3]));
    at_ += 4;
  }
  void frontier() {
    at_ += 2;
    if (at_ >= text_.size() || text_[at_] != '[') throw error("malformed pattern: '[' is missing after %f");
    add(Kind::frontier, 0, 0, set_index(single()));
  }
  void back(char digit) {
    int number = digit - '1';
    bool is_open = false;
    for (int other : open_) is_open |= other == number;
    if (number < 0 || number >= out_.captures_ || is_open)
      throw error("pattern: no finished capture %{}", digit);
    at_ += 2;
    add(Kind::back, uint8_t(number));
  }

  Set single() { // one character class
    char c = text_[at_++];
    Set set;
    if (c == '.') return set.set();
    if (c == '[') return bracket();
    if (c == '%') {
      if (at_ == text_.size()) throw error("malformed pattern: it ends with '%'");
      auto next = uint8_t(text_[at_++]);
      if (!class_set(next, set)) set.set(next);
      return set;
    }
    return set.set(uint8_t(c));
  }

  Set bracket() {
    Set set;
    bool complement = at_ < text_.size() && text_[at_] == '^';
    if (complement) ++at_;
    bool first = true; // a ']' that comes first stands for itself
    for (;; first = false) {
      if (at_ >= text_.size()) throw error("malformed pattern: ']' is missing");
      auto c = uint8_t(text_[at_++]);
      if (c == ']' && !first) break;
      if (c == '%') {
        if (at_ >= text_.size()) throw error("malformed pattern: it ends with '%'");
        auto next = uint8_t(text_[at_++]);
        if (!class_set(next, set)) set.set(next);
      } else if (at_ + 1 < text_.size() && text_[at_] == '-' && text_[at_ + 1] != ']') {
        auto last = uint8_t(text_[at_ + 1]);
        at_ += 2;
        for (int between = c; between <= last; ++between) set.set(size_t(between));
      } else {
        set.set(c);
      }
    }
    return complement ? set.flip() : set;
  }

  std::string_view text_;
  Pattern& out_;
  size_t at_ = 0;
  std::vector<uint8_t> open_;
};

// Backtracking over the items; recursion only where a choice is made, so its depth is at most the number of
// items.
class Matcher {
public:
  Matcher(const Pattern& pattern, std::string_view subject)
      : p_(pattern), s_(subject), most_(kMaxSteps + kStepsPerByte * int64_t(subject.size())) {}

  bool match(int64_t at, PatternMatch& out) {
    out_ = &out;
    out.captures = p_.captures_;
    out.start = at;
    return run(0, at);
  }

private:
  using Kind = Pattern::Kind;

  void count(int64_t steps = 1) {
    int64_t before = steps_;
    steps_ += steps;
    if ((before ^ steps_) & ~kPollMask) {
      check_interrupt();
      if (steps_ > most_) throw error("pattern takes more than {} steps on this text", most_);
    }
  }
  bool fits(const Pattern::Item& item, int64_t at) const {
    return at < int64_t(s_.size()) && p_.sets_[item.set][uint8_t(s_[size_t(at)])];
  }

  bool run(size_t index, int64_t at) {
    for (; index < p_.items_.size(); ++index) {
      const auto& item = p_.items_[index];
      count();
      switch (item.kind) {
      case Kind::one:
        if (!fits(item, at)) return false;
        ++at;
        break;
      case Kind::star: return longest(index, at, 0);
      case Kind::plus: return longest(index, at, 1);
      case Kind::shortest: return shortest(index, at);
      case Kind::optional:
        if (fits(item, at) && run(index + 1, at + 1)) return true;
        break;
      case Kind::open: {
        Capture saved = out_->capture[item.first];
        out_->capture[item.first] = {at, 0};
        if (run(index + 1, at)) return true;
        out_->capture[item.first] = saved;
        return false;
      }
      case Kind::close: {
        int64_t saved = out_->capture[item.first].length;
        out_->capture[item.first].length = at - out_->capture[item.first].start;
        if (run(index + 1, at)) return true;
        out_->capture[item.first].length = saved;
        return false;
      }
      case Kind::position: out_->capture[item.first] = {at, Capture::kPosition}; break;
      case Kind::balance:
        if ((at = balanced(item, at)) < 0) return false;
        break;
      case Kind::frontier:
        if (!frontier(item, at)) return false;
        break;
      case Kind::back:
        if ((at = again(item, at)) < 0) return false;
        break;
      case Kind::end:
        if (at != int64_t(s_.size())) return false;
        break;
      }
    }
    out_->end = at;
    return true;
  }

  bool longest(size_t index, int64_t at, int64_t least) {
    const auto& item = p_.items_[index];
    int64_t last = at;
    while (fits(item, last)) ++last;
    count(last - at);
    for (; last >= at + least; --last)
      if (run(index + 1, last)) return true;
    return false;
  }
  bool shortest(size_t index, int64_t at) {
    const auto& item = p_.items_[index];
    for (;; ++at) {
      if (run(index + 1, at)) return true;
      if (!fits(item, at)) return false;
    }
  }
  int64_t balanced(const Pattern::Item& item, int64_t at) {
    if (at >= int64_t(s_.size()) || uint8_t(s_[size_t(at)]) != item.first) return -1;
    int64_t depth = 1;
    for (int64_t i = at + 1; i < int64_t(s_.size()); ++i) {
      count();
      auto c = uint8_t(s_[size_t(i)]);
      if (c == item.second) {
        if (--depth == 0) return i + 1;
      } else if (c == item.first) {
        ++depth;
      }
    }
    return -1;
  }
  bool frontier(const Pattern::Item& item, int64_t at) const { // the ends of the text count as '\0'
    auto before = at > 0 ? uint8_t(s_[size_t(at - 1)]) : uint8_t(0);
    auto after = at < int64_t(s_.size()) ? uint8_t(s_[size_t(at)]) : uint8_t(0);
    const auto& set = p_.sets_[item.set];
    return !set[before] && set[after];
  }
  int64_t again(const Pattern::Item& item, int64_t at) {
    auto& capture = out_->capture[item.first];
    int64_t length = capture.length;
    if (length == Capture::kPosition || int64_t(s_.size()) - at < length)
      return -1; // a position repeats nowhere
    count(length);
    if (s_.substr(size_t(at), size_t(length)) != s_.substr(size_t(capture.start), size_t(length))) return -1;
    return at + length;
  }

  const Pattern& p_;
  std::string_view s_;
  PatternMatch* out_ = nullptr;
  int64_t steps_ = 0, most_;

  friend class Pattern;
};

Pattern::Pattern(std::string_view text, bool anchors) { PatternParser(text, *this).parse(anchors); }

bool Pattern::match_at(std::string_view subject, int64_t at, PatternMatch& out) const {
  return Matcher(*this, subject).match(at, out);
}

bool Pattern::find(std::string_view subject, int64_t from, PatternMatch& out) const {
  Matcher matcher(*this, subject); // one count of steps for the whole search
  for (; from <= int64_t(subject.size()); ++from) {
    if (matcher.match(from, out)) return true;
    if (anchored_) break;
  }
  return false;
}

std::shared_ptr<const Pattern> cached_pattern(std::string_view text, bool anchors) {
  constexpr size_t kKept = 256;
  static thread_local std::unordered_map<std::string, std::shared_ptr<const Pattern>> known;
  std::string key = (anchors ? "a" : "g") + std::string(text);
  auto found = known.find(key);
  if (found != known.end()) return found->second;
  auto made = std::make_shared<const Pattern>(text, anchors);
  if (known.size() >= kKept) known.clear();
  known.emplace(std::move(key), made);
  return made;
}

} // namespace wane
