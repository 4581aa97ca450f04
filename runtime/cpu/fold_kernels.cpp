#include "runtime/cpu/fold_kernels.h"

#include "runtime/cpu/isa.h"

namespace wane {

namespace isa_v2 {
const cpu::FoldTable& fold_kernels();
}
namespace isa_v3 {
const cpu::FoldTable& fold_kernels();
}
namespace isa_v4 {
const cpu::FoldTable& fold_kernels();
}

namespace cpu {

const FoldTable& fold_kernels() {
  static const FoldTable& chosen = isa_level() == IsaLevel::v4   ? isa_v4::fold_kernels()
                                   : isa_level() == IsaLevel::v3 ? isa_v3::fold_kernels()
                                                                 : isa_v2::fold_kernels();
  return chosen;
}

} // namespace cpu
} // namespace wane
