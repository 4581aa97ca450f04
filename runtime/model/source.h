// Bytes on disk, read by pread: a file that shrinks or a disk that fails becomes an Error here, where a
// mapping would end the process by a signal. The size is fixed when the file is opened and every read is
// checked against it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "runtime/error.h"

namespace wane {

class FileSource {
public:
  // Opens a regular file. Fault::missing when it is not there or may not be read, Fault::bad_file when it is
  // a folder, a pipe or a device.
  explicit FileSource(std::string path);
  ~FileSource();
  FileSource(FileSource&& other) noexcept;
  FileSource& operator=(FileSource&&) = delete;

  const std::string& path() const { return path_; }
  uint64_t size() const { return size_; }
  // Fills `target` from `offset`. Safe from several threads. Fault::bad_file past the end, Fault::io when the
  // disk fails.
  void read(uint64_t offset, std::span<std::byte> target) const;
  // The whole file as text; Fault::bad_file when it is larger than `limit` bytes.
  std::string text(uint64_t limit) const;
  std::string sha256() const;

private:
  std::string path_;
  int descriptor_ = -1;
  uint64_t size_ = 0;
};

// "path: what", Fault::bad_file, with the place in the file.
Error bad_file(const std::string& path, uint64_t offset, const std::string& what);
Error bad_file(const std::string& path, const std::string& what);

} // namespace wane
