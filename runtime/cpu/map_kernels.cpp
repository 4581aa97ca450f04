#include "runtime/cpu/map_kernels.h"

#include "runtime/cpu/isa.h"

namespace wane {

#define WANE_LEVEL(level)                                                                                    \
  namespace level {                                                                                          \
  const cpu::MapKernels& map_kernels();                                                                      \
  const cpu::PairTable& pair_kernels();                                                                      \
  }
WANE_LEVEL(isa_v2)
WANE_LEVEL(isa_v3)
WANE_LEVEL(isa_v4)
#undef WANE_LEVEL

namespace cpu {

const MapKernels& map_kernels() {
  static const MapKernels& chosen = isa_level() == IsaLevel::v4   ? isa_v4::map_kernels()
                                    : isa_level() == IsaLevel::v3 ? isa_v3::map_kernels()
                                                                  : isa_v2::map_kernels();
  return chosen;
}

const PairTable& pair_kernels() {
  static const PairTable& chosen = isa_level() == IsaLevel::v4   ? isa_v4::pair_kernels()
                                   : isa_level() == IsaLevel::v3 ? isa_v3::pair_kernels()
                                                                 : isa_v2::pair_kernels();
  return chosen;
}

} // namespace cpu
} // namespace wane
