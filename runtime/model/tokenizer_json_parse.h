// Reads the JSON of a tokenizer.json in one pass: the vocabulary and the merges, which are nearly all of it,
// go straight into flat arrays, the rest becomes a small tree. Keys that appear twice are seen here and
// refused.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace wane {

struct TokenizerDocument {
  nlohmann::json rest; // everything but the two below
  bool has_vocab = false, has_merges = false;
  std::vector<std::pair<std::string, int64_t>> vocab;      // model.vocab where it is an object, in file order
  std::vector<std::pair<std::string, std::string>> merges; // model.merges, in either spelling
};

// Fault::bad_file naming `path` and what is wrong.
TokenizerDocument parse_tokenizer_document(std::string_view json, const std::string& path);

} // namespace wane
