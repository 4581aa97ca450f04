// The safetensors writer: what it writes comes back, with the names and the layout that other libraries
// expect.
#include <numeric>
#include <random>

#include <nlohmann/json.hpp>

#include "runtime/model/checkpoint.h"
#include "runtime/model/safetensors.h"
#include "runtime/model/safetensors_writer.h"
#include "tests/checkpoint_files.h"

using namespace wane;
using namespace wane::test;

TEST_CASE("writer: random plans come back, in any order of writing, sharded or not") {
  std::mt19937 random(11);
  const std::vector<DType> types{DType::f32, DType::bf16, DType::f16,     DType::f64,  DType::i64, DType::i32,
                                 DType::i8,  DType::u8,   DType::boolean, DType::e4m3, DType::e5m2};
  for (int trial = 0; trial < 30; ++trial) {
    TempFolder parent;
    std::vector<PlannedTensor> plan;
    std::vector<std::string> bytes;
    for (size_t i = 0; i < 1 + random() % 12; ++i) {
      PlannedTensor tensor{fmt::format("model.t{}", i), types[random() % types.size()], {}};
      size_t count = 1;
      for (size_t d = random() % 4; d > 0; --d) {
        tensor.shape.push_back(int64_t(random() % 9));
        count *= size_t(tensor.shape.back());
      }
      std::string content(count * size_of(tensor.dtype), '\0');
      for (char& c : content) c = char(tensor.dtype == DType::boolean ? random() % 2 : random());
      plan.push_back(std::move(tensor));
      bytes.push_back(std::move(content));
    }
    uint64_t limit = random() % 3 == 0 ? SafetensorsWriter::kShardBytes : 1 + random() % 600;
    DirectoryWriter folder(parent / "out");
    SafetensorsWriter writer(folder, plan, limit);
    std::vector<size_t> order(plan.size());
    std::iota(order.begin(), order.end(), size_t(0));
    std::shuffle(order.begin(), order.end(), random);
    for (size_t i : order) {
      auto all = std::as_bytes(std::span(bytes[i]));
      size_t cut = all.empty() ? 0 : random() % all.size();
      writer.write(plan[i].name, all.first(cut));
      writer.write(plan[i].name, all.subspan(cut));
    }
    writer.finish();
    folder.add_text("config.json", "{}");
    folder.commit();
    auto model = Checkpoint::open(parent / "out");
    CHECK(model->warnings().empty());
    CHECK(model->tensors().size() == plan.size());
    for (size_t i = 0; i < plan.size(); ++i) {
      auto* entry = model->find(plan[i].name);
      REQUIRE(entry);
      CHECK(entry->shape == plan[i].shape);
      CHECK(entry->type == stored_as(plan[i].dtype));
      CHECK(entry->offset % size_of(plan[i].dtype) == 0);
      std::string back(bytes[i].size(), '\0');
      model->read(*entry, plan[i].dtype, std::as_writable_bytes(std::span(back)));
      CHECK(back == bytes[i]);
    }
    CHECK(parent.names() == std::vector<std::string>{"out"});
  }
}

TEST_CASE("writer: shard names, index and header are those that other libraries expect") {
  TempFolder parent;
  DirectoryWriter folder(parent / "out");
  SafetensorsWriter writer(folder, {{"a", DType::f32, {2}}, {"b", DType::u8, {3}}, {"c", DType::f32, {4}}},
                           12);
  std::string values(16, 'v');
  writer.write("a", std::as_bytes(std::span(values)).first(8));
  writer.write("b", std::as_bytes(std::span(values)).first(3));
  writer.write("c", std::as_bytes(std::span(values)));
  writer.finish();
  folder.commit();
  auto index = nlohmann::json::parse(read_file(parent / "out/model.safetensors.index.json"));
  CHECK(index["metadata"]["total_size"] == 27);
  CHECK(index["weight_map"]["b"] == "model-00001-of-00002.safetensors");
  CHECK(index["weight_map"]["c"] == "model-00002-of-00002.safetensors");
  auto shard = read_file(parent / "out/model-00001-of-00002.safetensors");
  uint64_t length = 0;
  std::memcpy(&length, shard.data(), 8);
  CHECK(length % 8 == 0);
  CHECK(shard[8] == '{');
  CHECK(shard[8 + length - 1] == '}');
  CHECK(read_safetensors(FileSource(parent / "out/model-00001-of-00002.safetensors")).metadata.at("format")
        == "pt");
}

TEST_CASE("writer: wrong use") {
  TempFolder parent;
  DirectoryWriter folder(parent / "out");
  CHECK_CONTAINS(error_of([&] {
                   SafetensorsWriter(folder, {{"a", DType::f32, {2}}, {"a", DType::f32, {2}}});
                 }).what(),
                 "twice");
  CHECK_CONTAINS(error_of([&] {
                   SafetensorsWriter(folder, {{"a", DType::f32, {-1}}});
                 }).what(),
                 "cannot store");
  SafetensorsWriter writer(folder, {{"a", DType::f32, {2}}});
  std::string nine(9, 'x');
  CHECK_CONTAINS(error_of([&] { writer.write("b", {}); }).what(), "was not planned");
  CHECK_CONTAINS(error_of([&] { writer.write("a", std::as_bytes(std::span(nine))); }).what(),
                 "has 8 bytes, 1 more came");
  CHECK_CONTAINS(error_of([&] { writer.finish(); }).what(), "has 0 of 8 bytes");
}
