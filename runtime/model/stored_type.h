// How the numbers of a tensor lie in a file: one of the engine's dtypes, a GGUF block format, or a format
// that is known by name and size only. Kept free of other headers, since the per-ISA decoders include it.
#pragma once

#include <cstdint>

namespace wane {

enum class StoredType : uint8_t {
  // the engine's dtypes, in DType's order
  f64,
  f32,
  bf16,
  f16,
  e4m3,
  e5m2,
  i64,
  i32,
  i8,
  u8,
  boolean,
  // block formats with a decoder
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  // without one: refused by name when such a tensor is read
  i16,
  u16,
  u32,
  u64,
  c64,
  e8m0,
  e4m3fnuz,
  e5m2fnuz,
  f4,
  f6_e2m3,
  f6_e3m2,
  q8_1,
  q8_k,
  iq2_xxs,
  iq2_xs,
  iq2_s,
  iq3_xxs,
  iq3_s,
  iq1_s,
  iq1_m,
  iq4_nl,
  iq4_xs,
  tq1_0,
  tq2_0,
  mxfp4,
  nvfp4,
  q1_0,
};

} // namespace wane
