// The code that creates files. A file or folder appears under its name whole or not at all: it is built
// beside its name under a hidden one, synced, renamed, and the folder that holds it is synced.
// Fault::no_create when it cannot be begun or may not replace what is there, Fault::io when the disk fails or
// is full.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "runtime/error.h"

namespace wane {

// A new file being written; used by what publishes. Closing it without close_synced() leaves it to its owner.
class NewFile {
public:
  // `shown` is the name for messages: where the file will appear.
  NewFile(std::string path, std::string shown);
  ~NewFile();
  NewFile(NewFile&& other) noexcept;
  NewFile& operator=(NewFile&&) = delete;

  const std::string& path() const { return path_; }
  void
  reserve(uint64_t bytes); // takes the room now, so that a full disk is found before the work; sets the size
  void write(std::span<const std::byte> bytes); // after what was written before
  void write(std::string_view text);
  void write_at(uint64_t offset, std::span<const std::byte> bytes);
  void close_synced();

private:
  [[noreturn]] void fail(int code, uint64_t done) const;
  std::string path_, shown_;
  int descriptor_ = -1;
  uint64_t end_ = 0;
};

// One file. Gone again unless committed.
class OutputFile {
public:
  explicit OutputFile(std::string path);
  ~OutputFile();
  void write(std::span<const std::byte> bytes) { file_.write(bytes); }
  void write(std::string_view text) { file_.write(text); }
  void commit(); // replaces a regular file of that name

private:
  std::string path_, temporary_;
  NewFile file_;
  bool done_ = false;
};

void publish_text(const std::string& path, std::string_view text);

namespace detail {
// ".NAME.tmp.PID.N" beside `path`, not in use by this process. Throws when the folder for it is not there.
std::string temporary_beside(const std::string& path);
// Removes what dead processes left while building `path`.
void remove_stale_beside(const std::string& path);
void sync_folder(const std::string& folder);
std::string folder_of(const std::string& path);
// no_create, or io when the disk is the reason.
Error cannot_create(const std::string& path, int code);
} // namespace detail

} // namespace wane
