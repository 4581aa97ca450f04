#include "runtime/model/hf_folder.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <unordered_map>

#include "runtime/model/json.h"
#include "runtime/model/safetensors.h"

namespace wane {
namespace {

namespace fs = std::filesystem;
constexpr const char* kSingle = "model.safetensors";
constexpr const char* kIndex = "model.safetensors.index.json";
constexpr uint64_t kMaxIndex = 256 << 20;
constexpr size_t kMaxShards = 10'000;

bool is_inside(const fs::path& file, const fs::path& folder) {
  auto [rest, end] = std::mismatch(folder.begin(), folder.end(), file.begin(), file.end());
  return rest == folder.end() && end != file.end();
}

// Only names of this very folder: "../x", "/etc/passwd" and the like are attacks.
void check_shard_name(const std::string& name, const std::string& tensor, const std::string& index) {
  bool plain = !name.empty() && name.size() <= 255 && name != "." && name != ".."
               && name.find_first_of(std::string_view("/\\\0", 3)) == std::string::npos;
  if (!plain || !name.ends_with(".safetensors"))
    throw bad_file(index,
                   fmt::format("lists the file {} for tensor {}, expected the name of a .safetensors file "
                               "beside the index",
                               shown_name(name), shown_name(tensor)));
}

struct Index {
  std::map<std::string, std::string> file_of;
  std::optional<uint64_t> total_size;
};

Index read_index(const FileSource& file) {
  auto root = parse_json(file.text(kMaxIndex), file.path());
  if (!root.is_object() || !root.contains("weight_map") || !root["weight_map"].is_object())
    throw bad_file(file.path(), "has no object weight_map");
  Index index;
  for (auto& [tensor, name] : root["weight_map"].items()) {
    if (!name.is_string())
      throw bad_file(file.path(), fmt::format("lists {} for tensor {}, expected a file name",
                                              name.type_name(), shown_name(tensor)));
    check_shard_name(name.get<std::string>(), tensor, file.path());
    index.file_of[tensor] = name.get<std::string>();
  }
  if (index.file_of.empty()) throw bad_file(file.path(), "lists no tensor");
  auto metadata = root.find("metadata");
  if (metadata == root.end() || !metadata->is_object() || !metadata->contains("total_size")) return index;
  auto& total = (*metadata)["total_size"];
  bool whole = total.is_number_unsigned() || (total.is_number_float() && total.get<double>() >= 0);
  if (!whole)
    throw bad_file(file.path(),
                   fmt::format("has the total_size {}, expected a number of bytes", total.dump()));
  index.total_size =
      total.is_number_unsigned() ? total.get<uint64_t>() : uint64_t(std::min(total.get<double>(), 1e18));
  return index;
}

FileSource open_in(const std::string& folder, const std::string& name, const std::string& wanted_by) {
  auto path = path_in_folder(folder, name);
  if (!path)
    throw error(Fault::missing, "{}: there is no such file, {} lists it", (fs::path(folder) / name).string(),
                wanted_by);
  return FileSource(*path);
}

// Adds the tensors of a shard that the index lists for it; says what else is there.
void add_shard(HfWeights& weights, const std::string& name, const Index& index, const std::string& index_path,
               std::unordered_map<std::string, std::string>& seen) {
  size_t number = weights.files.size() - 1, unlisted = 0;
  for (auto& entry : read_safetensors(weights.files.back(), number).tensors) {
    auto [other, is_new] = seen.emplace(entry.name, name);
    if (!is_new)
      throw bad_file(index_path, fmt::format("tensor {} is in {} and in {}", shown_name(entry.name),
                                             shown_name(other->second), shown_name(name)));
    auto listed = index.file_of.find(entry.name);
    if (listed == index.file_of.end())
      ++unlisted;
    else if (listed->second != name)
      throw bad_file(index_path, fmt::format("lists tensor {} in {}, it is in {}", shown_name(entry.name),
                                             shown_name(listed->second), shown_name(name)));
    else
      weights.tensors.push_back(std::move(entry));
  }
  if (unlisted > 0)
    weights.warnings.push_back(fmt::format("{}: {} tensors are not in the index and are left out",
                                           weights.files.back().path(), unlisted));
}

void open_sharded(HfWeights& weights, const std::string& folder, const FileSource& index_file) {
  auto index = read_index(index_file);
  std::vector<std::string> names;
  for (auto& [tensor, name] : index.file_of) names.push_back(name);
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  if (names.size() > kMaxShards)
    throw bad_file(index_file.path(),
                   fmt::format("lists {} files, expected at most {}", names.size(), kMaxShards));
  std::unordered_map<std::string, std::string> seen;
  for (auto& name : names) {
    weights.files.push_back(open_in(folder, name, kIndex));
    add_shard(weights, name, index, index_file.path(), seen);
  }
  for (auto& [tensor, name] : index.file_of)
    if (!seen.contains(tensor))
      throw bad_file(index_file.path(), fmt::format("lists tensor {} in {}, which does not hold it",
                                                    shown_name(tensor), shown_name(name)));
  uint64_t bytes = 0;
  for (auto& entry : weights.tensors) bytes += entry.bytes;
  if (index.total_size && *index.total_size != bytes)
    weights.warnings.push_back(fmt::format("{}: total_size is {}, the tensors have {} bytes",
                                           index_file.path(), *index.total_size, bytes));
  for (auto& other : fs::directory_iterator(folder)) {
    auto name = other.path().filename().string();
    if (name.ends_with(".safetensors") && !std::binary_search(names.begin(), names.end(), name))
      weights.warnings.push_back(
          fmt::format("{}: is not in the index and is left out", other.path().string()));
  }
}

Error nothing_there(const std::string& folder) {
  std::vector<std::string> names;
  std::string gguf, pickle;
  for (auto& other : fs::directory_iterator(folder)) {
    names.push_back(other.path().filename().string());
    if (names.back().ends_with(".gguf")) gguf = other.path().string();
    if (names.back().ends_with(".bin") || names.back().ends_with(".pth")) pickle = names.back();
  }
  std::sort(names.begin(), names.end());
  std::string holds;
  for (size_t i = 0; i < std::min<size_t>(names.size(), 8); ++i)
    holds += (i ? ", " : "") + shown_name(names[i]);
  auto problem = error(Fault::missing, "{}: holds no {} and no {}", folder, kSingle, kIndex);
  problem.note("holds", names.empty() ? "nothing" : names.size() > 8 ? holds + ", ..." : holds);
  if (!gguf.empty())
    problem.hint("a GGUF model is opened by its file: " + gguf);
  else if (!pickle.empty())
    problem.hint(pickle + " holds pickled objects, which are not read; save it as safetensors");
  return problem;
}

} // namespace

std::optional<std::string> path_in_folder(const std::string& folder, const std::string& name) {
  auto path = fs::path(folder) / name;
  std::error_code problem;
  auto status = fs::symlink_status(path, problem);
  if (status.type() == fs::file_type::not_found) return std::nullopt;
  if (problem) throw error(Fault::missing, "{}: {}", path.string(), problem.message());
  if (status.type() != fs::file_type::symlink) return path.string();
  auto target = fs::canonical(path, problem);
  if (problem) throw bad_file(path.string(), "is a symbolic link that leads nowhere: " + problem.message());
  auto home = fs::canonical(folder);
  if (is_inside(target, home)) return target.string();
  auto cache = home.parent_path();
  if (cache.filename() == "snapshots" && is_inside(target, cache.parent_path() / "blobs"))
    return target.string();
  throw bad_file(path.string(), "is a symbolic link out of its folder")
      .note("leads to", target.string())
      .hint("put the file itself into the folder");
}

HfWeights open_hf_weights(const std::string& folder) {
  HfWeights weights;
  auto single = path_in_folder(folder, kSingle), index = path_in_folder(folder, kIndex);
  if (!single && !index) throw nothing_there(folder);
  if (index) {
    FileSource file(*index);
    open_sharded(weights, folder, file);
    bool listed = std::any_of(weights.files.begin(), weights.files.end(),
                              [&](auto& shard) { return single == shard.path(); });
    if (single && !listed)
      throw bad_file(
          folder,
          fmt::format("holds {} and an index of other files: which is the model cannot be told", kSingle))
          .hint("remove the one that is not");
  } else {
    weights.files.emplace_back(*single);
    weights.tensors = read_safetensors(weights.files.back(), 0).tensors;
  }
  return weights;
}

} // namespace wane
