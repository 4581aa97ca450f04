// What is still to be computed behind a tensor and how it would run: for people, in lines of text.
#pragma once

#include <string>

#include "runtime/tensor.h"

namespace wane {

// The pending tree, the template and its rows, bytes and operations, how near the limits that flush are, the
// program, what the tile interpreter makes of it, whether it did already, and the CUDA text (without what
// stands in front of every kernel; a long one is only counted). `whole_source`: the CUDA text from its first
// line to its last. Nothing is computed.
std::string explain(const Tensor& x, bool whole_source = false);

} // namespace wane
