// Damaged and hostile tokenizer files, and the files that another implementation is asked to read.
#include <cmath>
#include <filesystem>
#include <span>

#include "tests/tokenizer_data.h"

using namespace tokenizer_tests;

TEST_CASE("tokenizer: damaged tokenizer.json") {
  auto changed = [](auto change) {
    auto json = small_json();
    change(json);
    return bad_json(json.dump());
  };
  using J = nlohmann::json;
  CHECK(changed([](J& j) { j["model"]["merges"].push_back("a x"); })
        == "t.json: merge 3 names \"x\", which is not in the vocabulary");
  CHECK(changed([](J& j) { j["model"]["merges"].push_back("c a"); })
        == "t.json: merge 3 makes \"ca\", which is not in the vocabulary");
  CHECK(changed([](J& j) { j["model"]["merges"].push_back("a b"); })
        == "t.json: merge 3 of \"a\" and \"b\" appears twice");
  CHECK(changed([](J& j) { j["model"]["merges"].push_back("ab"); })
        == "t.json: merge 3 is \"ab\": not two texts with one space between");
  CHECK(changed([](J& j) { j["model"]["merges"].push_back({"a"}); })
        == "t.json: merge 3 has 1 parts instead of 2");
  CHECK(changed([](J& j) { j["model"]["merges"].push_back(7); }) == "t.json: merge 3 is not two texts");
  CHECK(changed([](J& j) {
          j["model"]["merges"].push_back(J::array({"a", J::array()}));
        })
        == "t.json: merge 3 is not two texts");
  CHECK(changed([](J& j) {
          j["model"]["merges"].push_back({"a", "b", "c"});
        })
        == "t.json: merge 3 is not two texts");
  CHECK(changed([](J& j) { j["model"].erase("merges"); }) == "t.json: there are no merges");
  CHECK(changed([](J& j) { j["model"]["vocab"]["x"] = 2; })
        == "t.json: tokens \"c\" and \"x\" have the same id 2");
  CHECK(changed([](J& j) { j["model"]["vocab"]["x"] = -1; }) == "t.json: token \"x\" has the id -1");
  CHECK(changed([](J& j) { j["model"]["vocab"]["x"] = 2147483648u; })
        == "t.json: token \"x\" has the id 2147483648, which leaves ids below it without a token");
  CHECK(changed([](J& j) { j["model"]["vocab"]["x"] = 8, j["added_tokens"] = J::array(); })
        == "t.json: token \"x\" has the id 8, which leaves ids below it without a token");
  CHECK(changed([](J& j) { j["model"]["vocab"]["x"] = 1.5; })
        == "t.json: the id of token \"x\" is no whole number");
  CHECK(changed([](J& j) { j["model"]["vocab"]["x"] = J::object(); })
        == "t.json: the id of token \"x\" is no number");
  CHECK(changed([](J& j) { j["model"]["vocab"] = J::object(); }) == "t.json: the vocabulary is empty");
  CHECK(changed([](J& j) { j["added_tokens"][0]["content"] = ""; }) == "t.json: added token 0 is empty");
  CHECK(changed([](J& j) { j["added_tokens"][0]["id"] = -3; })
        == "t.json: added token \"<e>\" has the id -3");
  CHECK(changed([](J& j) { j["added_tokens"][0]["id"] = "7"; })
        == "t.json: the id of added token \"<e>\" is no whole number");
  CHECK(changed([](J& j) { j["added_tokens"][0]["content"] = "ab"; })
        == "t.json: token \"ab\" has two ids, 3 and 7");
  CHECK(changed([](J& j) { j["added_tokens"].push_back(j["added_tokens"][0]); })
        == "t.json: two added tokens have the id 7");
  CHECK(changed([](J& j) { j["model"]["unk_token"] = "?"; })
        == "t.json: the unknown token \"?\" is not in the vocabulary");
  CHECK(changed([](J& j) { j["model"]["byte_fallback"] = true, j["pre_tokenizer"] = nullptr; })
        == "t.json: the byte token <0x00> is missing from the vocabulary");
  CHECK(changed([](J& j) { j["model"]["type"] = "Unigram"; }) == "t.json: not supported: model Unigram");
  CHECK(changed([](J& j) { j["model"]["dropout"] = 0.1; }) == "t.json: not supported: model dropout");
  CHECK(changed([](J& j) { j["model"]["end_of_word_suffix"] = "</w>"; })
        == "t.json: not supported: model end_of_word_suffix");
  CHECK(changed([](J& j) {
          j["normalizer"] = {{"type", "Precompiled"}};
        })
        == "t.json: not supported: normalizer Precompiled");
  CHECK(changed([](J& j) {
          j["pre_tokenizer"] = {{"type", "Whitespace"}};
        })
        == "t.json: not supported: pre_tokenizer Whitespace");
  CHECK(changed([](J& j) {
          j["post_processor"] = {{"type", "BertProcessing"}};
        })
        == "t.json: not supported: post_processor BertProcessing");
  CHECK(changed([](J& j) {
          j["decoder"] = {{"type", "WordPiece"}};
        })
        == "t.json: not supported: decoder WordPiece");
  CHECK(changed([](J& j) {
          j["post_processor"] = J::parse(R"({"type": "TemplateProcessing", "single":
      [{"SpecialToken": {"id": "<q>"}}, {"Sequence": {"id": "A"}}], "special_tokens": {}})");
        })
        == "t.json: TemplateProcessing names \"<q>\", which is not among its special tokens");
  CHECK(bad_json("")
        == "t.json: not JSON at byte 1: syntax error while parsing value - unexpected end of input; "
           "expected '[', '{', or a literal");
  CHECK(bad_json("7") == "t.json: not a JSON object");
  CHECK(bad_json("[]") == "t.json: not a JSON object");
  CHECK(bad_json(R"({"model": {"vocab": {"a": 0}, "merges": [], "vocab": {"b": 0}}})")
        == "t.json: the key \"vocab\" appears twice");
  CHECK(bad_json(R"({"version": 1, "version": 2})") == "t.json: the key \"version\" appears twice");
  std::string deep = R"({"normalizer": )";
  for (int i = 0; i < 10000; ++i) deep += R"({"type": "Sequence", "normalizers": [)";
  CHECK(bad_json(deep) == "t.json: nested more than 64 levels deep");
  CHECK(bad_json("{\"a\": \"\xFF\"}").substr(0, 25) == "t.json: not JSON at byte ");
}

