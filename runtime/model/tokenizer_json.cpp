// From a parsed tokenizer.json to the parts of a tokenizer. Whatever would change ids and is not known is
// refused by name.
#include <algorithm>
#include <optional>
#include <span>

#include "runtime/error.h"
#include "runtime/model/tokenizer_json_parse.h"
#include "runtime/model/tokenizer_parts.h"
#include "runtime/model/unicode_text.h"

namespace wane {
namespace {

using nlohmann::json;

class Reader {
public:
  Reader(TokenizerDocument document, const std::string& path)
      : document_(std::move(document)), root_(document_.rest), path_(path), parts_(new TokenizerParts) {
    parts_->path = path;
  }

  std::unique_ptr<TokenizerParts> run(std::string_view config) {
    read_normalizer(section("normalizer"));
    read_pretokenizer(section("pre_tokenizer"));
    read_vocabulary();
    read_model();
    read_decoder(section("decoder"));
    read_postprocessor(section("post_processor"));
    read_config(config);
    return std::move(parts_);
  }

private:
  template <class... A> [[noreturn]] void refuse(fmt::format_string<A...> text, A&&... args) const {
    throw error(Fault::bad_file, "{}: {}", path_, fmt::format(text, std::forward<A>(args)...));
  }
  [[noreturn]] void unsupported(std::string_view part, std::string_view name) const {
    refuse("not supported: {} {}", part, name);
  }

  const json* section(const char* name) const {
    auto it = root_.find(name);
    return it == root_.end() || it->is_null() ? nullptr : &*it;
  }
  std::string text_of(const json& node, const char* key, std::string fallback) const {
    auto it = node.is_object() ? node.find(key) : node.end();
    if (!node.is_object() || it == node.end() || it->is_null()) return fallback;
    if (!it->is_string()) refuse("{} is no text", key);
    return it->get<std::string>();
  }
  bool flag_of(const json& node, const char* key, bool fallback) const {
    auto it = node.is_object() ? node.find(key) : node.end();
    if (!node.is_object() || it == node.end() || it->is_null()) return fallback;
    if (!it->is_boolean()) refuse("{} is neither true nor false", key);
    return it->get<bool>();
  }
  std::string type_of(const json& node, std::string_view part) const {
    std::string type = text_of(node, "type", "");
    if (type.empty()) refuse("a {} has no type", part);
    return type;
  }
  const json& list_of(const json& node, const char* key) const {
    auto it = node.find(key);
    if (it == node.end() || !it->is_array()) refuse("a Sequence has no list {}", key);
    return *it;
  }

  void read_normalizer(const json* node) {
    if (!node) return;
    std::string type = type_of(*node, "normalizer");
    NormalizeStep step;
    if (type == "Sequence") {
      for (const json& child : list_of(*node, "normalizers")) read_normalizer(&child);
      return;
    }
    if (type == "NFC")
      step.kind = NormalizeStep::Kind::nfc;
    else if (type == "Prepend")
      step.kind = NormalizeStep::Kind::prepend, step.content = text_of(*node, "prepend", "");
    else if (type == "Replace")
      read_replace(*node, step);
    else
      unsupported("normalizer", type);
    parts_->normalizer.add(std::move(step));
  }

  void read_replace(const json& node, NormalizeStep& step) {
    step.kind = NormalizeStep::Kind::replace;
    step.content = text_of(node, "content", "");
    auto [pattern, is_regex] = pattern_of(node);
    if (is_regex)
      step.regex.emplace(pattern, path_);
    else
      step.literal = pattern;
  }

  std::pair<std::string, bool> pattern_of(const json& node) const {
    auto it = node.find("pattern");
    if (it == node.end() || !it->is_object()) refuse("{} has no pattern", text_of(node, "type", ""));
    std::string regex = text_of(*it, "Regex", ""), literal = text_of(*it, "String", "");
    if (regex.empty() == literal.empty())
      refuse("the pattern of {} is neither a Regex nor a String", text_of(node, "type", ""));
    return {regex.empty() ? literal : regex, literal.empty()};
  }

