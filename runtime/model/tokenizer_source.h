// The metadata of a GGUF file from which its tokenizer is made.
#pragma once

#include "runtime/model/gguf.h"
#include "runtime/model/tokenizer.h"

namespace wane {

// The fields under "tokenizer.ggml.", absent ones empty (ids: -1). Fault::bad_file where one has another
// type.
TokenizerSource tokenizer_source(const GgufFile& file);

} // namespace wane