TEST_CASE("tokenizer: patterns that PCRE2 reads otherwise are refused, endless ones are stopped") {
  auto with_pattern = [](const std::string& pattern) {
    auto json = small_json();
    json["pre_tokenizer"] = {
        {"type", "Sequence"},
        {"pretokenizers",
         {{{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}},
          {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
    return json.dump();
  };
  CHECK(bad_json(with_pattern("a[b[c]]"))
        == "t.json: not supported: a class inside a class at offset 3 of the pattern \"a[b[c]]\"");
  CHECK(bad_json(with_pattern("[a&&b]"))
        == "t.json: not supported: an intersection of classes at offset 2 of the pattern \"[a&&b]\"");
  CHECK(bad_json(with_pattern("\\bx")) == "t.json: not supported: \\b at offset 0 of the pattern \"\\\\bx\"");
  CHECK(bad_json(with_pattern("("))
        == "t.json: the pattern \"(\" does not compile: missing closing parenthesis");
  CHECK(bad_json(with_pattern("")) == "t.json: the pattern of Split is neither a Regex nor a String");
  CHECK(Tokenizer::from_json(with_pattern("\\u0061|[[:digit:]]+"), "", "t.json")->encode("abc", false)
        == Ids{0, 5});
  auto endless = Tokenizer::from_json(with_pattern("(a+)+$"), "", "t.json");
  auto [fault, message] = raised([&] { endless->encode(std::string(60, 'a') + "b", false); });
  CHECK(fault == Fault::recipe);
  CHECK(message.substr(0, 63) == "encode: the pattern \"(a+)+$\" of t.json gave up on a text of 61 ");
}

TEST_CASE("tokenizer: damaged GGUF vocabularies") {
  auto bpe = [] {
    TokenizerSource source;
    source.model = "gpt2", source.pre = "gpt-2";
    source.tokens = {"a", "b", "ab", "<e>"};
    source.types = {1, 1, 1, 3};
    source.merges = {"a b"};
    return source;
  };
  auto source = bpe();
  CHECK(Tokenizer::from_gguf(source, "t.gguf")->encode("ab<e>", true) == Ids{2, 3});
  source.pre = "gpt-9";
  CHECK(bad_gguf(source)
        == "t.gguf: not supported: pre-tokenizer \"gpt-9\"\n  known   gpt-2, llama-bpe, qwen2, smollm");
  source = bpe(), source.model = "bert";
  CHECK(bad_gguf(source) == "t.gguf: not supported: tokenizer model \"bert\"\n  known   gpt2, llama");
  source = bpe(), source.tokens[1] = "a";
  CHECK(bad_gguf(source) == "t.gguf: tokens 0 and 1 are both \"a\"");
  source = bpe(), source.tokens[1] = "\xFE";
  CHECK(bad_gguf(source) == "t.gguf: token 1 is not UTF-8 at its byte 0");
  source = bpe(), source.types.pop_back();
  CHECK(bad_gguf(source) == "t.gguf: 3 token types for 4 tokens");
  source = bpe(), source.merges = {};
  CHECK(bad_gguf(source) == "t.gguf: there are no merges");
  source = bpe(), source.merges = {"ab"};
  CHECK(bad_gguf(source) == "t.gguf: merge 0 is \"ab\": not two texts with one space between");
  source = bpe(), source.merges = {"a c"};
  CHECK(bad_gguf(source) == "t.gguf: merge 0 names \"c\", which is not in the vocabulary");
  source = bpe(), source.merges = {"b a"};
  CHECK(bad_gguf(source) == "t.gguf: merge 0 names \"ba\", which is not in the vocabulary");
  source = bpe(), source.merges = {""};
  CHECK(bad_gguf(source) == "t.gguf: merge 0 is \"\": not two texts with one space between");
  source = bpe(), source.bos = 4;
  CHECK(bad_gguf(source) == "t.gguf: the bos token is 4, but there are 4 tokens");
  source = bpe(), source.tokens[3] = "";
  CHECK(bad_gguf(source) == "t.gguf: token 3 is looked for in the text, but it is empty");
  source.tokens.clear();
  CHECK(bad_gguf(source) == "t.gguf: the vocabulary is empty");
  auto spm = small_spm({"a"});
  spm.scores.pop_back();
  CHECK(bad_gguf(spm) == "t.gguf: 259 scores for 260 tokens");
  spm = small_spm({"a"}), spm.scores.back() = NAN;
  CHECK(bad_gguf(spm) == "t.gguf: the score of token 259 is nan");
  spm = small_spm({"a"}), spm.tokens[3 + 0x41] = "b";
  CHECK(bad_gguf(spm) == "t.gguf: the byte token <0x41> is missing from the vocabulary");
}

// Run by tests/oracles/tokenizer_roundtrip.py, which compares what this writes with another implementation.
TEST_CASE("tokenizer: files for the oracle") {
  const char* folder = std::getenv("WANE_TOKENIZER_ORACLE");
  if (!folder) return;
  std::string base = std::string(folder) + "/";
  auto texts = nlohmann::json::parse(read_file(base + "texts.json")).get<std::vector<nlohmann::json>>();
  auto made = [](const std::string& name) { return name.substr(0, 5) == "made/"; };
  auto write = [&](const std::string& name, const Tokenizer& tokenizer) {
    nlohmann::json plain, special, decoded;
    for (auto& text : std::span(texts).subspan(made(name) ? 1 : 0)) { // the first one is long
      plain.push_back(tokenizer.encode(text.get<std::string>(), false));
      special.push_back(tokenizer.encode(text.get<std::string>(), true));
      decoded.push_back(tokenizer.decode(plain.back().get<Ids>()));
    }
    std::ofstream(base + name + "/tokenizer.json") << tokenizer.to_json();
    if (!made(name)) std::ofstream(base + name + "/tokenizer_config.json") << tokenizer.config_json();
    std::ofstream ids(base + name + "/ids.json");
    ids << nlohmann::json({{"plain", plain}, {"special", special}, {"decoded", decoded}})
               .dump(-1, ' ', true, nlohmann::json::error_handler_t::replace);
    CHECK(ids.good());
  };
  for (std::string name : {"gpt-2", "phi-3", "stories", "as-qwen2", "as-smollm", "as-llama-bpe"}) {
    std::string path = shared_data(name == "phi-3"     ? "tokenizer_vectors/ggml-vocab-phi-3.gguf"
                                   : name == "stories" ? "model_stories260K/stories260K.gguf"
                                                       : "tokenizer_vectors/ggml-vocab-gpt-2.gguf");
    REQUIRE_FALSE(path.empty());
    auto source = source_of(path);
    if (name.substr(0, 3) == "as-")
      source.pre = name.substr(3); // GPT-2's vocabulary under another pre-tokenizer
    write(name, *Tokenizer::from_gguf(source, path));
  }
  // Files that the script made up: the same texts under what it put together from parts.
  for (auto& entry : std::filesystem::directory_iterator(base + "made")) {
    std::string path = entry.path().string() + "/tokenizer.json";
    write("made/" + entry.path().filename().string(), *Tokenizer::from_json(read_file(path), "", path));
  }
  write("qwen3", *qwen3());
  std::string smollm2 = shared_data("tokenizer_smollm2/tokenizer.json.gz");
  write("smollm2", *Tokenizer::from_json(gunzip(smollm2), "", smollm2));
}
