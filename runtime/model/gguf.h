// One GGUF file, version 2 or 3: its metadata, and where its tensors lie. Every count is bounded by the bytes
// left before anything is made of it, and tensor offsets must be the running sum of padded sizes, as the
// format's own reader demands.
#pragma once

#include <memory>
#include <unordered_map>

#include "runtime/model/source.h"
#include "runtime/model/stored.h"

namespace wane {

// The type ids of metadata values.
enum class GgufKind : uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };
const char* name_of(GgufKind kind);

class GgufFile {
public:
  // Reads header, metadata and tensor list. Fault::bad_file names key or tensor and byte.
  explicit GgufFile(const FileSource& file, size_t file_index = 0);

  const std::string& path() const { return path_; }
  uint32_t version() const { return version_; }
  uint64_t alignment() const { return alignment_; }
  const std::vector<TensorEntry>& tensors() const { return tensors_; }
  const std::vector<std::string>& keys() const { return keys_; } // in the order of the file
  bool has(std::string_view key) const { return find(key) != nullptr; }

  // A value by key, nothing (or null) where the key is absent, Fault::bad_file where it is of another type.
  // Any integer type serves as an integer, f32 and f64 as a number.
  std::optional<std::string> text(std::string_view key) const;
  std::optional<int64_t> integer(std::string_view key) const;
  std::optional<double> number(std::string_view key) const;
  std::optional<bool> flag(std::string_view key) const;
  const std::vector<std::string>* texts(std::string_view key) const;
  std::optional<std::vector<int64_t>> integers(std::string_view key) const; // booleans, too
  std::optional<std::vector<float>> numbers(std::string_view key) const;
  // The length of an array, whatever it holds.
  std::optional<uint64_t> length(std::string_view key) const;
  bool is_array(std::string_view key) const;

private:
  struct Value {
    GgufKind kind = GgufKind::u8, element = GgufKind::u8; // element: of an array
    uint64_t offset = 0, count = 0;
    std::string text;
    std::vector<std::string> texts;
    std::vector<std::byte> raw; // scalars and arrays of numbers, as in the file
  };
  class Reader;
  void read_metadata(Reader& in, uint64_t count);
  void read_tensors(Reader& in, uint64_t count, size_t file_index);
  void place_tensors(Reader& in);
  Value read_value(Reader& in, const std::string& key);
  const Value* find(std::string_view key) const;
  const Value* find(std::string_view key, bool (*fits)(const Value&), const char* wanted) const;
  int64_t integer_at(const Value& value, GgufKind kind, size_t index, std::string_view key) const;

  struct TextHash {
    using is_transparent = void;
    size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
  };
  std::string path_;
  uint32_t version_ = 0;
  uint64_t alignment_ = 32;
  std::vector<std::string> keys_;
  std::unordered_map<std::string, Value, TextHash, std::equal_to<>> values_;
  std::vector<TensorEntry> tensors_;
};

bool is_gguf(const FileSource& file); // by its first four bytes

} // namespace wane
