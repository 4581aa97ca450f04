#include "runtime/model/safetensors.h"

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "runtime/model/json.h"

namespace wane {
namespace {

constexpr uint64_t kMaxHeader = 100'000'000;
constexpr size_t kMaxTensors = 1'000'000;
constexpr size_t kMaxName = 1024;
constexpr size_t kMaxRank = 64;
constexpr uint64_t kPrefix = 8; // the header's length, u64

// { "name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, "__metadata__": {"k": "v"} }
class HeaderHandler : public JsonHandler {
public:
  HeaderHandler(const FileSource& file, uint64_t data_start, size_t file_index)
      : JsonHandler(file.path(), kPrefix), data_start_(data_start), data_bytes_(file.size() - data_start),
        file_index_(file_index) {}
  SafetensorsHeader header;

  bool null() override { unexpected("null"); }
  bool boolean(bool) override { unexpected("a boolean"); }
  bool number_integer(number_integer_t) override { unexpected("a negative number"); }
  bool number_float(number_float_t, const string_t& text) override {
    unexpected(fmt::format("{}, which is no integer of 64 bits,", text.substr(0, 40)));
  }
  bool number_unsigned(number_unsigned_t value) override;
  bool string(string_t& value) override;
  bool start_object(size_t) override;
  bool key(string_t& name) override;
  bool end_object() override;
  bool start_array(size_t) override;
  bool end_array() override;

private:
  enum class Place { outside, names, metadata, tensor, shape, offsets };
  [[noreturn]] void unexpected(const std::string& what) const;
  std::string where() const;
  void key_of_tensor(const std::string& name);
  void finish_tensor();

