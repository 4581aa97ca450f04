#include "runtime/model/regex.h"

#include <cstring>
#include <new>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "runtime/error.h"
#include "runtime/model/unicode_text.h"

namespace wane {
namespace {

constexpr size_t kJitStackStart = 32 * 1024, kJitStackMost = 16 * 1024 * 1024;
constexpr uint32_t kMatchLimit = 50'000'000; // a pattern that backtracks without end is stopped here
constexpr const char* kSpaces = "\\x09-\\x0d\\x{85}\\p{Z}";

// Rewrites one pattern from Oniguruma's dialect; see the header.
class Translator {
public:
  Translator(std::string_view pattern, const std::string& path) : pattern_(pattern), path_(path) {}

  std::string run() {
    while (at_ < pattern_.size()) {
      char c = pattern_[at_];
      if (c == '\\')
        escape();
      else if (in_class_)
        class_char(c);
      else if (c == '[')
        open_class();
      else
        out_ += c, ++at_;
    }
    return std::move(out_);
  }

private:
  [[noreturn]] void refuse(std::string_view what) const {
    throw error(Fault::bad_file, "{}: not supported: {} at offset {} of the pattern {}", path_, what, at_,
                show_text(pattern_));
  }

  void escape() {
    char next = at_ + 1 < pattern_.size() ? pattern_[at_ + 1] : '\0';
    if (next == 's' && in_class_)
      out_ += kSpaces;
    else if (next == 's')
      out_ += std::string("[") + kSpaces + "]";
    else if (next == 'S' && !in_class_)
      out_ += std::string("[^") + kSpaces + "]";
    else if (next == 'u')
      return code_point();
    else if (next != '\0' && std::strchr("hHwWbBRXKG", next))
      refuse(fmt::format("\\{}", next));
    else
      out_ += pattern_.substr(at_, 2);
    at_ += 2;
  }

  void code_point() { // \uHHHH
    std::string_view digits = pattern_.substr(at_ + 2, 4);
    if (digits.size() < 4 || digits.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos) {
      refuse("\\u without four digits");
    }
    out_ += fmt::format("\\x{{{}}}", digits);
    at_ += 6;
  }

  void open_class() {
    in_class_ = true;
    out_ += pattern_[at_++];
    if (at_ < pattern_.size() && pattern_[at_] == '^') out_ += pattern_[at_++];
    if (at_ < pattern_.size() && pattern_[at_] == ']') out_ += "\\]", ++at_;
  }

  void class_char(char c) {
    std::string_view rest = pattern_.substr(at_);
    if (rest.substr(0, 2) == "[:") {
      size_t end = rest.find(":]");
      if (end == std::string_view::npos) refuse("a class inside a class");
      out_ += rest.substr(0, end + 2);
      at_ += end + 2;
      return;
    }
    if (c == '[') refuse("a class inside a class");
    if (rest.substr(0, 2) == "&&") refuse("an intersection of classes");
    if (c == ']') in_class_ = false;
    out_ += c;
    ++at_;
  }

  std::string_view pattern_;
  const std::string& path_;
  std::string out_;
  size_t at_ = 0;
  bool in_class_ = false;
};

} // namespace

Regex::Scratch::Scratch()
    : data_(pcre2_match_data_create(1, nullptr)), context_(pcre2_match_context_create(nullptr)),
      stack_(pcre2_jit_stack_create(kJitStackStart, kJitStackMost, nullptr)) {
  if (!data_ || !context_ || !stack_) {
    pcre2_match_data_free(data_), pcre2_match_context_free(context_), pcre2_jit_stack_free(stack_);
    throw std::bad_alloc();
  }
  pcre2_jit_stack_assign(context_, nullptr, stack_);
  pcre2_set_match_limit(context_, kMatchLimit);
  range_ = pcre2_get_ovector_pointer(data_);
}

Regex::Scratch::~Scratch() {
  pcre2_match_data_free(data_);
  pcre2_match_context_free(context_);
  pcre2_jit_stack_free(stack_);
}

Regex::Regex(std::string_view pattern, const std::string& path) : pattern_(pattern), path_(path) {
  if (size_t bad = invalid_utf8(pattern); bad != std::string_view::npos) {
    throw error(Fault::bad_file, "{}: a pattern is not UTF-8 at its offset {}", path, bad);
  }
  std::string translated = Translator(pattern_, path).run();
  int code = 0;
  size_t offset = 0;
  // Oniguruma's ^ and $ stand at every line.
  pcre2_code* compiled = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                                       PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C,
                                       &code, &offset, nullptr);
  if (!compiled) {
    char message[160] = "";
    pcre2_get_error_message(code, reinterpret_cast<PCRE2_UCHAR*>(message), sizeof message);
    throw error(Fault::bad_file, "{}: the pattern {} does not compile: {}", path, show_text(pattern_),
                message);
  }
  code_ = std::shared_ptr<pcre2_code>(compiled, [](pcre2_code* c) { pcre2_code_free(c); });
  jit_ = pcre2_jit_compile(compiled, PCRE2_JIT_COMPLETE) == 0;
}

bool Regex::find(std::string_view text, size_t from, Scratch& scratch, Range& range) const {
  auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  while (from < text.size()) {
    int found =
        jit_ ? pcre2_jit_match(code_.get(), subject, text.size(), from, 0, scratch.data_, scratch.context_)
             : pcre2_match(code_.get(), subject, text.size(), from, PCRE2_NO_UTF_CHECK, scratch.data_,
                           scratch.context_);
    if (found == PCRE2_ERROR_NOMATCH) return false;
    if (found < 0) {
      char message[160] = "";
      pcre2_get_error_message(found, reinterpret_cast<PCRE2_UCHAR*>(message), sizeof message);
      throw error("encode: the pattern {} of {} gave up on a text of {} bytes: {}", show_text(pattern_),
                  path_, text.size(), message);
    }
    // Read one by one: a load of both together would wait for the two stores that PCRE2 has just made.
    range.begin = __atomic_load_n(&scratch.range_[0], __ATOMIC_RELAXED);
    range.end = __atomic_load_n(&scratch.range_[1], __ATOMIC_RELAXED);
    if (range.end > range.begin) return true;
    if (range.begin >= text.size()) return false;
    from = range.begin + utf8_length(uint8_t(text[range.begin])); // an empty match splits nothing
  }
  return false;
}

std::string literal_pattern(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (std::strchr("\\^$.[]|()?*+{}-# ", c) && c != '\0') out += '\\';
    if (c == '\0')
      out += "\\x00";
    else
      out += c;
  }
  return out;
}

} // namespace wane
