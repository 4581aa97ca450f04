// tokenizer.json and tokenizer_config.json as HF tokenizers and transformers read them. A tokenizer that was
// read from such files gives back their text; one from a GGUF is written out here, its vocabulary in the
// order of ids.
#include <nlohmann/json.hpp>

#include "runtime/model/tokenizer_parts.h"

namespace wane {
namespace {

using json = nlohmann::ordered_json;

json added_token(const AddedToken& token) {
  return {{"id", token.id},          {"content", token.content}, {"single_word", token.single_word},
          {"lstrip", token.lstrip},  {"rstrip", token.rstrip},   {"normalized", token.normalized},
          {"special", token.special}};
}

json byte_level(bool use_regex) {
  return {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", use_regex}};
}

json replace(const char* from, const char* to) {
  return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
}

json sequence(const char* key, json list) { return {{"type", "Sequence"}, {key, std::move(list)}}; }

json normalizer(const TokenizerParts& parts) {
  if (parts.named) return parts.named->nfc ? json{{"type", "NFC"}} : json(nullptr);
  json list = json::array();
  if (parts.space_prefix) list.push_back({{"type", "Prepend"}, {"prepend", kSpaceMark}});
  list.push_back(replace(" ", kSpaceMark));
  return sequence("normalizers", list);
}

json pretokenizer(const TokenizerParts& parts) {
  if (!parts.named) return nullptr;
  json list = json::array();
  if (parts.named->single_digits) list.push_back({{"type", "Digits"}, {"individual_digits", true}});
  if (parts.named->pattern) {
    list.push_back({{"type", "Split"},
                    {"pattern", {{"Regex", parts.named->pattern}}},
                    {"behavior", "Isolated"},
                    {"invert", false}});
  }
  list.push_back(byte_level(parts.named->pattern == nullptr));
  return list.size() == 1 ? list[0] : sequence("pretokenizers", list);
}

json decoder(const TokenizerParts& parts) {
  if (parts.named) return byte_level(true);
  json list = json::array({replace(kSpaceMark, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}});
  if (parts.space_prefix) list.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return sequence("decoders", list);
}

// What the reference implementation's template looks like for [bos] text [eos] and for a pair of texts.
json postprocessor(const TokenizerParts& parts) {
  json single = json::array(), pair = json::array(), special = json::object();
  auto token = [&](json& list, int32_t id, int type_id) {
    std::string text(parts.vocabulary.text(id));
    list.push_back({{"SpecialToken", {{"id", text}, {"type_id", type_id}}}});
    special[text] = {{"id", text}, {"ids", {id}}, {"tokens", {text}}};
  };
  auto sequence_of = [&](json& list, const char* name, int type_id) {
    for (int32_t id : parts.prefix) token(list, id, type_id);
    list.push_back({{"Sequence", {{"id", name}, {"type_id", type_id}}}});
    for (int32_t id : parts.suffix) token(list, id, type_id);
  };
  sequence_of(single, "A", 0);
  sequence_of(pair, "A", 0);
  sequence_of(pair, "B", 1);
  return {{"type", "TemplateProcessing"}, {"single", single}, {"pair", pair}, {"special_tokens", special}};
}

// The model is written by hand: a tree of 10^5 entries would cost many times the text.
void append_model(std::string& out, const TokenizerParts& parts) {
  const BpeModel& model = parts.model;
  auto quote = [](std::string_view text) { return json(text).dump(); };
  auto flag = [](bool value) { return value ? "true" : "false"; };
  std::string unknown = model.unknown < 0 ? "null" : quote(parts.vocabulary.text(model.unknown));
  out += "{\"type\": \"BPE\", \"dropout\": null, \"unk_token\": " + unknown;
  out += ", \"continuing_subword_prefix\": null, \"end_of_word_suffix\": null";
  out += std::string(", \"fuse_unk\": ") + flag(!model.byte_level);
  out += std::string(", \"byte_fallback\": ") + flag(model.byte_fallback);
  out += std::string(", \"ignore_merges\": ") + flag(model.ignore_merges);
  out += ",\n  \"vocab\": {";
  for (int32_t id = 0; id < parts.vocabulary.size(); ++id) {
    out += id == 0 ? "\n    " : ",\n    ";
    out += quote(parts.vocabulary.text(id)) + ": " + std::to_string(id);
  }
  out += "\n  },\n  \"merges\": [";
  // "left right" is read by every version; the newer spelling as a pair is needed only where a text holds a
  // space.
  bool spaces = false;
  for (auto& [left, right] : parts.merge_pairs) {
    spaces = spaces || parts.vocabulary.text(left).find(' ') != std::string_view::npos
             || parts.vocabulary.text(right).find(' ') != std::string_view::npos;
  }
  bool first = true;
  for (auto& [left, right] : parts.merge_pairs) {
    out += first ? "\n    " : ",\n    ";
    first = false;
    std::string a(parts.vocabulary.text(left)), b(parts.vocabulary.text(right));
    out += spaces ? "[" + quote(a) + ", " + quote(b) + "]" : quote(a + " " + b);
  }
  out += "\n  ]}";
}

} // namespace

std::string write_tokenizer_json(const TokenizerParts& parts) {
  if (!parts.json.empty()) return parts.json;
  json added = json::array();
  for (const AddedToken& token : parts.added) added.push_back(added_token(token));
  std::string out = "{\n\"version\": \"1.0\",\n\"truncation\": null,\n\"padding\": null,\n\"added_tokens\": ";
  out += added.dump(1);
  out += ",\n\"normalizer\": " + normalizer(parts).dump(1);
  out += ",\n\"pre_tokenizer\": " + pretokenizer(parts).dump(1);
  out += ",\n\"post_processor\": " + postprocessor(parts).dump(1);
  out += ",\n\"decoder\": " + decoder(parts).dump(1);
  out += ",\n\"model\": ";
  append_model(out, parts);
  return out + "\n}\n";
}

std::string write_tokenizer_config(const TokenizerParts& parts) {
  if (!parts.config.empty()) return parts.config;
  auto name = [&](int32_t id) {
    return id < 0 ? json(nullptr) : json(std::string(parts.vocabulary.text(id)));
  };
  json added = json::object();
  for (const AddedToken& token : parts.added) {
    json entry = added_token(token);
    entry.erase("id");
    added[std::to_string(token.id)] = std::move(entry);
  }
  json config = {{"add_bos_token", parts.add_bos},
                 {"add_eos_token", parts.add_eos},
                 {"added_tokens_decoder", std::move(added)},
                 {"bos_token", name(parts.bos)},
                 {"clean_up_tokenization_spaces", false},
                 {"eos_token", name(parts.eos)},
                 {"pad_token", name(parts.pad)},
                 {"tokenizer_class", "PreTrainedTokenizerFast"},
                 {"unk_token", name(parts.unk)}};
  if (!parts.chat_template.empty()) config["chat_template"] = parts.chat_template;
  return config.dump(2) + "\n";
}

} // namespace wane
