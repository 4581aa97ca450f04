// The text in front of every generated kernel, made from the files of kernels/ that the binary carries.
#pragma once

#include <string>

namespace wane::cuda {

enum class Template { flat, row, both, sweep, ranges };

// The mathematics, the lanes and the templates asked for, with no #include left in it. An internal Error when
// the binary lacks one of the files.
const std::string& prelude(Template which);

} // namespace wane::cuda
