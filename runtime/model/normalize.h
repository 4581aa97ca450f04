// What happens to text before it is cut: the normalizers of tokenizer.json that byte-pair tokenizers use, in
// order.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/model/regex.h"

namespace wane {

struct NormalizeStep {
  enum class Kind { nfc, prepend, replace };
  Kind kind = Kind::nfc;
  std::string content; // what prepend puts before a non-empty text, or replace puts in
  std::string literal; // what replace looks for, unless a regex does
  std::optional<Regex> regex;
};

class Normalizer {
public:
  void add(NormalizeStep step) { steps_.push_back(std::move(step)); }
  bool empty() const { return steps_.empty(); }
  const std::vector<NormalizeStep>& steps() const { return steps_; }

  // The normalized text: `text` itself when nothing changes, else a view of `space`. A file whose
  // replacements blow a text up beyond reason is refused.
  std::string_view apply(std::string_view text, std::string& space, Regex::Scratch& scratch) const;

private:
  std::vector<NormalizeStep> steps_;
};

} // namespace wane
