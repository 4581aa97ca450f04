#include "runtime/model/tokenizer.h"

#include <algorithm>
#include <array>
#include <mutex>

#include <fmt/format.h>

#include "runtime/error.h"
#include "runtime/model/tokenizer_parts.h"
#include "runtime/model/unicode_text.h"
#include "runtime/model/word_cache.h"

namespace wane {

// What one encode() needs for itself; they are kept for the next one.
struct Tokenizer::Workspace {
  WordCache cache;
  Bpe::Scratch bpe;
  Pretokenizer::Scratch splits;
  Regex::Scratch regex;
  std::string normalized;
  struct Waiting {
    std::string_view word;
    WordCache::Key key;
  };
  std::array<Waiting, 16> waiting;
  size_t waiting_count = 0;
  const char *begin = nullptr, *end = nullptr; // the text being cut: how far may be read behind a word
};

struct Tokenizer::Pool {
  Bpe bpe;
  AddedTokens raw, normalized;      // looked for before and after normalization
  std::vector<bool> added, special; // by id
  bool cuts_at_marks = false;       // words may be cut before a space mark, see crosses_words()
  std::mutex mutex;
  std::vector<std::unique_ptr<Workspace>> idle;
};

class Tokenizer::Lease {
public:
  explicit Lease(Pool& pool) : pool_(pool) {
    std::lock_guard lock(pool.mutex);
    if (!pool.idle.empty()) work_ = std::move(pool.idle.back()), pool.idle.pop_back();
  }
  ~Lease() {
    if (!work_) return;
    std::lock_guard lock(pool_.mutex);
    pool_.idle.push_back(std::move(work_));
  }
  Lease(const Lease&) = delete;
  Lease& operator=(const Lease&) = delete;
  Workspace& work() {
    if (!work_) work_ = std::make_unique<Workspace>();
    return *work_;
  }

private:
  Pool& pool_;
  std::unique_ptr<Workspace> work_;
};

namespace {

// Whether some token holds a space mark after something else. When none does, no merge ever crosses from a
// character to a following mark, and a text may be cut there: words then come from the cache.
bool crosses_words(const Vocabulary& vocabulary) {
  std::string_view mark = kSpaceMark;
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    std::string_view text = vocabulary.text(id);
    size_t at = 0;
    while (text.substr(at, mark.size()) == mark) at += mark.size();
    if (text.find(mark, at) != std::string_view::npos) return true;
  }
  return false;
}

} // namespace

int byte_token_value(std::string_view text) {
  if (text.size() != 6 || text.substr(0, 3) != "<0x" || text[5] != '>') return -1;
  int value = 0;
  for (char c : text.substr(3, 2)) {
    if (c >= '0' && c <= '9')
      value = value * 16 + (c - '0');
    else if (c >= 'A' && c <= 'F')
      value = value * 16 + (c - 'A' + 10);
    else
      return -1;
  }
  return value;
}

std::string byte_token_text(uint8_t byte) { return fmt::format("<0x{:02X}>", byte); }

void find_byte_tokens(TokenizerParts& parts) {
  for (int byte = 0; byte < 256; ++byte) {
    int32_t id = parts.model.find(parts.vocabulary, byte_token_text(uint8_t(byte)));
    if (id < 0) {
      throw error(Fault::bad_file, "{}: the byte token {} is missing from the vocabulary", parts.path,
                  byte_token_text(uint8_t(byte)));
    }
    parts.model.byte_ids[size_t(byte)] = id;
  }
}

void find_byte_characters(TokenizerParts& parts) {
  for (int byte = 0; byte < 256; ++byte) {
    std::string character;
    append_utf8(character, char_of_byte(uint8_t(byte)));
    parts.model.byte_ids[size_t(byte)] = parts.model.find(parts.vocabulary, character);
  }
}

Tokenizer::Tokenizer(std::unique_ptr<TokenizerParts> parts) : parts_(std::move(parts)), pool_(new Pool) {
  // The merges go over to the encoder; the flags of the model stay with the parts as well.
  pool_->bpe = Bpe(std::move(parts_->model), &parts_->vocabulary);
  pool_->added.resize(size_t(parts_->vocabulary.size()));
  pool_->special.resize(size_t(parts_->vocabulary.size()));
  Regex::Scratch scratch;
  std::string space;
  for (const AddedToken& token : parts_->added) {
    pool_->added[size_t(token.id)] = true;
    pool_->special[size_t(token.id)] = token.special;
    if (token.normalized) {
      pool_->normalized.add(token, parts_->normalizer.apply(token.content, space, scratch));
    } else {
      pool_->raw.add(token, token.content);
    }
  }
  const BpeModel& model = pool_->bpe.model();
  pool_->cuts_at_marks =
      !model.byte_level && model.byte_fallback && !model.ignore_merges && !crosses_words(parts_->vocabulary);
}

Tokenizer::~Tokenizer() = default;

std::shared_ptr<const Tokenizer> Tokenizer::from_json(std::string_view tokenizer_json,
                                                      std::string_view tokenizer_config_json,
                                                      const std::string& path) {
  auto parts = read_tokenizer_json(tokenizer_json, tokenizer_config_json, path);
  return std::shared_ptr<const Tokenizer>(new Tokenizer(std::move(parts)));
}

std::shared_ptr<const Tokenizer> Tokenizer::from_gguf(TokenizerSource source, const std::string& path) {
  auto parts = read_tokenizer_gguf(std::move(source), path);
  return std::shared_ptr<const Tokenizer>(new Tokenizer(std::move(parts)));
}

