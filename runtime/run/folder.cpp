#include "runtime/run/folder.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <nlohmann/json.hpp>

#include "runtime/hash.h"
#include "runtime/model/json.h"

namespace wane {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
constexpr const char* kRecord = "wane.json";
constexpr uint64_t kHead = 1 << 20;
constexpr uint64_t kMaxRecord = 64 << 20;

json describe_file(const std::string& path) {
  FileSource file(path);
  std::vector<std::byte> head(std::min(file.size(), kHead));
  file.read(0, head);
  return {{"bytes", file.size()}, {"sha256_first_mib", sha256_hex(head)}};
}

std::string check_listed(const fs::path& folder, const std::string& name, const json& files) {
  if (!files.contains(name)) return fmt::format("it holds {}, which wane did not write", shown_name(name));
  if (!fs::is_regular_file(fs::symlink_status(folder / name)) || describe_file(folder / name) != files[name])
    return fmt::format("{} has been changed since wane wrote it", shown_name(name));
  return "";
}

std::string check_record(const fs::path& folder) {
  auto record = json::parse(FileSource(folder / kRecord).text(kMaxRecord), nullptr, false);
  if (!record.is_object() || record.value("format", "") != "wane folder 1" || !record.contains("files")
      || !record["files"].is_object())
    return fmt::format("its {} is not wane's", kRecord);
  for (auto& entry : fs::directory_iterator(folder)) {
    auto name = entry.path().filename().string();
    if (name == kRecord) continue;
    if (auto reason = check_listed(folder, name, record["files"]); !reason.empty()) return reason;
  }
  return "";
}

std::string without_trailing_slash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

void refuse_to_replace(const std::string& path) {
  if (auto reason = reason_to_keep(path); !reason.empty())
    throw error(Fault::no_create, "{}: is there and is not replaced: {}", path, reason)
        .hint("remove it or choose another name");
}

} // namespace

std::string reason_to_keep(const std::string& path) {
  auto status = fs::symlink_status(path);
  if (!fs::exists(status)) return "";
  if (fs::is_symlink(status)) return "it is a symbolic link";
  if (!fs::is_directory(status)) return "it is a file";
  if (fs::is_empty(path)) return "";
  if (fs::exists(fs::symlink_status(fs::path(path) / kRecord))) return check_record(path);
  std::vector<std::string> names;
  for (auto& entry : fs::directory_iterator(path)) names.push_back(entry.path().filename().string());
  auto first = std::min_element(names.begin(), names.end());
  return fmt::format("wane did not write it ({} entries, {} among them)", names.size(), shown_name(*first));
}

DirectoryWriter::DirectoryWriter(std::string path)
    : path_(without_trailing_slash(std::move(path))), temporary_(detail::temporary_beside(path_)) {
  refuse_to_replace(path_);
  detail::remove_stale_beside(path_);
  if (::mkdir(temporary_.c_str(), 0777) != 0) throw detail::cannot_create(path_, errno);
  lock_ = ::open(temporary_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (lock_ >= 0) ::flock(lock_, LOCK_EX | LOCK_NB); // says that its owner lives
}

DirectoryWriter::~DirectoryWriter() {
  if (lock_ >= 0) ::close(lock_);
  std::error_code problem;
  if (!committed_) fs::remove_all(temporary_, problem);
}

NewFile DirectoryWriter::create(const std::string& name) {
  bool plain = !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos
               && name != kRecord && name.find('\0') == std::string::npos;
  if (!plain)
    throw error(Fault::internal, "publish: {} is no name for a file in {}", shown_name(name), path_);
  NewFile file((fs::path(temporary_) / name).string(), (fs::path(path_) / name).string());
  names_.push_back(name);
  return file;
}

void DirectoryWriter::add_text(const std::string& name, std::string_view text) {
  auto file = create(name);
  file.write(text);
  file.close_synced();
}

void DirectoryWriter::commit() {
  json record = {{"format", "wane folder 1"}, {"files", json::object()}};
  for (auto& name : names_) record["files"][name] = describe_file((fs::path(temporary_) / name).string());
  NewFile file((fs::path(temporary_) / kRecord).string(), (fs::path(path_) / kRecord).string());
  file.write(record.dump(2) + "\n");
  file.close_synced();
  detail::sync_folder(temporary_);

  refuse_to_replace(path_); // again: the work may have taken hours
  auto status = fs::symlink_status(path_);
  bool replaces = fs::exists(status) && !fs::is_empty(path_);
  // A folder renamed onto nothing or onto an empty folder takes its place in one step, onto any other it
  // fails.
  int result = replaces ? ::renameat2(AT_FDCWD, temporary_.c_str(), AT_FDCWD, path_.c_str(), RENAME_EXCHANGE)
                        : ::rename(temporary_.c_str(), path_.c_str());
  if (result != 0 && replaces && (errno == EINVAL || errno == ENOSYS))
    throw error(Fault::no_create, "{}: is there, and this file system cannot exchange two folders", path_)
        .hint("remove it or choose another name");
  if (result != 0) throw detail::cannot_create(path_, errno);
  committed_ = true;
  detail::sync_folder(detail::folder_of(path_));
  std::error_code problem;
  if (replaces) fs::remove_all(temporary_, problem); // now the old one
}

} // namespace wane
