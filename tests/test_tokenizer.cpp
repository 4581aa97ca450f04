// Tokenizers against published vectors, facts about WikiText-2, a trained SentencePiece vocabulary, and by
// hand.
#include <algorithm>
#include <map>
#include <thread>

#include "runtime/hash.h"
#include "runtime/model/pretokenize.h"
#include "tests/tokenizer_data.h"

using namespace tokenizer_tests;

TEST_CASE("tokenizer: all vectors of GPT-2, from a GGUF and from the JSON written for it") {
  NEED_SHARED_DATA(path, "tokenizer_vectors/ggml-vocab-gpt-2.gguf");
  auto vectors = vectors_of(path);
  check_vectors(*gpt2(), vectors);
  auto again = Tokenizer::from_json(gpt2()->to_json(), gpt2()->config_json(), "written");
  check_vectors(*again, vectors);
  CHECK(again->vocabulary() == 50257);
  CHECK(again->bos() == 50256);
  CHECK(again->eos() == 50256);
  CHECK_FALSE(again->adds_bos());
  CHECK(again->encode("a<|endoftext|>b", true) == Ids{64, 50256, 65});
}

TEST_CASE(
    "tokenizer: all vectors of Phi-3, SentencePiece-style, from a GGUF and from the JSON written for it") {
  NEED_SHARED_DATA(path, "tokenizer_vectors/ggml-vocab-phi-3.gguf");
  auto vectors = vectors_of(path);
  auto tokenizer = Tokenizer::from_gguf(source_of(path), path);
  check_vectors(*tokenizer, vectors);
  CHECK(tokenizer->vocabulary() == 32064);
  CHECK(tokenizer->adds_bos());
  CHECK(tokenizer->unk() == 0);
  CHECK(tokenizer->chat_template().find("<|assistant|>") != std::string::npos);
  auto again = Tokenizer::from_json(tokenizer->to_json(), tokenizer->config_json(), "written");
  check_vectors(*again, vectors);
  CHECK(again->chat_template() == tokenizer->chat_template());
  for (bool special : {false, true}) {
    std::string text = "<|user|>\nHi  there<|end|><|assistant|> ok";
    CHECK(again->encode(text, special) == tokenizer->encode(text, special));
    CHECK(tokenizer->encode(text, special).front() == (special ? 1 : 32010));
  }
}

TEST_CASE("tokenizer: all vectors of Qwen2") {
  NEED_SHARED_DATA(stem, "tokenizer_vectors/ggml-vocab-qwen2.gguf.inp");
  NEED_SHARED_DATA(folder, "tokenizer_qwen3");
  check_vectors(*qwen3(), vectors_of(stem.substr(0, stem.size() - 4)));
  CHECK(qwen3()->vocabulary() == 151669);
  CHECK(qwen3()->eos() == 151645);
  CHECK(qwen3()->bos() == -1);
  CHECK_FALSE(qwen3()->adds_bos());
  CHECK(qwen3()->to_json() == gunzip(folder + "/tokenizer.json.gz"));
}

TEST_CASE("tokenizer: all vectors of SmolLM") {
  NEED_SHARED_DATA(stem, "tokenizer_vectors/ggml-vocab-smollm.gguf.inp");
  NEED_SHARED_DATA(json, "tokenizer_smollm2/tokenizer.json.gz");
  auto tokenizer = Tokenizer::from_json(gunzip(json), "", json);
  check_vectors(*tokenizer, vectors_of(stem.substr(0, stem.size() - 4)));
  CHECK(tokenizer->vocabulary() == 49152);
  CHECK(tokenizer->encode("<|im_start|>user", true).front() == 1);
}

