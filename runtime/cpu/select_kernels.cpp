#include "runtime/cpu/select_kernels.h"

#include "runtime/cpu/isa.h"

namespace wane::cpu {

const SelectTable& select_kernels() {
  static const SelectTable& chosen = isa_level() == IsaLevel::v4   ? isa_v4::select_kernels()
                                     : isa_level() == IsaLevel::v3 ? isa_v3::select_kernels()
                                                                   : isa_v2::select_kernels();
  return chosen;
}

} // namespace wane::cpu
