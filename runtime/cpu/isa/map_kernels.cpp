// The tile interpreter's loops, for one x86-64 level. Plain loops over the texts of ops.def that the compiler
// vectorises; the arithmetic is the same at every level.
#include "runtime/cpu/map_kernels.h"

#include "kernels/ops.h"
#include "runtime/cpu/isa/reduce_kernels.h"

#include <immintrin.h>

namespace wane::WANE_ISA_NAMESPACE {
namespace {

using wane::cpu::MapKernels;
using i64 = long long;

template <Lane> struct LaneType;
template <> struct LaneType<Lane::f32> { using type = float; };
template <> struct LaneType<Lane::f64> { using type = double; };
template <> struct LaneType<Lane::i32> { using type = int; };
template <> struct LaneType<Lane::i64> { using type = i64; };

// -- maps
// ---------------------------------------------------------------------------------------------------- Each
// row of ops.def as a function object; Real serves float and double, Whole int and i64.
#define WANE_MAP(name, arity, rule, kinds, ftext, itext, derivative, doc)                                    \
  struct Real_##name {                                                                                       \
    template <class T, class A> static inline __attribute__((always_inline)) auto of(A a, T b, T c) {        \
      (void)a, (void)b, (void)c;                                                                             \
      return ftext;                                                                                          \
    }                                                                                                        \
  };                                                                                                         \
  struct Whole_##name {                                                                                      \
    template <class T, class A> static inline __attribute__((always_inline)) auto of(A a, T b, T c) {        \
      (void)a, (void)b, (void)c;                                                                             \
      return itext;                                                                                          \
    }                                                                                                        \
  };
#include "runtime/ops.def"
#undef WANE_MAP

template <class F, class T, class Out, class A, int arity>
void loop(void* out, const void* a, const void* b, const void* c, int64_t n) {
  Out* y = static_cast<Out*>(out);
  const A* p = static_cast<const A*>(a);
  const T* q = static_cast<const T*>(arity > 1 ? b : a);
  const T* r = static_cast<const T*>(arity > 2 ? c : a);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    if constexpr (arity == 1)
      y[i] = Out(F::template of<T, A>(p[i], T(0), T(0)));
    else if constexpr (arity == 2)
      y[i] = Out(F::template of<T, A>(p[i], q[i], T(0)));
    else
      y[i] = Out(F::template of<T, A>(p[i], q[i], r[i]));
  }
}

// f32 rounded to bf16 where it lies: what the store would keep, without leaving the register.
inline __attribute__((always_inline)) float round_bf16(float x) {
  unsigned u = unsigned(WANE_BITS(x));
  unsigned rounded = u + 0x7fffu + ((u >> 16) & 1u);
  return WANE_FLOAT(int(((u & 0x7fffffffu) > 0x7f800000u ? u | 0x400000u : rounded) & 0xffff0000u));
}

template <class F, class A, int arity>
void loop_bf16(void* out, const void* a, const void* b, const void* c, int64_t n) {
  float* y = static_cast<float*>(out);
  const A* p = static_cast<const A*>(a);
  const float* q = static_cast<const float*>(arity > 1 ? b : a);
  const float* r = static_cast<const float*>(arity > 2 ? c : a);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    if constexpr (arity == 1)
      y[i] = round_bf16(F::template of<float, A>(p[i], 0.0f, 0.0f));
    else if constexpr (arity == 2)
      y[i] = round_bf16(F::template of<float, A>(p[i], q[i], 0.0f));
    else
      y[i] = round_bf16(F::template of<float, A>(p[i], q[i], r[i]));
  }
}

template <class F, int arity, ResultRule rule> constexpr cpu::MapFn make_bf16_loop() {
  if constexpr (rule == ResultRule::truth || rule == ResultRule::logical || rule == ResultRule::integer)
    return nullptr;
  else if constexpr (rule == ResultRule::chosen)
    return loop_bf16<F, int, arity>;
  else
    return loop_bf16<F, float, arity>;
}

template <class F, class T, int arity, ResultRule rule> constexpr cpu::MapFn make_loop() {
  if constexpr (rule == ResultRule::truth || rule == ResultRule::logical)
    return loop<F, T, int, T, arity>;
  else if constexpr (rule == ResultRule::chosen)
    return loop<F, T, T, int, arity>;
  else
    return loop<F, T, T, T, arity>;
}

