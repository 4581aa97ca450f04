// What the tests of tokenizers share: readers of the stored vectors and vocabularies, small made-up
// tokenizers.
#pragma once

#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <random>
#include <sstream>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "runtime/error.h"
#include "runtime/model/tokenizer_source.h"
#include "runtime/model/unicode_text.h"
#include "tests/shared_data.h"

namespace tokenizer_tests {

using namespace wane;
using Ids = std::vector<int32_t>;
using TokenizerPtr = std::shared_ptr<const Tokenizer>;

inline std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// A gzip file by the gzip program: the engine itself has no use for the format.
inline std::string gunzip(const std::string& path) {
  std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(("gzip -dc '" + path + "'").c_str(), "r"), pclose);
  std::string out;
  char block[1 << 16];
  while (size_t got = fread(block, 1, sizeof block, pipe.get())) out.append(block, got);
  return out;
}

inline TokenizerSource source_of(const std::string& path) {
  FileSource file(path);
  return tokenizer_source(GgufFile(file));
}

struct Vectors {
  std::vector<std::string> texts;
  std::vector<Ids> ids;
};

// NAME.inp: texts, each followed by a separator line; NAME.out: a line of ids each.
inline Vectors vectors_of(const std::string& stem) {
  const std::string separator = "\n__ggml_vocab_test__\n";
  Vectors vectors;
  std::string input = read_file(stem + ".inp");
  for (size_t at = 0, end; (end = input.find(separator, at)) != std::string::npos;
       at = end + separator.size()) {
    vectors.texts.push_back(input.substr(at, end - at));
  }
  std::istringstream output(read_file(stem + ".out"));
  for (std::string line; std::getline(output, line);) {
    std::istringstream numbers(line);
    vectors.ids.emplace_back(std::istream_iterator<int32_t>(numbers), std::istream_iterator<int32_t>());
  }
  return vectors;
}

inline void check_vectors(const Tokenizer& tokenizer, const Vectors& vectors) {
  REQUIRE(vectors.texts.size() == 46);
  REQUIRE(vectors.ids.size() == 46);
  for (size_t i = 0; i < 46; ++i) {
    CAPTURE(vectors.texts[i]);
    CHECK(tokenizer.encode(vectors.texts[i], false) == vectors.ids[i]);
    CHECK(tokenizer.decode(vectors.ids[i]) == vectors.texts[i]);
  }
}

inline TokenizerPtr qwen3() {
  static TokenizerPtr tokenizer = [] {
    std::string folder = shared_data("tokenizer_qwen3");
    if (folder.empty()) return TokenizerPtr();
    return Tokenizer::from_json(gunzip(folder + "/tokenizer.json.gz"),
                                read_file(folder + "/tokenizer_config.json"), folder + "/tokenizer.json");
  }();
  return tokenizer;
}

inline TokenizerPtr gpt2() {
  static TokenizerPtr tokenizer = [] {
    std::string path = shared_data("tokenizer_vectors/ggml-vocab-gpt-2.gguf");
    return path.empty() ? TokenizerPtr() : Tokenizer::from_gguf(source_of(path), path);
  }();
  return tokenizer;
}

// Text of mixed scripts, spaces, marks and emoji, valid UTF-8.
inline std::string random_text(std::mt19937& random, size_t characters) {
  static const std::pair<char32_t, char32_t> ranges[] = {
      {0x20, 0x7E},     {0x20, 0x7E},     {0x20, 0x20},     {0x09, 0x0D},     {0x00, 0x1F},
      {0x80, 0x2FF},    {0x300, 0x36F},   {0x400, 0x4FF},   {0x900, 0x97F},   {0x1100, 0x11FF},
      {0x2000, 0x206F}, {0x3040, 0x30FF}, {0x4E00, 0x9FFF}, {0xAC00, 0xD7A3}, {0x1F300, 0x1FAFF}};
  std::string out;
  while (characters-- > 0) {
    auto [low, high] = ranges[random() % std::size(ranges)];
    append_utf8(out, low + random() % (high - low + 1));
  }
  return out;
}

// What `body` raises, with its fault.
template <class Body> std::pair<Fault, std::string> raised(Body&& body) {
  try {
    body();
  } catch (const Error& problem) {
    return {problem.fault(), problem.text()};
  }
  return {Fault::internal, "nothing was raised"};
}

inline std::string bad_json(const std::string& json, const std::string& config = "") {
  auto [fault, text] = raised([&] { Tokenizer::from_json(json, config, "t.json"); });
  CHECK(fault == Fault::bad_file);
  return text;
}

inline std::string bad_gguf(const TokenizerSource& source) {
  auto [fault, text] = raised([&] { Tokenizer::from_gguf(source, "t.gguf"); });
  CHECK(fault == Fault::bad_file);
  return text;
}

// A byte-level tokenizer of a few letters, to be changed by the tests.
inline nlohmann::json small_json() {
  return nlohmann::json::parse(R"({
    "added_tokens": [{"id": 7, "content": "<e>", "special": true}],
    "normalizer": null,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
    "post_processor": null,
    "decoder": {"type": "ByteLevel"},
    "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4, "bc": 5, "Ġ": 6},
              "merges": ["a b", ["ab", "c"], "b c"]}})");
}

// The smallest SentencePiece-style vocabulary: control tokens, 256 bytes, then pieces with falling scores.
inline TokenizerSource small_spm(const std::vector<std::string>& pieces) {
  TokenizerSource source;
  source.model = "llama";
  source.pre = "default";
  source.tokens = {"<unk>", "<s>", "</s>"};
  source.types = {2, 3, 3};
  for (int byte = 0; byte < 256; ++byte) {
    source.tokens.push_back(fmt::format("<0x{:02X}>", byte));
    source.types.push_back(6);
  }
  source.scores.assign(source.tokens.size(), 0.f);
  for (size_t i = 0; i < pieces.size(); ++i) {
    source.tokens.push_back(pieces[i]);
    source.types.push_back(1);
    source.scores.push_back(-float(i));
  }
  return source;
}

} // namespace tokenizer_tests
