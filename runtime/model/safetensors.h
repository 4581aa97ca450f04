// The header of one .safetensors file: what is in it and where, with nothing taken on trust. The rules are
// those of the format's reference reader and stricter in two places: a name may not appear twice and keys
// must be the known three.
#pragma once

#include <map>

#include "runtime/model/source.h"
#include "runtime/model/stored.h"

namespace wane {

struct SafetensorsHeader {
  std::vector<TensorEntry> tensors; // in the order of their data; offsets count from the start of the file
  std::map<std::string, std::string> metadata;
};

// Reads and checks the header: at most 100 MB of exact JSON, at most a million tensors, known dtypes, sizes
// without overflow, data that tiles the rest of the file without hole or overlap. Fault::bad_file names
// tensor and byte.
SafetensorsHeader read_safetensors(const FileSource& file, size_t file_index = 0);

} // namespace wane
