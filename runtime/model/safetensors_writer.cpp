#include "runtime/model/safetensors_writer.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include <nlohmann/json.hpp>

#include "runtime/model/stored.h"

namespace wane {
namespace {

using nlohmann::json;
constexpr size_t kPrefix = 8;
static_assert(std::endian::native == std::endian::little);

// Spaces inside the last brace make the data begin at a multiple of 8.
std::string padded_header(const nlohmann::ordered_json& header) {
  auto text = header.dump();
  size_t spaces = (8 - text.size() % 8) % 8;
  text.insert(text.size() - 1, spaces, ' ');
  return text;
}

} // namespace

SafetensorsWriter::SafetensorsWriter(DirectoryWriter& folder, const std::vector<PlannedTensor>& plan,
                                     uint64_t shard_bytes, std::map<std::string, std::string> metadata)
    : folder_(folder), plan_(plan) {
  for (size_t i = 0; i < plan_.size(); ++i) {
    auto& tensor = plan_[i];
    auto bytes = stored_bytes(stored_as(tensor.dtype), tensor.shape);
    if (tensor.name.empty() || tensor.name == "__metadata__" || !is_utf8(tensor.name) || !bytes)
      throw error(Fault::internal, "safetensors: cannot store {} with the shape {}", shown_name(tensor.name),
                  shape_text(tensor.shape));
    if (!by_name_.emplace(tensor.name, i).second)
      throw error(Fault::internal, "safetensors: tensor {} is to be stored twice", shown_name(tensor.name));
    places_.push_back({0, 0, *bytes});
  }
  cut_shards(shard_bytes);
  for (size_t i = 0; i < shards_.size(); ++i) begin_shard(i, metadata);
}

void SafetensorsWriter::cut_shards(uint64_t shard_bytes) {
  shards_.emplace_back();
  for (size_t i = 0; i < plan_.size(); ++i) {
    bool full = !shards_.back().tensors.empty() && shards_.back().data_bytes + places_[i].bytes > shard_bytes;
    if (full) shards_.emplace_back();
    places_[i].shard = shards_.size() - 1;
    shards_.back().tensors.push_back(i);
    shards_.back().data_bytes += places_[i].bytes;
  }
  for (size_t i = 0; i < shards_.size(); ++i)
    shards_[i].name = shards_.size() == 1
                          ? "model.safetensors"
                          : fmt::format("model-{:05}-of-{:05}.safetensors", i + 1, shards_.size());
}

void SafetensorsWriter::begin_shard(size_t number, const std::map<std::string, std::string>& metadata) {
  auto& shard = shards_[number];
  auto order = shard.tensors;
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return size_of(plan_[a].dtype) > size_of(plan_[b].dtype); });
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  header["__metadata__"] = metadata;
  uint64_t at = 0;
  for (size_t i : order) {
    auto& tensor = plan_[i];
    places_[i].offset = at;
    at += places_[i].bytes;
    // Not header[name]: ordered_json searches through all keys for it, and names are known to differ.
    header.get_ref<nlohmann::ordered_json::object_t&>().push_back(
        {tensor.name,
         {{"dtype", info(stored_as(tensor.dtype)).safetensors},
          {"shape", tensor.shape},
          {"data_offsets", {places_[i].offset, at}}}});
  }
  auto text = padded_header(header);
  uint64_t length = text.size(), start = kPrefix + length;
  files_.push_back(folder_.create(shard.name));
  files_.back().reserve(start + at);
  files_.back().write(std::as_bytes(std::span(&length, 1)));
  files_.back().write(text);
  for (size_t i : order) places_[i].offset += start;
}

void SafetensorsWriter::write(std::string_view name, std::span<const std::byte> bytes) {
  auto found = by_name_.find(std::string(name));
  if (found == by_name_.end())
    throw error(Fault::internal, "safetensors: tensor {} was not planned", shown_name(name));
  auto& place = places_[found->second];
  if (bytes.size() > place.bytes - place.written)
    throw error(Fault::internal, "safetensors: tensor {} has {} bytes, {} more came", shown_name(name),
                place.bytes, place.written + bytes.size() - place.bytes);
  files_[place.shard].write_at(place.offset + place.written, bytes);
  place.written += bytes.size();
}

void SafetensorsWriter::finish() {
  json index = {{"metadata", {{"total_size", 0}}}, {"weight_map", json::object()}};
  uint64_t total = 0;
  for (size_t i = 0; i < plan_.size(); ++i) {
    if (places_[i].written != places_[i].bytes)
      throw error(Fault::internal, "safetensors: tensor {} has {} of {} bytes", shown_name(plan_[i].name),
                  places_[i].written, places_[i].bytes);
    total += places_[i].bytes;
    index["weight_map"][plan_[i].name] = shards_[places_[i].shard].name;
  }
  for (auto& file : files_) file.close_synced();
  files_.clear();
  index["metadata"]["total_size"] = total;
  if (shards_.size() > 1) folder_.add_text("model.safetensors.index.json", index.dump(2) + "\n");
}

} // namespace wane
