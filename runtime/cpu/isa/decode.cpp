// Decoders of stored numbers, compiled once per x86-64 level. Plain loops over fixed-size tiles that the
// compiler turns into vectors; the arithmetic is IEEE f32, no contraction, so every level gives the same
// bits. Nothing here may call an inline function of a library header: its copy for one level could end up in
// all.
#include <immintrin.h>

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

// The instruction where there is one. Else subnormals go through an integer conversion, for the result must
// not depend on whether denormals are flushed; a signalling NaN becomes quiet as the instruction makes it.
inline float from_f16(uint16_t half) {
#if defined(__F16C__)
  return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(half)));
#else
  uint32_t sign = uint32_t(half & 0x8000) << 16, rest = half & 0x7fff;
  uint32_t normal = (rest << 13) + (112u << 23);
  uint32_t special = (normal + (112u << 23)) | (rest > 0x7c00 ? 0x400000 : 0);
  uint32_t small = bits<uint32_t>(float(int32_t(rest)) * 0x1p-24f);
  uint32_t magnitude = rest >= 0x7c00 ? special : rest >= 0x0400 ? normal : small;
  return bits<float>(sign | magnitude);
#endif
}
inline void widen_f16(const uint8_t* __restrict source, int64_t count, float* __restrict out) {
  int64_t i = 0;
#if defined(__F16C__)
  for (; i + 8 <= count; i += 8)
    _mm256_storeu_ps(out + i,
                     _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(source + 2 * i))));
#endif
  for (; i < count; ++i) out[i] = from_f16(load<uint16_t>(source + 2 * i));
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

