#include "runtime/model/tokenizer_source.h"

namespace wane {

TokenizerSource tokenizer_source(const GgufFile& file) {
  TokenizerSource out;
  auto key = [](const char* name) { return std::string("tokenizer.ggml.") + name; };
  out.model = file.text(key("model")).value_or("");
  out.pre = file.text(key("pre")).value_or("");
  if (auto* list = file.texts(key("tokens"))) out.tokens = *list;
  if (auto* list = file.texts(key("merges"))) out.merges = *list;
  if (auto list = file.numbers(key("scores"))) out.scores = *list;
  if (auto list = file.integers(key("token_type")))
    for (int64_t type : *list) out.types.push_back(int32_t(type));
  auto id = [&](const char* name) { return int32_t(file.integer(key(name)).value_or(-1)); };
  out.bos = id("bos_token_id"), out.eos = id("eos_token_id"), out.unk = id("unknown_token_id");
  out.pad = id("padding_token_id"), out.eot = id("eot_token_id");
  out.add_bos = file.flag(key("add_bos_token"));
  out.add_eos = file.flag(key("add_eos_token"));
  out.add_space_prefix = file.flag(key("add_space_prefix"));
  out.chat_template = file.text("tokenizer.chat_template").value_or("");
  return out;
}

} // namespace wane
