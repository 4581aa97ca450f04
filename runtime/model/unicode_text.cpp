#include "runtime/model/unicode_text.h"

#include <array>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>
#include <utf8proc.h>

#include "runtime/error.h"

namespace wane {
namespace {

struct Alphabet {
  std::array<char32_t, 256> chars{};
  std::array<int16_t, 512> bytes{};
  // Printable Latin-1 stands for itself; the other 68 bytes take the characters from U+0100 on, in order.
  Alphabet() {
    bytes.fill(-1);
    char32_t next = 0x100;
    for (int byte = 0; byte < 256; ++byte) {
      bool printable = (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
      chars[size_t(byte)] = printable ? char32_t(byte) : next++;
      bytes[chars[size_t(byte)]] = int16_t(byte);
    }
  }
};
const Alphabet& alphabet() {
  static const Alphabet table;
  return table;
}

bool is_continuation(unsigned char byte) { return (byte & 0xC0) == 0x80; }

// Length of the well-formed sequence at `p`, 0 when it is none.
size_t sequence_length(const unsigned char* p, size_t left) {
  unsigned char lead = p[0];
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4) return 0;
  size_t length = utf8_length(lead);
  if (length > left) return 0;
  for (size_t i = 1; i < length; ++i)
    if (!is_continuation(p[i])) return 0;
  if ((lead == 0xE0 && p[1] < 0xA0) || (lead == 0xED && p[1] > 0x9F)) return 0;
  if ((lead == 0xF0 && p[1] < 0x90) || (lead == 0xF4 && p[1] > 0x8F)) return 0;
  return length;
}

// Whether a character may change, or change its neighbours, under NFC. Errs on the side of "yes".
bool may_compose(char32_t c) {
  if ((c >= 0x1160 && c <= 0x11FF) || (c >= 0xD7B0 && c <= 0xD7FF)) return true; // Hangul vowels and finals
  const utf8proc_property_t* p = utf8proc_get_property(utf8proc_int32_t(c));
  if (p->combining_class != 0) return true;
  if (p->category == UTF8PROC_CATEGORY_MN || p->category == UTF8PROC_CATEGORY_MC) return true;
  return p->decomp_type == 0 && p->decomp_seqindex != UINT16_MAX; // a canonical decomposition
}

void append_nfc(std::string& out, std::string_view text) {
  utf8proc_uint8_t* mapped = nullptr;
  auto options = utf8proc_option_t(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
  auto length = utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                             utf8proc_ssize_t(text.size()), &mapped, options);
  if (length < 0) throw error("text: NFC failed: {}", utf8proc_errmsg(length));
  out.append(reinterpret_cast<const char*>(mapped), size_t(length));
  std::free(mapped); // utf8proc allocates with malloc
}

} // namespace

// Where the run of ASCII from `at` on ends, or somewhat before that.
static size_t skip_ascii(std::string_view text, size_t at) {
  for (uint64_t word; at + 8 <= text.size(); at += 8) {
    std::memcpy(&word, text.data() + at, 8);
    if ((word & 0x8080808080808080u) != 0) break;
  }
  return at;
}

size_t invalid_utf8(std::string_view text) {
  auto* p = reinterpret_cast<const unsigned char*>(text.data());
  size_t at = 0, size = text.size();
  while (at < size) {
    if (at = skip_ascii(text, at); at == size) break;
    size_t length = sequence_length(p + at, size - at);
    if (length == 0) return at;
    at += length;
  }
  return std::string_view::npos;
}

char32_t utf8_at(std::string_view text, size_t at) {
  auto byte = [&](size_t i) { return char32_t(static_cast<unsigned char>(text[at + i])); };
  char32_t lead = byte(0);
  if (lead < 0x80) return lead;
  if (lead < 0xE0) return (lead & 0x1F) << 6 | (byte(1) & 0x3F);
  if (lead < 0xF0) return (lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
  return (lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
}

void append_utf8(std::string& out, char32_t c) {
  if (c < 0x80) {
    out += char(c);
  } else if (c < 0x800) {
    out += char(0xC0 | c >> 6);
    out += char(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += char(0xE0 | c >> 12);
    out += char(0x80 | (c >> 6 & 0x3F));
    out += char(0x80 | (c & 0x3F));
  } else {
    out += char(0xF0 | c >> 18);
    out += char(0x80 | (c >> 12 & 0x3F));
    out += char(0x80 | (c >> 6 & 0x3F));
    out += char(0x80 | (c & 0x3F));
  }
}

bool is_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13);
  if (c == 0x85) return true;
  auto category = utf8proc_category(utf8proc_int32_t(c));
  return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL
         || category == UTF8PROC_CATEGORY_ZP;
}

bool is_word_char(char32_t c) {
  if (c == 0x200C || c == 0x200D) return true;
  switch (utf8proc_category(utf8proc_int32_t(c))) {
  case UTF8PROC_CATEGORY_LU:
  case UTF8PROC_CATEGORY_LL:
  case UTF8PROC_CATEGORY_LT:
  case UTF8PROC_CATEGORY_LM:
  case UTF8PROC_CATEGORY_LO:
  case UTF8PROC_CATEGORY_NL:
  case UTF8PROC_CATEGORY_MN:
  case UTF8PROC_CATEGORY_MC:
  case UTF8PROC_CATEGORY_ME:
  case UTF8PROC_CATEGORY_ND:
  case UTF8PROC_CATEGORY_PC: return true;
  default: return false;
  }
}

size_t leading_space(std::string_view text) {
  size_t at = 0;
  while (at < text.size() && is_space(utf8_at(text, at)))
    at += utf8_length(static_cast<unsigned char>(text[at]));
  return at;
}

size_t trailing_space(std::string_view text) {
  size_t end = text.size();
  while (end > 0) {
    size_t at = end - 1;
    while (at > 0 && is_continuation(static_cast<unsigned char>(text[at]))) --at;
    if (!is_space(utf8_at(text, at))) break;
    end = at;
  }
  return text.size() - end;
}

// Nothing below U+0300 changes under NFC except by what follows it, and whatever composes with its
// predecessor lies at or above U+0300. So only runs of such characters, each with the one character before
// it, are ever looked at.
bool to_nfc(std::string_view text, std::string& out) {
  bool changed = false;
  size_t copied = 0, previous = 0, at = 0;
  while (at < text.size()) {
    if (size_t after = skip_ascii(text, at); after > at) {
      previous = after - 1;
      at = after;
      continue;
    }
    auto lead = static_cast<unsigned char>(text[at]);
    if (lead < 0xCC) {
      previous = at;
      at += utf8_length(lead);
      continue;
    }
    size_t end = at;
    bool suspicious = false;
    while (end < text.size() && static_cast<unsigned char>(text[end]) >= 0xCC) {
      suspicious = suspicious || may_compose(utf8_at(text, end));
      end += utf8_length(static_cast<unsigned char>(text[end]));
    }
    if (suspicious) {
      if (!changed) out.clear(), out.reserve(text.size()), changed = true;
      out.append(text.substr(copied, previous - copied));
      append_nfc(out, text.substr(previous, end - previous));
      copied = end;
    }
    previous = at = end;
  }
  if (changed) out.append(text.substr(copied));
  return changed && out != text;
}

char32_t char_of_byte(uint8_t byte) { return alphabet().chars[byte]; }

int byte_of_char(char32_t c) { return c < 512 ? alphabet().bytes[c] : -1; }

std::string bytes_to_alphabet(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (char byte : bytes) append_utf8(out, char_of_byte(uint8_t(byte)));
  return out;
}

bool alphabet_to_bytes(std::string_view text, std::string& out) {
  for (size_t at = 0; at < text.size(); at += utf8_length(static_cast<unsigned char>(text[at]))) {
    int byte = byte_of_char(utf8_at(text, at));
    if (byte < 0) return false;
    out += char(byte);
  }
  return true;
}

std::string show_text(std::string_view text) {
  constexpr size_t kShown = 48;
  std::string out = "\"";
  size_t at = 0;
  for (; at < text.size() && at < kShown; ++at) {
    auto byte = static_cast<unsigned char>(text[at]);
    if (byte == '"' || byte == '\\')
      out += '\\', out += char(byte);
    else if (byte == '\n')
      out += "\\n";
    else if (byte < 0x20 || byte == 0x7F)
      out += fmt::format("\\x{:02x}", byte);
    else
      out += char(byte);
  }
  if (at == text.size()) return out + "\"";
  while (!out.empty() && is_continuation(static_cast<unsigned char>(text[at])))
    out += text[at++]; // whole characters
  return out + fmt::format("...\" ({} bytes)", text.size());
}

} // namespace wane