void store(const float* __restrict values, int64_t count, DType as, std::byte* __restrict target) {
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

// A block is unpacked into signed codes, one per element, and a scale per group of them (and what is added to
// the group); then all formats share one multiplication: value = scale * code, or scale * code + offset. The
// codes are small integers, so this is the reference's arithmetic; subtracting a minimum is adding its
// negative.
struct Unpacked {
  alignas(64) int8_t codes[kTile];
  float scales[kTile / 16], offsets[kTile / 16];
};

// ---- blocks of 32: element j of a byte's low nibble, j + 16 of its high one ----

typedef uint8_t Bytes __attribute__((vector_size(16)));

inline void nibbles(const uint8_t* q, int minus, int8_t* codes) {
  Bytes both = load<Bytes>(q), low = (both & 15) - uint8_t(minus), high = (both >> 4) - uint8_t(minus);
  __builtin_memcpy(codes, &low, 16);
  __builtin_memcpy(codes + 16, &high, 16);
}
// The fifth bits of 32 elements: bit j of `high` belongs to element j.
inline void fifth_bits(uint32_t high, int8_t* codes) {
  constexpr Bytes kBit{1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
  for (int half = 0; half < 2; ++half) {
    uint8_t first = uint8_t(high >> (16 * half)), second = uint8_t(high >> (16 * half + 8));
    Bytes spread{first,  first,  first,  first,  first,  first,  first,  first,
                 second, second, second, second, second, second, second, second};
    Bytes sum =
        load<Bytes>(reinterpret_cast<uint8_t*>(codes) + 16 * half) + ((Bytes)((spread & kBit) != 0) & 16);
    __builtin_memcpy(codes + 16 * half, &sum, 16);
  }
}

struct Q4_0 {
  static constexpr int kSize = 32, kBytes = 18, kGroup = 32;
  static constexpr bool kOffset = false;
  static inline void unpack(const uint8_t* p, int8_t* codes, float* scales, float*) {
    *scales = from_f16(load<uint16_t>(p));
    nibbles(p + 2, 8, codes);
  }
};

struct Q4_1 {
  static constexpr int kSize = 32, kBytes = 20, kGroup = 32;
  static constexpr bool kOffset = true;
  static inline void unpack(const uint8_t* p, int8_t* codes, float* scales, float* offsets) {
    *scales = from_f16(load<uint16_t>(p)), *offsets = from_f16(load<uint16_t>(p + 2));
    nibbles(p + 4, 0, codes);
  }
};

struct Q5_0 {
  static constexpr int kSize = 32, kBytes = 22, kGroup = 32;
  static constexpr bool kOffset = false;
  static inline void unpack(const uint8_t* p, int8_t* codes, float* scales, float*) {
    *scales = from_f16(load<uint16_t>(p));
    nibbles(p + 6, 16, codes);
    fifth_bits(load<uint32_t>(p + 2), codes);
  }
};

struct Q5_1 {
  static constexpr int kSize = 32, kBytes = 24, kGroup = 32;
  static constexpr bool kOffset = true;
  static inline void unpack(const uint8_t* p, int8_t* codes, float* scales, float* offsets) {
    *scales = from_f16(load<uint16_t>(p)), *offsets = from_f16(load<uint16_t>(p + 2));
    nibbles(p + 8, 0, codes);
    fifth_bits(load<uint32_t>(p + 4), codes);
  }
};

struct Q8_0 {
  static constexpr int kSize = 32, kBytes = 34, kGroup = 32;
  static constexpr bool kOffset = false;
  static inline void unpack(const uint8_t* p, int8_t* codes, float* scales, float*) {
    *scales = from_f16(load<uint16_t>(p));
    __builtin_memcpy(codes, p + 2, 32);
  }
};

// ---- blocks of 256 with scales of their own per 16 or 32 ----

struct Q2K {
  static constexpr int kSize = 256, kBytes = 84, kGroup = 16;
  static constexpr bool kOffset = true;
  static inline void unpack(const uint8_t* __restrict p, int8_t* __restrict codes, float* scales,
                            float* offsets) {
    float d = from_f16(load<uint16_t>(p + 80)), dmin = from_f16(load<uint16_t>(p + 82));
    for (int s = 0; s < 16; ++s) scales[s] = d * float(int(p[s] & 15));
    for (int s = 0; s < 16; ++s) offsets[s] = -(dmin * float(int(p[s] >> 4)));
    for (int r = 0; r < 8; ++r) // 32 elements each: half r / 4, pair of bits r % 4
      for (int j = 0; j < 32; ++j)
        codes[32 * r + j] = int8_t((p[16 + 32 * (r / 4) + j] >> (2 * (r % 4))) & 3);
  }
};

struct Q3K {
  static constexpr int kSize = 256, kBytes = 110, kGroup = 16;
  static constexpr bool kOffset = false;
  static inline void unpack(const uint8_t* __restrict p, int8_t* __restrict codes, float* scales, float*) {
    const uint8_t *high = p, *q = p + 32, *packed = p + 96;
    float d = from_f16(load<uint16_t>(p + 108));
    for (int s = 0; s < 16; ++s) {
      int low4 = s < 8 ? packed[s] & 15 : packed[s - 8] >> 4, top2 = (packed[8 + s % 4] >> (2 * (s / 4))) & 3;
      scales[s] = d * float((low4 | top2 << 4) - 32);
    }
    for (int r = 0; r < 8; ++r)
      for (int j = 0; j < 32; ++j)
        codes[32 * r + j] =
            int8_t(((q[32 * (r / 4) + j] >> (2 * (r % 4))) & 3) + 4 * ((high[j] >> r) & 1) - 4);
  }
};

// Eight 6-bit scales and minima in 12 bytes, as Q4_K and Q5_K pack them.
inline void scales_of_32(const uint8_t* p, float* scales, float* offsets) {
  float d = from_f16(load<uint16_t>(p)), dmin = from_f16(load<uint16_t>(p + 2));
  const uint8_t* b = p + 4;
  for (int j = 0; j < 8; ++j) {
    int scale = j < 4 ? b[j] & 63 : (b[j + 4] & 15) | (b[j - 4] >> 6) << 4;
    int least = j < 4 ? b[j + 4] & 63 : (b[j + 4] >> 4) | (b[j] >> 6) << 4;
    scales[j] = d * float(scale), offsets[j] = -(dmin * float(least));
  }
}

struct Q4K {
  static constexpr int kSize = 256, kBytes = 144, kGroup = 32;
  static constexpr bool kOffset = true;
  static inline void unpack(const uint8_t* __restrict p, int8_t* __restrict codes, float* scales,
                            float* offsets) {
    scales_of_32(p, scales, offsets);
    for (int r = 0; r < 8; ++r)
      for (int j = 0; j < 32; ++j)
        codes[32 * r + j] = int8_t((p[16 + 32 * (r / 2) + j] >> (4 * (r % 2))) & 15);
  }
};

struct Q5K {
  static constexpr int kSize = 256, kBytes = 176, kGroup = 32;
  static constexpr bool kOffset = true;
  static inline void unpack(const uint8_t* __restrict p, int8_t* __restrict codes, float* scales,
                            float* offsets) {
    const uint8_t *high = p + 16, *q = p + 48;
    scales_of_32(p, scales, offsets);
    for (int r = 0; r < 8; ++r)
      for (int j = 0; j < 32; ++j)
        codes[32 * r + j] = int8_t(((q[32 * (r / 2) + j] >> (4 * (r % 2))) & 15) | ((high[j] >> r) & 1) << 4);
  }
};

struct Q6K {
  static constexpr int kSize = 256, kBytes = 210, kGroup = 16;
  static constexpr bool kOffset = false;
  static inline void unpack(const uint8_t* __restrict p, int8_t* __restrict codes, float* scales, float*) {
    const uint8_t *low = p, *high = p + 128;
    float d = from_f16(load<uint16_t>(p + 208));
    for (int s = 0; s < 16; ++s) scales[s] = d * float(int(int8_t(p[192 + s])));
    for (int r = 0; r < 8; ++r) { // half c of the block, quarter k of it
      int c = r / 4, k = r % 4;
      const uint8_t *from = low + 64 * c + 32 * (k & 1), *top = high + 32 * c;
      for (int j = 0; j < 32; ++j)
        codes[32 * r + j] =
            int8_t((((from[j] >> (4 * (k >> 1))) & 15) | ((top[j] >> (2 * k)) & 3) << 4) - 32);
    }
  }
};

// scale * code, or scale * code + offset, for 16 codes. By hand: left to itself gcc 12 takes loops this short
// apart.
template <bool with_offset>
inline void scale_16(const int8_t* codes, float scale, float offset, float* values) {
#if defined(__AVX512F__)
  constexpr __mmask16 kAll = 0xffff; // the unmasked forms make gcc 12 warn of an uninitialised value
  __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes));
  __m512 v = _mm512_maskz_cvtepi32_ps(kAll, _mm512_maskz_cvtepi8_epi32(kAll, bytes));
  v = _mm512_mul_ps(_mm512_set1_ps(scale), v);
  if (with_offset) v = _mm512_add_ps(v, _mm512_set1_ps(offset));
  _mm512_storeu_ps(values, v);
#elif defined(__AVX2__)
  for (int j = 0; j < 16; j += 8) {
    __m256 v = _mm256_cvtepi32_ps(
        _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(codes + j))));
    v = _mm256_mul_ps(_mm256_set1_ps(scale), v);
    if (with_offset) v = _mm256_add_ps(v, _mm256_set1_ps(offset));
    _mm256_storeu_ps(values + j, v);
  }
