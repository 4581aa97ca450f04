#include "runtime/run/publish.h"

#include <atomic>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <vector>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

namespace wane {
namespace {

namespace fs = std::filesystem;

bool disk_is_why(int code) { return code == ENOSPC || code == EDQUOT || code == EIO || code == EFBIG; }

std::string temporary_prefix(const fs::path& path) { return "." + path.filename().string() + ".tmp."; }

// A process of another container may look dead from here, but whoever builds holds a lock.
bool is_locked(const fs::path& path) {
  int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  if (descriptor < 0) return false;
  bool locked = ::flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  ::close(descriptor);
  return locked;
}

// The process id in ".NAME.tmp.PID.N", 0 when the rest is not of that form.
pid_t owner_of(std::string_view rest) {
  int pid = 0, serial = 0;
  auto [end, problem] = std::from_chars(rest.data(), rest.data() + rest.size(), pid);
  if (problem != std::errc() || end == rest.data() + rest.size() || *end != '.') return 0;
  auto [last, trouble] = std::from_chars(end + 1, rest.data() + rest.size(), serial);
  return trouble == std::errc() && last == rest.data() + rest.size() && pid > 0 ? pid : 0;
}

} // namespace

namespace detail {

Error cannot_create(const std::string& path, int code) {
  return error(disk_is_why(code) ? Fault::io : Fault::no_create, "{}: cannot be created: {}", path,
               std::strerror(code));
}

std::string folder_of(const std::string& path) {
  auto parent = fs::path(path).parent_path().string();
  return parent.empty() ? "." : parent;
}

std::string temporary_beside(const std::string& path) {
  static std::atomic<int> serial{0};
  fs::path target(path);
  auto name = target.filename().string();
  if (name.empty() || name == "." || name == "..")
    throw error(Fault::no_create, "{}: is no name for a new file or folder", path);
  std::error_code problem;
  auto parent = folder_of(path);
  if (!fs::is_directory(parent, problem))
    throw error(Fault::no_create, "{}: cannot be created: there is no folder {}", path, parent);
  return (fs::path(parent) / fmt::format("{}{}.{}", temporary_prefix(target), ::getpid(), ++serial)).string();
}

void remove_stale_beside(const std::string& path) {
  auto prefix = temporary_prefix(path);
  std::error_code problem;
  std::vector<fs::path> stale;
  for (fs::directory_iterator at(folder_of(path), problem), end; !problem && at != end;
       at.increment(problem)) {
    auto name = at->path().filename().string();
    if (!name.starts_with(prefix)) continue;
    pid_t owner = owner_of(std::string_view(name).substr(prefix.size()));
    if (owner > 0 && ::kill(owner, 0) != 0 && errno == ESRCH && !is_locked(at->path()))
      stale.push_back(at->path());
  }
  for (auto& left : stale) fs::remove_all(left, problem);
}

void sync_folder(const std::string& folder) {
  int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0)
    throw error(Fault::io, "{}: cannot be opened for syncing: {}", folder, std::strerror(errno));
  int code = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  if (code != 0 && code != EINVAL) // some file systems do not sync folders
    throw error(Fault::io, "{}: syncing failed: {}", folder, std::strerror(code));
}

} // namespace detail

NewFile::NewFile(std::string path, std::string shown) : path_(std::move(path)), shown_(std::move(shown)) {
  descriptor_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (descriptor_ < 0) throw detail::cannot_create(shown_, errno);
  ::flock(descriptor_,
          LOCK_EX | LOCK_NB); // says that its owner lives; where there are no locks the id must do
}

NewFile::NewFile(NewFile&& other) noexcept
    : path_(std::move(other.path_)), shown_(std::move(other.shown_)), descriptor_(other.descriptor_),
      end_(other.end_) {
  other.descriptor_ = -1;
}

NewFile::~NewFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void NewFile::fail(int code, uint64_t done) const {
  throw error(Fault::io, "{}: writing failed after {} bytes: {}", shown_, done, std::strerror(code));
}

void NewFile::reserve(uint64_t bytes) {
  int result = 0;
  do result = ::fallocate(descriptor_, 0, 0, off_t(bytes));
  while (result != 0 && errno == EINTR);
  if (result == 0) return;
  if (errno != EOPNOTSUPP && errno != ENOSYS && bytes > 0) {
    int code = errno;
    throw error(Fault::io, "{}: there is no room for its {} bytes: {}", shown_, bytes, std::strerror(code));
  }
  if (::ftruncate(descriptor_, off_t(bytes)) != 0) fail(errno, 0);
}

void NewFile::write_at(uint64_t offset, std::span<const std::byte> bytes) {
  size_t done = 0;
  while (done < bytes.size()) {
    size_t step = std::min<size_t>(bytes.size() - done, size_t{1} << 30);
    ssize_t put = ::pwrite(descriptor_, bytes.data() + done, step, off_t(offset + done));
    if (put < 0 && errno == EINTR) continue;
    if (put <= 0) fail(put < 0 ? errno : EIO, offset + done);
    done += size_t(put);
  }
}

void NewFile::write(std::span<const std::byte> bytes) {
  write_at(end_, bytes);
  end_ += bytes.size();
}

void NewFile::write(std::string_view text) { write(std::as_bytes(std::span(text))); }

void NewFile::close_synced() {
  // A failed sync is final: the pages may be gone, a second call would report success.
  if (::fsync(descriptor_) != 0) fail(errno, end_);
  int result = ::close(descriptor_);
  descriptor_ = -1;
  if (result != 0 && errno != EINTR) fail(errno, end_);
}

OutputFile::OutputFile(std::string path)
    : path_(std::move(path)), temporary_(detail::temporary_beside(path_)), file_(temporary_, path_) {
  detail::remove_stale_beside(path_);
}

OutputFile::~OutputFile() {
  if (!done_) ::unlink(temporary_.c_str());
}

void OutputFile::commit() {
  std::error_code problem;
  auto status = fs::symlink_status(path_, problem);
  if (fs::exists(status) && !fs::is_regular_file(status))
    throw error(Fault::no_create, "{}: is there and is no regular file; it is not replaced", path_);
  file_.close_synced();
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) throw detail::cannot_create(path_, errno);
  done_ = true;
  detail::sync_folder(detail::folder_of(path_));
}

void publish_text(const std::string& path, std::string_view text) {
  OutputFile file(path);
  file.write(text);
  file.commit();
}

} // namespace wane
