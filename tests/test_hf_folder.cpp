// Checkpoint folders: shards and their index, symbolic links, what is missing.
#include "runtime/model/checkpoint.h"
#include "tests/checkpoint_files.h"

using namespace wane;
using namespace wane::test;

namespace {

struct Model : TempFolder {
  Model() { write_file(*this / "config.json", "{}"); }
  void shard(const std::string& name, const std::vector<std::string>& tensors) {
    std::string header = "{";
    for (size_t i = 0; i < tensors.size(); ++i)
      header += (i ? "," : "") + safetensors_entry(tensors[i], "U8", "[1]", fmt::format("[{},{}]", i, i + 1));
    write_file(*this / name, safetensors_bytes(header + "}", std::string(tensors.size(), 'd')));
  }
  void index(const std::string& map, const std::string& metadata = "{}") {
    write_file(*this / "model.safetensors.index.json",
               fmt::format(R"({{"metadata":{},"weight_map":{}}})", metadata, map));
  }
  Error problem() const {
    return error_of([&] { Checkpoint::open(path()); });
  }
};

} // namespace

TEST_CASE("index: shards open as one model") {
  Model model;
  model.shard("x-1.safetensors", {"a", "b"});
  model.shard("x-2.safetensors", {"c"});
  model.index(R"({"a":"x-1.safetensors","b":"x-1.safetensors","c":"x-2.safetensors"})",
              R"({"total_size":3})");
  auto open = Checkpoint::open(model.path());
  CHECK(open->tensors().size() == 3);
  CHECK(open->find("c")->file_index == 1);
  CHECK(open->warnings().empty());
  model.index(R"({"a":"x-1.safetensors","c":"x-2.safetensors"})", R"({"total_size":7})");
  model.shard("y.safetensors", {"z"});
  auto warned = Checkpoint::open(model.path())->warnings();
  REQUIRE(warned.size() == 3);
  CHECK_CONTAINS(warned[0], "x-1.safetensors: 1 tensors are not in the index");
  CHECK_CONTAINS(warned[1], "total_size is 7, the tensors have 2 bytes");
  CHECK_CONTAINS(warned[2], "y.safetensors: is not in the index");
}

TEST_CASE("index: names that leave the folder or are none") {
  Model model;
  model.shard("x.safetensors", {"a"});
  for (auto* name : {"../x.safetensors", "/etc/passwd", "a/../x.safetensors", "..\\\\x.safetensors", "", ".",
                     "..", "x\\u0000.safetensors", "pytorch_model.bin"}) {
    INFO(name);
    model.index(fmt::format(R"({{"a":"{}"}})", name));
    auto problem = model.problem();
    CHECK(problem.fault() == Fault::bad_file);
    CHECK_CONTAINS(problem.what(), "model.safetensors.index.json: lists the file");
  }
  model.index(R"({"a":")" + std::string(300, 'n') + R"(.safetensors"})");
  CHECK(model.problem().fault() == Fault::bad_file);
}

TEST_CASE("index: malformed or wrong") {
  Model model;
  model.shard("x.safetensors", {"a"});
  model.shard("y.safetensors", {"b"});
  auto bad = [&](const std::string& map, const std::string& part, Fault fault = Fault::bad_file) {
    model.index(map);
    auto problem = model.problem();
    CHECK(problem.fault() == fault);
    CHECK_CONTAINS(problem.text(), part);
  };
  bad(R"({"a":"z.safetensors"})", "z.safetensors: there is no such file", Fault::missing);
  bad(R"({"a":"x.safetensors","q":"x.safetensors"})",
      "lists tensor \"q\" in \"x.safetensors\", which does not hold it");
  bad(R"({"a":"y.safetensors","b":"x.safetensors"})", "it is in");
  bad(R"({"a":7})", "lists number for tensor \"a\", expected a file name");
  bad(R"({"a":"x.safetensors","a":"x.safetensors"})", "the key \"a\" is there twice");
  bad("{}", "lists no tensor");
  bad("[]", "has no object weight_map");
  for (auto* total : {"-1", "\"3\"", "true"}) {
    model.index(R"({"a":"x.safetensors"})", fmt::format(R"({{"total_size":{}}})", total));
    CHECK_CONTAINS(model.problem().what(), "has the total_size");
  }
  model.shard("y.safetensors", {"a"});
  bad(R"({"a":"x.safetensors","b":"y.safetensors"})",
      "tensor \"a\" is in \"x.safetensors\" and in \"y.safetensors\"");
  model.shard("X.safetensors", {"c"});
  bad(R"({"a":"X.safetensors"})", "does not hold it"); // case matters
  std::filesystem::create_directory(model / "d.safetensors");
  bad(R"({"a":"d.safetensors"})", "d.safetensors: is a folder, expected a regular file");
  model.index(R"({"a":"x.safetensors"})");
  model.shard("model.safetensors", {"a"});
  CHECK_CONTAINS(model.problem().what(), "which is the model cannot be told");
  model.index(R"({"a":"model.safetensors"})");
  CHECK_NOTHROW(Checkpoint::open(model.path()));
}

