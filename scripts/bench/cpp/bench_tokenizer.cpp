// Byte-level BPE against the bare loop of pcre2_jit_match that it cannot do without: the same text, the same
// pattern, one thread, interleaved, best of five after one warm-up round of each.
//   bench_tokenizer TOKENIZER.json TEXT
// Prints MB/s of both and their ratio; the first encode of the process, with empty caches, is shown apart.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <string>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <nlohmann/json.hpp>

#include "runtime/error.h"
#include "runtime/model/pretokenize.h"
#include "runtime/model/tokenizer.h"

namespace {

constexpr int kRounds = 5;

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw wane::error(wane::Fault::missing, "{}: cannot be read", path);
  return {std::istreambuf_iterator<char>(file), {}};
}

template <class Body> double seconds(Body&& body) {
  auto start = std::chrono::steady_clock::now();
  body();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The pattern that cuts the text: that of the first Split, else ByteLevel's.
std::string pattern_of(const nlohmann::json& tokenizer) {
  const auto& node = tokenizer.at("pre_tokenizer");
  for (const auto& stage : node.value("pretokenizers", nlohmann::json::array({node}))) {
    if (stage.at("type") == "Split") return stage.at("pattern").at("Regex");
  }
  return wane::byte_level_pattern();
}

struct BareLoop {
  pcre2_code* code;
  pcre2_match_data* data;

  explicit BareLoop(const std::string& pattern) {
    int problem = 0;
    size_t offset = 0;
    code = pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), PCRE2_UTF | PCRE2_UCP,
                         &problem, &offset, nullptr);
    if (!code || pcre2_jit_compile(code, PCRE2_JIT_COMPLETE) != 0) {
      throw wane::error("the pattern does not compile: error {} at offset {}", problem, offset);
    }
    data = pcre2_match_data_create(1, nullptr);
  }
  ~BareLoop() {
    pcre2_match_data_free(data);
    pcre2_code_free(code);
  }
  BareLoop(const BareLoop&) = delete;
  BareLoop& operator=(const BareLoop&) = delete;

  size_t run(const std::string& text) const {
    size_t words = 0, at = 0;
    auto subject = reinterpret_cast<PCRE2_SPTR>(text.data());
    const size_t* range = pcre2_get_ovector_pointer(data);
    while (at < text.size() && pcre2_jit_match(code, subject, text.size(), at, 0, data, nullptr) > 0) {
      at = range[1];
      ++words;
    }
    return words;
  }
};

void run(const std::string& json_path, const std::string& text_path) {
  std::string json = read_file(json_path), text = read_file(text_path);
  auto tokenizer = wane::Tokenizer::from_json(json, "", json_path);
  BareLoop bare(pattern_of(nlohmann::json::parse(json)));
  size_t words = 0, tokens = 0;
  auto encode = [&] { tokens = tokenizer->encode(text, false).size(); };
  auto match = [&] { words = bare.run(text); };
  double first = seconds(encode), best_encode = 1e9, best_match = 1e9;
  match();
  for (int round = 0; round < kRounds; ++round) {
    best_match = std::min(best_match, seconds(match));
    best_encode = std::min(best_encode, seconds(encode));
  }
  double megabytes = double(text.size()) / 1e6;
  std::printf("text %.2f MB, %zu words, %zu tokens\n", megabytes, words, tokens);
  std::printf("pcre2_jit_match loop %.1f MB/s, encode %.1f MB/s (first time %.1f MB/s)\n",
              megabytes / best_match, megabytes / best_encode, megabytes / first);
  std::printf("ratio tokenizer %.3f (first time %.3f)\n", best_match / best_encode, best_match / first);
}

} // namespace

int main(int count, char** arguments) {
  if (count != 3) {
    std::fprintf(stderr, "usage: bench_tokenizer TOKENIZER.json TEXT\n");
    return 2;
  }
  try {
    run(arguments[1], arguments[2]);
  } catch (const wane::Error& problem) {
    std::fprintf(stderr, "bench_tokenizer: %s\n", problem.text().c_str());
    return int(problem.fault());
  }
  return 0;
}