  uint64_t data_start_, data_bytes_;
  size_t file_index_;
  Place place_ = Place::outside;
  std::unordered_set<std::string> names_;
  TensorEntry entry_;
  std::string field_; // the key read last, inside a tensor or the metadata
  std::vector<uint64_t> offsets_;
  bool has_dtype_ = false, has_shape_ = false, has_offsets_ = false, has_metadata_ = false;
};

std::string HeaderHandler::where() const {
  switch (place_) {
  case Place::outside: return "the header";
  case Place::names: return "tensor " + shown_name(entry_.name);
  case Place::metadata: return "__metadata__";
  case Place::tensor:
  case Place::shape:
  case Place::offsets: return fmt::format("{} of tensor {}", field_.substr(0, 40), shown_name(entry_.name));
  }
  return "";
}

void HeaderHandler::unexpected(const std::string& what) const {
  const char* wanted = place_ == Place::outside || place_ == Place::names ? "an object"
                       : place_ == Place::metadata                        ? "a string"
                       : field_ == "dtype"                                ? "a string"
                       : place_ == Place::tensor                          ? "a list of integers"
                                                                          : "an integer";
  fail(fmt::format("{} is {}, expected {}", where(), what, wanted));
}

bool HeaderHandler::number_unsigned(number_unsigned_t value) {
  if (place_ == Place::shape) {
    if (entry_.shape.size() == kMaxRank)
      fail(fmt::format("tensor {} has more than {} dims", shown_name(entry_.name), kMaxRank));
    if (value > uint64_t(INT64_MAX)) fail(fmt::format("{}: the dim {} is too large", where(), value));
    entry_.shape.push_back(int64_t(value));
  } else if (place_ == Place::offsets) {
    if (offsets_.size() == 2) fail(fmt::format("{} has more than two numbers", where()));
    offsets_.push_back(value);
  } else {
    unexpected("a number");
  }
  return true;
}

bool HeaderHandler::string(string_t& value) {
  if (place_ == Place::metadata) {
    header.metadata[field_] = std::move(value);
  } else if (place_ == Place::tensor && field_ == "dtype") {
    auto type = stored_type_of_safetensors(value);
    if (!type)
      fail(fmt::format("tensor {}: the dtype {} is not known", shown_name(entry_.name), shown_name(value)));
    entry_.type = *type;
  } else {
    unexpected("a string");
  }
  return true;
}

bool HeaderHandler::start_object(size_t) {
  if (place_ == Place::outside) {
    place_ = Place::names;
  } else if (place_ == Place::names && entry_.name == "__metadata__") {
    place_ = Place::metadata;
  } else if (place_ == Place::names) {
    place_ = Place::tensor;
    has_dtype_ = has_shape_ = has_offsets_ = false;
    entry_.shape.clear();
    offsets_.clear();
  } else {
    unexpected("an object");
  }
  return true;
}

bool HeaderHandler::key(string_t& name) {
  if (place_ == Place::tensor) {
    key_of_tensor(name);
  } else if (place_ == Place::metadata) {
    if (header.metadata.contains(name))
      fail(fmt::format("__metadata__ holds the key {} twice", shown_name(name)));
    field_ = name;
    header.metadata[name];
  } else {
    if (name.empty()) fail("a tensor has an empty name");
    if (name.size() > kMaxName || name.find('\0') != std::string::npos)
      fail(fmt::format("the tensor name {} is not usable", shown_name(name)));
    if (!names_.insert(name).second) fail(fmt::format("tensor {} is there twice", shown_name(name)));
    if (names_.size() > kMaxTensors + 1) fail(fmt::format("there are more than {} tensors", kMaxTensors));
    entry_.name = std::move(name);
  }
  return true;
}

void HeaderHandler::key_of_tensor(const std::string& name) {
  bool* seen = name == "dtype"          ? &has_dtype_
               : name == "shape"        ? &has_shape_
               : name == "data_offsets" ? &has_offsets_
                                        : nullptr;
  if (!seen) fail(fmt::format("tensor {} has the unknown key {}", shown_name(entry_.name), shown_name(name)));
  if (*seen) fail(fmt::format("tensor {} has {} twice", shown_name(entry_.name), name));
  *seen = true;
  field_ = name;
}

bool HeaderHandler::start_array(size_t) {
  if (place_ == Place::tensor && field_ == "shape")
    place_ = Place::shape;
  else if (place_ == Place::tensor && field_ == "data_offsets")
    place_ = Place::offsets;
  else
    unexpected("a list");
  return true;
}

bool HeaderHandler::end_array() {
  if (place_ == Place::offsets && offsets_.size() != 2) fail(fmt::format("{} has not two numbers", where()));
  place_ = Place::tensor;
  return true;
}

bool HeaderHandler::end_object() {
  if (place_ == Place::tensor) finish_tensor();
  place_ = place_ == Place::names ? Place::outside : Place::names;
  return true;
}

void HeaderHandler::finish_tensor() {
  auto name = shown_name(entry_.name);
  if (!has_dtype_ || !has_shape_ || !has_offsets_)
    fail(fmt::format("tensor {} has no {}", name,
                     !has_dtype_   ? "dtype"
                     : !has_shape_ ? "shape"
                                   : "data_offsets"));
  uint64_t begin = offsets_[0], end = offsets_[1];
  auto span = fmt::format("data_offsets [{}, {}]", begin, end);
  if (begin > end) fail(fmt::format("tensor {}: {} run backwards", name, span));
  if (end > data_bytes_)
    fail(
        fmt::format("tensor {}: {} end after the file, which has {} bytes of data", name, span, data_bytes_));
  auto bytes = stored_bytes(entry_.type, entry_.shape);
  auto what = fmt::format("{} {}", info(entry_.type).safetensors, shape_text(entry_.shape));
  if (!bytes) fail(fmt::format("tensor {}: {} is no whole number of bytes below 2^64", name, what));
  if (*bytes != end - begin)
    fail(fmt::format("tensor {}: {} is {} bytes, {} hold {}", name, what, *bytes, span, end - begin));
  entry_.offset = data_start_ + begin;
  entry_.bytes = *bytes;
  entry_.file_index = file_index_;
  header.tensors.push_back(entry_);
}

uint64_t header_length(const FileSource& file) {
  if (file.size() < kPrefix)
    throw bad_file(file.path(), 0,
                   fmt::format("is {} bytes long, too short for a safetensors file", file.size()));
  std::byte raw[kPrefix];
  file.read(0, raw);
  uint64_t length = 0, room = file.size() - kPrefix;
  std::memcpy(&length, raw, kPrefix);
  if (length <= room && length <= kMaxHeader) return length;
  uint64_t swapped = __builtin_bswap64(length);
  if (swapped >= 2 && swapped <= room && swapped <= kMaxHeader)
    throw bad_file(file.path(), 0, fmt::format("has a big-endian header length ({})", swapped));
  if (length > kMaxHeader)
    throw bad_file(file.path(), 0,
                   fmt::format("says its header has {} bytes, expected at most {}", length, kMaxHeader));
  throw bad_file(file.path(), 0,
                 fmt::format("says its header has {} bytes, {} are left in the file", length, room));
}

// The data must be covered exactly once: a hole could hide another file, an overlap could multiply it.
void check_tiles(const FileSource& file, std::vector<TensorEntry>& tensors, uint64_t data_start) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorEntry& a, const TensorEntry& b) {
    return std::pair(a.offset, a.offset + a.bytes) < std::pair(b.offset, b.offset + b.bytes);
  });
  uint64_t at = data_start;
  for (auto& entry : tensors) {
    if (entry.offset != at) {
      bool hole = entry.offset > at;
      throw bad_file(
          file.path(), entry.offset,
          fmt::format("tensor {} begins at byte {} of the data, {}", shown_name(entry.name),
                      entry.offset - data_start,
                      hole ? fmt::format("{} bytes after the one before it ends", entry.offset - at)
                           : fmt::format("{} bytes before the one before it ends", at - entry.offset)));
    }
    at += entry.bytes;
  }
  if (at != file.size())
    throw bad_file(file.path(), at, fmt::format("{} bytes at the end belong to no tensor", file.size() - at));
}

} // namespace

SafetensorsHeader read_safetensors(const FileSource& file, size_t file_index) {
  uint64_t length = header_length(file);
  std::string text(length, '\0');
  file.read(kPrefix, std::as_writable_bytes(std::span(text)));
  HeaderHandler handler(file, kPrefix + length, file_index);
  handler.scan(text);
  check_tiles(file, handler.header.tensors, kPrefix + length);
  return std::move(handler.header);
}

} // namespace wane
