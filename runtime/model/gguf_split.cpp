#include "runtime/model/gguf_split.h"

#include <algorithm>
#include <filesystem>

namespace wane {
namespace {

namespace fs = std::filesystem;
constexpr int64_t kMaxParts = 10'000;

std::string part_name(const std::string& prefix, int64_t number, int64_t count) {
  return fmt::format("{}-{:05}-of-{:05}.gguf", prefix, number, count);
}

int64_t one_for_all_layers(const GgufFile& file, const char* key, int64_t otherwise) {
  if (!file.is_array(key)) return file.integer(key).value_or(otherwise);
  auto each = file.integers(key).value_or(std::vector<int64_t>{});
  if (each.empty()) return otherwise;
  if (std::any_of(each.begin(), each.end(), [&](int64_t value) { return value != each[0]; }))
    throw error("not supported: {}: {} differs from layer to layer", file.path(), key);
  return each[0];
}

} // namespace

std::vector<std::string> parts_of_split(const GgufFile& part) {
  int64_t count = part.integer("split.count").value_or(1), number = part.integer("split.no").value_or(0);
  if (count == 1) return {part.path()};
  if (count < 1 || count > kMaxParts || number < 0 || number >= count)
    throw bad_file(part.path(),
                   fmt::format("says it is part {} of {} (split.no, split.count)", number, count));
  fs::path path(part.path());
  auto name = path.filename().string(), ending = part_name("", number + 1, count);
  if (!name.ends_with(ending))
    throw bad_file(part.path(), fmt::format("is part {} of {}, expected a name that ends in {}", number + 1,
                                            count, ending));
  auto prefix = name.substr(0, name.size() - ending.size());
  std::vector<std::string> out;
  for (int64_t i = 1; i <= count; ++i) {
    auto other = path.parent_path() / part_name(prefix, i, count);
    if (!fs::exists(other))
      throw error(Fault::missing, "{}: there is no such file, part {} of {} of a model", other.string(), i,
                  count)
          .note("opened", part.path());
    out.push_back(other.string());
  }
  return out;
}

void check_split(const std::vector<GgufFile>& parts) {
  if (parts.size() == 1) return;
  size_t tensors = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    auto number = parts[i].integer("split.no"), count = parts[i].integer("split.count");
    if (number != int64_t(i) || count != int64_t(parts.size()))
      throw bad_file(parts[i].path(), fmt::format("says split.no {} and split.count {}, expected {} and {}",
                                                  number.value_or(-1), count.value_or(-1), i, parts.size()));
    tensors += parts[i].tensors().size();
  }
  auto promised = parts[0].integer("split.tensors.count");
  if (promised && *promised != int64_t(tensors))
    throw bad_file(parts[0].path(),
                   fmt::format("promises {} tensors in all parts (split.tensors.count), they hold {}",
                               *promised, tensors));
}

std::pair<int64_t, int64_t> head_counts(const GgufFile& file) {
  int64_t heads = one_for_all_layers(file, "llama.attention.head_count", 0);
  int64_t kv_heads = one_for_all_layers(file, "llama.attention.head_count_kv", heads);
  for (int64_t count : {heads, kv_heads})
    if (count < 1 || count > (1 << 20))
      throw bad_file(file.path(),
                     fmt::format("has {} query and {} key heads, expected at least one", heads, kv_heads));
  return {heads, kv_heads};
}

} // namespace wane