  void read_pretokenizer(const json* node) {
    std::vector<const json*> list;
    if (node) flatten(*node, list);
    bool byte_level = false;
    for (size_t i = 0; i < list.size(); ++i) {
      std::string type = type_of(*list[i], "pre_tokenizer");
      if (byte_level) refuse("not supported: pre_tokenizer {} after ByteLevel", type);
      byte_level = type == "ByteLevel";
      if (type == "Digits" && i + 1 < list.size() && digits_then_byte_level(*list[i], *list[i + 1])) {
        add_stage(byte_level_digits_pattern(), SplitStage::Keep::isolated);
        byte_level = true, ++i;
      } else {
        read_stage(*list[i], type);
      }
    }
    parts_->model.byte_level = byte_level;
  }

  void flatten(const json& node, std::vector<const json*>& list) const {
    if (type_of(node, "pre_tokenizer") != "Sequence") return list.push_back(&node);
    for (const json& child : list_of(node, "pretokenizers")) flatten(child, list);
  }

  // The two together are one pattern, which costs one pass instead of two.
  bool digits_then_byte_level(const json& digits, const json& next) const {
    return type_of(next, "pre_tokenizer") == "ByteLevel" && flag_of(digits, "individual_digits", false)
           && flag_of(next, "use_regex", true) && !flag_of(next, "add_prefix_space", true);
  }

  void add_stage(std::string_view pattern, SplitStage::Keep keep, bool invert = false) {
    SplitStage stage;
    stage.regex.emplace(pattern, path_);
    stage.keep = keep;
    stage.invert = invert;
    parts_->pretokenizer.add(std::move(stage));
  }

  void read_stage(const json& node, const std::string& type) {
    using Keep = SplitStage::Keep;
    if (type == "Split") {
      auto [pattern, is_regex] = pattern_of(node);
      add_stage(is_regex ? pattern : literal_pattern(pattern), keep_of(text_of(node, "behavior", "")),
                flag_of(node, "invert", false));
    } else if (type == "Digits") {
      bool single = flag_of(node, "individual_digits", false);
      add_stage("\\p{N}", single ? Keep::isolated : Keep::contiguous);
    } else if (type == "ByteLevel") {
      SplitStage stage;
      if (flag_of(node, "add_prefix_space", true)) stage.prefix = " ";
      if (flag_of(node, "use_regex", true)) stage.regex.emplace(byte_level_pattern(), path_);
      if (stage.regex || !stage.prefix.empty()) parts_->pretokenizer.add(std::move(stage));
    } else if (type == "Metaspace") {
      read_metaspace(node);
    } else {
      unsupported("pre_tokenizer", type);
    }
  }

  SplitStage::Keep keep_of(const std::string& behavior) const {
    using Keep = SplitStage::Keep;
    if (behavior == "Isolated") return Keep::isolated;
    if (behavior == "Removed") return Keep::removed;
    if (behavior == "MergedWithPrevious") return Keep::merged_with_previous;
    if (behavior == "MergedWithNext") return Keep::merged_with_next;
    if (behavior == "Contiguous") return Keep::contiguous;
    refuse("not supported: behavior {} of Split", behavior);
  }

  std::string prepend_scheme(const json& node) const {
    bool prefix = flag_of(node, "add_prefix_space", true); // the older spelling
    std::string scheme = text_of(node, "prepend_scheme", prefix ? "always" : "never");
    if (scheme != "always" && scheme != "first" && scheme != "never") unsupported("prepend_scheme", scheme);
    return scheme;
  }

  void read_metaspace(const json& node) {
    SplitStage stage;
    stage.space = text_of(node, "replacement", kSpaceMark);
    std::string scheme = prepend_scheme(node);
    if (scheme != "never") stage.prefix = stage.space;
    stage.prefix_at_start = scheme == "first";
    stage.keep = SplitStage::Keep::merged_with_next;
    if (flag_of(node, "split", true)) stage.regex.emplace(literal_pattern(stage.space), path_);
    parts_->pretokenizer.add(std::move(stage));
  }

