#include "runtime/model/pretokenize.h"

#include "runtime/error.h"

namespace wane {
namespace {

constexpr const char* kByteLevel =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
// Cutting single digits off first and then applying the pattern above to what lies between is the same as
// this: a digit ends a piece, so spaces before it are "at the end" too.
constexpr const char* kByteLevelDigits =
    R"(\p{N}|'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+)";
constexpr const char* kLlama3 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2 =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr NamedPretokenizer kNamed[] = {
    {"gpt-2", nullptr, false, false, false, false},
    {"llama-bpe", kLlama3, false, true, false, true},
    {"qwen2", kQwen2, false, false, true, false},
    {"smollm", nullptr, true, false, false, false},
};

struct Alias {
  const char *alias, *name;
};
constexpr Alias kAliases[] = {{"gpt2", "gpt-2"},
                              {"default", "gpt-2"},
                              {"", "gpt-2"},
                              {"llama3", "llama-bpe"},
                              {"llama-v3", "llama-bpe"},
                              {"starcoder", "smollm"},
                              {"deepseek-r1-qwen", "qwen2"}};

} // namespace

const char* byte_level_pattern() { return kByteLevel; }
const char* byte_level_digits_pattern() { return kByteLevelDigits; }

const NamedPretokenizer* named_pretokenizer(std::string_view name) {
  for (auto& [alias, target] : kAliases)
    if (name == alias) name = target;
  for (auto& named : kNamed)
    if (name == named.name) return &named;
  return nullptr;
}

std::vector<std::string> pretokenizer_names() {
  std::vector<std::string> names;
  for (auto& named : kNamed) names.push_back(named.name);
  return names;
}

Pretokenizer make_pretokenizer(const NamedPretokenizer& named) {
  Pretokenizer pretokenizer;
  SplitStage stage;
  const char* own = named.single_digits ? kByteLevelDigits : kByteLevel;
  stage.regex.emplace(named.pattern ? named.pattern : own, named.name);
  pretokenizer.add(std::move(stage));
  return pretokenizer;
}

std::vector<std::string> pre_split(std::string_view text, std::string_view name) {
  const NamedPretokenizer* named = named_pretokenizer(name);
  if (!named) throw error("not supported: pre-tokenizer {}", name);
  Pretokenizer::Scratch scratch;
  std::vector<std::string> words;
  make_pretokenizer(*named).split(text, true, scratch,
                                  [&](std::string_view word) { words.emplace_back(word); });
  return words;
}

std::string_view Pretokenizer::rewrite(size_t index, std::string_view text, bool at_start,
                                       Scratch& scratch) const {
  const SplitStage& stage = stages_[index];
  std::string& out = scratch.rewritten[index];
  out.clear();
  if (stage.space.empty()) {
    out = text;
  } else {
    for (char c : text) c == ' ' ? void(out += stage.space) : void(out += c);
  }
  bool wanted = !stage.prefix.empty() && (at_start || !stage.prefix_at_start);
  if (wanted && out.compare(0, stage.prefix.size(), stage.prefix) != 0) out.insert(0, stage.prefix);
  return out;
}

std::vector<Regex::Range> Pretokenizer::cut(const SplitStage& stage, std::string_view text,
                                            Regex::Scratch& scratch) {
  using Keep = SplitStage::Keep;
  struct Part {
    Regex::Range range;
    bool delimiter;
  };
  std::vector<Part> parts;
  size_t at = 0;
  Regex::Range range;
  while (at < text.size() && stage.regex->find(text, at, scratch, range)) {
    if (range.begin > at) parts.push_back({{at, range.begin}, stage.invert});
    parts.push_back({range, !stage.invert});
    at = range.end;
  }
  if (at < text.size()) parts.push_back({{at, text.size()}, stage.invert});

  std::vector<Regex::Range> out;
  bool previous = false; // whether the part before was a delimiter
  for (size_t i = 0; i < parts.size(); ++i) {
    auto [here, delimiter] = parts[i];
    bool join = false; // with the last piece that came out
    switch (stage.keep) {
    case Keep::removed:
      if (delimiter) continue;
      break;
    case Keep::isolated: break;
    case Keep::contiguous: join = i > 0 && delimiter == previous; break;
    case Keep::merged_with_previous: join = delimiter && !previous && i > 0; break;
    case Keep::merged_with_next: join = !delimiter && previous; break;
    }
    if (join)
      out.back().end = here.end;
    else
      out.push_back(here);
    previous = delimiter;
  }
  return out;
}

} // namespace wane
