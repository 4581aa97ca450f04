// PCRE2 with its JIT, for the patterns of tokenizers. Those are written for Oniguruma: what both engines read
// alike is passed on, Unicode spaces are spelled out (PCRE2's \s also takes U+180E), and what they read
// differently is refused.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

struct pcre2_real_code_8;
struct pcre2_real_match_data_8;
struct pcre2_real_match_context_8;
struct pcre2_real_jit_stack_8;

namespace wane {

class Regex {
public:
  struct Range {
    size_t begin, end;
  };
  // Space that find() reuses; one per thread.
  class Scratch {
  public:
    Scratch();
    ~Scratch();
    Scratch(const Scratch&) = delete;
    Scratch& operator=(const Scratch&) = delete;

  private:
    friend class Regex;
    pcre2_real_match_data_8* data_;
    pcre2_real_match_context_8* context_;
    pcre2_real_jit_stack_8* stack_;
    size_t* range_;
  };

  // Raises Fault::bad_file naming `path` when the pattern is malformed or means something else here.
  Regex(std::string_view pattern, const std::string& path);

  // The first non-empty match at or after `from`, in valid UTF-8; false when there is none.
  bool find(std::string_view text, size_t from, Scratch& scratch, Range& range) const;
  const std::string& pattern() const { return pattern_; } // as given

private:
  std::string pattern_, path_;
  std::shared_ptr<pcre2_real_code_8> code_;
  bool jit_ = false;
};

// The pattern with every character taken literally.
std::string literal_pattern(std::string_view text);

} // namespace wane
