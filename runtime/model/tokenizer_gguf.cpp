// From what a GGUF's metadata says about its tokenizer to the parts of a tokenizer.
#include <algorithm>

#include "runtime/error.h"
#include "runtime/model/spm.h"
#include "runtime/model/tokenizer_parts.h"
#include "runtime/model/unicode_text.h"

namespace wane {
namespace {

constexpr int32_t kUnknownType = 2, kControlType = 3, kUserType = 4;

void read_tokens(const TokenizerSource& source, TokenizerParts& parts) {
  if (source.tokens.empty()) throw error(Fault::bad_file, "{}: the vocabulary is empty", parts.path);
  if (source.tokens.size() > size_t(WordCache::kMostTokens)) {
    throw error(Fault::bad_file, "{}: {} tokens, at most {} are supported", parts.path, source.tokens.size(),
                WordCache::kMostTokens);
  }
  if (!source.types.empty() && source.types.size() < source.tokens.size()) {
    throw error(Fault::bad_file, "{}: {} token types for {} tokens", parts.path, source.types.size(),
                source.tokens.size());
  }
  for (size_t id = 0; id < source.tokens.size(); ++id) {
    const std::string& text = source.tokens[id];
    if (size_t bad = invalid_utf8(text); bad != std::string_view::npos) {
      throw error(Fault::bad_file, "{}: token {} is not UTF-8 at its byte {}", parts.path, id, bad);
    }
    if (int32_t earlier = parts.vocabulary.add(text); earlier >= 0) {
      throw error(Fault::bad_file, "{}: tokens {} and {} are both {}", parts.path, earlier, id,
                  show_text(text));
    }
  }
}

// Control tokens are special, user-defined ones are plain text that must not be cut; so is the unknown token,
// as the reference implementation writes it.
void read_added(const TokenizerSource& source, TokenizerParts& parts) {
  for (size_t id = 0; id < std::min(source.types.size(), source.tokens.size()); ++id) {
    int32_t type = source.types[id];
    bool special = type == kControlType || (type == kUnknownType && int32_t(id) == source.unk);
    if (!special && type != kUserType) continue;
    if (source.tokens[id].empty()) {
      throw error(Fault::bad_file, "{}: token {} is looked for in the text, but it is empty", parts.path, id);
    }
    AddedToken token;
    token.id = int32_t(id);
    token.content = source.tokens[id];
    token.special = special;
    parts.added.push_back(std::move(token));
  }
}

int32_t special_id(const TokenizerParts& parts, const char* name, int32_t id) {
  if (id < 0) return -1;
  if (!parts.vocabulary.has(id)) {
    throw error(Fault::bad_file, "{}: the {} token is {}, but there are {} tokens", parts.path, name, id,
                parts.vocabulary.size());
  }
  return id;
}

void read_byte_level(const TokenizerSource& source, TokenizerParts& parts) {
  parts.named = named_pretokenizer(source.pre);
  if (!parts.named) {
    throw error(Fault::bad_file, "{}: not supported: pre-tokenizer {}", parts.path, show_text(source.pre))
        .note("known", fmt::format("{}", fmt::join(pretokenizer_names(), ", ")));
  }
  if (source.merges.empty()) throw error(Fault::bad_file, "{}: there are no merges", parts.path);
  parts.pretokenizer = make_pretokenizer(*parts.named);
  if (parts.named->nfc) parts.normalizer.add({});
  parts.model.byte_level = true;
  parts.model.ignore_merges = parts.named->ignore_merges;
  parts.decoder.byte_level = true;
  find_byte_characters(parts);
  parts.model.merges.reserve(source.merges.size());
  std::string joined;
  for (size_t i = 0; i < source.merges.size(); ++i) {
    const std::string& merge = source.merges[i];
    size_t space = merge.find(' ', 1);
    if (space == std::string::npos) {
      throw error(Fault::bad_file, "{}: merge {} is {}: not two texts with one space between", parts.path, i,
                  show_text(merge));
    }
    auto part = [&](std::string_view text) {
      int32_t id = parts.vocabulary.find(text);
      if (id >= 0) return id;
      throw error(Fault::bad_file, "{}: merge {} names {}, which is not in the vocabulary", parts.path, i,
                  show_text(text));
    };
    std::string_view text = merge;
    int32_t left = part(text.substr(0, space)), right = part(text.substr(space + 1));
    int32_t product = part(joined.assign(text.substr(0, space)).append(text.substr(space + 1)));
    if (!parts.model.merges.add(left, right, uint32_t(i), product)) {
      throw error(Fault::bad_file, "{}: merge {} of {} appears twice", parts.path, i, show_text(merge));
    }
    parts.merge_pairs.emplace_back(left, right);
  }
}

void read_sentencepiece(const TokenizerSource& source, TokenizerParts& parts) {
  if (source.scores.size() < source.tokens.size()) {
    throw error(Fault::bad_file, "{}: {} scores for {} tokens", parts.path, source.scores.size(),
                source.tokens.size());
  }
  parts.space_prefix = source.add_space_prefix.value_or(true);
  parts.model.byte_level = false;
  parts.model.byte_fallback = true;
  parts.model.unknown = parts.unk;
  find_byte_tokens(parts);
  if (parts.space_prefix) {
    parts.normalizer.add({NormalizeStep::Kind::prepend, kSpaceMark, "", {}});
    parts.decoder.strip = " ";
    parts.decoder.strip_most = 1;
  }
  parts.normalizer.add({NormalizeStep::Kind::replace, kSpaceMark, " ", {}});
  parts.decoder.replace.emplace_back(kSpaceMark, " ");
  parts.decoder.byte_fallback = true;
  auto merges = merges_from_scores(parts.vocabulary, source.scores, source.types, parts.path);
  parts.model.merges.reserve(merges.size());
  for (const RankedMerge& merge : merges) {
    parts.model.merges.add(merge.left, merge.right, merge.rank, merge.product);
    parts.merge_pairs.emplace_back(merge.left, merge.right);
  }
}

} // namespace

std::unique_ptr<TokenizerParts> read_tokenizer_gguf(TokenizerSource source, const std::string& path) {
  auto parts = std::make_unique<TokenizerParts>();
  parts->path = path;
  bool sentencepiece = source.model == "llama";
  if (!sentencepiece && source.model != "gpt2") {
    throw error(Fault::bad_file, "{}: not supported: tokenizer model {}", path, show_text(source.model))
        .note("known", "gpt2, llama");
  }
  if (sentencepiece) { // the ids that files of this kind leave out
    if (source.bos < 0) source.bos = 1;
    if (source.eos < 0) source.eos = 2;
    if (source.unk < 0) source.unk = 0;
  }
  read_tokens(source, *parts);
  read_added(source, *parts);
  parts->bos = special_id(*parts, "bos", source.bos);
  parts->eos = special_id(*parts, "eos", source.eos);
  parts->unk = special_id(*parts, "unknown", source.unk);
  parts->pad = special_id(*parts, "padding", source.pad);
  sentencepiece ? read_sentencepiece(source, *parts) : read_byte_level(source, *parts);
  bool adds_bos = source.add_bos.value_or(sentencepiece || parts->named->adds_bos);
  parts->add_bos = adds_bos && parts->bos >= 0;
  parts->add_eos = source.add_eos.value_or(false) && parts->eos >= 0;
  if (parts->add_bos) parts->prefix = {parts->bos};
  if (parts->add_eos) parts->suffix = {parts->eos};
  parts->chat_template = std::move(source.chat_template);
  return parts;
}

} // namespace wane
