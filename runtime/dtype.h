// Storage types of tensors. Every float type is computed in f32 (f64 in f64) and rounded to nearest even on
// store.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace wane {

enum class DType : uint8_t { f64, f32, bf16, f16, e4m3, e5m2, i64, i32, i8, u8, boolean };

struct DTypeInfo {
  std::string_view name; // as Lua writes it
  uint8_t bytes;
  bool is_float;
};
inline constexpr std::array<DTypeInfo, 11> kDTypes{{{"f64", 8, true},
                                                    {"f32", 4, true},
                                                    {"bf16", 2, true},
                                                    {"f16", 2, true},
                                                    {"e4m3", 1, true},
                                                    {"e5m2", 1, true},
                                                    {"i64", 8, false},
                                                    {"i32", 4, false},
                                                    {"i8", 1, false},
                                                    {"u8", 1, false},
                                                    {"bool", 1, false}}};
inline constexpr const DTypeInfo& info(DType t) { return kDTypes[size_t(t)]; }
inline constexpr size_t size_of(DType t) { return info(t).bytes; }
inline constexpr bool is_float(DType t) { return info(t).is_float; }
inline constexpr std::string_view name_of(DType t) { return info(t).name; }
std::optional<DType> dtype_named(std::string_view name);

} // namespace wane
