// Where the shared data set lies, if it does: WANE_SHARED, else ../shared beside the checkout.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

#include <doctest/doctest.h>

inline std::string shared_data(const std::string& path) {
  const char* set = std::getenv("WANE_SHARED");
  auto root = set ? std::filesystem::path(set) : std::filesystem::path(WANE_SOURCE_DIR) / ".." / "shared";
  auto full = root / "data" / path;
  return std::filesystem::exists(full) ? full.string() : "";
}

// Leaves the test with a line that says so when the data is not there.
#define NEED_SHARED_DATA(variable, path)                                                                     \
  const std::string variable = shared_data(path);                                                            \
  if (variable.empty()) {                                                                                    \
    MESSAGE("skipped: no shared data (" path ")");                                                           \
    return;                                                                                                  \
  }
