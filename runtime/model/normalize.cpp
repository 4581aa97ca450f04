#include "runtime/model/normalize.h"

#include "runtime/error.h"
#include "runtime/model/unicode_text.h"

namespace wane {
namespace {

// U+0020 -> U+2581 triples a text of spaces; nothing known grows more than that.
constexpr size_t kMostGrowth = 64, kFreeGrowth = 4096;

void replace(const NormalizeStep& step, std::string_view text, std::string& out, size_t most,
             Regex::Scratch& scratch) {
  out.clear();
  size_t at = 0;
  auto put = [&](size_t begin, size_t end) {
    out.append(text.substr(at, begin - at)).append(step.content);
    at = end;
    if (out.size() > most) {
      throw error("encode: the tokenizer's normalizer Replace turns {} bytes into more than {}", text.size(),
                  most);
    }
  };
  if (step.regex) {
    Regex::Range range;
    while (at < text.size() && step.regex->find(text, at, scratch, range)) put(range.begin, range.end);
  } else {
    for (size_t found; (found = text.find(step.literal, at)) != std::string_view::npos;) {
      put(found, found + step.literal.size());
    }
  }
  out.append(text.substr(at));
}

} // namespace

std::string_view Normalizer::apply(std::string_view text, std::string& space, Regex::Scratch& scratch) const {
  if (steps_.empty() || text.empty()) return text;
  size_t most = text.size() * kMostGrowth + kFreeGrowth;
  std::string next;
  for (const NormalizeStep& step : steps_) {
    switch (step.kind) {
    case NormalizeStep::Kind::nfc:
      if (!to_nfc(text, next)) continue;
      break;
    case NormalizeStep::Kind::prepend:
      if (text.empty()) continue;
      next.assign(step.content).append(text);
      break;
    case NormalizeStep::Kind::replace: replace(step, text, next, most, scratch); break;
    }
    if (next.size() > most) {
      throw error("encode: the tokenizer's normalizer turns {} bytes into {}", text.size(), next.size());
    }
    space.swap(next);
    text = space;
  }
  return text;
}

} // namespace wane
