// Turns stored numbers into the engine's: GGUF blocks to f32 exactly as the format's own decoder computes
// them, and one plain dtype to another, rounded once to nearest even. The loops lie in cpu/isa/decode.cpp,
// once per ISA level.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/dtype.h"
#include "runtime/model/stored_type.h"

namespace wane {

struct DecodeKernels {
  // `blocks` whole blocks of a block type to f32, bf16 or f16. Method: block layouts of ggml's k-quants;
  // products in the order of its decoder, so the f32 values are its bits; bf16 and f16 are those values
  // rounded once.
  void (*blocks)(StoredType type, const std::byte* source, int64_t blocks, DType as, std::byte* target);
  // `count` numbers of one dtype to another. `from` is any float dtype, i32, i8, u8 or bool; `as` is f64,
  // f32, bf16 or f16. f64 and i32 are rounded once, also to 16 bits.
  void (*numbers)(DType from, const std::byte* source, int64_t count, DType as, std::byte* target);
};
const DecodeKernels& decode_kernels(); // for isa_level()
bool can_decode(StoredType from, DType as);

namespace isa_v2 {
extern const DecodeKernels decode_kernels;
}
namespace isa_v3 {
extern const DecodeKernels decode_kernels;
}
namespace isa_v4 {
extern const DecodeKernels decode_kernels;
}

} // namespace wane