// Llama 3's vocabulary is not there. Its merges stay inside a word, so the published ids still say a lot: the
// same word has the same id, other words have others, and a text has no fewer ids than words.
TEST_CASE("tokenizer: pre-splits of Llama 3 against the ids published for them") {
  NEED_SHARED_DATA(stem, "tokenizer_vectors/ggml-vocab-llama-bpe.gguf.inp");
  auto vectors = vectors_of(stem.substr(0, stem.size() - 4));
  REQUIRE(vectors.texts.size() == 46);
  REQUIRE(vectors.ids.size() == 46);
  std::map<std::string, int32_t> id_of;
  std::map<int32_t, std::string> word_of;
  size_t whole = 0;
  for (size_t i = 0; i < 46; ++i) {
    auto words = pre_split(vectors.texts[i], "llama-bpe");
    std::string joined;
    for (auto& word : words) joined += word;
    CHECK(joined == vectors.texts[i]);
    CHECK(words.size() <= vectors.ids[i].size());
    if (words.size() != vectors.ids[i].size()) continue;
    ++whole;
    for (size_t w = 0; w < words.size(); ++w) {
      CAPTURE(words[w]);
      CHECK(id_of.try_emplace(words[w], vectors.ids[i][w]).first->second == vectors.ids[i][w]);
      CHECK(word_of.try_emplace(vectors.ids[i][w], words[w]).first->second == words[w]);
    }
  }
  CHECK(whole >= 30);
  // Where some words took several ids, the words known from other texts must appear among them in their
  // order.
  for (size_t i = 0; i < 46; ++i) {
    auto& ids = vectors.ids[i];
    auto at = ids.begin();
    for (auto& word : pre_split(vectors.texts[i], "llama-bpe")) {
      auto known = id_of.find(word);
      if (known == id_of.end()) continue;
      at = std::find(at, ids.end(), known->second);
      CAPTURE(word);
      REQUIRE(at != ids.end());
      ++at;
    }
  }
}

TEST_CASE("tokenizer: pre-splits by hand") {
  using Words = std::vector<std::string>;
  CHECK(pre_split("3333333", "llama-bpe") == Words{"333", "333", "3"});
  CHECK(pre_split("3333", "qwen2") == Words{"3", "3", "3", "3"});
  CHECK(pre_split("We'Ve a'lL\n\n  x", "llama-bpe") == Words{"We", "'Ve", " a", "'lL", "\n\n", " ", " x"});
  CHECK(pre_split("We'Ve a'll  33", "gpt-2") == Words{"We", "'", "Ve", " a", "'ll", " ", " 33"});
  CHECK(pre_split("a  33 ½b", "smollm") == Words{"a", "  ", "3", "3", " ", "½", "b"});
  CHECK(pre_split("a  33", "starcoder") == pre_split("a  33", "smollm"));
  CHECK(pre_split("", "gpt-2") == Words{});
  // U+180E has not been a space since Unicode 6.3; U+0085 and U+3000 are.
  CHECK(pre_split("a\u180Eb", "gpt-2") == Words{"a", "\u180E", "b"});
  CHECK(pre_split("a\u0085\u3000b", "gpt-2") == Words{"a", "\u0085", "\u3000", "b"});
  CHECK(raised([] { pre_split("a", "gpt-9"); }).second == "not supported: pre-tokenizer gpt-9");
}

TEST_CASE("tokenizer: WikiText-2 under the Qwen3 vocabulary") {
  NEED_SHARED_DATA(path, "wikitext2/wiki.test.raw");
  NEED_SHARED_DATA(folder, "tokenizer_qwen3");
  std::string raw = read_file(path), joined, line;
  std::istringstream lines(raw);
  for (bool first = true; std::getline(lines, line); first = false) {
    if (!first) joined += "\n\n";
    if (line != " ") joined += line + "\n";
  }
  REQUIRE(joined.size() == 1296370);
  auto ids = qwen3()->encode(joined, false);
  REQUIRE(ids.size() == 299078);
  CHECK(Ids(ids.begin(), ids.begin() + 6) == Ids{271, 284, 8397, 425, 10965, 465});
  std::string hex = sha256_hex(std::as_bytes(std::span(ids)));
  CHECK(hex == "b44603066a92719a20e2dc18d6c5f7f5342b1877c20c1e2bdd92deca662d3d56");
  CHECK(qwen3()->decode(ids) == joined);
  CHECK(qwen3()->encode(raw, false).size() == 299078);
}

