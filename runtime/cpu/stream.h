// When results go past the caches.
#pragma once

#include <cstdint>

namespace wane {

inline constexpr int64_t kStreamBytes = int64_t(32) << 20; // a larger result is not found in a cache later

} // namespace wane
