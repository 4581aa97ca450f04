// What this binary and machine are: for `wane version`, manifests and recipes.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace wane {

std::string version_text();                                        // "0.1.0"
std::string machine_text();                                        // "cpu AMD EPYC ..., x86-64-v4"
std::vector<std::pair<std::string, std::string>> matmul_classes(); // what decides the bits of a product here
bool has_native_bf16();

} // namespace wane
