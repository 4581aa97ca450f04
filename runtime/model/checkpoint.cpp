#include "runtime/model/checkpoint.h"

#include <filesystem>

#include "runtime/hash.h"
#include "runtime/model/config.h"
#include "runtime/model/gguf_names.h"
#include "runtime/model/gguf_split.h"
#include "runtime/model/hf_folder.h"

namespace wane {
namespace {

namespace fs = std::filesystem;
constexpr uint64_t kMaxConfig = 64 << 20;
constexpr uint64_t kMaxText = 512 << 20;

Error no_model(const std::string& path) {
  return error(Fault::missing, "{}: there is no such file or folder", path)
      .hint("a model is a folder with config.json and safetensors files, or a .gguf file");
}

} // namespace

std::shared_ptr<const Checkpoint> Checkpoint::open(const std::string& path) {
  std::error_code problem;
  auto status = fs::status(path, problem);
  if (status.type() == fs::file_type::not_found) throw no_model(path);
  if (problem) throw error(Fault::missing, "{}: cannot be opened: {}", path, problem.message());
  std::shared_ptr<Checkpoint> out(new Checkpoint);
  out->path_ = path;
  if (fs::is_directory(status)) {
    auto weights = open_hf_weights(path);
    if (!path_in_folder(path, "config.json")) throw error(Fault::missing, "{}: holds no config.json", path);
    out->files_ = std::move(weights.files);
    out->tensors_ = std::move(weights.tensors);
    out->warnings_ = std::move(weights.warnings);
  } else {
    FileSource file(path);
    bool gguf = path.ends_with(".gguf") || wane::is_gguf(file);
    if (!gguf && path.ends_with(".safetensors"))
      throw bad_file(path, "is one safetensors file")
          .hint("a model is opened by the folder that holds it and config.json");
    if (!gguf) throw bad_file(path, "is neither a GGUF file nor a folder");
    out->open_gguf(std::move(file));
  }
  out->index_tensors();
  return out;
}

void Checkpoint::open_gguf(FileSource first) {
  std::vector<GgufFile> parts;
  parts.emplace_back(first, 0);
  auto names = parts_of_split(parts[0]);
  if (names.size() == 1) {
    files_.push_back(std::move(first));
  } else {
    parts.clear();
    for (auto& name : names) files_.emplace_back(name);
    for (size_t i = 0; i < files_.size(); ++i) parts.emplace_back(files_[i], i);
    check_split(parts);
  }
  for (auto& part : parts) tensors_.insert(tensors_.end(), part.tensors().begin(), part.tensors().end());
  gguf_ = std::make_unique<GgufFile>(std::move(parts.front()));
  mark_permuted();
}

void Checkpoint::mark_permuted() {
  auto architecture = gguf_->text("general.architecture").value_or("");
  if (architecture != "llama" || !gguf_->has("llama.attention.head_count")) return;
  auto [heads, kv_heads] = head_counts(*gguf_);
  for (auto& entry : tensors_) {
    entry.permuted_heads = permuted_heads(architecture, entry.name, heads, kv_heads);
    int64_t rows = entry.shape.size() < 2 ? entry.cols() : entry.rows();
    if (entry.permuted_heads > 0 && rows % (2 * entry.permuted_heads) != 0)
      throw bad_file(file_of(entry).path(), entry.offset,
                     fmt::format("tensor {} has {} rows, which do not split into {} heads of an even size",
                                 shown_name(entry.name), rows, entry.permuted_heads));
  }
}

void Checkpoint::index_tensors() {
  for (size_t i = 0; i < tensors_.size(); ++i)
    if (!by_name_.emplace(tensors_[i].name, i).second)
      throw bad_file(
          file_of(tensors_[i]).path(),
          fmt::format("tensor {} is also in another part of the model", shown_name(tensors_[i].name)));
}

std::string Checkpoint::directory() const {
  if (!is_gguf()) return path_;
  auto parent = fs::path(path_).parent_path().string();
  return parent.empty() ? "." : parent;
}

const TensorEntry* Checkpoint::find(std::string_view name) const {
  auto found = by_name_.find(name);
  return found == by_name_.end() ? nullptr : &tensors_[found->second];
}

const TensorEntry* Checkpoint::find_model(std::string_view hf_name) const {
  if (is_gguf()) {
    auto name = gguf_name_of_hf(hf_name);
    return name ? find(*name) : nullptr;
  }
  if (auto* entry = find(hf_name)) return entry;
  if (hf_name.starts_with("model.")) return find(hf_name.substr(6));
  return find("model." + std::string(hf_name));
}

std::optional<std::string> Checkpoint::model_name(const TensorEntry& entry) const {
  if (is_gguf()) return hf_name_of_gguf(entry.name);
  return entry.name.starts_with("model.") ? entry.name.substr(6) : entry.name;
}

std::string Checkpoint::config_json() const {
  if (!is_gguf()) {
    FileSource file(
        path_in_folder(path_, "config.json").value_or((fs::path(path_) / "config.json").string()));
    return normalized_config(file.text(kMaxConfig), file.path());
  }
  std::vector<float> factors;
  if (auto* entry = find("rope_freqs.weight")) {
    factors.resize(size_t(entry->rows() * entry->cols()));
    read(*entry, DType::f32, std::as_writable_bytes(std::span(factors)));
  }
  return config_of_gguf(*gguf_, tensors_, factors);
}

std::optional<std::string> Checkpoint::text_file(const std::string& name) const {
  if (is_gguf()) return std::nullopt;
  auto path = path_in_folder(path_, name);
  return path ? std::optional(FileSource(*path).text(kMaxText)) : std::nullopt;
}

uint64_t Checkpoint::total_bytes() const {
  uint64_t total = 0;
  for (auto& entry : tensors_) total += entry.bytes;
  return total;
}

std::string Checkpoint::sha256() const {
  std::call_once(hashed_, [&] {
    if (files_.size() == 1) {
      hash_ = files_[0].sha256();
      return;
    }
    Sha256 list;
    for (auto& file : files_) list.update(fmt::format("{}  {}\n", file.sha256(), file.size()));
    hash_ = list.hex();
  });
  return hash_;
}

} // namespace wane
