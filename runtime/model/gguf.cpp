#include "runtime/model/gguf.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <unordered_set>

namespace wane {
namespace {

constexpr std::array<const char*, 13> kKindNames{"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                 "bool", "string", "array", "u64", "i64", "f64"};
constexpr std::array<uint32_t, 13> kKindBytes{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
constexpr uint64_t kMaxTensors = 1'000'000;
constexpr uint64_t kMaxKeys = 65'536;
constexpr uint64_t kMaxKeyBytes = 65'535;
constexpr uint64_t kMaxElements = 1 << 24; // of one array: no vocabulary is larger
constexpr uint64_t kMaxTensorName = 63;
constexpr uint64_t kMaxAlignment = 1 << 20;
constexpr uint32_t kMaxDims = 4;
constexpr uint64_t kLeastKeyBytes = 8 + 1 + 4 + 1;        // length, a letter, type, a byte
constexpr uint64_t kLeastTensorBytes = 8 + 1 + 4 + 4 + 8; // length, a letter, dims, type, offset
constexpr uint32_t kMagic = 0x46554747;                   // "GGUF"

bool is_integer(GgufKind kind) {
  return kind != GgufKind::f32 && kind != GgufKind::f64 && kind != GgufKind::string && kind != GgufKind::array
         && kind != GgufKind::boolean;
}
bool is_number(GgufKind kind) { return kind == GgufKind::f32 || kind == GgufKind::f64; }

template <class T> T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

} // namespace

const char* name_of(GgufKind kind) { return kKindNames[size_t(kind)]; }

// Walks the file front to back through a small buffer; knows how much is left before anything is taken.
class GgufFile::Reader {
public:
  explicit Reader(const FileSource& file) : file_(file) {}

  uint64_t at() const { return at_; }
  uint64_t left() const { return file_.size() - at_; }
  [[noreturn]] void fail(const std::string& what) const { throw bad_file(file_.path(), at_, what); }
  [[noreturn]] void fail_at(uint64_t offset, const std::string& what) const {
    throw bad_file(file_.path(), offset, what);
  }
  const FileSource& file() const { return file_; }

  void take(void* target, uint64_t bytes, const std::string& what) {
    if (bytes > left())
      fail(fmt::format("ends inside {}: {} bytes wanted, {} are left", what, bytes, left()));
    auto* out = static_cast<std::byte*>(target);
    while (bytes > 0) {
      if (at_ - start_ >= buffer_.size()) refill();
      uint64_t step = std::min<uint64_t>(bytes, buffer_.size() - (at_ - start_));
      std::memcpy(out, buffer_.data() + (at_ - start_), step);
      out += step, at_ += step, bytes -= step;
    }
  }
  template <class T> T take(const std::string& what) {
    T value;
    take(&value, sizeof value, what);
    return value;
  }
  std::string text(uint64_t limit, const std::string& what) {
    uint64_t begin = at_, length = take<uint64_t>(what);
    if (length > left())
      fail_at(begin, fmt::format("{} says it has {} bytes, {} are left in the file", what, length, left()));
    if (length > limit)
      fail_at(begin, fmt::format("{} has {} bytes, expected at most {}", what, length, limit));
    std::string out(length, '\0');
    take(out.data(), length, what);
    if (!is_utf8(out)) fail_at(begin, fmt::format("{} is not UTF-8: {}", what, shown_name(out)));
    return out;
  }

private:
  void refill() {
    start_ = at_;
    buffer_.resize(std::min<uint64_t>(left(), 1 << 16));
    file_.read(start_, buffer_);
  }
  const FileSource& file_;
  uint64_t at_ = 0, start_ = 0; // start_: where the buffer begins
  std::vector<std::byte> buffer_;
};

bool is_gguf(const FileSource& file) {
  std::byte magic[4];
  if (file.size() < sizeof magic) return false;
  file.read(0, magic);
  return load<uint32_t>(magic) == kMagic;
}

GgufFile::GgufFile(const FileSource& file, size_t file_index) : path_(file.path()) {
  Reader in(file);
  uint32_t magic = in.take<uint32_t>("the magic number");
  if (magic != kMagic)
    in.fail_at(0, fmt::format("is no GGUF file: it begins with {:#010x}, expected {:#010x}", magic, kMagic));
  version_ = in.take<uint32_t>("the version");
  if ((version_ & 0xffff) == 0 && version_ != 0)
    in.fail_at(
        4, fmt::format("is a big-endian file (version {:#x}); only little-endian GGUF is read", version_));
  if (version_ != 2 && version_ != 3)
    in.fail_at(4, fmt::format("is GGUF version {}, expected 2 or 3", version_));
  uint64_t tensors = in.take<uint64_t>("the number of tensors"),
           keys = in.take<uint64_t>("the number of keys");
  if (tensors > kMaxTensors || tensors > in.left() / kLeastTensorBytes)
    in.fail_at(8, fmt::format("says it has {} tensors, which {} bytes cannot hold", tensors, in.left()));
  if (keys > kMaxKeys || keys > in.left() / kLeastKeyBytes)
    in.fail_at(16, fmt::format("says it has {} metadata keys, which {} bytes cannot hold", keys, in.left()));
  read_metadata(in, keys);
  read_tensors(in, tensors, file_index);
  place_tensors(in);
}

void GgufFile::read_metadata(Reader& in, uint64_t count) {
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t begin = in.at();
    auto key = in.text(kMaxKeyBytes, fmt::format("the name of metadata key {}", i));
    if (key.empty()) in.fail_at(begin, fmt::format("metadata key {} has an empty name", i));
    if (key.find('\0') != std::string::npos)
      in.fail_at(begin, fmt::format("the metadata key {} holds a zero byte", shown_name(key)));
    auto value = read_value(in, key);
    if (!values_.emplace(key, std::move(value)).second)
      in.fail_at(begin, fmt::format("the metadata key {} is there twice", shown_name(key)));
    keys_.push_back(std::move(key));
  }
  auto* alignment = find("general.alignment");
  if (!alignment) return;
  if (alignment->kind != GgufKind::u32)
    in.fail_at(alignment->offset,
               fmt::format("general.alignment is {}, expected u32", name_of(alignment->kind)));
  alignment_ = load<uint32_t>(alignment->raw.data());
  if (alignment_ == 0 || (alignment_ & (alignment_ - 1)) != 0 || alignment_ > kMaxAlignment)
    in.fail_at(alignment->offset,
               fmt::format("general.alignment is {}, expected a power of two of at most {}", alignment_,
                           kMaxAlignment));
}

GgufFile::Value GgufFile::read_value(Reader& in, const std::string& key) {
  auto what = "the metadata key " + shown_name(key);
  auto kind_at = [&](const char* of) {
    uint64_t begin = in.at();
    uint32_t id = in.take<uint32_t>(what);
    if (id >= kKindNames.size()) in.fail_at(begin, fmt::format("{} {} the unknown type {}", what, of, id));
    return GgufKind(id);
  };
  Value value;
  value.offset = in.at();
  value.kind = value.element = kind_at("has");
  value.count = 1;
  if (value.kind == GgufKind::array) {
    value.element = kind_at("is an array of");
    if (value.element == GgufKind::array) in.fail_at(value.offset, what + " is an array of arrays");
    value.count = in.take<uint64_t>(what);
    uint64_t least = value.element == GgufKind::string ? 8 : kKindBytes[size_t(value.element)];
    if (value.count > in.left() / least || value.count > kMaxElements)
      in.fail_at(value.offset, fmt::format("{} says it has {} elements of type {}, {} bytes are left", what,
                                           value.count, name_of(value.element), in.left()));
  }
  if (value.element != GgufKind::string) {
    value.raw.resize(value.count * kKindBytes[size_t(value.element)]);
    in.take(value.raw.data(), value.raw.size(), what);
  } else if (value.kind == GgufKind::string) {
    value.text = in.text(UINT64_MAX, what);
  } else {
    for (uint64_t i = 0; i < value.count; ++i)
      value.texts.push_back(in.text(UINT64_MAX, fmt::format("element {} of {}", i, what)));
  }
  return value;
}

void GgufFile::read_tensors(Reader& in, uint64_t count, size_t file_index) {
  std::unordered_set<std::string> names;
  for (uint64_t i = 0; i < count; ++i) {
    uint64_t begin = in.at();
    TensorEntry entry;
    entry.name = in.text(kMaxTensorName, fmt::format("the name of tensor {}", i));
    if (entry.name.empty() || entry.name.find('\0') != std::string::npos)
      in.fail_at(begin, fmt::format("tensor {} has the unusable name {}", i, shown_name(entry.name)));
    auto what = "tensor " + shown_name(entry.name);
    if (!names.insert(entry.name).second) in.fail_at(begin, what + " is there twice");
    uint32_t dims = in.take<uint32_t>(what);
    if (dims > kMaxDims) in.fail(fmt::format("{} has {} dims, expected at most {}", what, dims, kMaxDims));
    for (uint32_t d = 0; d < dims; ++d) entry.shape.push_back(in.take<int64_t>(what));
    std::reverse(entry.shape.begin(), entry.shape.end()); // GGUF lists the contiguous dim first
    for (int64_t dim : entry.shape)
      if (dim <= 0)
        in.fail(
            fmt::format("{} has the shape {}, expected dims of at least 1", what, shape_text(entry.shape)));
    int32_t id = in.take<int32_t>(what);
    auto type = stored_type_of_ggml(id);
    if (!type) in.fail(fmt::format("{} has the unknown type id {}", what, id));
    entry.type = *type;
    auto bytes = stored_bytes(entry.type, entry.shape);
    if (!bytes)
      in.fail(fmt::format("{}: {} {} does not fit into whole blocks of {} and 64-bit sizes", what,
                          name_of(entry.type), shape_text(entry.shape), info(entry.type).block_size));
    entry.bytes = *bytes;
    entry.offset = in.take<uint64_t>(what); // from the start of the data; place_tensors moves it
    entry.file_index = file_index;
    tensors_.push_back(std::move(entry));
  }
}

void GgufFile::place_tensors(Reader& in) {
  auto padded = [&](uint64_t bytes, uint64_t* out) {
    return !__builtin_add_overflow(bytes, alignment_ - 1, out) && (*out &= ~(alignment_ - 1), true);
  };
  uint64_t start = 0, expected = 0;
  padded(in.at(), &start);
  for (auto& entry : tensors_) {
    auto what = "tensor " + shown_name(entry.name);
    if (entry.offset != expected)
      in.fail(fmt::format("{} lies at byte {} of the data, expected {}, where the one before it ends", what,
                          entry.offset, expected));
    uint64_t size = 0;
    bool fits = start <= in.file().size() && expected <= in.file().size() - start
                && entry.bytes <= in.file().size() - start - expected;
    if (!fits)
      in.fail_at(
          start + std::min(expected, UINT64_MAX - start),
          fmt::format("{} ends after the file: {} bytes of {} {} from byte {} of the data, the file has {}",
                      what, entry.bytes, name_of(entry.type), shape_text(entry.shape), expected,
                      in.file().size() - std::min(start, in.file().size())));
    if (!padded(entry.bytes, &size) || __builtin_add_overflow(expected, size, &expected))
      in.fail(fmt::format("{}: the sizes add up to more than 2^64", what));
    entry.offset += start;
  }
}

const GgufFile::Value* GgufFile::find(std::string_view key) const {
  auto found = values_.find(key);
  return found == values_.end() ? nullptr : &found->second;
}

const GgufFile::Value* GgufFile::find(std::string_view key, bool (*fits)(const Value&),
                                      const char* wanted) const {
  auto* value = find(key);
  if (!value || fits(*value)) return value;
  bool list = value->kind == GgufKind::array;
  throw bad_file(path_, value->offset,
                 fmt::format("the metadata key {} is {}{}, expected {}", shown_name(key),
                             list ? "an array of " : "", name_of(value->element), wanted));
}

std::optional<std::string> GgufFile::text(std::string_view key) const {
  auto* value = find(
      key, [](const Value& v) { return v.kind == GgufKind::string; }, "a string");
  return value ? std::optional(value->text) : std::nullopt;
}

int64_t GgufFile::integer_at(const Value& value, GgufKind kind, size_t index, std::string_view key) const {
  const std::byte* at = value.raw.data() + index * kKindBytes[size_t(kind)];
  switch (kind) {
  case GgufKind::u8:
  case GgufKind::boolean: return load<uint8_t>(at);
  case GgufKind::i8: return load<int8_t>(at);
  case GgufKind::u16: return load<uint16_t>(at);
  case GgufKind::i16: return load<int16_t>(at);
  case GgufKind::u32: return load<uint32_t>(at);
  case GgufKind::i32: return load<int32_t>(at);
  case GgufKind::u64:
    if (load<uint64_t>(at) > uint64_t(INT64_MAX))
      throw bad_file(path_, value.offset,
                     fmt::format("the metadata key {} is {}, which does not fit 63 bits", shown_name(key),
                                 load<uint64_t>(at)));
    return int64_t(load<uint64_t>(at));
  default: return load<int64_t>(at);
  }
}

std::optional<int64_t> GgufFile::integer(std::string_view key) const {
  auto* value = find(
      key, [](const Value& v) { return is_integer(v.kind) && v.kind != GgufKind::array; }, "an integer");
  return value ? std::optional(integer_at(*value, value->kind, 0, key)) : std::nullopt;
}

std::optional<double> GgufFile::number(std::string_view key) const {
  auto* value = find(
      key, [](const Value& v) { return is_number(v.kind); }, "f32 or f64");
  if (!value) return std::nullopt;
  return value->kind == GgufKind::f32 ? double(load<float>(value->raw.data()))
                                      : load<double>(value->raw.data());
}

std::optional<bool> GgufFile::flag(std::string_view key) const {
  auto* value = find(
      key, [](const Value& v) { return v.kind == GgufKind::boolean; }, "bool");
  return value ? std::optional(load<uint8_t>(value->raw.data()) != 0) : std::nullopt;
}

const std::vector<std::string>* GgufFile::texts(std::string_view key) const {
  auto fits = [](const Value& v) { return v.kind == GgufKind::array && v.element == GgufKind::string; };
  auto* value = find(key, fits, "an array of strings");
  return value ? &value->texts : nullptr;
}

std::optional<std::vector<int64_t>> GgufFile::integers(std::string_view key) const {
  auto fits = [](const Value& v) {
    return v.kind == GgufKind::array && (is_integer(v.element) || v.element == GgufKind::boolean);
  };
  auto* value = find(key, fits, "an array of integers");
  if (!value) return std::nullopt;
  std::vector<int64_t> out(value->count);
  for (size_t i = 0; i < out.size(); ++i) out[i] = integer_at(*value, value->element, i, key);
  return out;
}

std::optional<std::vector<float>> GgufFile::numbers(std::string_view key) const {
  auto fits = [](const Value& v) { return v.kind == GgufKind::array && v.element == GgufKind::f32; };
  auto* value = find(key, fits, "an array of f32");
  if (!value) return std::nullopt;
  std::vector<float> out(value->count);
  std::memcpy(out.data(), value->raw.data(), value->raw.size());
  return out;
}

std::optional<uint64_t> GgufFile::length(std::string_view key) const {
  auto* value = find(
      key, [](const Value& v) { return v.kind == GgufKind::array; }, "an array");
  return value ? std::optional(value->count) : std::nullopt;
}

bool GgufFile::is_array(std::string_view key) const {
  auto* value = find(key);
  return value && value->kind == GgufKind::array;
}

} // namespace wane