void fill_maps(MapKernels& k) {
  int op = 0;
#define WANE_MAP(name, arity, rule, kinds, ftext, itext, derivative, doc)                                    \
  if constexpr (OpKinds::kinds != OpKinds::I) {                                                              \
    k.map[op][int(Lane::f32)] = make_loop<Real_##name, float, arity, ResultRule::rule>();                    \
    k.map[op][int(Lane::f64)] = make_loop<Real_##name, double, arity, ResultRule::rule>();                   \
    k.map_bf16[op] = make_bf16_loop<Real_##name, arity, ResultRule::rule>();                                 \
  }                                                                                                          \
  if constexpr (OpKinds::kinds != OpKinds::F) {                                                              \
    k.map[op][int(Lane::i32)] = make_loop<Whole_##name, int, arity, ResultRule::rule>();                     \
    k.map[op][int(Lane::i64)] = make_loop<Whole_##name, i64, arity, ResultRule::rule>();                     \
  }                                                                                                          \
  ++op;
#include "runtime/ops.def"
#undef WANE_MAP
}

// -- memory and lanes
// ----------------------------------------------------------------------------------------
template <DType> struct Stored;
#define WANE_STORED(dtype, Memory, Lane, from, to)                                                           \
  template <> struct Stored<DType::dtype> {                                                                  \
    using memory = Memory;                                                                                   \
    using lane = Lane;                                                                                       \
    static inline __attribute__((always_inline)) lane load(memory x) { return from; }                        \
    static inline __attribute__((always_inline)) memory store(lane x) { return memory(to); }                 \
  };
WANE_STORED(f64, double, double, x, x)
WANE_STORED(f32, float, float, x, x)
WANE_STORED(bf16, unsigned short, float, wane_from_bf16(x), wane_to_bf16(x))
WANE_STORED(f16, unsigned short, float, wane_from_f16(x), wane_to_f16(x))
WANE_STORED(e4m3, unsigned char, float, wane_from_e4m3(x), wane_to_e4m3(x))
WANE_STORED(e5m2, unsigned char, float, wane_from_e5m2(x), wane_to_e5m2(x))
WANE_STORED(i64, i64, i64, x, x)
WANE_STORED(i32, int, int, x, x)
WANE_STORED(i8, signed char, int, x, x)
WANE_STORED(u8, unsigned char, int, x, x)
WANE_STORED(boolean, unsigned char, int, x != 0, x != 0)

template <DType d> void load(void* out, const void* in, int64_t n) {
  auto* y = static_cast<typename Stored<d>::lane*>(out);
  auto* x = static_cast<const typename Stored<d>::memory*>(in);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) y[i] = Stored<d>::load(x[i]);
}

template <DType d> void store(void* out, const void* in, int64_t n) {
  auto* y = static_cast<typename Stored<d>::memory*>(out);
  auto* x = static_cast<const typename Stored<d>::lane*>(in);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) y[i] = Stored<d>::store(x[i]);
}

template <DType d> void stream(void* out, const void* in, int64_t n) {
  using M = typename Stored<d>::memory;
  alignas(64) M line[64];
  auto* x = static_cast<const typename Stored<d>::lane*>(in);
  auto* y = static_cast<__m128i*>(out);
  for (int64_t i = 0; i < n; i += 64) {
    const __m128i* from = reinterpret_cast<const __m128i*>(line);
    if constexpr (std::is_same_v<M, typename Stored<d>::lane>)
      from = reinterpret_cast<const __m128i*>(x + i);
    else
      for (int j = 0; j < 64; ++j) line[j] = Stored<d>::store(x[i + j]);
    constexpr int64_t pieces = int64_t(sizeof(M)) * 64 / 16;
#if defined(__AVX512F__)
    for (int64_t p = 0; p < pieces / 4; ++p)
      _mm512_stream_si512(reinterpret_cast<__m512i*>(y) + p,
                          _mm512_loadu_si512(reinterpret_cast<const __m512i*>(from) + p));
#else
    for (int64_t p = 0; p < pieces; ++p) _mm_stream_si128(y + p, _mm_loadu_si128(from + p));
#endif
    y += pieces;
  }
}

template <DType d> void round_lane(void* out, const void* in, int64_t n) {
  auto* y = static_cast<typename Stored<d>::lane*>(out);
  auto* x = static_cast<const typename Stored<d>::lane*>(in);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) {
    if constexpr (d == DType::bf16)
      y[i] = round_bf16(x[i]);
    else
      y[i] = Stored<d>::load(Stored<d>::store(x[i]));
  }
}

