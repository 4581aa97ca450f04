// SHA-256, for naming contents: model files, calibration texts, run records. The digest is lower-case hex.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace wane {

class Sha256 {
public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  Sha256& update(std::span<const std::byte> bytes);
  Sha256& update(std::string_view text);
  std::string hex(); // of everything so far; nothing can be added afterwards

private:
  void* context_;
};

std::string sha256_hex(std::span<const std::byte> bytes);
std::string sha256_hex(std::string_view text);

} // namespace wane