TEST_CASE("tokenizer: stories260K speaks its reference text") {
  NEED_SHARED_DATA(path, "model_stories260K/stories260K.gguf");
  NEED_SHARED_DATA(reference, "model_stories260K/reference.json");
  auto tokenizer = Tokenizer::from_gguf(source_of(path), path);
  auto json = nlohmann::json::parse(read_file(reference));
  auto& scoring = json["scoring"];
  CHECK(tokenizer->encode(scoring["text"].get<std::string>(), true) == scoring["token_ids"].get<Ids>());
  CHECK(tokenizer->decode(scoring["token_ids"].get<Ids>(), true) == scoring["text"].get<std::string>());
  auto& greedy = json["greedy"];
  CHECK(tokenizer->decode(greedy["token_ids"].get<Ids>(), true) == greedy["text"].get<std::string>());
  CHECK(tokenizer->adds_bos());
  CHECK(tokenizer->vocabulary() == 512);
  Ids spelled = tokenizer->encode("\u2603", true);
  CHECK(spelled == Ids{1, tokenizer->token_id("\u2581"), 0xE2 + 3, 0x98 + 3, 0x83 + 3});
}

TEST_CASE("tokenizer: random text comes back from its ids") {
  NEED_SHARED_DATA(path, "tokenizer_vectors/ggml-vocab-gpt-2.gguf");
  NEED_SHARED_DATA(folder, "tokenizer_qwen3");
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    std::string text = random_text(random, random() % 200);
    CAPTURE(text);
    Ids ids = gpt2()->encode(text, false);
    CHECK(gpt2()->decode(ids) == text);
    std::string joined;
    for (int32_t id : ids) joined += gpt2()->token_bytes(id);
    CHECK(joined == text);
    std::string nfc = text;
    to_nfc(text, nfc);
    CHECK(qwen3()->decode(qwen3()->encode(text, false)) == nfc);
  }
}

TEST_CASE("tokenizer: NFC of what was typed in parts") {
  std::string out;
  CHECK_FALSE(to_nfc("plain, caf\u00e9, \u65e5\u672c\u8a9e", out));
  CHECK(to_nfc("cafe\u0301 e\u0323\u0302x", out));
  CHECK(out == "caf\u00e9 \u1ec7x");
  CHECK(to_nfc("\u1100\u1161\u11a8", out));
  CHECK(out == "\uac01");
  CHECK(to_nfc("a \u212b", out));
  CHECK(out == "a \u00c5");
  CHECK(to_nfc("\u00e9\u0323", out));
  CHECK(out == "\u1eb9\u0301");
  CHECK(to_nfc("\u0958", out)); // composition exclusion
  CHECK(out == "\u0915\u093c");
}

TEST_CASE("tokenizer: text that is not UTF-8 is refused with the place") {
  auto tokenizer = Tokenizer::from_json(small_json().dump(), "", "t.json");
  auto message = [&](std::string_view text) {
    return raised([&] { tokenizer->encode(text, false); }).second;
  };
  CHECK(message("ab\xFF") == "encode: the text is not UTF-8: byte 0xff at offset 2");
  CHECK(message("0123456789\xC3") == "encode: the text is not UTF-8: byte 0xc3 at offset 10");
  CHECK(message("\xED\xA0\x80") == "encode: the text is not UTF-8: byte 0xed at offset 0"); // a surrogate
  CHECK(message("\xC0\xAF") == "encode: the text is not UTF-8: byte 0xc0 at offset 0");     // overlong
  CHECK(message("\xF4\x90\x80\x80") == "encode: the text is not UTF-8: byte 0xf4 at offset 0");
  CHECK(message("a\x80") == "encode: the text is not UTF-8: byte 0x80 at offset 1");
  CHECK(tokenizer->encode("", true).empty());
}