TEST_CASE("folder: symbolic links may not leave it, except into the blobs of its cache") {
  namespace fs = std::filesystem;
  TempFolder outside;
  Model model;
  model.shard("real.safetensors", {"a"});
  fs::create_symlink("real.safetensors", model / "model.safetensors");
  CHECK_NOTHROW(Checkpoint::open(model.path()));
  fs::remove(model / "model.safetensors");
  fs::rename(model / "real.safetensors", outside / "real.safetensors");
  fs::create_symlink(outside / "real.safetensors", model / "model.safetensors");
  auto problem = model.problem();
  CHECK(problem.fault() == Fault::bad_file);
  CHECK_CONTAINS(problem.text(), "model.safetensors: is a symbolic link out of its folder\n  leads to   ");
  fs::remove(model / "model.safetensors");
  fs::create_symlink("model.safetensors", model / "model.safetensors");
  CHECK_CONTAINS(model.problem().what(), "is a symbolic link that leads nowhere");

  auto cache = fs::path(outside.path()) / "models--x";
  fs::create_directories(cache / "blobs");
  fs::create_directories(cache / "snapshots" / "rev");
  fs::rename(outside / "real.safetensors", cache / "blobs" / "1234");
  write_file(cache / "blobs" / "5678", R"({"model_type":"llama"})");
  fs::create_symlink("../../blobs/1234", cache / "snapshots" / "rev" / "model.safetensors");
  fs::create_symlink("../../blobs/5678", cache / "snapshots" / "rev" / "config.json");
  auto cached = Checkpoint::open(cache / "snapshots" / "rev");
  CHECK(cached->tensors().size() == 1);
  CHECK_CONTAINS(cached->config_json(), "llama");
}

TEST_CASE("folder: what is missing is named") {
  TempFolder folder;
  auto problem = error_of([&] { Checkpoint::open(folder.path()); });
  CHECK(problem.fault() == Fault::missing);
  CHECK_CONTAINS(problem.text(),
                 "holds no model.safetensors and no model.safetensors.index.json\n  holds   nothing");
  write_file(folder / "pytorch_model.bin", "x");
  CHECK_CONTAINS(error_of([&] { Checkpoint::open(folder.path()); }).text(), "pickled objects");
  write_file(folder / "q.gguf", "x");
  CHECK_CONTAINS(error_of([&] { Checkpoint::open(folder.path()); }).text(), "q.gguf");
  write_file(folder / "model.safetensors", safetensors_bytes("{}", ""));
  CHECK_CONTAINS(error_of([&] { Checkpoint::open(folder.path()); }).what(), "holds no config.json");
  CHECK_CONTAINS(error_of([&] { Checkpoint::open(folder / "model.safetensors"); }).what(),
                 "is one safetensors file");
  CHECK(error_of([&] { Checkpoint::open(folder / "absent"); }).fault() == Fault::missing);
}

TEST_CASE("booleans are checked when read") {
  Model model;
  write_file(model / "model.safetensors",
             safetensors_bytes("{" + safetensors_entry("t", "BOOL", "[3]", "[0,3]") + "}",
                               std::string("\0\1\2", 3)));
  auto open = Checkpoint::open(model.path());
  std::vector<std::byte> out(3);
  CHECK_CONTAINS(error_of([&] { open->read(open->tensors()[0], DType::boolean, out); }).what(),
                 "holds the boolean 2");
}