#else
  for (int j = 0; j < 16; j += 4) {
    __m128 v = _mm_cvtepi32_ps(
        _mm_cvtepi8_epi32(_mm_cvtsi32_si128(load<int32_t>(reinterpret_cast<const uint8_t*>(codes + j)))));
    v = _mm_mul_ps(_mm_set1_ps(scale), v);
    if (with_offset) v = _mm_add_ps(v, _mm_set1_ps(offset));
    _mm_storeu_ps(values + j, v);
  }
#endif
}

// Finite scales and offsets give no NaN: 65504 * 127 times a code of 8 bits is far from the end of f32.
inline bool all_finite(const Unpacked& tile, int groups, bool offsets) {
  bool finite = true;
  for (int g = 0; g < groups; ++g) {
    finite &= (bits<uint32_t>(tile.scales[g]) & 0x7f800000) != 0x7f800000;
    finite &= !offsets || (bits<uint32_t>(tile.offsets[g]) & 0x7f800000) != 0x7f800000;
  }
  return finite;
}

void store_no_nan(const float* __restrict values, int64_t count, std::byte* __restrict target) {
  auto* out = reinterpret_cast<uint16_t*>(target);
  for (int64_t i = 0; i < count; ++i) {
    uint32_t u = bits<uint32_t>(values[i]);
    out[i] = uint16_t((u + 0x7fff + ((u >> 16) & 1)) >> 16);
  }
}

template <class Block> void decode_all(const std::byte* source, int64_t blocks, DType as, std::byte* target) {
  constexpr int kPerTile = kTile / Block::kSize, kGroups = Block::kSize / Block::kGroup;
  auto* p = reinterpret_cast<const uint8_t*>(source);
  int64_t width = int64_t(size_of(as));
  Unpacked tile;
  alignas(64) float values[kTile];
  while (blocks > 0) { // small tiles: everything between source and target stays in the first-level cache
    int now = blocks < kPerTile ? int(blocks) : kPerTile;
    for (int b = 0; b < now; ++b)
      Block::unpack(p + b * Block::kBytes, tile.codes + b * Block::kSize, tile.scales + b * kGroups,
                    tile.offsets + b * kGroups);
    float* out = as == DType::f32 ? reinterpret_cast<float*>(target) : values;
    for (int g = 0; g < now * kGroups; ++g)
      for (int half = g * Block::kGroup; half < (g + 1) * Block::kGroup; half += 16)
        scale_16<Block::kOffset>(tile.codes + half, tile.scales[g], tile.offsets[g], out + half);
    if (as == DType::bf16 && all_finite(tile, now * kGroups, Block::kOffset))
      store_no_nan(values, int64_t(now) * Block::kSize, target);
    else if (as != DType::f32)
      store(values, int64_t(now) * Block::kSize, as, target);
    p += now * Block::kBytes, target += now * Block::kSize * width, blocks -= now;
  }
}

void decode_blocks(StoredType type, const std::byte* source, int64_t blocks, DType as, std::byte* target) {
  switch (type) {
  case StoredType::q4_0: return decode_all<Q4_0>(source, blocks, as, target);
  case StoredType::q4_1: return decode_all<Q4_1>(source, blocks, as, target);
  case StoredType::q5_0: return decode_all<Q5_0>(source, blocks, as, target);
  case StoredType::q5_1: return decode_all<Q5_1>(source, blocks, as, target);
  case StoredType::q8_0: return decode_all<Q8_0>(source, blocks, as, target);
  case StoredType::q2_k: return decode_all<Q2K>(source, blocks, as, target);
  case StoredType::q3_k: return decode_all<Q3K>(source, blocks, as, target);
  case StoredType::q4_k: return decode_all<Q4K>(source, blocks, as, target);
  case StoredType::q5_k: return decode_all<Q5K>(source, blocks, as, target);
  case StoredType::q6_k: return decode_all<Q6K>(source, blocks, as, target);
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
void widen(DType from, const uint8_t* __restrict source, int64_t count, bool odd, float* __restrict out) {
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
  case DType::f16: widen_f16(source, count, out); return;
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
