#include "runtime/model/stored.h"

#include <array>
#include <limits>

#include <fmt/format.h>

namespace wane {
namespace {

// In the order of StoredType. Block sizes of the GGUF types: the format's own tables.
constexpr std::array<StoredTypeInfo, 48> kTypes{{
    {"f64", "F64", 28, 1, 8},
    {"f32", "F32", 0, 1, 4},
    {"bf16", "BF16", 30, 1, 2},
    {"f16", "F16", 1, 1, 2},
    {"e4m3", "F8_E4M3", -1, 1, 1},
    {"e5m2", "F8_E5M2", -1, 1, 1},
    {"i64", "I64", 27, 1, 8},
    {"i32", "I32", 26, 1, 4},
    {"i8", "I8", 24, 1, 1},
    {"u8", "U8", -1, 1, 1},
    {"bool", "BOOL", -1, 1, 1},
    {"Q4_0", "", 2, 32, 18},
    {"Q4_1", "", 3, 32, 20},
    {"Q5_0", "", 6, 32, 22},
    {"Q5_1", "", 7, 32, 24},
    {"Q8_0", "", 8, 32, 34},
    {"Q2_K", "", 10, 256, 84},
    {"Q3_K", "", 11, 256, 110},
    {"Q4_K", "", 12, 256, 144},
    {"Q5_K", "", 13, 256, 176},
    {"Q6_K", "", 14, 256, 210},
    {"I16", "I16", 25, 1, 2},
    {"U16", "U16", -1, 1, 2},
    {"U32", "U32", -1, 1, 4},
    {"U64", "U64", -1, 1, 8},
    {"C64", "C64", -1, 1, 8},
    {"F8_E8M0", "F8_E8M0", -1, 1, 1},
    {"F8_E4M3FNUZ", "F8_E4M3FNUZ", -1, 1, 1},
    {"F8_E5M2FNUZ", "F8_E5M2FNUZ", -1, 1, 1},
    {"F4", "F4", -1, 2, 1},
    {"F6_E2M3", "F6_E2M3", -1, 4, 3},
    {"F6_E3M2", "F6_E3M2", -1, 4, 3},
    {"Q8_1", "", 9, 32, 36},
    {"Q8_K", "", 15, 256, 292},
    {"IQ2_XXS", "", 16, 256, 66},
    {"IQ2_XS", "", 17, 256, 74},
    {"IQ2_S", "", 22, 256, 82},
    {"IQ3_XXS", "", 18, 256, 98},
    {"IQ3_S", "", 21, 256, 110},
    {"IQ1_S", "", 19, 256, 50},
    {"IQ1_M", "", 29, 256, 56},
    {"IQ4_NL", "", 20, 32, 18},
    {"IQ4_XS", "", 23, 256, 136},
    {"TQ1_0", "", 34, 256, 54},
    {"TQ2_0", "", 35, 256, 66},
    {"MXFP4", "", 39, 32, 17},
    {"NVFP4", "", 40, 64, 36},
    {"Q1_0", "", 41, 128, 18},
}};
static_assert(size_t(StoredType::q1_0) + 1 == kTypes.size());
static_assert(size_t(StoredType::boolean) + 1 == kDTypes.size());

// Length of the UTF-8 sequence at `at`, 0 when it is not one.
size_t utf8_length(std::string_view text, size_t at) {
  auto byte = [&](size_t i) { return uint8_t(text[at + i]); };
  uint8_t lead = byte(0);
  if (lead < 0x80) return 1;
  size_t length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() - at < length) return 0;
  for (size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  if (lead == 0xe0 && byte(1) < 0xa0) return 0; // overlong
  if (lead == 0xed && byte(1) > 0x9f) return 0; // surrogate
  if (lead == 0xf0 && byte(1) < 0x90) return 0; // overlong
  if (lead == 0xf4 && byte(1) > 0x8f) return 0; // past U+10FFFF
  return length;
}

} // namespace

const StoredTypeInfo& info(StoredType type) { return kTypes[size_t(type)]; }

std::optional<StoredType> stored_type_of_safetensors(std::string_view dtype) {
  if (dtype.empty()) return std::nullopt;
  for (size_t i = 0; i < kTypes.size(); ++i)
    if (kTypes[i].safetensors == dtype) return StoredType(i);
  return std::nullopt;
}

std::optional<StoredType> stored_type_of_ggml(int64_t id) {
  if (id < 0) return std::nullopt;
  for (size_t i = 0; i < kTypes.size(); ++i)
    if (kTypes[i].ggml == id) return StoredType(i);
  return std::nullopt;
}

std::optional<uint64_t> element_count(std::span<const int64_t> shape) {
  for (int64_t dim : shape)
    if (dim == 0) return 0;
  uint64_t count = 1;
  for (int64_t dim : shape)
    if (dim < 0 || __builtin_mul_overflow(count, uint64_t(dim), &count)) return std::nullopt;
  if (count > uint64_t(std::numeric_limits<int64_t>::max())) return std::nullopt;
  return count;
}

std::optional<uint64_t> stored_bytes(StoredType type, std::span<const int64_t> shape) {
  auto count = element_count(shape);
  if (!count) return std::nullopt;
  auto& form = info(type);
  uint64_t filled =
      form.ggml >= 0 && form.block_size > 1 ? uint64_t(shape.empty() ? 1 : shape.back()) : *count;
  uint64_t bytes = 0;
  if (filled % form.block_size != 0) return std::nullopt;
  if (__builtin_mul_overflow(*count / form.block_size, uint64_t(form.type_size), &bytes)) return std::nullopt;
  return bytes;
}

int64_t TensorEntry::rows() const {
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < shape.size(); ++i) rows *= shape[i];
  return rows;
}

std::string shape_text(std::span<const int64_t> shape) {
  std::string out = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    if (i == 8 && shape.size() > 9) return out + fmt::format(" x ... {} dims]", shape.size());
    out += fmt::format("{}{}", i ? " x " : "", shape[i]);
  }
  return out + "]";
}

std::string shown_name(std::string_view name) {
  constexpr size_t kShown = 80;
  std::string out = "\"";
  size_t at = 0;
  while (at < name.size() && at < kShown) {
    size_t length = utf8_length(name, at);
    uint8_t lead = uint8_t(name[at]);
    if (length == 0 || lead < 0x20 || lead == 0x7f || (lead == 0xc2 && uint8_t(name[at + 1]) < 0xa0)) {
      out += fmt::format("\\x{:02x}", lead); // C1 controls are escaped byte by byte, too
      at += 1;
    } else {
      out.append(name.substr(at, length));
      at += length;
    }
  }
  return out + (at < name.size() ? fmt::format("...\" ({} bytes)", name.size()) : "\"");
}

bool is_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    size_t length = utf8_length(text, at);
    if (length == 0) return false;
    at += length;
  }
  return true;
}

} // namespace wane
