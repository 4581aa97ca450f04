// Which device a process computes on. This is the one place that says what is there and what is not.
#pragma once

#include <string>
#include <string_view>

namespace wane {

// What stands between this process and a GPU: "libcuda.so.1 was not found", "the driver reports no GPU: ...";
// "" when one is there.
std::string missing_gpu();

// Accepts "cpu". An Error with Fault::no_device for "cuda", naming what is missing; with Fault::usage for any
// other name, listing the names.
void select_device(std::string_view name);

} // namespace wane
