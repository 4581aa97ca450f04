// A model on disk: an HF folder, or a GGUF file with all parts of a split one. Opening reads headers only;
// the weights stay on disk until a tensor is read.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <unordered_map>

#include "runtime/model/gguf.h"
#include "runtime/model/source.h"
#include "runtime/model/stored.h"

namespace wane {

enum class RowOrder {
  model, // as HF checkpoints have them: q and k rows of llama GGUF files are un-permuted
  file,  // as they lie
};

class Checkpoint {
public:
  // `path`: a folder with config.json and model.safetensors (or shards and their index), or a .gguf file (any
  // part of a split one). Fault::missing when nothing is there, Fault::bad_file when it is malformed.
  static std::shared_ptr<const Checkpoint> open(const std::string& path);

  bool is_gguf() const { return gguf_ != nullptr; }
  const GgufFile* gguf() const { return gguf_.get(); } // metadata of the first part; null for an HF folder
  const std::string& path() const { return path_; }
  std::string directory() const; // the folder, or the one that a GGUF file lies in
  const std::vector<TensorEntry>& tensors() const { return tensors_; }
  const TensorEntry* find(std::string_view name) const; // by the name in the file; null when there is none
  // By the name in the model, "layers.0.mlp.up_proj.weight": with or without "model." in an HF folder, mapped
  // in a GGUF file.
  const TensorEntry* find_model(std::string_view hf_name) const;
  // Name of a tensor in the model, without "model."; nothing for a GGUF tensor that no known architecture
  // has.
  std::optional<std::string> model_name(const TensorEntry& entry) const;

  // Decodes rows [first_row, first_row + rows) into `target`, rows * cols numbers of `as` in row-major order;
  // a tensor of one dim is one row. rows = -1: to the last. `as`: the tensor's own dtype; f32, bf16 and f16
  // of everything but i64, rounded once to nearest even; f64 of plain numbers. Reads and decodes on the
  // thread pool.
  void read(const TensorEntry& entry, DType as, std::span<std::byte> target, int64_t first_row = 0,
            int64_t rows = -1, RowOrder order = RowOrder::model) const;

  std::string config_json() const; // config.json, normalised (config.h); for GGUF an equivalent one
  // A text file of the folder (tokenizer.json ...); nothing when it is not there or for GGUF.
  std::optional<std::string> text_file(const std::string& name) const;
  const std::vector<std::string>& warnings() const { return warnings_; } // what opening left out
  uint64_t total_bytes() const;                                          // of all tensors, as stored
  // Of the weights: of the file itself when there is one, else of the list "sha256  bytes\n" of all in order.
  // Reads everything, once.
  std::string sha256() const;

private:
  Checkpoint() = default;
  void open_gguf(FileSource first);
  void index_tensors();
  void mark_permuted();
  void read_straight(const TensorEntry& entry, DType as, std::span<std::byte> target, uint64_t offset) const;
  void read_permuted(const TensorEntry& entry, DType as, std::span<std::byte> target, int64_t first_row,
                     int64_t rows) const;
  void decode(const TensorEntry& entry, std::span<const std::byte> source, DType as, std::byte* target,
              uint64_t offset) const;
  const FileSource& file_of(const TensorEntry& entry) const { return files_[entry.file_index]; }

  std::string path_;
  std::vector<FileSource> files_;
  std::vector<TensorEntry> tensors_;
  std::unordered_map<std::string_view, size_t> by_name_;
  std::unique_ptr<GgufFile> gguf_;
  std::vector<std::string> warnings_;
  mutable std::once_flag hashed_;
  mutable std::string hash_;
};

} // namespace wane