  void read_vocabulary() {
    struct Entry {
      std::string_view text;
      bool set = false;
    };
    std::vector<AddedToken> added = read_added();
    if (document_.vocab.empty()) refuse("the vocabulary is empty");
    // Ids are dense, so none can be as large as the number of tokens: nothing is sized by a number from the
    // file.
    std::vector<Entry> entries(document_.vocab.size() + added.size());
    size_t count = 0;
    auto put = [&](std::string_view text, int64_t id) {
      if (id < 0) refuse("token {} has the id {}", show_text(text), id);
      if (id >= int64_t(entries.size()) || id >= WordCache::kMostTokens) {
        refuse("token {} has the id {}, which leaves ids below it without a token", show_text(text), id);
      }
      Entry& entry = entries[size_t(id)];
      if (entry.set && entry.text == text) return;
      if (entry.set)
        refuse("tokens {} and {} have the same id {}", show_text(entry.text), show_text(text), id);
      entry = {text, true};
      ++count;
    };
    for (auto& [text, id] : document_.vocab) put(text, id);
    for (const AddedToken& token : added) put(token.content, token.id);
    for (size_t id = 0; id < count; ++id) {
      if (!entries[id].set) refuse("id {} has no token, though higher ones do", id);
      int32_t earlier = parts_->vocabulary.add(entries[id].text);
      if (earlier >= 0) refuse("token {} has two ids, {} and {}", show_text(entries[id].text), earlier, id);
    }
    if (count > document_.vocab.size()) {
      parts_->model.added_only.assign(count, true);
      for (auto& [text, id] : document_.vocab) parts_->model.added_only[size_t(id)] = false;
    }
    parts_->added = std::move(added);
  }

  std::vector<AddedToken> read_added() const {
    std::vector<AddedToken> added;
    const json* list = section("added_tokens");
    if (list && !list->is_array()) refuse("added_tokens is no list");
    for (const json& node : list ? *list : json::array()) {
      AddedToken token;
      token.content = text_of(node, "content", "");
      if (token.content.empty()) refuse("added token {} is empty", added.size());
      if (!node.contains("id") || !node["id"].is_number_integer()) {
        refuse("the id of added token {} is no whole number", show_text(token.content));
      }
      // A number above 2^63 wraps to a negative one and is refused with those.
      auto id = node["id"].get<int64_t>();
      if (id < 0 || id >= WordCache::kMostTokens)
        refuse("added token {} has the id {}", show_text(token.content), id);
      token.id = int32_t(id);
      token.special = flag_of(node, "special", false);
      token.normalized = flag_of(node, "normalized", !token.special);
      token.lstrip = flag_of(node, "lstrip", false);
      token.rstrip = flag_of(node, "rstrip", false);
      token.single_word = flag_of(node, "single_word", false);
      added.push_back(std::move(token));
    }
    std::vector<int32_t> ids;
    for (const AddedToken& token : added) ids.push_back(token.id);
    std::sort(ids.begin(), ids.end());
    auto twice = std::adjacent_find(ids.begin(), ids.end());
    if (twice != ids.end()) refuse("two added tokens have the id {}", *twice);
    return added;
  }

  void read_model() {
    const json* node = section("model");
    if (!node || !node->is_object()) refuse("there is no model");
    std::string type = text_of(*node, "type", document_.has_merges ? "BPE" : "without a type");
    if (type != "BPE") unsupported("model", type);
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
      if (!text_of(*node, key, "").empty()) unsupported("model", key);
    }
    if (auto it = node->find("dropout"); it != node->end() && !it->is_null() && *it != 0)
      unsupported("model", "dropout");
    if (!document_.has_merges) refuse("there are no merges");
    BpeModel& model = parts_->model;
    model.ignore_merges = flag_of(*node, "ignore_merges", false);
    model.byte_fallback = flag_of(*node, "byte_fallback", false);
    model.fuse_unknown = flag_of(*node, "fuse_unk", false);
    if (std::string unknown = text_of(*node, "unk_token", ""); !unknown.empty()) {
      model.unknown = parts_->vocabulary.find(unknown);
      if (model.unknown < 0) refuse("the unknown token {} is not in the vocabulary", show_text(unknown));
      parts_->unk = model.unknown;
    }
    if (model.byte_level && model.byte_fallback) unsupported("model", "byte_fallback with ByteLevel");
    if (model.byte_level)
      find_byte_characters(*parts_);
    else if (model.byte_fallback)
      find_byte_tokens(*parts_);
    read_merges();
  }

