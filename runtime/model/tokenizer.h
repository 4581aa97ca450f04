// Text <-> token ids, from an HF tokenizer.json or from what a GGUF holds: byte-level BPE and
// SentencePiece-style BPE. Ids are those of the reference implementations (HF tokenizers; llama.cpp for GGUF
// files), see the tests.
//
// A character of which a byte-level vocabulary lacks a byte token gives the unknown token, or nothing where
// there is none, as there.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace wane {

// What a GGUF's metadata gives (keys tokenizer.ggml.*), as plain data.
struct TokenizerSource {
  std::string model, pre; // "gpt2" or "llama"; the name of the pre-tokenizer
  std::vector<std::string> tokens, merges;
  std::vector<float> scores;
  std::vector<int32_t> types; // 1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte
  int32_t bos = -1, eos = -1, unk = -1, pad = -1, eot = -1;
  std::optional<bool> add_bos, add_eos, add_space_prefix;
  std::string chat_template;
};

struct TokenizerParts;
class IdList;

class Tokenizer {
public:
  // `tokenizer_config_json` may be empty. `path` names the file in errors, which are Fault::bad_file.
  static std::shared_ptr<const Tokenizer>
  from_json(std::string_view tokenizer_json, std::string_view tokenizer_config_json, const std::string& path);
  static std::shared_ptr<const Tokenizer> from_gguf(TokenizerSource source, const std::string& path);
  ~Tokenizer();

  // Ids of UTF-8 text; added tokens inside the text are recognised. `special` adds bos and eos where the
  // model wants them. Ill-formed UTF-8 is an error with the offset of its first byte. Safe to call from
  // several threads.
  std::vector<int32_t> encode(std::string_view text, bool special) const;

  // Bytes of the tokens. They need not be valid UTF-8: a token may hold a part of a character.
  // A SentencePiece-style tokenizer that puts a space before every text takes one off the front here.
  std::string decode(std::span<const int32_t> ids, bool skip_special = false) const;
  // Bytes of one token, for output that grows: joined, they are decode() with that first space still there.
  std::string token_bytes(int32_t id) const;

  std::string_view token_text(int32_t id) const; // as the vocabulary writes it
  int32_t token_id(std::string_view text) const; // -1: no such token
  bool is_special(int32_t id) const;
  int64_t vocabulary() const;
  int32_t bos() const; // -1 where the model has none
  int32_t eos() const;
  int32_t unk() const;
  bool adds_bos() const;

  // Files for an HF directory. A tokenizer read from JSON gives back the text that it was read from.
  std::string to_json() const;
  std::string config_json() const;
  std::string chat_template() const; // "" where there is none

private:
  struct Workspace;
  class Lease;
  explicit Tokenizer(std::unique_ptr<TokenizerParts> parts);
  void encode_text(std::string_view text, bool at_start, Workspace& work, IdList& ids) const;
  void encode_word(std::string_view word, Workspace& work, IdList& ids) const;
  void encode_piece(std::string_view word, Workspace& work, IdList& ids) const;
  void settle(Workspace& work, IdList& ids) const;
  void check_id(int32_t id, const char* op) const;

  std::unique_ptr<TokenizerParts> parts_;
  struct Pool;
  std::unique_ptr<Pool> pool_;
};

} // namespace wane
