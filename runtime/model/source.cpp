#include "runtime/model/source.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/hash.h"

namespace wane {
namespace {

const char* kind_of(mode_t mode) {
  if (S_ISDIR(mode)) return "a folder";
  if (S_ISFIFO(mode)) return "a pipe";
  if (S_ISSOCK(mode)) return "a socket";
  if (S_ISCHR(mode) || S_ISBLK(mode)) return "a device";
  return "not a regular file";
}

} // namespace

Error bad_file(const std::string& path, const std::string& what) {
  return error(Fault::bad_file, "{}: {}", path, what);
}

Error bad_file(const std::string& path, uint64_t offset, const std::string& what) {
  return bad_file(path, what).note("offset", fmt::format("byte {}", offset));
}

FileSource::FileSource(std::string path) : path_(std::move(path)) {
  // Without O_NONBLOCK opening a pipe would wait for a writer.
  descriptor_ = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (descriptor_ < 0) {
    int code = errno;
    if (code == ENOENT || code == ENOTDIR) throw error(Fault::missing, "{}: there is no such file", path_);
    if (code == ENXIO) throw bad_file(path_, "is a pipe or a socket, expected a regular file");
    throw error(Fault::missing, "{}: cannot be opened: {}", path_, std::strerror(code));
  }
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode)) {
    ::close(descriptor_);
    throw bad_file(path_, fmt::format("is {}, expected a regular file", kind_of(status.st_mode)));
  }
  size_ = uint64_t(status.st_size);
}

FileSource::FileSource(FileSource&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(other.descriptor_), size_(other.size_) {
  other.descriptor_ = -1;
}

FileSource::~FileSource() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void FileSource::read(uint64_t offset, std::span<std::byte> target) const {
  if (offset > size_ || target.size() > size_ - offset)
    throw bad_file(path_, offset,
                   fmt::format("ends too early: {} bytes wanted here, {} are left", target.size(),
                               size_ - std::min(offset, size_)));
  size_t done = 0;
  while (done < target.size()) {
    // Linux moves at most 2^31 - 4096 bytes per call.
    size_t step = std::min<size_t>(target.size() - done, size_t{1} << 30);
    ssize_t got = ::pread(descriptor_, target.data() + done, step, off_t(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0)
      throw error(Fault::io, "{}: reading failed: {}", path_, std::strerror(errno))
          .note("offset", fmt::format("byte {}", offset + done));
    if (got == 0)
      throw bad_file(path_, offset + done, fmt::format("was {} bytes long and has become shorter", size_));
    done += size_t(got);
  }
}

std::string FileSource::text(uint64_t limit) const {
  if (size_ > limit)
    throw bad_file(path_, fmt::format("is {} bytes long, expected at most {}", size_, limit));
  std::string out(size_, '\0');
  read(0, std::as_writable_bytes(std::span(out)));
  return out;
}

std::string FileSource::sha256() const {
  Sha256 digest;
  std::vector<std::byte> piece(std::min<uint64_t>(size_, 1 << 20));
  for (uint64_t at = 0; at < size_; at += piece.size()) {
    check_interrupt();
    piece.resize(std::min<uint64_t>(piece.size(), size_ - at));
    read(at, piece);
    digest.update(piece);
  }
  return digest.hex();
}

} // namespace wane
