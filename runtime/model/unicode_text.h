// UTF-8 and the few Unicode properties a tokenizer needs: validation, stepping, spaces and word characters,
// NFC, and the byte alphabet of byte-level BPE (one printable character per byte, as GPT-2's vocabulary
// writes them).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace wane {

// Offset of the first byte that does not belong to well-formed UTF-8 (overlong forms, surrogates and values
// above U+10FFFF are ill-formed), or npos.
size_t invalid_utf8(std::string_view text);

// Bytes of the character that starts with `lead`, a lead byte of valid UTF-8.
inline size_t utf8_length(unsigned char lead) {
  return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}
// The character at `at` in valid UTF-8.
char32_t utf8_at(std::string_view text, size_t at);
void append_utf8(std::string& out, char32_t c);

bool is_space(char32_t c);     // Unicode White_Space
bool is_word_char(char32_t c); // letters, marks, decimal digits, connectors, joiners

// Spaces at the two ends of valid UTF-8, in bytes.
size_t leading_space(std::string_view text);
size_t trailing_space(std::string_view text);

// Normalization form C of valid UTF-8. Returns false and leaves `out` alone when the text is in that form
// already.
bool to_nfc(std::string_view text, std::string& out);

// Byte <-> character of the byte alphabet. `byte_of_char` gives -1 for a character outside of it.
char32_t char_of_byte(uint8_t byte);
int byte_of_char(char32_t c);
std::string bytes_to_alphabet(std::string_view bytes);
// False when a character lies outside the alphabet; `out` then holds a part.
bool alphabet_to_bytes(std::string_view text, std::string& out);

// A string for a message: quoted, control characters escaped, cut to a readable length.
std::string show_text(std::string_view text);

} // namespace wane