  void read_merges() {
    parts_->model.merges.reserve(document_.merges.size());
    std::string joined;
    for (size_t i = 0; i < document_.merges.size(); ++i) {
      auto& [left, right] = document_.merges[i];
      int32_t left_id = token_of_merge(i, left), right_id = token_of_merge(i, right);
      joined.assign(left).append(right);
      int32_t product = parts_->model.find(parts_->vocabulary, joined);
      if (product < 0) refuse("merge {} makes {}, which is not in the vocabulary", i, show_text(joined));
      if (!parts_->model.merges.add(left_id, right_id, uint32_t(i), product)) {
        refuse("merge {} of {} and {} appears twice", i, show_text(left), show_text(right));
      }
    }
  }

  int32_t token_of_merge(size_t index, std::string_view text) const {
    int32_t id = parts_->model.find(parts_->vocabulary, text);
    if (id < 0) refuse("merge {} names {}, which is not in the vocabulary", index, show_text(text));
    return id;
  }

  void read_decoder(const json* node) {
    TokenDecoder& decoder = parts_->decoder;
    if (!node) {
      decoder.byte_level = parts_->model.byte_level;
      return;
    }
    std::string type = type_of(*node, "decoder");
    if (type == "Sequence") {
      for (const json& child : list_of(*node, "decoders")) read_decoder(&child);
    } else if (type == "ByteLevel") {
      decoder.byte_level = true;
    } else if (type == "ByteFallback") {
      decoder.byte_fallback = true;
    } else if (type == "Replace") {
      auto [pattern, is_regex] = pattern_of(*node);
      if (is_regex) unsupported("decoder", "Replace with a Regex");
      decoder.replace.emplace_back(pattern, text_of(*node, "content", ""));
    } else if (type == "Strip") {
      read_strip(*node);
    } else if (type == "Metaspace") {
      decoder.replace.emplace_back(text_of(*node, "replacement", kSpaceMark), " ");
      if (prepend_scheme(*node) != "never") decoder.strip = " ", decoder.strip_most = 1;
    } else if (type != "Fuse") {
      unsupported("decoder", type);
    }
  }

  void read_strip(const json& node) {
    parts_->decoder.strip = text_of(node, "content", " ");
    int64_t start = node.value("start", json(0)).is_number_integer() ? node.value("start", int64_t{0}) : -1;
    int64_t stop = node.value("stop", json(0)).is_number_integer() ? node.value("stop", int64_t{0}) : -1;
    if (start < 0 || stop != 0 || parts_->decoder.strip.empty()) unsupported("decoder", "Strip at the end");
    parts_->decoder.strip_most = size_t(start);
  }

  void read_postprocessor(const json* node) {
    if (!node) return;
    std::string type = type_of(*node, "post_processor");
    if (type == "Sequence") {
      for (const json& child : list_of(*node, "processors")) read_postprocessor(&child);
    } else if (type == "TemplateProcessing") {
      read_template(*node);
    } else if (type != "ByteLevel") { // that one moves offsets only
      unsupported("post_processor", type);
    }
  }

