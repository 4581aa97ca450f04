// config.json in one spelling, whatever wrote it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "runtime/model/gguf.h"

namespace wane {

// The text of a config.json with the spellings of transformers 5 turned into those before it: rope_parameters
// into rope_theta and rope_scaling, dtype into torch_dtype ("bfloat16", no "torch."), the rope type under
// "rope_type"; a default rope has no rope_scaling. All other keys stay. Fault::bad_file for what is not JSON,
// says two things at once, or is no object; numbers are not judged here.
std::string normalized_config(std::string_view json, const std::string& path);

// A config.json, in that spelling, for what a GGUF file says about its model. `tensors` are those of all its
// parts, `rope_factors` the values of rope_freqs.weight (llama3's frequency factors) or empty.
// Fault::bad_file where a needed key is missing; an Error "not supported: ..." for models whose layers differ
// in shape.
std::string config_of_gguf(const GgufFile& file, const std::vector<TensorEntry>& tensors,
                           const std::vector<float>& rope_factors);

} // namespace wane
