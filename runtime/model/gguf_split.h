// GGUF models cut into several files, PREFIX-00001-of-00003.gguf and so on; the metadata is that of the
// first.
#pragma once

#include <utility>

#include "runtime/model/gguf.h"

namespace wane {

// The paths of all parts, in order, of the model that this file belongs to; its own path alone when it is
// whole.
std::vector<std::string> parts_of_split(const GgufFile& part);
// Each part must say that it is what its place says, and together they must hold the number of tensors
// promised.
void check_split(const std::vector<GgufFile>& parts);
// Query and key heads of a llama file. An Error "not supported: ..." when layers differ.
std::pair<int64_t, int64_t> head_counts(const GgufFile& file);

} // namespace wane
