#include "runtime/model/config.h"

#include "runtime/model/json.h"

namespace wane {
namespace {

using nlohmann::json;

std::string brief(const json& value) {
  auto text = value.dump(-1, ' ', false, json::error_handler_t::replace);
  return text.size() > 60 ? text.substr(0, 60) + "..." : text;
}

// Sets config[key], unless it holds something else already.
void settle(json& config, const char* key, json value, const char* source, const std::string& path) {
  auto found = config.find(key);
  if (found != config.end() && !found->is_null() && *found != value)
    throw bad_file(path, fmt::format("says two things: {} is {}, {} gives {}", key, brief(*found), source,
                                     brief(value)));
  config[key] = std::move(value);
}

void take_dtype(json& config, const std::string& path) {
  for (const char* key : {"torch_dtype", "dtype"}) {
    auto found = config.find(key);
    if (found == config.end() || !found->is_string()) continue;
    auto name = found->get<std::string>();
    if (name.starts_with("torch.")) *found = name.substr(6);
  }
  auto found = config.find("dtype");
  if (found == config.end()) return;
  json value = std::move(*found);
  config.erase(found);
  if (!value.is_null()) settle(config, "torch_dtype", std::move(value), "dtype", path);
}

// rope_parameters of transformers 5: the parameters of every rope in one object.
void take_rope_parameters(json& config, const std::string& path) {
  auto found = config.find("rope_parameters");
  if (found == config.end()) return;
  json rope = std::move(*found);
  config.erase(found);
  if (rope.is_null()) return;
  if (!rope.is_object())
    throw bad_file(path, fmt::format("rope_parameters is {}, expected an object", brief(rope)));
  for (auto& [key, value] : rope.items())
    if (value.is_object())
      throw error("not supported: {}: rope_parameters of its own for {}", path, shown_name(key));
  for (const char* key : {"rope_theta", "partial_rotary_factor"})
    if (auto own = rope.find(key); own != rope.end()) {
      settle(config, key, std::move(*own), "rope_parameters", path);
      rope.erase(own);
    }
  auto type = rope.contains("rope_type") ? rope["rope_type"]
              : rope.contains("type")    ? rope["type"]
                                         : json("default");
  if (type == "default") rope = nullptr;
  settle(config, "rope_scaling", std::move(rope), "rope_parameters", path);
}

void take_rope_type(json& config, const std::string& path) {
  auto found = config.find("rope_scaling");
  if (found == config.end()) return;
  if (found->is_object()) {
    auto old = found->find("type");
    if (old != found->end()) {
      json type = std::move(*old);
      found->erase(old);
      settle(*found, "rope_type", std::move(type), "type", path);
    }
    if (found->value("rope_type", json()) == "default") *found = nullptr;
  }
  if (found->is_null()) config.erase(found);
}

} // namespace

std::string normalized_config(std::string_view text, const std::string& path) {
  json config = parse_json(text, path);
  if (!config.is_object())
    throw bad_file(path, 0, fmt::format("is {}, expected an object", config.type_name()));
  take_dtype(config, path);
  take_rope_parameters(config, path);
  take_rope_type(config, path);
  return config.dump(2);
}

} // namespace wane