TEST_CASE("tokenizer: merges by rank, leftmost first, short words and long ones alike") {
  auto tokenizer = Tokenizer::from_json(small_json().dump(), "", "t.json");
  CHECK(tokenizer->encode("abcab bc", false) == Ids{4, 3, 6, 5});
  CHECK(tokenizer->encode("<e>ab", false) == Ids{7, 3});
  CHECK(tokenizer->encode("axb", false) == Ids{3}); // no token for x, and no unknown token
  // A word of n letters by the heap must come out as the same letters cut into the pieces a scan finds.
  auto json = small_json();
  json["model"]["vocab"] = {{"a", 0}, {"aa", 1}, {"aaaa", 2}, {"aaa", 3}, {"b", 4}, {"ba", 5}, {"aab", 6}};
  json["model"]["merges"] = {"a a", "aa aa", "aa a", "b a", "aa b"};
  auto letters = Tokenizer::from_json(json.dump(), "", "t.json");
  CHECK(letters->encode("aaaaaaa", false) == Ids{2, 3});
  for (size_t n : {size_t{48}, size_t{49}, size_t{128 * 1024 - 1}}) {
    Ids expected(n / 4, 2);
    if (n % 4 > 0) expected.push_back(n % 4 == 1 ? 0 : n % 4 == 2 ? 1 : 3);
    CHECK(letters->encode(std::string(n, 'a'), false) == expected);
  }
  // Random words on both sides of the limit against the plain definition.
  std::mt19937 random(11);
  const std::map<std::pair<int, int>, std::pair<int, int>> merges = {
      {{0, 0}, {0, 1}}, {{1, 1}, {1, 2}}, {{1, 0}, {2, 3}}, {{4, 0}, {3, 5}}, {{1, 4}, {4, 6}}};
  for (int round = 0; round < 200; ++round) {
    std::string word;
    Ids plain;
    for (size_t n = 1 + random() % 90; word.size() < n;) word += "aaab"[random() % 4];
    for (char c : word) plain.push_back(c == 'a' ? 0 : 4);
    for (bool again = true; again;) {
      again = false;
      size_t best = 0;
      int rank = 100;
      for (size_t i = 0; i + 1 < plain.size(); ++i) {
        auto merge = merges.find({plain[i], plain[i + 1]});
        if (merge != merges.end() && merge->second.first < rank)
          rank = merge->second.first, best = i, again = true;
      }
      if (!again) break;
      plain[best] = merges.at({plain[best], plain[best + 1]}).second;
      plain.erase(plain.begin() + ptrdiff_t(best) + 1);
    }
    CAPTURE(word);
    CHECK(letters->encode(word, false) == plain);
  }
}

TEST_CASE("tokenizer: added tokens take spaces along, want whole words, and the longest wins") {
  auto json = small_json();
  json["added_tokens"] = nlohmann::json::parse(R"([
    {"id": 7, "content": "<m>", "special": true, "lstrip": true, "rstrip": true},
    {"id": 8, "content": "bab", "single_word": true, "normalized": false},
    {"id": 9, "content": "<e", "special": true}, {"id": 10, "content": "<ee", "special": true}])");
  auto tokenizer = Tokenizer::from_json(json.dump(), "", "t.json");
  CHECK(tokenizer->encode("a \t<m>  b", false) == Ids{0, 7, 1});
  CHECK(tokenizer->encode("bab a", false) == Ids{8, 6, 0});
  CHECK(tokenizer->encode("abab", false) == Ids{3, 3});
  CHECK(tokenizer->encode("<eea<e", false) == Ids{10, 0, 9});
  CHECK(tokenizer->encode("<m> <m>", false) == Ids{7, 7});
  CHECK(tokenizer->is_special(7));
  // An added token is made by matching text, never by the model: not even where the model takes whole words.
  json["model"]["ignore_merges"] = true;
  json["added_tokens"][1]["content"] = "é";
  auto whole = Tokenizer::from_json(json.dump(), "", "t.json");
  CHECK(whole->encode("é", false) == Ids{8});
  CHECK(whole->encode("éc", false) == Ids{2});
  // Of two that NFC makes equal the one that the file names first counts, not the one with the lower id.
  json["normalizer"] = {{"type", "NFC"}};
  json["added_tokens"] = nlohmann::json::parse(R"([
    {"id": 8, "content": "e\u0301", "normalized": true}, {"id": 7, "content": "\u00e9", "normalized": true}])");
  CHECK(Tokenizer::from_json(json.dump(), "", "t.json")->encode("\u00e9", false) == Ids{8});
  CHECK_FALSE(tokenizer->is_special(8));
  Ids ids{9, 3, 8};
  CHECK(tokenizer->decode(ids) == "<eabbab");
  CHECK(tokenizer->decode(ids, true) == "abbab");
  CHECK(raised([&] { tokenizer->decode(Ids{11}); }).second
        == "decode: there is no token 11, the vocabulary has 11");
  CHECK(raised([&] { tokenizer->token_bytes(-1); }).second
        == "token_bytes: there is no token -1, the vocabulary has 11");
}