  void read_template(const json& node) {
    if (has_template_) unsupported("post_processor", "TemplateProcessing twice");
    has_template_ = true;
    auto single = node.find("single");
    if (single == node.end() || !single->is_array()) refuse("TemplateProcessing has no list single");
    bool after_text = false;
    for (const json& item : *single) {
      if (item.is_object() && item.contains("Sequence")) {
        if (after_text) unsupported("post_processor", "TemplateProcessing with the text twice");
        after_text = true;
      } else if (item.is_object() && item.contains("SpecialToken")) {
        add_special(node, text_of(item["SpecialToken"], "id", ""),
                    after_text ? parts_->suffix : parts_->prefix);
      } else {
        refuse("TemplateProcessing has a part that is neither Sequence nor SpecialToken");
      }
    }
    if (!after_text) refuse("TemplateProcessing leaves the text out");
    parts_->bos = parts_->prefix.empty() ? -1 : parts_->prefix.front();
    parts_->eos = parts_->suffix.empty() ? -1 : parts_->suffix.back();
  }

  void add_special(const json& node, const std::string& name, std::vector<int32_t>& ids) const {
    auto table = node.find("special_tokens");
    if (table == node.end() || !table->is_object() || !table->contains(name)) {
      refuse("TemplateProcessing names {}, which is not among its special tokens", show_text(name));
    }
    const json& entry = (*table)[name];
    auto list = entry.is_object() ? entry.find("ids") : entry.end();
    if (!entry.is_object() || list == entry.end() || !list->is_array()) {
      refuse("special token {} of TemplateProcessing has no ids", show_text(name));
    }
    for (const json& id : *list) {
      if (!id.is_number_integer() || !parts_->vocabulary.has(id.get<int64_t>())) {
        refuse("special token {} of TemplateProcessing has an id that is no token", show_text(name));
      }
      ids.push_back(id.get<int32_t>());
    }
  }

  // tokenizer_config.json: names of special tokens, the chat template. A template of tokenizer.json decides
  // what is put around a text; add_bos_token and add_eos_token do where there is none.
  void read_config(std::string_view text) {
    json config = text.empty() ? json::object() : json::parse(text.begin(), text.end(), nullptr, false);
    if (!config.is_object()) refuse("the tokenizer_config.json beside it is not a JSON object");
    auto named = [&](const char* key, int32_t fallback) {
      auto it = config.find(key);
      if (it == config.end() || it->is_null()) return fallback;
      std::string name = it->is_string() ? it->get<std::string>() : text_of(*it, "content", "");
      int32_t id = parts_->vocabulary.find(name);
      if (id < 0)
        refuse("{} of tokenizer_config.json is {}, which is not in the vocabulary", key, show_text(name));
      return id;
    };
    parts_->bos = named("bos_token", parts_->bos);
    parts_->eos = named("eos_token", parts_->eos);
    parts_->unk = named("unk_token", parts_->unk);
    parts_->pad = named("pad_token", parts_->pad);
    if (!has_template_ && flag_of(config, "add_bos_token", false) && parts_->bos >= 0)
      parts_->prefix = {parts_->bos};
    if (!has_template_ && flag_of(config, "add_eos_token", false) && parts_->eos >= 0)
      parts_->suffix = {parts_->eos};
    parts_->add_bos = !parts_->prefix.empty();
    parts_->add_eos = !parts_->suffix.empty();
    auto chat = config.find("chat_template");
    if (chat != config.end()) parts_->chat_template = chat_template_of(*chat);
  }

  // One template, or a list of named ones, of which "default" is meant.
  std::string chat_template_of(const json& node) const {
    if (node.is_string()) return node.get<std::string>();
    for (const json& item : node.is_array() ? node : json::array()) {
      if (text_of(item, "name", "") == "default") return text_of(item, "template", "");
    }
    return "";
  }

  TokenizerDocument document_;
  const json& root_;
  const std::string& path_;
  std::unique_ptr<TokenizerParts> parts_;
  bool has_template_ = false;
};

} // namespace

std::unique_ptr<TokenizerParts> read_tokenizer_json(std::string_view text, std::string_view config,
                                                    const std::string& path) {
  auto parts = Reader(parse_tokenizer_document(text, path), path).run(config);
  parts->json = text;
  parts->config = config;
  return parts;
}

} // namespace wane
