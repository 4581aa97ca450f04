#include "bindings/wrap_tokenizer.h"

#include "bindings/host.h"
#include "runtime/hash.h"

namespace wane::lua {

struct TokenizerBox {
  std::shared_ptr<const Tokenizer> value;
};
template <> struct Class<TokenizerBox> { static constexpr const char* name = "tokenizer"; };

namespace {

const Tokenizer& tokenizer_of(Args& a) { return *a.object<TokenizerBox>("tokenizer").value; }

int make_tokenizer(Args& a) {
  auto text = a.string("tokenizer_json"), settings = a.string("tokenizer_config_json", "");
  push_tokenizer(a.L, Tokenizer::from_json(text, settings, std::string(a.string("path", "tokenizer.json"))));
  return 1;
}

int encode(Args& a) {
  auto& tokenizer = tokenizer_of(a);
  auto text = a.string("text");
  auto ids = tokenizer.encode(text, a.boolean("special", false));
  lua_createtable(a.L, int(ids.size()), 0);
  for (size_t i = 0; i < ids.size(); ++i) {
    lua_pushinteger(a.L, ids[i]);
    lua_rawseti(a.L, -2, lua_Integer(i + 1));
  }
  return 1;
}

int32_t checked_id(const Args& a, const Tokenizer& tokenizer, int64_t id) {
  if (id < 0 || id >= tokenizer.vocabulary())
    throw error("{}: token id {} of a vocabulary of {}", a.method.label(), id, tokenizer.vocabulary());
  return int32_t(id);
}

int decode(Args& a) {
  auto& tokenizer = tokenizer_of(a);
  std::vector<int32_t> ids;
  for (int64_t id : a.integers("ids")) ids.push_back(checked_id(a, tokenizer, id));
  return results(a.L, std::string_view(tokenizer.decode(ids, a.boolean("skip_special", false))));
}

int bytes(Args& a) {
  auto& tokenizer = tokenizer_of(a);
  return results(a.L, std::string_view(tokenizer.token_bytes(checked_id(a, tokenizer, a.integer("id")))));
}

int id_of(Args& a) {
  auto& tokenizer = tokenizer_of(a);
  int32_t id = tokenizer.token_id(a.string("text"));
  if (id < 0) return lua_pushnil(a.L), 1;
  return results(a.L, int64_t(id));
}

int is_special(Args& a) {
  auto& tokenizer = tokenizer_of(a);
  return push_boolean(a.L, tokenizer.is_special(checked_id(a, tokenizer, a.integer("id")))), 1;
}

int json(Args& a) { return results(a.L, std::string_view(tokenizer_of(a).to_json())); }
int config_json(Args& a) { return results(a.L, std::string_view(tokenizer_of(a).config_json())); }

int hash(Args& a) { // of what determines ids: the file's text and its settings
  auto& tokenizer = tokenizer_of(a);
  Sha256 sum;
  sum.update(tokenizer.to_json()).update(std::string_view("\n")).update(tokenizer.config_json());
  return results(a.L, std::string_view(sum.hex()));
}

Method methods[] = {
    {"encode", encode, "(text [, special = false]) -> list of ids",
     "Token ids of a text; special adds bos and eos."},
    {"decode", decode, "(ids [, skip_special = false]) -> text", "The text of token ids."},
    {"bytes", bytes, "(id) -> text", "The bytes of one token."},
    {"id", id_of, "(text) -> id or nil", "The id of a token by its text."},
    {"is_special", is_special, "(id) -> true or false", "Whether a token is a control token."},
    {"json", json, "() -> text", "tokenizer.json."},
    {"config_json", config_json, "() -> text", "tokenizer_config.json."},
    {"hash", hash, "() -> text", "SHA-256 of both."},
};

int index(Args& a) {
  auto& tokenizer = tokenizer_of(a);
  auto name = std::string(a.string("field"));
  for (auto& method : methods)
    if (name == method.name) return push_method(a.L, method), 1;
  auto id = [&](int32_t value) { return value < 0 ? (lua_pushnil(a.L), 1) : results(a.L, int64_t(value)); };
  if (name == "vocabulary") return results(a.L, tokenizer.vocabulary());
  if (name == "bos") return id(tokenizer.bos());
  if (name == "eos") return id(tokenizer.eos());
  if (name == "unk") return id(tokenizer.unk());
  if (name == "adds_bos") return push_boolean(a.L, tokenizer.adds_bos()), 1;
  if (name == "chat_template") return results(a.L, std::string_view(tokenizer.chat_template()));
  return lua_pushnil(a.L), 1;
}

Method metamethods[] = {{"__index", index, "", "", Kind::plain}};

Method functions[] = {
    {"tokenizer", make_tokenizer, "(tokenizer_json [, tokenizer_config_json [, path]]) -> tokenizer",
     "A tokenizer from the text of tokenizer.json."},
};

} // namespace

void push_tokenizer(lua_State* L, std::shared_ptr<const Tokenizer> tokenizer) {
  push_object<TokenizerBox>(L, std::move(tokenizer));
}

void open_tokenizer(lua_State* L) {
  for (auto& method : methods) method.is_method = true;
  make_class<TokenizerBox>(L, {}, metamethods);
  set_methods(L, functions, false);
}

} // namespace wane::lua
