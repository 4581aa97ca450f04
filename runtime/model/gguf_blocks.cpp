#include "runtime/model/gguf_blocks.h"

#include "runtime/cpu/isa.h"

namespace wane {

const DecodeKernels& decode_kernels() {
  switch (isa_level()) {
  case IsaLevel::v4: return isa_v4::decode_kernels;
  case IsaLevel::v3: return isa_v3::decode_kernels;
  default: return isa_v2::decode_kernels;
  }
}

bool can_decode(StoredType from, DType as) {
  if (from <= StoredType::boolean && DType(from) == as) return true;
  bool wide = as == DType::f32 || as == DType::bf16 || as == DType::f16;
  if (from >= StoredType::q4_0 && from <= StoredType::q6_k) return wide;
  return from <= StoredType::boolean && from != StoredType::i64 && (wide || as == DType::f64);
}

} // namespace wane