TEST_CASE("tokenizer: templates and tokenizer_config.json say what surrounds a text") {
  auto json = small_json();
  json["post_processor"] = nlohmann::json::parse(R"({"type": "TemplateProcessing",
    "single": [{"SpecialToken": {"id": "<e>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
    "special_tokens": {"<e>": {"id": "<e>", "ids": [7], "tokens": ["<e>"]}}})");
  auto tokenizer = Tokenizer::from_json(json.dump(), "", "t.json");
  CHECK(tokenizer->encode("ab", true) == Ids{7, 3});
  CHECK(tokenizer->encode("ab", false) == Ids{3});
  CHECK(tokenizer->adds_bos());
  CHECK(tokenizer->bos() == 7);
  auto config =
      R"({"bos_token": {"content": "<e>"}, "eos_token": "c", "add_eos_token": true, "add_bos_token": false,
    "chat_template": [{"name": "tools", "template": "T"}, {"name": "default", "template": "D"}]})";
  CHECK(Tokenizer::from_json(json.dump(), config, "t.json")->encode("ab", true) == Ids{7, 3});
  auto plain = Tokenizer::from_json(small_json().dump(), config, "t.json");
  CHECK(plain->encode("ab", true) == Ids{3, 2});
  CHECK(plain->eos() == 2);
  CHECK_FALSE(plain->adds_bos());
  CHECK(plain->chat_template() == "D");
  CHECK(plain->config_json() == config);
  CHECK(bad_json(small_json().dump(), R"({"eos_token": "<x>"})")
        == "t.json: eos_token of tokenizer_config.json is \"<x>\", which is not in the vocabulary");
  CHECK(bad_json(small_json().dump(), "[]")
        == "t.json: the tokenizer_config.json beside it is not a JSON object");
}

TEST_CASE("tokenizer: SentencePiece style merges by score and falls back to bytes") {
  auto source = small_spm({"\u2581a", "ab", "\u2581", "a", "b", "\u2581\u2581", "ba"});
  source.eos = 2;
  auto tokenizer = Tokenizer::from_gguf(source, "t.gguf");
  auto id = [&](const char* text) { return tokenizer->token_id(text); };
  CHECK(tokenizer->encode("ab", true) == Ids{1, id("\u2581a"), id("b")});
  CHECK(tokenizer->encode("", true) == Ids{1});
  CHECK(tokenizer->encode("bab", false) == Ids{id("\u2581"), id("b"), id("ab")});
  CHECK(tokenizer->encode(" ", false) == Ids{id("\u2581\u2581")});
  CHECK(tokenizer->encode("z\u00e9", false) == Ids{id("\u2581"), 3 + 'z', 3 + 0xC3, 3 + 0xA9});
  CHECK(tokenizer->encode("a</s>b", false) == Ids{id("\u2581a"), 2, id("\u2581"), id("b")});
  for (std::string text : {"ab", " a  b", "z\u00e9 \n", ""}) {
    CHECK(tokenizer->decode(tokenizer->encode(text, true), true) == text);
  }
  source.add_space_prefix = false;
  source.add_bos = false;
  auto bare = Tokenizer::from_gguf(source, "t.gguf");
  CHECK(bare->encode("ab", true) == Ids{id("ab")});
  CHECK(bare->decode(Ids{id("\u2581a")}) == " a");
  // Equal scores: the leftmost pair goes first, whichever piece it makes.
  auto ties = small_spm({"\u2581", "a", "b", "ab", "ba"});
  std::fill(ties.scores.begin(), ties.scores.end(), -1.f);
  ties.add_space_prefix = false;
  auto leftmost = Tokenizer::from_gguf(ties, "t.gguf");
  CHECK(leftmost->encode("abab", false) == Ids{leftmost->token_id("ab"), leftmost->token_id("ab")});
  CHECK(leftmost->encode("baba", false) == Ids{leftmost->token_id("ba"), leftmost->token_id("ba")});
}

