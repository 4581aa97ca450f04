// Writes tensors as safetensors files of a checkpoint folder, cut into shards by size, with the index that
// Hugging Face libraries expect. All places are known before the first byte; no more than what the caller
// hands over is held.
#pragma once

#include <map>
#include <unordered_map>

#include "runtime/dtype.h"
#include "runtime/run/folder.h"

namespace wane {

struct PlannedTensor {
  std::string name;
  DType dtype;
  std::vector<int64_t> shape;
};

class SafetensorsWriter {
public:
  static constexpr uint64_t kShardBytes = 5'000'000'000;
  // Lays out the files and takes their room on the disk. A shard holds at least one tensor and at most
  // `shard_bytes` where tensors are not larger; one file is model.safetensors without an index. Inside a file
  // wide types come first, so that data stays aligned for readers that map it.
  SafetensorsWriter(DirectoryWriter& folder, const std::vector<PlannedTensor>& plan,
                    uint64_t shard_bytes = kShardBytes,
                    std::map<std::string, std::string> metadata = {{"format", "pt"}});

  // Tensors in any order; the bytes of one tensor in one piece or in several, front to back.
  void write(std::string_view name, std::span<const std::byte> bytes);
  // All tensors must be complete. Syncs the files and writes the index.
  void finish();

private:
  struct Shard {
    std::string name;
    uint64_t data_bytes = 0;
    std::vector<size_t> tensors; // indices of the plan
  };
  struct Place {
    size_t shard;
    uint64_t offset, bytes; // offset: from the start of the file, once the header is written
    uint64_t written = 0;
  };
  void cut_shards(uint64_t shard_bytes);
  void begin_shard(size_t number, const std::map<std::string, std::string>& metadata);

  DirectoryWriter& folder_;
  std::vector<PlannedTensor> plan_;
  std::vector<Shard> shards_;
  std::vector<NewFile> files_;
  std::vector<Place> places_; // by plan
  std::unordered_map<std::string, size_t> by_name_;
};

} // namespace wane
