// The parts of a tokenizer, as its readers leave them: everything that decides the ids, nothing that encoding
// makes.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "runtime/model/added_tokens.h"
#include "runtime/model/bpe.h"
#include "runtime/model/normalize.h"
#include "runtime/model/pretokenize.h"
#include "runtime/model/tokenizer.h"
#include "runtime/model/vocabulary.h"

namespace wane {

// How ids become bytes again.
struct TokenDecoder {
  bool byte_level = false;                                  // characters of the byte alphabet
  bool byte_fallback = false;                               // <0xHH> is one byte
  std::vector<std::pair<std::string, std::string>> replace; // in a token's text
  std::string strip;     // a character taken off the front of the whole ...
  size_t strip_most = 0; // ... at most so many times
};

struct TokenizerParts {
  std::string path;
  Vocabulary vocabulary;
  std::vector<AddedToken>
      added; // in the file's order: of two that normalize to the same text the first counts
  Normalizer normalizer;
  Pretokenizer pretokenizer;
  BpeModel model;
  TokenDecoder decoder;
  std::vector<int32_t> prefix, suffix; // what encode(text, special) puts around
  int32_t bos = -1, eos = -1, unk = -1, pad = -1;
  bool add_bos = false, add_eos = false;
  std::string chat_template;

  // Source of to_json() and config_json(): the texts read, or what is needed to write them.
  std::string json, config;
  const NamedPretokenizer* named = nullptr;             // byte-level from a GGUF
  std::vector<std::pair<int32_t, int32_t>> merge_pairs; // from a GGUF, in rank order
  bool space_prefix = false;                            // SentencePiece-style from a GGUF
};

// "<0x0A>" -> 10; -1 for any other text.
int byte_token_value(std::string_view text);
std::string byte_token_text(uint8_t byte);
inline constexpr const char* kSpaceMark = "\xE2\x96\x81"; // U+2581, a space in SentencePiece's vocabularies

// The 256 byte tokens of a byte-fallback vocabulary; Fault::bad_file when one is missing.
void find_byte_tokens(TokenizerParts& parts);
// The tokens of the bytes of a byte-level vocabulary; -1 where there is none.
void find_byte_characters(TokenizerParts& parts);

std::unique_ptr<TokenizerParts> read_tokenizer_json(std::string_view json, std::string_view config,
                                                    const std::string& path);
std::unique_ptr<TokenizerParts> read_tokenizer_gguf(TokenizerSource source, const std::string& path);
std::string write_tokenizer_json(const TokenizerParts& parts);
std::string write_tokenizer_config(const TokenizerParts& parts);

} // namespace wane
