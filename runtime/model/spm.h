// SentencePiece-style BPE has no list of merges: any two neighbours whose joined text is a piece may merge,
// the piece with the highest score first. This makes the equivalent list, so that one encoder serves both
// kinds.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "runtime/model/vocabulary.h"

namespace wane {

struct RankedMerge {
  int32_t left, right, product;
  uint32_t rank; // equal for equal scores: there the leftmost pair goes first
};

// Every split of every normal piece into two normal pieces, best score first. `types` are those of GGUF (1:
// normal). `path` names the file in errors.
std::vector<RankedMerge> merges_from_scores(const Vocabulary& tokens, std::span<const float> scores,
                                            std::span<const int32_t> types, const std::string& path);

} // namespace wane