void Tokenizer::settle(Workspace& work, IdList& ids) const {
  for (const Workspace::Waiting& waiting : std::span(work.waiting).first(work.waiting_count)) {
    if (work.cache.find(waiting.key, ids)) continue;
    size_t before = ids.size();
    pool_->bpe.encode(waiting.word, work.bpe, ids);
    work.cache.keep(waiting.key, ids.data() + before, ids.size() - before);
  }
  work.waiting_count = 0;
}

// Short words wait a little while their places in the cache are loaded and the next words are cut.
void Tokenizer::encode_piece(std::string_view word, Workspace& work, IdList& ids) const {
  if (word.size() > WordCache::kLongestWord) {
    settle(work, ids);
    return pool_->bpe.encode(word, work.bpe, ids);
  }
  // A stage that rewrites its piece (Metaspace) hands on words of a buffer that will not last.
  auto at = uintptr_t(word.data());
  bool lasts = at >= uintptr_t(work.begin) && at < uintptr_t(work.end);
  auto& waiting = work.waiting[work.waiting_count++];
  waiting = {word, WordCache::Key(word, lasts ? uintptr_t(work.end) - at : 0)};
  __builtin_prefetch(work.cache.place(waiting.key));
  if (!lasts || work.waiting_count == work.waiting.size()) settle(work, ids);
}

void Tokenizer::encode_word(std::string_view word, Workspace& work, IdList& ids) const {
  if (!pool_->cuts_at_marks) return encode_piece(word, work, ids);
  std::string_view mark = kSpaceMark;
  size_t begin = 0;
  while (begin < word.size()) {
    size_t at = begin;
    while (word.substr(at, mark.size()) == mark) at += mark.size();
    size_t end = std::min(word.find(mark, at), word.size());
    encode_piece(word.substr(begin, end - begin), work, ids);
    begin = end;
  }
}

void Tokenizer::encode_text(std::string_view text, bool at_start, Workspace& work, IdList& ids) const {
  std::string_view normalized = parts_->normalizer.apply(text, work.normalized, work.regex);
  size_t words = 0;
  work.begin = normalized.data(), work.end = normalized.data() + normalized.size();
  pool_->normalized.split(
      normalized,
      [&](std::string_view piece) {
        bool first = at_start && piece.data() == normalized.data();
        parts_->pretokenizer.split(piece, first, work.splits, [&](std::string_view word) {
          // Now and then, so that Ctrl-C ends a long text.
          if ((++words & 0xFFFF) == 0) check_interrupt();
          encode_word(word, work, ids);
        });
        settle(work, ids);
      },
      [&](int32_t id) { ids.push_back(id); });
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool special) const {
  if (size_t bad = invalid_utf8(text); bad != std::string_view::npos) {
    throw error("encode: the text is not UTF-8: byte 0x{:02x} at offset {}", uint8_t(text[bad]), bad);
  }
  IdList ids(text.size() / 4);
  auto add = [&](int32_t id) { ids.push_back(id); };
  if (special) std::for_each(parts_->prefix.begin(), parts_->prefix.end(), add);
  Lease lease(*pool_);
  Workspace& work = lease.work();
  work.waiting_count = 0; // an error may have left some
  pool_->raw.split(
      text, [&](std::string_view piece) { encode_text(piece, piece.data() == text.data(), work, ids); }, add);
  if (special) std::for_each(parts_->suffix.begin(), parts_->suffix.end(), add);
  return ids.take();
}

void Tokenizer::check_id(int32_t id, const char* op) const {
  if (!parts_->vocabulary.has(id)) {
    throw error("{}: there is no token {}, the vocabulary has {}", op, id, parts_->vocabulary.size());
  }
}

std::string Tokenizer::token_bytes(int32_t id) const {
  check_id(id, "token_bytes");
  const TokenDecoder& decoder = parts_->decoder;
  std::string text(parts_->vocabulary.text(id));
  if (decoder.byte_level) {
    std::string bytes;
    return !pool_->added[size_t(id)] && alphabet_to_bytes(text, bytes) ? bytes : text;
  }
  for (auto& [from, to] : decoder.replace) {
    for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
      text.replace(at, from.size(), to);
    }
  }
  int byte = decoder.byte_fallback ? byte_token_value(text) : -1;
  return byte >= 0 ? std::string(1, char(byte)) : text;
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string out;
  for (int32_t id : ids) {
    check_id(id, "decode");
    if (!skip_special || !pool_->special[size_t(id)]) out += token_bytes(id);
  }
  const TokenDecoder& decoder = parts_->decoder;
  size_t stripped = 0, times = 0;
  while (times < decoder.strip_most && out.compare(stripped, decoder.strip.size(), decoder.strip) == 0) {
    stripped += decoder.strip.size(), ++times;
  }
  return stripped > 0 ? out.substr(stripped) : out;
}

std::string_view Tokenizer::token_text(int32_t id) const {
  check_id(id, "token_text");
  return parts_->vocabulary.text(id);
}
int32_t Tokenizer::token_id(std::string_view text) const { return parts_->vocabulary.find(text); }
bool Tokenizer::is_special(int32_t id) const {
  return parts_->vocabulary.has(id) && pool_->special[size_t(id)];
}
int64_t Tokenizer::vocabulary() const { return parts_->vocabulary.size(); }
int32_t Tokenizer::bos() const { return parts_->bos; }
int32_t Tokenizer::eos() const { return parts_->eos; }
int32_t Tokenizer::unk() const { return parts_->unk; }
bool Tokenizer::adds_bos() const {
  return parts_->bos >= 0 && !parts_->prefix.empty() && parts_->prefix.front() == parts_->bos;
}
std::string Tokenizer::chat_template() const { return parts_->chat_template; }
std::string Tokenizer::to_json() const { return write_tokenizer_json(*parts_); }
std::string Tokenizer::config_json() const { return write_tokenizer_config(*parts_); }

} // namespace wane
