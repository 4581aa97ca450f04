// CUDA text with a mistake planted on purpose, which the run on the host has to find; or as it is.
#pragma once

#include <string>

#include <doctest/doctest.h>

inline std::string as_it_is(std::string text) { return text; }

// The first `from`, which has to be there, replaced.
inline std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}