template <DType d> void load_strided(void* out, const void* in, int64_t stride, int64_t n) {
  auto* y = static_cast<typename Stored<d>::lane*>(out);
  auto* x = static_cast<const typename Stored<d>::memory*>(in);
  for (int64_t i = 0; i < n; ++i) y[i] = Stored<d>::load(x[i * stride]);
}

template <class T> void fill(void* out, const void* in, int64_t n) {
  T value = *static_cast<const T*>(in);
  T* y = static_cast<T*>(out);
  for (int64_t i = 0; i < n; ++i) y[i] = value;
}

template <class T> void expand(void* out, const void* in, int64_t rows, int64_t n) {
  const T* x = static_cast<const T*>(in);
  T* y = static_cast<T*>(out);
  for (int64_t row = 0; row < rows; ++row, y += n)
    for (int64_t i = 0; i < n; ++i) y[i] = x[row];
}

// -- casts
// --------------------------------------------------------------------------------------------------- Float
// to float rounds once, also from f64 to 16 bits (through rounding to odd); float to integer goes towards
// zero and saturates at the ends of the wanted dtype; integer to integer wraps; to bool is "not zero".
template <DType d, class From> inline __attribute__((always_inline)) auto cast_one(From x) {
  using L = typename Stored<d>::lane;
  constexpr bool from_real = std::is_floating_point_v<From>;
  if constexpr (d == DType::boolean)
    return L(x != From(0));
  else if constexpr (std::is_floating_point_v<L>) {
    if constexpr (d == DType::f32 || d == DType::f64)
      return L(x);
    else if constexpr (sizeof(From) == 8)
      return Stored<d>::load(Stored<d>::store(wane_odd(x)));
    else if constexpr (from_real)
      return Stored<d>::load(Stored<d>::store(x));
    else
      return Stored<d>::load(Stored<d>::store(wane_odd(double(x))));
  } else if constexpr (from_real) {
    if constexpr (d == DType::i64)
      return wane_to_i64(double(x));
    else if constexpr (d == DType::i32)
      return wane_to_i32(x);
    else {
      int v = wane_to_i32(x);
      constexpr int lo = d == DType::i8 ? -128 : 0, hi = d == DType::i8 ? 127 : 255;
      return v < lo ? lo : (v > hi ? hi : v);
    }
  } else
    return Stored<d>::load(Stored<d>::store(L(x)));
}

template <DType d, class From> void cast(void* out, const void* in, int64_t n) {
  auto* y = static_cast<typename Stored<d>::lane*>(out);
  auto* x = static_cast<const From*>(in);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) y[i] = cast_one<d>(x[i]);
}

// -- lookup tables
// -------------------------------------------------------------------------------------------
template <class Index, class T>
void lookup(void* out, const void* index, const void* table, int64_t entries, int64_t n) {
  T* y = static_cast<T*>(out);
  auto* x = static_cast<const Index*>(index);
  auto* t = static_cast<const T*>(table);
  int last = int(entries - 1);
  for (int64_t i = 0; i < n; ++i) {
    int at;
    if constexpr (std::is_same_v<Index, float>)
      at = wane_to_i32(x[i]);
    else
      at = int(x[i]);
    y[i] = t[at < 0 ? 0 : (at > last ? last : at)];
  }
}

template <DType d> void fill_dtype(MapKernels& k) {
  constexpr int t = int(d);
  k.load[t] = load<d>;
  k.store[t] = store<d>;
  k.stream[t] = stream<d>;
  k.round[t] = round_lane<d>;
  k.load_strided[t] = load_strided<d>;
  k.cast[int(Lane::f32)][t] = cast<d, float>;
  k.cast[int(Lane::f64)][t] = cast<d, double>;
  k.cast[int(Lane::i32)][t] = cast<d, int>;
  k.cast[int(Lane::i64)][t] = cast<d, i64>;
}

template <int... d> void fill_dtypes(MapKernels& k, std::integer_sequence<int, d...>) {
  (fill_dtype<DType(d)>(k), ...);
}

