// Small checkpoint files for tests, well-formed and not: a folder that removes itself, builders for GGUF and
// safetensors, and what an Error says.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/error.h"

namespace wane::test {

class TempFolder {
public:
  TempFolder() {
    auto pattern = (std::filesystem::temp_directory_path() / "wane-test-XXXXXX").string();
    REQUIRE(::mkdtemp(pattern.data()) != nullptr);
    path_ = pattern;
  }
  ~TempFolder() {
    std::error_code problem;
    std::filesystem::remove_all(path_, problem);
  }
  std::string path() const { return path_.string(); }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (auto& entry : std::filesystem::directory_iterator(path_))
      out.push_back(entry.path().filename().string());
    std::sort(out.begin(), out.end());
    return out;
  }

private:
  std::filesystem::path path_;
};

// Overwrites in place: some file systems flush a file that was cut to nothing and written again, and the
// tests that bend every bit write thousands.
inline void write_file(const std::string& path, const std::string& bytes) {
  int file = ::open(path.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  REQUIRE(file >= 0);
  REQUIRE(::pwrite(file, bytes.data(), bytes.size(), 0) == ssize_t(bytes.size()));
  REQUIRE(::ftruncate(file, off_t(bytes.size())) == 0);
  ::close(file);
}
inline std::string read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

template <class T> std::string raw(T value) {
  std::string out(sizeof value, '\0');
  std::memcpy(out.data(), &value, sizeof value);
  return out;
}

// The error that `body` raises; a failed check when it raises none.
inline Error error_of(const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& problem) {
    return problem;
  }
  FAIL_CHECK("no error was raised");
  return Error(Fault::internal, "");
}
#define CHECK_CONTAINS(text, part)                                                                           \
  do {                                                                                                       \
    std::string text_ = (text);                                                                              \
    INFO(text_);                                                                                             \
    CHECK(text_.find(part) != std::string::npos);                                                            \
  } while (false)

inline std::string safetensors_bytes(const std::string& header, const std::string& data) {
  return raw(uint64_t(header.size())) + header + data;
}

inline std::string safetensors_entry(const std::string& name, const std::string& dtype,
                                     const std::string& shape, const std::string& offsets) {
  return fmt::format(R"("{}":{{"dtype":"{}","shape":{},"data_offsets":{}}})", name, dtype, shape, offsets);
}

// Metadata values as GGUF writes them: type id, then the value.
inline std::string gguf_string(const std::string& text) { return raw(uint64_t(text.size())) + text; }
inline std::string gguf_u32(uint32_t value) { return raw(uint32_t(4)) + raw(value); }
inline std::string gguf_f32(float value) { return raw(uint32_t(6)) + raw(value); }
inline std::string gguf_text(const std::string& value) { return raw(uint32_t(8)) + gguf_string(value); }
inline std::string gguf_array(uint32_t type, uint64_t count, const std::string& elements) {
  return raw(uint32_t(9)) + raw(type) + raw(count) + elements;
}

struct GgufTensor {
  std::string name;
  std::vector<int64_t> dims; // contiguous first
  int32_t type;
  std::string data;
};

// Writes a GGUF file; every field can be bent.
struct GgufBuilder {
  uint32_t magic = 0x46554747, version = 3;
  uint64_t alignment = 32;
  std::vector<std::pair<std::string, std::string>> keys;
  std::vector<GgufTensor> tensors;
  int64_t extra_tensors = 0, extra_keys = 0;
  std::vector<uint64_t> offsets; // instead of the right ones
  bool pad_last = true;

  std::string pad(std::string text) const {
    while (text.size() % alignment != 0) text += '\0';
    return text;
  }
  std::string bytes() const {
    std::string out = raw(magic) + raw(version) + raw(int64_t(tensors.size()) + extra_tensors)
                      + raw(int64_t(keys.size()) + extra_keys);
    for (auto& [key, value] : keys) out += gguf_string(key) + value;
    uint64_t at = 0;
    for (size_t i = 0; i < tensors.size(); ++i) {
      auto& tensor = tensors[i];
      out += gguf_string(tensor.name) + raw(uint32_t(tensor.dims.size()));
      for (int64_t dim : tensor.dims) out += raw(dim);
      out += raw(tensor.type) + raw(i < offsets.size() ? offsets[i] : at);
      at += pad(tensor.data).size();
    }
    out = pad(out);
    for (size_t i = 0; i < tensors.size(); ++i)
      out += i + 1 < tensors.size() || pad_last ? pad(tensors[i].data) : tensors[i].data;
    return out;
  }
};

inline std::string floats(const std::vector<float>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
}

} // namespace wane::test
