#include "runtime/cpu/row_kernels.h"

#include "runtime/cpu/isa.h"

namespace wane {

namespace isa_v2 {
const cpu::RowKernels& row_kernels();
}
namespace isa_v3 {
const cpu::RowKernels& row_kernels();
}
namespace isa_v4 {
const cpu::RowKernels& row_kernels();
}

namespace cpu {

const RowKernels& row_kernels() {
  static const RowKernels& chosen = isa_level() == IsaLevel::v4   ? isa_v4::row_kernels()
                                    : isa_level() == IsaLevel::v3 ? isa_v3::row_kernels()
                                                                  : isa_v2::row_kernels();
  return chosen;
}

} // namespace cpu
} // namespace wane
