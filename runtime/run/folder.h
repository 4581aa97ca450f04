// A folder that appears whole or not at all: built beside its name under a hidden one, then renamed. What
// stands at the name is replaced only when wane wrote it, by exchange, so that at no moment half of either is
// there.
#pragma once

#include <vector>

#include "runtime/run/publish.h"

namespace wane {

// wane.json, written into each folder by commit(), lists the files with size and SHA-256 of the first MiB. A
// folder is wane's when it holds wane.json and just the files listed there, as listed; a copy of such a
// folder is, too, one that something was added to or saved into by another program is not.
class DirectoryWriter {
public:
  // Fault::no_create, with what is there, when `path` may not be replaced.
  explicit DirectoryWriter(std::string path);
  ~DirectoryWriter(); // removes what was not committed
  DirectoryWriter(const DirectoryWriter&) = delete;
  DirectoryWriter& operator=(const DirectoryWriter&) = delete;

  const std::string& path() const { return path_; }
  // The folder while it is being built: a reader can check it before commit().
  const std::string& building() const { return temporary_; }
  void add_text(const std::string& name, std::string_view text);
  NewFile create(const std::string& name); // a plain file name; close_synced() it before commit()
  void commit();

private:
  std::string path_, temporary_;
  std::vector<std::string> names_;
  int lock_ = -1;
  bool committed_ = false;
};

// Why the folder at `path` may not be replaced, "" when it may (it is wane's, empty, or not there).
std::string reason_to_keep(const std::string& path);

} // namespace wane
