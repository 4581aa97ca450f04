#include "runtime/model/tokenizer_json_parse.h"

#include "runtime/error.h"
#include "runtime/model/unicode_text.h"

namespace wane {
namespace {

using nlohmann::json;

constexpr size_t kDeepest = 64; // levels of nesting; real files have about 6

class Handler : public nlohmann::json_sax<json> {
public:
  Handler(TokenizerDocument& document, const std::string& path) : document_(document), path_(path) {}

  bool null() override { return value(nullptr); }
  bool boolean(bool v) override { return value(v); }
  bool number_integer(int64_t v) override { return in_vocab() ? vocab_id(v) : value(v); }
  bool number_unsigned(uint64_t v) override {
    return in_vocab() ? vocab_id(v > INT64_MAX ? INT64_MAX : int64_t(v)) : value(v);
  }
  bool number_float(double v, const std::string&) override { return value(v); }
  bool string(std::string& v) override { return in_merges() ? merge_part(v) : value(v); }
  bool binary(json::binary_t&) override { return false; }

  bool start_object(size_t) override {
    bool vocab = stack_.size() == 2 && at_model_key("vocab");
    if (vocab && document_.has_vocab) refuse("the key \"vocab\" appears twice");
    if (vocab) document_.has_vocab = true;
    return open(json::object(), vocab ? Kind::vocab : Kind::tree);
  }
  bool start_array(size_t) override {
    if (in_merges() && top().kind == Kind::merges) return open(json(), Kind::pair);
    bool merges = stack_.size() == 2 && at_model_key("merges");
    if (merges && document_.has_merges) refuse("the key \"merges\" appears twice");
    if (merges) document_.has_merges = true;
    return open(json::array(), merges ? Kind::merges : Kind::tree);
  }
  bool end_object() override { return close(); }
  bool end_array() override {
    if (top().kind == Kind::pair && parts_.size() != 2) {
      refuse(fmt::format("merge {} has {} parts instead of 2", document_.merges.size(), parts_.size()));
    }
    if (top().kind == Kind::pair) document_.merges.emplace_back(std::move(parts_[0]), std::move(parts_[1]));
    return close();
  }
  bool key(std::string& v) override {
    if (!in_vocab() && top().node.contains(v)) refuse(fmt::format("the key {} appears twice", show_text(v)));
    top().key = v;
    return true;
  }
  bool parse_error(size_t at, const std::string&, const json::exception& problem) override {
    // The parser's own message begins with its name for the problem and the place.
    std::string_view what = problem.what();
    size_t place = what.find(": ");
    if (place != std::string_view::npos) what.remove_prefix(place + 2);
    throw error(Fault::bad_file, "{}: not JSON at byte {}: {}", path_, at, what);
  }

private:
  enum class Kind { tree, vocab, merges, pair };
  struct Level {
    Kind kind;
    json node;
    std::string key;
  };

  [[noreturn]] void refuse(const std::string& what) const {
    throw error(Fault::bad_file, "{}: {}", path_, what);
  }
  Level& top() { return stack_.back(); }
  bool in_vocab() const { return !stack_.empty() && stack_.back().kind == Kind::vocab; }
  bool in_merges() const {
    return !stack_.empty() && (stack_.back().kind == Kind::merges || stack_.back().kind == Kind::pair);
  }
  bool at_model_key(const char* name) const { return stack_[0].key == "model" && stack_[1].key == name; }

  bool open(json node, Kind kind) {
    if (in_vocab()) refuse(fmt::format("the id of token {} is no number", show_text(top().key)));
    if (in_merges() && kind != Kind::pair) refuse(bad_merge());
    if (stack_.size() == kDeepest) refuse(fmt::format("nested more than {} levels deep", kDeepest));
    if (kind == Kind::pair) parts_.clear();
    stack_.push_back({kind, std::move(node), ""});
    return true;
  }

  bool close() {
    Level done = std::move(stack_.back());
    stack_.pop_back();
    if (stack_.empty())
      document_.rest = std::move(done.node);
    else if (done.kind == Kind::tree)
      put(std::move(done.node));
    return true;
  }

  void put(json node) {
    if (top().node.is_array())
      top().node.push_back(std::move(node));
    else
      top().node[top().key] = std::move(node);
  }

  template <class T> bool value(T&& v) {
    if (stack_.empty()) refuse("not a JSON object");
    if (in_vocab()) refuse(fmt::format("the id of token {} is no whole number", show_text(top().key)));
    if (in_merges()) refuse(bad_merge());
    put(json(std::forward<T>(v)));
    return true;
  }

  bool vocab_id(int64_t id) {
    document_.vocab.emplace_back(std::move(top().key), id);
    return true;
  }

  std::string bad_merge() const { return fmt::format("merge {} is not two texts", document_.merges.size()); }

  bool merge_part(std::string& text) {
    if (top().kind == Kind::pair) {
      if (parts_.size() == 2) refuse(bad_merge());
      parts_.push_back(std::move(text));
      return true;
    }
    size_t space = text.find(' ');
    if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos) {
      refuse(fmt::format("merge {} is {}: not two texts with one space between", document_.merges.size(),
                         show_text(text)));
    }
    document_.merges.emplace_back(text.substr(0, space), text.substr(space + 1));
    return true;
  }

  TokenizerDocument& document_;
  const std::string& path_;
  std::vector<Level> stack_;
  std::vector<std::string> parts_; // of the pair being read
};

} // namespace

TokenizerDocument parse_tokenizer_document(std::string_view text, const std::string& path) {
  TokenizerDocument document;
  Handler handler(document, path);
  json::sax_parse(text.begin(), text.end(), &handler);
  if (!document.rest.is_object()) throw error(Fault::bad_file, "{}: not a JSON object", path);
  return document;
}

} // namespace wane
