// Decoders of stored numbers, compiled once per x86-64 level. Plain loops over fixed-size tiles that the
// compiler turns into vectors; the arithmetic is IEEE f32, no contraction, so every level gives the same
// bits. Nothing here may call an inline function of a library header: its copy for one level could end up in
// all.
#include "runtime/model/gguf_blocks.h"

namespace wane::WANE_ISA_NAMESPACE {
namespace {

constexpr int kTile = 256; // elements decoded at a time: one large block or eight small ones

template <class To, class From> inline To bits(From value) {
  static_assert(sizeof(To) == sizeof(From));
  return __builtin_bit_cast(To, value);
}
template <class T> inline T load(const uint8_t* at) {
  T value;
  __builtin_memcpy(&value, at, sizeof value);
  return value;
}

// Subnormals go through an integer conversion: the result must not depend on whether denormals are flushed.
inline float from_f16(uint16_t half) {
  uint32_t sign = uint32_t(half & 0x8000) << 16, rest = half & 0x7fff;
  uint32_t normal = (rest << 13) + (112u << 23);
  uint32_t special = normal + (112u << 23);
  uint32_t small = bits<uint32_t>(float(int32_t(rest)) * 0x1p-24f);
  uint32_t magnitude = rest >= 0x7c00 ? special : rest >= 0x0400 ? normal : small;
  return bits<float>(sign | magnitude);
}

inline float from_bf16(uint16_t value) { return bits<float>(uint32_t(value) << 16); }

inline uint16_t to_bf16(float value) {
  uint32_t u = bits<uint32_t>(value);
  uint32_t rounded = (u + 0x7fff + ((u >> 16) & 1)) >> 16;
  uint32_t quiet = (u >> 16) | 0x40;
  return uint16_t((u & 0x7fffffff) > 0x7f800000 ? quiet : rounded);
}

inline uint16_t to_f16(float value) {
  uint32_t u = bits<uint32_t>(value), sign = (u >> 16) & 0x8000, rest = u & 0x7fffffff;
  uint32_t normal = (rest - (112u << 23) + 0xfff + ((rest >> 13) & 1)) >> 13;
  // Below 2^-14 one step of f16 is 2^-24, which is what adding 0.5 leaves of an f32.
  uint32_t small = bits<uint32_t>(bits<float>(rest < 0x38800000 ? rest : 0) + 0.5f) - 0x3f000000;
  uint32_t magnitude = rest < 0x38800000 ? small : normal;
  magnitude = rest >= 0x477ff000 ? 0x7c00 : magnitude; // 65520 and above round to infinity
  magnitude = rest > 0x7f800000 ? 0x7e00 | ((rest >> 13) & 0x1ff) : magnitude;
  return uint16_t(sign | magnitude);
}

// To f32 by rounding to odd: whatever is rounded from it to 16 bits is what one rounding of the f64 gives.
inline float to_odd(double value) {
  float nearest = float(value);
  uint32_t u = bits<uint32_t>(nearest);
  double back = double(nearest);
  bool exact = back == value || value != value;
  bool above = back < 0 ? back < value : back > value; // further from zero than the value is
  u = exact ? u : (above ? u - 1 : u) | 1;
  return bits<float>(u);
}

void store(const float* values, int64_t count, DType as, std::byte* target) {
  if (as == DType::f32) {
    __builtin_memcpy(target, values, size_t(count) * sizeof(float));
  } else if (as == DType::bf16) {
    auto* out = reinterpret_cast<uint16_t*>(target);
    for (int64_t i = 0; i < count; ++i) out[i] = to_bf16(values[i]);
  } else {
    auto* out = reinterpret_cast<uint16_t*>(target);
    for (int64_t i = 0; i < count; ++i) out[i] = to_f16(values[i]);
  }
}

// ---- blocks of 32: element j of a byte's low nibble, j + 16 of its high one ----

struct Q4_0 {
  static constexpr int kSize = 32, kBytes = 18;
  static inline void decode(const uint8_t* p, float* v) {
    float d = from_f16(load<uint16_t>(p));
    for (int j = 0; j < 16; ++j) v[j] = d * float(int(p[2 + j] & 15) - 8);
    for (int j = 0; j < 16; ++j) v[j + 16] = d * float(int(p[2 + j] >> 4) - 8);
  }
};

struct Q4_1 {
  static constexpr int kSize = 32, kBytes = 20;
  static inline void decode(const uint8_t* p, float* v) {
    float d = from_f16(load<uint16_t>(p)), m = from_f16(load<uint16_t>(p + 2));
    for (int j = 0; j < 16; ++j) v[j] = d * float(int(p[4 + j] & 15)) + m;
    for (int j = 0; j < 16; ++j) v[j + 16] = d * float(int(p[4 + j] >> 4)) + m;
  }
};

struct Q5_0 {
  static constexpr int kSize = 32, kBytes = 22;
  static inline void decode(const uint8_t* p, float* v) {
    float d = from_f16(load<uint16_t>(p));
    uint32_t high = load<uint32_t>(p + 2);
    for (int j = 0; j < 16; ++j) v[j] = d * float(int((p[6 + j] & 15) | ((high >> j) & 1) << 4) - 16);
    for (int j = 0; j < 16; ++j)
      v[j + 16] = d * float(int((p[6 + j] >> 4) | ((high >> (j + 16)) & 1) << 4) - 16);
  }
};

struct Q5_1 {
  static constexpr int kSize = 32, kBytes = 24;
  static inline void decode(const uint8_t* p, float* v) {
    float d = from_f16(load<uint16_t>(p)), m = from_f16(load<uint16_t>(p + 2));
    uint32_t high = load<uint32_t>(p + 4);
    for (int j = 0; j < 16; ++j) v[j] = d * float(int((p[8 + j] & 15) | ((high >> j) & 1) << 4)) + m;
    for (int j = 0; j < 16; ++j)
      v[j + 16] = d * float(int((p[8 + j] >> 4) | ((high >> (j + 16)) & 1) << 4)) + m;
  }
};

struct Q8_0 {
  static constexpr int kSize = 32, kBytes = 34;
  static inline void decode(const uint8_t* p, float* v) {
    float d = from_f16(load<uint16_t>(p));
    for (int j = 0; j < 32; ++j) v[j] = d * float(int(int8_t(p[2 + j])));
  }
};

// ---- blocks of 256 with scales of their own per 16 or 32 ----

struct Q2K {
  static constexpr int kSize = 256, kBytes = 84;
  static inline void decode(const uint8_t* p, float* v) {
    const uint8_t* q = p + 16;
    float d = from_f16(load<uint16_t>(p + 80)), dmin = from_f16(load<uint16_t>(p + 82));
    for (int s = 0; s < 16; ++s) { // sub-block of 16: half s / 8, shift of pairs, left or right 16 bytes
      float scale = d * float(int(p[s] & 15)), least = dmin * float(int(p[s] >> 4));
      const uint8_t* from = q + 32 * (s / 8) + 16 * (s & 1);
      int shift = 2 * ((s % 8) / 2);
      for (int j = 0; j < 16; ++j) v[16 * s + j] = scale * float(int((from[j] >> shift) & 3)) - least;
    }
  }
};

struct Q3K {
  static constexpr int kSize = 256, kBytes = 110;
  static inline void decode(const uint8_t* p, float* v) {
    const uint8_t *high = p, *q = p + 32, *packed = p + 96;
    float d = from_f16(load<uint16_t>(p + 108));
    for (int s = 0; s < 16; ++s) {
      int low4 = s < 8 ? packed[s] & 15 : packed[s - 8] >> 4, top2 = (packed[8 + s % 4] >> (2 * (s / 4))) & 3;
      float scale = d * float((low4 | top2 << 4) - 32);
      const uint8_t *from = q + 32 * (s / 8) + 16 * (s & 1), *flags = high + 16 * (s & 1);
      int shift = 2 * ((s % 8) / 2), flag = s / 2;
      for (int j = 0; j < 16; ++j)
        v[16 * s + j] = scale * float(int((from[j] >> shift) & 3) + 4 * int((flags[j] >> flag) & 1) - 4);
    }
  }
};

// Eight 6-bit scales and minima in 12 bytes, as Q4_K and Q5_K pack them.
inline void scale_and_least(const uint8_t* b, int j, int* scale, int* least) {
  *scale = j < 4 ? b[j] & 63 : (b[j + 4] & 15) | (b[j - 4] >> 6) << 4;
  *least = j < 4 ? b[j + 4] & 63 : (b[j + 4] >> 4) | (b[j] >> 6) << 4;
}

struct Q4K {
  static constexpr int kSize = 256, kBytes = 144;
  static inline void decode(const uint8_t* p, float* v) {
    const uint8_t* q = p + 16;
    float d = from_f16(load<uint16_t>(p)), dmin = from_f16(load<uint16_t>(p + 2));
    for (int s = 0; s < 8; ++s) {
      int scale6, least6;
      scale_and_least(p + 4, s, &scale6, &least6);
      float scale = d * float(scale6), least = dmin * float(least6);
      int shift = 4 * (s & 1);
      for (int j = 0; j < 32; ++j)
        v[32 * s + j] = scale * float(int((q[32 * (s / 2) + j] >> shift) & 15)) - least;
    }
  }
};

struct Q5K {
  static constexpr int kSize = 256, kBytes = 176;
  static inline void decode(const uint8_t* p, float* v) {
    const uint8_t *high = p + 16, *q = p + 48;
    float d = from_f16(load<uint16_t>(p)), dmin = from_f16(load<uint16_t>(p + 2));
    for (int s = 0; s < 8; ++s) {
      int scale6, least6;
      scale_and_least(p + 4, s, &scale6, &least6);
      float scale = d * float(scale6), least = dmin * float(least6);
      int shift = 4 * (s & 1);
      for (int j = 0; j < 32; ++j) {
        int code = ((q[32 * (s / 2) + j] >> shift) & 15) | ((high[j] >> s) & 1) << 4;
        v[32 * s + j] = scale * float(code) - least;
      }
    }
  }
};

struct Q6K {
  static constexpr int kSize = 256, kBytes = 210;
  static inline void decode(const uint8_t* p, float* v) {
    const uint8_t *low = p, *high = p + 128;
    float d = from_f16(load<uint16_t>(p + 208));
    for (int s = 0; s < 16; ++s) { // half c, quarter k of it, left or right 16
      int c = s / 8, k = (s % 8) / 2, at = 16 * (s & 1);
      float scale = d * float(int(int8_t(p[192 + s])));
      const uint8_t *from = low + 64 * c + 32 * (k & 1) + at, *top = high + 32 * c + at;
      int shift = 4 * (k >> 1), top_shift = 2 * k;
      for (int j = 0; j < 16; ++j) {
        int code = ((from[j] >> shift) & 15) | ((top[j] >> top_shift) & 3) << 4;
        v[16 * s + j] = scale * float(code - 32);
      }
    }
  }
};

template <class Block> void decode_all(const uint8_t* source, int64_t blocks, DType as, std::byte* target) {
  constexpr int kPerTile = kTile / Block::kSize;
  int64_t width = as == DType::f32 ? 4 : 2;
  alignas(64) float values[kTile];
  while (blocks > 0) {
    int now = blocks < kPerTile ? int(blocks) : kPerTile;
    for (int b = 0; b < now; ++b) Block::decode(source + b * Block::kBytes, values + b * Block::kSize);
    store(values, int64_t(now) * Block::kSize, as, target);
    source += now * Block::kBytes, target += now * Block::kSize * width, blocks -= now;
  }
}

void decode_blocks(StoredType type, const std::byte* source, int64_t blocks, DType as, std::byte* target) {
  auto* p = reinterpret_cast<const uint8_t*>(source);
  switch (type) {
  case StoredType::q4_0: return decode_all<Q4_0>(p, blocks, as, target);
  case StoredType::q4_1: return decode_all<Q4_1>(p, blocks, as, target);
  case StoredType::q5_0: return decode_all<Q5_0>(p, blocks, as, target);
  case StoredType::q5_1: return decode_all<Q5_1>(p, blocks, as, target);
  case StoredType::q8_0: return decode_all<Q8_0>(p, blocks, as, target);
  case StoredType::q2_k: return decode_all<Q2K>(p, blocks, as, target);
  case StoredType::q3_k: return decode_all<Q3K>(p, blocks, as, target);
  case StoredType::q4_k: return decode_all<Q4K>(p, blocks, as, target);
  case StoredType::q5_k: return decode_all<Q5K>(p, blocks, as, target);
  case StoredType::q6_k: return decode_all<Q6K>(p, blocks, as, target);
  default: return;
  }
}

// ---- plain numbers ----

// 8-bit floats: e4m3 without infinities (all ones is NaN), e5m2 as a short f16.
inline float from_e4m3(uint8_t value) {
  uint32_t sign = uint32_t(value & 0x80) << 24, rest = value & 0x7f;
  uint32_t normal = (rest << 20) + (120u << 23);
  uint32_t small = bits<uint32_t>(float(int32_t(rest)) * 0x1p-9f);
  uint32_t magnitude = rest == 0x7f ? 0x7fc00000 : rest >= 8 ? normal : small;
  return bits<float>(sign | magnitude);
}
inline float from_e5m2(uint8_t value) { return from_f16(uint16_t(value << 8)); }

// Widened to f32 where that is exact, f64 and i32 by rounding to odd where 16 bits are wanted.
void widen(DType from, const uint8_t* source, int64_t count, bool odd, float* out) {
  switch (from) {
  case DType::f64:
    for (int64_t i = 0; i < count; ++i) {
      double value = load<double>(source + 8 * i);
      out[i] = odd ? to_odd(value) : float(value);
    }
    return;
  case DType::f32: __builtin_memcpy(out, source, size_t(count) * 4); return;
  case DType::bf16:
    for (int64_t i = 0; i < count; ++i) out[i] = from_bf16(load<uint16_t>(source + 2 * i));
    return;
  case DType::f16:
    for (int64_t i = 0; i < count; ++i) out[i] = from_f16(load<uint16_t>(source + 2 * i));
    return;
  case DType::e4m3:
    for (int64_t i = 0; i < count; ++i) out[i] = from_e4m3(source[i]);
    return;
  case DType::e5m2:
    for (int64_t i = 0; i < count; ++i) out[i] = from_e5m2(source[i]);
    return;
  case DType::i32:
    for (int64_t i = 0; i < count; ++i) {
      double value = double(load<int32_t>(source + 4 * i));
      out[i] = odd ? to_odd(value) : float(value);
    }
    return;
  case DType::i8:
    for (int64_t i = 0; i < count; ++i) out[i] = float(int(int8_t(source[i])));
    return;
  default: // u8, bool
    for (int64_t i = 0; i < count; ++i) out[i] = float(int(source[i]));
    return;
  }
}

void decode_numbers(DType from, const std::byte* source, int64_t count, DType as, std::byte* target) {
  auto* p = reinterpret_cast<const uint8_t*>(source);
  int64_t width = int64_t(size_of(from)), out_width = int64_t(size_of(as));
  alignas(64) float values[kTile];
  for (; count > 0; count -= kTile, p += kTile * width, target += kTile * out_width) {
    int64_t now = count < kTile ? count : kTile;
    if (as == DType::f64 && from == DType::i32) { // f32 would not hold it
      auto* out = reinterpret_cast<double*>(target);
      for (int64_t i = 0; i < now; ++i) out[i] = double(load<int32_t>(p + 4 * i));
    } else if (as == DType::f64) {
      widen(from, p, now, false, values);
      auto* out = reinterpret_cast<double*>(target);
      for (int64_t i = 0; i < now; ++i) out[i] = double(values[i]);
    } else {
      widen(from, p, now, as != DType::f32, values);
      store(values, now, as, target);
    }
  }
}

} // namespace

extern const DecodeKernels decode_kernels;
const DecodeKernels decode_kernels{decode_blocks, decode_numbers};

} // namespace wane::WANE_ISA_NAMESPACE
