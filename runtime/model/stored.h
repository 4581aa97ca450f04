// What a checkpoint says about a tensor before any of its bytes are read.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/dtype.h"
#include "runtime/model/stored_type.h"

namespace wane {

struct StoredTypeInfo {
  std::string_view name;        // "bf16", "Q4_1"
  std::string_view safetensors; // spelling there, "" where it has none
  int32_t ggml;                 // type id in GGUF, -1 where it has none
  uint32_t block_size;          // elements per block; 1 for plain numbers
  uint32_t type_size;           // bytes per block
};
const StoredTypeInfo& info(StoredType type);
inline std::string_view name_of(StoredType type) { return info(type).name; }
inline bool is_plain(StoredType type) { return type <= StoredType::boolean; }
inline bool is_block(StoredType type) { return type >= StoredType::q4_0 && type <= StoredType::q6_k; }
inline bool is_readable(StoredType type) { return type <= StoredType::q6_k; }
inline StoredType stored_as(DType type) { return StoredType(type); }
// The dtype that holds the values of the file: the type itself, f32 for blocks. Only for readable types.
inline DType own_dtype(StoredType type) { return is_plain(type) ? DType(type) : DType::f32; }

std::optional<StoredType> stored_type_of_safetensors(std::string_view dtype);
std::optional<StoredType> stored_type_of_ggml(int64_t id);

// Elements of a shape; nothing when the product does not fit. A dim of 0 makes it 0, whatever the others are.
std::optional<uint64_t> element_count(std::span<const int64_t> shape);
// Bytes on disk; nothing when they do not fit or the numbers do not fill whole blocks (of the last dim for
// blocks).
std::optional<uint64_t> stored_bytes(StoredType type, std::span<const int64_t> shape);

struct TensorEntry {
  std::string name; // as in the file
  StoredType type = StoredType::f32;
  std::vector<int64_t> shape; // row-major, the last dim is contiguous
  uint64_t offset = 0;        // of the first byte, from the start of its file
  uint64_t bytes = 0;
  size_t file_index = 0;
  int64_t permuted_heads = 0; // > 0: rows lie in llama's GGUF order, this many heads (gguf_names.h)

  int64_t cols() const { return shape.empty() ? 1 : shape.back(); }
  int64_t rows() const; // product of all dims but the last
};

std::string shape_text(std::span<const int64_t> shape); // "[576 x 1536]", "[]" for a scalar
// A name from a file, fit for a message: quoted, control bytes escaped, long ones cut.
std::string shown_name(std::string_view name);
bool is_utf8(std::string_view text); // no overlong forms, no surrogates

} // namespace wane
