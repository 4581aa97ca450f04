// Cuts normalized text into words, inside which merges stay: a chain of stages, each cutting the pieces of
// the one before. The stages are those of tokenizer.json (Split, Digits, ByteLevel, Metaspace, Sequence).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/model/regex.h"

namespace wane {

struct SplitStage {
  enum class Keep { isolated, removed, merged_with_previous, merged_with_next, contiguous };
  std::optional<Regex> regex; // none: the piece stays whole
  Keep keep = Keep::isolated;
  bool invert = false;          // cut at what does not match
  std::string prefix;           // put before a piece that does not start with it ...
  bool prefix_at_start = false; // ... only at the very start of a text
  std::string space;            // what replaces U+0020, if anything does
};

class Pretokenizer {
public:
  struct Scratch {
    Regex::Scratch regex;
    std::vector<std::string> rewritten; // a stage's piece with its prefix or spaces replaced
  };

  void add(SplitStage stage) { stages_.push_back(std::move(stage)); }
  const std::vector<SplitStage>& stages() const { return stages_; }

  // Calls word(std::string_view) for the words of `text` in order. `at_start`: nothing came before this text.
  template <class Word>
  void split(std::string_view text, bool at_start, Scratch& scratch, Word&& word) const {
    if (scratch.rewritten.size() < stages_.size()) scratch.rewritten.resize(stages_.size());
    split_from(0, text, at_start, scratch, word);
  }

private:
  template <class Word>
  void split_from(size_t index, std::string_view text, bool at_start, Scratch& scratch, Word& word) const {
    if (text.empty()) return;
    if (index == stages_.size()) return void(word(text));
    const SplitStage& stage = stages_[index];
    if (!stage.prefix.empty() || !stage.space.empty()) text = rewrite(index, text, at_start, scratch);
    if (!stage.regex) return split_from(index + 1, text, at_start, scratch, word);
    if (stage.keep == SplitStage::Keep::isolated) {
      return isolate(index, text, at_start, scratch, word); // whatever `invert` says, both kinds are kept
    }
    for (auto [begin, end] : cut(stage, text, scratch.regex)) {
      split_from(index + 1, text.substr(begin, end - begin), at_start && begin == 0, scratch, word);
    }
  }

  template <class Word>
  void isolate(size_t index, std::string_view text, bool at_start, Scratch& scratch, Word& word) const {
    const SplitStage& stage = stages_[index];
    bool last = index + 1 == stages_.size();
    auto give = [&](size_t begin, size_t end) {
      if (last)
        word(text.substr(begin, end - begin));
      else
        split_from(index + 1, text.substr(begin, end - begin), at_start && begin == 0, scratch, word);
    };
    size_t at = 0;
    Regex::Range range;
    while (at < text.size() && stage.regex->find(text, at, scratch.regex, range)) {
      if (range.begin > at) give(at, range.begin);
      give(range.begin, range.end);
      at = range.end;
    }
    if (at < text.size()) give(at, text.size());
  }

  std::string_view rewrite(size_t index, std::string_view text, bool at_start, Scratch& scratch) const;
  static std::vector<Regex::Range> cut(const SplitStage& stage, std::string_view text,
                                       Regex::Scratch& scratch);

  std::vector<SplitStage> stages_;
};

// The patterns of the pre-tokenizers that GGUF knows by name.
struct NamedPretokenizer {
  const char* name;    // wane's, and the one written to a GGUF
  const char* pattern; // of Split; nullptr: ByteLevel's own
  bool single_digits;  // Digits(individual_digits) first
  bool ignore_merges;
  bool nfc;
  bool adds_bos; // where the file does not say
};
// nullptr when the name is not known.
const NamedPretokenizer* named_pretokenizer(std::string_view name);
std::vector<std::string> pretokenizer_names();
Pretokenizer make_pretokenizer(const NamedPretokenizer& named);

// ByteLevel's own pattern (GPT-2's), and the same with single digits cut off first, as one pattern.
const char* byte_level_pattern();
const char* byte_level_digits_pattern();

// The words of `text` under a named pre-tokenizer.
std::vector<std::string> pre_split(std::string_view text, std::string_view name);

} // namespace wane
