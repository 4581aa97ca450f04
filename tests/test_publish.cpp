// Publishing: whole or not at all, only over what wane wrote, nothing left behind.
#include <csignal>

#include <sys/resource.h>
#include <sys/wait.h>

#include "runtime/run/folder.h"
#include "tests/checkpoint_files.h"

using namespace wane;
using namespace wane::test;
namespace fs = std::filesystem;

namespace {

void publish(const std::string& path, const std::string& text) {
  DirectoryWriter folder(path);
  folder.add_text("config.json", text);
  folder.commit();
}

// No file of this process may grow beyond `bytes` while this lives.
class FileLimit {
public:
  explicit FileLimit(rlim_t bytes) : handler_(std::signal(SIGXFSZ, SIG_IGN)) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

private:
  rlimit before_{};
  void (*handler_)(int);
};

// Runs `body` in a process that then dies without cleaning up; its id.
pid_t die_after(const std::function<void()>& body) {
  pid_t child = ::fork();
  if (child == 0) {
    body();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return child;
}

} // namespace

TEST_CASE("publish: a file appears when it is committed") {
  TempFolder folder;
  auto path = folder / "a.txt";
  {
    OutputFile file(path);
    file.write("one ");
    file.write("two");
    CHECK_FALSE(fs::exists(path));
    file.commit();
  }
  CHECK(read_file(path) == "one two");
  publish_text(path, "three");
  CHECK(read_file(path) == "three");
  { OutputFile(path).write("lost"); }
  CHECK(read_file(path) == "three");
  CHECK(folder.names() == std::vector<std::string>{"a.txt"});
}

TEST_CASE("publish: what cannot be created") {
  TempFolder folder;
  auto problem = error_of([&] { publish_text(folder / "no/a.txt", "x"); });
  CHECK(problem.fault() == Fault::no_create);
  CHECK(std::string(problem.what())
        == folder / "no/a.txt" + ": cannot be created: there is no folder " + folder / "no");
  fs::create_directory(folder / "d");
  CHECK_CONTAINS(error_of([&] { publish_text(folder / "d", "x"); }).what(),
                 "is no regular file; it is not replaced");
  CHECK_CONTAINS(error_of([&] { publish_text("/dev/null", "x"); }).what(),
                 "/dev/null: is there and is no regular file");
  CHECK(error_of([&] { publish_text(folder / (std::string(250, 'n')), "x"); }).fault() == Fault::no_create);
  CHECK(error_of([&] { publish_text("", "x"); }).fault() == Fault::no_create);
  CHECK(error_of([&] { DirectoryWriter("/proc/x"); }).fault() == Fault::no_create);
  CHECK(folder.names() == std::vector<std::string>{"d"});
}

TEST_CASE("publish: a full disk is an I/O fault and leaves nothing") {
  TempFolder folder;
  std::string large(200'000, 'x');
  {
    FileLimit limit(100'000);
    auto problem = error_of([&] { publish_text(folder / "a.txt", large); });
    CHECK(problem.fault() == Fault::io);
    CHECK_CONTAINS(problem.what(), "a.txt: writing failed after 100000 bytes");
    auto no_room = error_of([&] {
      DirectoryWriter out(folder / "out");
      out.create("weights").reserve(200'000);
    });
    CHECK(no_room.fault() == Fault::io);
    CHECK_CONTAINS(no_room.what(), "out/weights: there is no room for its 200000 bytes");
  }
  CHECK(folder.names().empty());
}

TEST_CASE("publish: a folder appears whole, replaces what wane wrote, and only that") {
  TempFolder parent;
  auto path = parent / "model";
  {
    DirectoryWriter folder(path + "/");
    folder.add_text("config.json", "first");
    CHECK_FALSE(fs::exists(path));
    CHECK(read_file(folder.building() + "/config.json") == "first");
  }
  CHECK(parent.names().empty()); // not committed
  publish(path, "first");
  publish(path, "second");
  CHECK(read_file(path + "/config.json") == "second");
  CHECK(parent.names() == std::vector<std::string>{"model"});
  CHECK(reason_to_keep(path).empty());

  fs::copy(path, parent / "copy");
  publish(parent / "copy", "third"); // the mark survives copying
  CHECK(read_file(parent / "copy/config.json") == "third");

  auto refused = [&](const std::string& part) {
    auto problem = error_of([&] { publish(path, "never"); });
    CHECK(problem.fault() == Fault::no_create);
    CHECK_CONTAINS(problem.text(), path + ": is there and is not replaced: " + part);
    CHECK_CONTAINS(problem.text(), "hint   remove it or choose another name");
  };
  write_file(path + "/notes.txt", "mine");
  refused("it holds \"notes.txt\", which wane did not write");
  fs::remove(path + "/notes.txt");
  write_file(path + "/config.json", "edited");
  refused("\"config.json\" has been changed since wane wrote it");
  write_file(path + "/wane.json", "{}");
  refused("its wane.json is not wane's");
  fs::remove(path + "/wane.json");
  refused("wane did not write it (1 entries, \"config.json\" among them)");
  fs::remove_all(path);
  write_file(path, "a file");
  refused("it is a file");
  fs::remove(path);
  fs::create_directory_symlink(parent / "copy", path);
  refused("it is a symbolic link");
  fs::remove(path);
  fs::create_directory(path);
  publish(path, "into an empty folder");
  CHECK(read_file(path + "/config.json") == "into an empty folder");
  CHECK(parent.names() == std::vector<std::string>{"copy", "model"});
}

TEST_CASE("publish: what appears meanwhile at the name is kept") {
  TempFolder parent;
  DirectoryWriter folder(parent / "out");
  folder.add_text("config.json", "late");
  fs::create_directory(parent / "out");
  write_file(parent / "out/theirs", "x");
  CHECK(error_of([&] { folder.commit(); }).fault() == Fault::no_create);
  CHECK(read_file(parent / "out/theirs") == "x");
}

TEST_CASE("publish: readers of a replaced folder keep what they opened") {
  TempFolder parent;
  publish(parent / "out", "old");
  std::ifstream open(parent / "out/config.json");
  publish(parent / "out", "new");
  std::string text;
  open >> text;
  CHECK(text == "old");
}

TEST_CASE("publish: leftovers of dead processes are removed, those of living ones stay") {
  TempFolder parent;
  pid_t dead = die_after([&] {
    auto* folder = new DirectoryWriter(parent / "out");
    folder->add_text("config.json", "half");
    new OutputFile(parent / "a.txt");
  });
  auto left = parent.names();
  REQUIRE(left.size() == 2);
  CHECK(left[0].starts_with(fmt::format(".a.txt.tmp.{}.", dead)));
  CHECK(left[1].starts_with(fmt::format(".out.tmp.{}.", dead)));
  auto alive = fmt::format(".out.tmp.{}.77", ::getpid()), other = fmt::format(".out2.tmp.{}.1", dead);
  fs::create_directory(parent / alive);
  fs::create_directory(parent / other);
  fs::create_directory(parent / ".out.tmp.x.1");
  publish(parent / "out", "whole");
  publish_text(parent / "a.txt", "whole");
  CHECK(parent.names() == std::vector<std::string>{alive, ".out.tmp.x.1", other, "a.txt", "out"});
}

TEST_CASE("publish: names inside a folder are plain") {
  TempFolder parent;
  DirectoryWriter folder(parent / "out");
  for (auto* name : {"", ".", "..", "a/b", "../x", "wane.json"})
    CHECK(error_of([&] { folder.add_text(name, "x"); }).fault() == Fault::internal);
  folder.add_text("a", "x");
  CHECK(error_of([&] { folder.add_text("a", "x"); }).fault() == Fault::no_create);
}
