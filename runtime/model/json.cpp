#include "runtime/model/json.h"

#include <unordered_set>

namespace wane {
namespace {

constexpr size_t kMaxDepth = 64;

// Reports to `seen` how many characters the lexer has taken, so that errors of a handler know their place.
class CountingIterator {
public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  CountingIterator(const char* at, const char** seen) : at_(at), seen_(seen) {}
  reference operator*() const { return *at_; }
  CountingIterator& operator++() {
    *seen_ = ++at_;
    return *this;
  }
  CountingIterator operator++(int) {
    auto before = *this;
    ++*this;
    return before;
  }
  bool operator==(const CountingIterator& other) const { return at_ == other.at_; }
  bool operator!=(const CountingIterator& other) const { return at_ != other.at_; }

private:
  const char* at_;
  const char** seen_;
};

// Builds the tree. A plain nlohmann parse keeps the last of two equal keys and says nothing.
class TreeHandler : public JsonHandler {
public:
  using JsonHandler::JsonHandler;
  nlohmann::json root;

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t&) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool start_object(size_t) override { return open(nlohmann::json::object()); }
  bool start_array(size_t) override { return open(nlohmann::json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }
  bool key(string_t& name) override {
    if (open_.back()->contains(name)) fail(fmt::format("the key {} is there twice", shown_name(name)));
    key_ = std::move(name);
    return true;
  }

private:
  bool add(nlohmann::json value) {
    place(std::move(value));
    return true;
  }
  nlohmann::json* place(nlohmann::json value) {
    if (open_.empty()) return &(root = std::move(value));
    auto& parent = *open_.back();
    if (parent.is_object()) return &(parent[key_] = std::move(value));
    parent.push_back(std::move(value));
    return &parent.back();
  }
  bool open(nlohmann::json value) {
    if (open_.size() == kMaxDepth) fail(fmt::format("is nested more than {} deep", kMaxDepth));
    open_.push_back(place(std::move(value))); // stays valid: only the last child of a parent is ever open
    return true;
  }
  bool close() {
    open_.pop_back();
    return true;
  }
  std::vector<nlohmann::json*> open_;
  std::string key_;
};

} // namespace

void JsonHandler::fail(const std::string& what) const { throw bad_file(path_, offset(), what); }

bool JsonHandler::parse_error(size_t, const std::string&, const nlohmann::json::exception& problem) {
  // "[json.exception.parse_error.101] parse error at line 1, column 2: syntax error ... - reason; last read:
  // ..."
  std::string reason = problem.what();
  if (auto start = reason.find(": "); start != std::string::npos) reason = reason.substr(start + 2);
  if (auto start = reason.find(" - "); start != std::string::npos) reason = reason.substr(start + 3);
  if (reason.size() > 160) reason = reason.substr(0, 160) + "...";
  fail("is not valid JSON: " + reason);
}

void JsonHandler::scan(std::string_view text) {
  begin_ = seen_ = text.data();
  // nlohmann skips a byte order mark and takes a NUL for the end of the text.
  if (text.starts_with("\xef\xbb\xbf")) fail("is not valid JSON: it begins with a byte order mark");
  if (auto zero = text.find('\0'); zero != std::string_view::npos) {
    seen_ = text.data() + zero;
    fail("is not valid JSON: it holds a zero byte");
  }
  CountingIterator first(text.data(), &seen_), last(text.data() + text.size(), &seen_);
  nlohmann::json::sax_parse(first, last, this);
}

nlohmann::json parse_json(std::string_view text, const std::string& path) {
  TreeHandler handler(path, 0);
  handler.scan(text);
  return std::move(handler.root);
}

} // namespace wane
