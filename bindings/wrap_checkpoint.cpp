// Models on disk: names, shapes, and tensors that are read when they are used.
#include <algorithm>
#include <cstring>
#include <set>

#include "bindings/wrap_json.h"
#include "bindings/wrap_tensor.h"
#include "bindings/wrap_tokenizer.h"
#include "runtime/model/checkpoint.h"
#include "runtime/model/tokenizer_source.h"

namespace wane::lua {

struct CheckpointBox {
  std::shared_ptr<const Checkpoint> value;
};
template <> struct Class<CheckpointBox> { static constexpr const char* name = "checkpoint"; };

namespace {

class StoredTensor : public Source {
public:
  StoredTensor(std::shared_ptr<const Checkpoint> file, const TensorEntry& entry, DType dtype,
               std::string name)
      : file_(std::move(file)), entry_(entry), dtype_(dtype), name_(std::move(name)) {}

  BufferPtr produce() const override {
    size_t bytes = size_t(entry_.rows() * entry_.cols()) * size_of(dtype_);
    BufferPtr out = allocate(bytes, current_origin());
    file_->read(entry_, dtype_, {out->data(), bytes});
    return out;
  }
  void read_rows(int64_t first, int64_t rows, std::byte* out) const override {
    file_->read(entry_, dtype_, {out, size_t(rows * entry_.cols()) * size_of(dtype_)}, first, rows);
  }
  bool reads_in_parallel() const override { return true; }
  std::string describe() const override { return name_; }

private:
  std::shared_ptr<const Checkpoint> file_;
  const TensorEntry& entry_; // of file_
  DType dtype_;
  std::string name_;
};

const std::shared_ptr<const Checkpoint>& file_of(Args& a) {
  return a.object<CheckpointBox>("checkpoint").value;
}

int open_path(Args& a) {
  push_object<CheckpointBox>(a.L, Checkpoint::open(std::string(a.string("path"))));
  return 1;
}

std::vector<std::string> model_names(const Checkpoint& file) {
  std::vector<std::string> names;
  for (auto& entry : file.tensors())
    if (auto name = file.model_name(entry)) names.push_back(*name);
  return names;
}

int names(Args& a) { return results(a.L, std::span<const std::string>(model_names(*file_of(a)))); }

const TensorEntry& entry_of(Args& a, const Checkpoint& file, const std::string& name) {
  if (auto* found = file.find_model(name)) return *found;
  auto known = model_names(file);
  std::sort(known.begin(), known.end());
  auto nearest = nearest_name(name, known);
  auto problem = error(Fault::bad_file, "{}: no tensor '{}' in {}", a.method.label(), name, file.path());
  if (!nearest.empty()) problem.note("nearest", nearest);
  throw problem;
}

int has(Args& a) {
  auto& file = *file_of(a);
  return push_boolean(a.L, file.find_model(a.string("name")) != nullptr), 1;
}

int info_of(Args& a) {
  auto& file = *file_of(a);
  auto& entry = entry_of(a, file, std::string(a.string("name")));
  lua_State* L = a.L;
  lua_createtable(L, 0, 4);
  push(L, name_of(entry.type));
  lua_setfield(L, -2, "dtype");
  push(L, std::span<const int64_t>(entry.shape));
  lua_setfield(L, -2, "shape");
  push(L, int64_t(entry.bytes));
  lua_setfield(L, -2, "bytes");
  lua_pushboolean(L, is_block(entry.type));
  lua_setfield(L, -2, "block");
  return 1;
}

int tensor_named(Args& a) {
  auto file = file_of(a);
  auto name = std::string(a.string("name"));
  auto& entry = entry_of(a, *file, name);
  if (!is_readable(entry.type))
    throw error("not supported: tensor '{}' is stored as {}", name, name_of(entry.type))
        .note("file", file->path());
  DType dtype = a.dtype("dtype", own_dtype(entry.type));
  auto source = std::make_shared<StoredTensor>(file, entry, dtype, name);
  return results(a.L, from_source(Shape(std::span<const int64_t>(entry.shape)), dtype, source, "load"));
}

int config(Args& a) {
  auto file = file_of(a);
  push_json(a.L, file->config_json(), file->path());
  return 1;
}

int config_text(Args& a) { return results(a.L, std::string_view(file_of(a)->config_json())); }

int text_file(Args& a) {
  auto file = file_of(a);
  auto text = file->text_file(std::string(a.string("name")));
  if (!text) return lua_pushnil(a.L), 1;
  return results(a.L, std::string_view(*text));
}

int tokenizer(Args& a) {
  auto file = file_of(a);
  if (auto* gguf = file->gguf()) {
    if (!gguf->has("tokenizer.ggml.model") || gguf->text("tokenizer.ggml.model") == "no_vocab")
      return lua_pushnil(a.L), 1;
    push_tokenizer(a.L, Tokenizer::from_gguf(tokenizer_source(*gguf), file->path()));
    return 1;
  }
  auto text = file->text_file("tokenizer.json");
  if (!text) return lua_pushnil(a.L), 1;
  auto settings = file->text_file("tokenizer_config.json").value_or("");
  push_tokenizer(a.L, Tokenizer::from_json(*text, settings, file->path() + "/tokenizer.json"));
  return 1;
}

int hash(Args& a) { return results(a.L, std::string_view(file_of(a)->sha256())); }
int warnings(Args& a) { return results(a.L, std::span<const std::string>(file_of(a)->warnings())); }

int unused(Args& a) { // names in the file that none of the given ones is
  auto file = file_of(a);
  std::set<const TensorEntry*> used;
  for (auto& name : a.strings("names"))
    if (auto* entry = file->find_model(name)) used.insert(entry);
  std::vector<std::string> left;
  for (auto& entry : file->tensors())
    if (!used.count(&entry)) left.push_back(file->model_name(entry).value_or(entry.name));
  return results(a.L, std::span<const std::string>(left));
}

Method methods[] = {
    {"names", names, "() -> list", "Tensor names as the model has them."},
    {"has", has, "(name) -> true or false", "Whether there is a tensor of this name."},
    {"info", info_of, "(name) -> { dtype, shape, bytes, block }", "How a tensor is stored."},
    {"tensor", tensor_named, "(name [, dtype]) -> tensor", "A tensor that is read when it is used."},
    {"config", config, "() -> table", "config.json, in one spelling for all sources."},
    {"config_text", config_text, "() -> text", "The same as JSON."},
    {"text_file", text_file, "(name) -> text or nil", "A text file of the folder."},
    {"tokenizer", tokenizer, "() -> tokenizer or nil", "The tokenizer that belongs to the model."},
    {"hash", hash, "() -> text", "SHA-256 of the weights."},
    {"warnings", warnings, "() -> list", "What opening left out."},
    {"unused", unused, "(names) -> list", "Tensors that are none of these."},
};

int index(Args& a) {
  auto& file = *file_of(a);
  auto name = std::string(a.string("field"));
  for (auto& method : methods)
    if (name == method.name) return push_method(a.L, method), 1;
  if (name == "path") return results(a.L, std::string_view(file.path()));
  if (name == "kind") return results(a.L, std::string_view(file.is_gguf() ? "gguf" : "safetensors"));
  if (name == "bytes") return results(a.L, int64_t(file.total_bytes()));
  return lua_pushnil(a.L), 1;
}

Method metamethods[] = {{"__index", index, "", "", Kind::plain}};

Method functions[] = {
    {"checkpoint", open_path, "(path) -> checkpoint",
     "Opens an HF folder or a GGUF file; reads its headers only."},
};

} // namespace

void open_checkpoint(lua_State* L) {
  for (auto& method : methods) method.is_method = true;
  make_class<CheckpointBox>(L, {}, metamethods);
  set_methods(L, functions, false);
}

} // namespace wane::lua