TEST_CASE("tokenizer: Metaspace and the other ways to split") {
  auto json = small_json();
  auto& model = json["model"];
  model["vocab"] = {{"\u2581", 0}, {"a", 1}, {"\u2581a", 2}, {"?", 3}};
  model["merges"] = {"\u2581 a"};
  model["unk_token"] = "?";
  json["added_tokens"] = nlohmann::json::parse(R"([{"id": 4, "content": "<e>", "special": true}])");
  json["decoder"] = {{"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", "first"}};
  auto encode = [&](const char* scheme, bool split, const std::string& text) {
    json["pre_tokenizer"] = {
        {"type", "Metaspace"}, {"replacement", "\u2581"}, {"prepend_scheme", scheme}, {"split", split}};
    return Tokenizer::from_json(json.dump(), "", "t.json")->encode(text, false);
  };
  CHECK(encode("first", true, "a a<e>a") == Ids{2, 2, 4, 1});
  CHECK(encode("always", true, "a a<e>a") == Ids{2, 2, 4, 2});
  CHECK(encode("never", false, "a a<e>a") == Ids{1, 2, 4, 1});
  CHECK(encode("always", true, " a") == Ids{2});
  CHECK(encode("always", true, "zz") == Ids{0, 3, 3});
  model["fuse_unk"] = true;
  CHECK(encode("always", true, "zz") == Ids{0, 3});

  auto cut = [](const char* behavior, bool invert) {
    auto split = small_json();
    split["model"]["vocab"] = {{"a", 0}, {"b", 1}, {"aa", 2}, {"bb", 3}, {"ab", 4}, {"ba", 5}};
    split["model"]["merges"] = {"a a", "b b", "a b", "b a"};
    split["pre_tokenizer"] = {
        {"type", "Sequence"},
        {"pretokenizers",
         {{{"type", "Split"}, {"pattern", {{"String", "b"}}}, {"behavior", behavior}, {"invert", invert}},
          {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}}}}};
    split["added_tokens"] = nlohmann::json::array();
    return Tokenizer::from_json(split.dump(), "", "t.json")->encode("abba", false);
  };
  CHECK(cut("Isolated", false) == Ids{0, 1, 1, 0});
  CHECK(cut("Removed", false) == Ids{0, 0});
  CHECK(cut("Removed", true) == Ids{1, 1});
  CHECK(cut("MergedWithPrevious", false) == Ids{4, 1, 0});
  CHECK(cut("MergedWithNext", false) == Ids{0, 1, 5});
  CHECK(cut("Contiguous", false) == Ids{0, 3, 0});
}

TEST_CASE("tokenizer: several threads at once") {
  NEED_SHARED_DATA(path, "tokenizer_vectors/ggml-vocab-gpt-2.gguf");
  std::mt19937 random(3);
  std::vector<std::string> texts;
  std::vector<Ids> expected;
  for (int i = 0; i < 50; ++i) texts.push_back(random_text(random, 300));
  for (auto& text : texts) expected.push_back(gpt2()->encode(text, false));
  std::vector<int> same(4);
  std::vector<std::thread> threads;
  for (size_t t = 0; t < same.size(); ++t) {
    threads.emplace_back([&, t] {
      for (size_t i = 0; i < texts.size(); ++i) same[t] += gpt2()->encode(texts[i], false) == expected[i];
    });
  }
  for (auto& thread : threads) thread.join();
  CHECK(same == std::vector<int>(4, 50));
}
