// A checkpoint folder as Hugging Face libraries write it: config.json, one model.safetensors or several
// shards with an index, tokenizer files.
#pragma once

#include <optional>

#include "runtime/model/source.h"
#include "runtime/model/stored.h"

namespace wane {

struct HfWeights {
  std::vector<FileSource> files;
  std::vector<TensorEntry> tensors; // by file, then in the order of the data
  std::vector<std::string> warnings;
};

// Opens and checks all weight files of the folder. The index may name plain file names only; every listed
// tensor must be in the shard it is listed for and in no other.
HfWeights open_hf_weights(const std::string& folder);

// The path under which folder/name may be opened; nothing when it is not there. A symbolic link is followed
// when it ends at a regular file inside the folder, or in the blobs of the Hugging Face cache that the folder
// belongs to
// (.../snapshots/REVISION with .../blobs beside snapshots); any other is Fault::bad_file, so that a
// downloaded folder cannot name files of its reader.
std::optional<std::string> path_in_folder(const std::string& folder, const std::string& name);

} // namespace wane
