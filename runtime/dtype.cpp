#include "runtime/dtype.h"

namespace wane {

std::optional<DType> dtype_named(std::string_view name) {
  for (size_t i = 0; i < kDTypes.size(); ++i)
    if (kDTypes[i].name == name) return DType(i);
  return std::nullopt;
}

} // namespace wane