MapKernels make() {
  MapKernels k;
  fill_maps(k);
  fill_dtypes(k, std::make_integer_sequence<int, cpu::kDTypeCount>());
  k.fill[int(Lane::f32)] = fill<float>;
  k.fill[int(Lane::f64)] = fill<double>;
  k.fill[int(Lane::i32)] = fill<int>;
  k.fill[int(Lane::i64)] = fill<i64>;
  k.expand[int(Lane::f32)] = expand<float>;
  k.expand[int(Lane::f64)] = expand<double>;
  k.expand[int(Lane::i32)] = expand<int>;
  k.expand[int(Lane::i64)] = expand<i64>;
  k.lookup[int(Lane::f32)][int(Lane::f32)] = lookup<float, float>;
  k.lookup[int(Lane::f32)][int(Lane::f64)] = lookup<float, double>;
  k.lookup[int(Lane::f32)][int(Lane::i32)] = lookup<float, int>;
  k.lookup[int(Lane::i32)][int(Lane::f32)] = lookup<int, float>;
  k.lookup[int(Lane::i32)][int(Lane::f64)] = lookup<int, double>;
  k.lookup[int(Lane::i32)][int(Lane::i32)] = lookup<int, int>;
  fill_reductions(k);
  return k;
}

// -- pairs of f32 maps
// ---------------------------------------------------------------------------------------
struct MulAdd {
  static inline float of(float a, float b, float c) { return a * b + c; }
};
struct MulSub {
  static inline float of(float a, float b, float c) { return a * b - c; }
};
struct MulRsub {
  static inline float of(float a, float b, float c) { return c - a * b; }
};
struct AddMul {
  static inline float of(float a, float b, float c) { return (a + b) * c; }
};
struct SubMul {
  static inline float of(float a, float b, float c) { return (a - b) * c; }
};
struct MulMul {
  static inline float of(float a, float b, float c) { return a * b * c; }
};
struct AddAdd {
  static inline float of(float a, float b, float c) { return a + b + c; }
};
struct DivRound {
  static inline float of(float a, float b, float) { return wane_rint(a / b); }
};
struct MulRound {
  static inline float of(float a, float b, float) { return wane_rint(a * b); }
};
struct SiluMul {
  static inline __attribute__((always_inline)) float of(float a, float b, float) { return wane_silu(a) * b; }
};
struct Clamp { // maximum, minimum: a bound that is NaN wins as well
  static inline float of(float a, float lo, float hi) {
    float m = ((a != a) | (a > lo)) ? a : lo;
    return ((m != m) | (m < hi)) ? m : hi;
  }
};
struct SquareAdd {
  static inline float of(float a, float b, float) { return a * a + b; }
};

struct SiluBf16Mul {
  static inline __attribute__((always_inline)) float of(float a, float b, float) {
    return round_bf16(wane_silu(a)) * b;
  }
};

template <class F> void pair_loop(void* out, const void* a, const void* b, const void* c, int64_t n) {
  float* y = static_cast<float*>(out);
  auto *p = static_cast<const float*>(a), *q = static_cast<const float*>(b),
       *r = static_cast<const float*>(c ? c : b);
#pragma GCC ivdep
  for (int64_t i = 0; i < n; ++i) y[i] = F::of(p[i], q[i], r[i]);
}

// Clamp by whole vectors: gcc 12 makes branches of the scalar form, at ten times the price.
template <> void pair_loop<Clamp>(void* out, const void* a, const void* b, const void* c, int64_t n) {
  constexpr int64_t kWidth = 16;
  typedef float Loose __attribute__((vector_size(kWidth * 4), aligned(4), may_alias));
  auto* y = static_cast<float*>(out);
  auto *p = static_cast<const float*>(a), *lo = static_cast<const float*>(b),
       *hi = static_cast<const float*>(c ? c : b);
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) {
    const Loose x = *reinterpret_cast<const Loose*>(p + i), low = *reinterpret_cast<const Loose*>(lo + i),
                high = *reinterpret_cast<const Loose*>(hi + i);
    const Loose m = ((x != x) | (x > low)) ? x : low;
    *reinterpret_cast<Loose*>(y + i) = ((m != m) | (m < high)) ? m : high;
  }
  for (; i < n; ++i) y[i] = Clamp::of(p[i], lo[i], hi[i]);
}

} // namespace

const MapKernels& map_kernels() {
  static const MapKernels kernels = make();
  return kernels;
}

const cpu::PairTable& pair_kernels() {
  static const cpu::PairTable table = {
      pair_loop<MulAdd>, pair_loop<MulSub>,    pair_loop<MulRsub>,    pair_loop<AddMul>,   pair_loop<SubMul>,
      pair_loop<MulMul>, pair_loop<AddAdd>,    pair_loop<DivRound>,   pair_loop<MulRound>, pair_loop<SiluMul>,
      pair_loop<Clamp>,  pair_loop<SquareAdd>, pair_loop<SiluBf16Mul>};
  return table;
}

} // namespace wane::WANE_ISA_NAMESPACE
