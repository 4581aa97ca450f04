// Butterflies for one x86-64 level, as many stages at a time as its registers hold. The stages run from
// neighbours outwards at every vector width and in every grouping, so each output is the same tree of
// additions.
#include "runtime/cpu/hadamard_kernels.h"
#include "runtime/cpu/isa/registers.h"
#include "runtime/cpu/isa/vectors.h"

#include <algorithm>

namespace wane::WANE_ISA_NAMESPACE {
namespace {

#if defined(__AVX512F__)
constexpr int kStages = 4;       // of one pass: across 2^kStages vectors in registers
constexpr int kStripVectors = 2; // times 12 rows of sums, when rows are mixed
#else
constexpr int kStages = 3;
constexpr int kStripVectors = 1;
#endif

constexpr int64_t kAhead = 4096; // bytes: over the end of a page, where the processor's own guesses end

constexpr int log2_of(int64_t n) {
  int bits = 0;
  while ((int64_t(1) << bits) < n) bits++;
  return bits;
}

// How a pass leaves its results: as they are, times the factor, or so past the caches.
enum class Put { plain, scaled, streamed };
template <Put how, class T> void put(T* p, typename Vectors<T>::Vec v, T factor) {
  if constexpr (how == Put::streamed)
    Vectors<T>::stream(p, v * factor);
  else
    Vectors<T>::store(p, how == Put::scaled ? v * factor : v);
}

// The first S stages on two vectors. Splitting evens from odds pairs the neighbours and moves the lowest bit
// of the index to its top; after as many splits as the index has bits everything is back in place.
template <class T, int S> void near_stages(typename Vectors<T>::Vec& a, typename Vectors<T>::Vec& b) {
  using V = Vectors<T>;
  constexpr int bits = log2_of(2 * V::width);
  typename V::Lanes evens, odds;
  for (int i = 0; i < V::width; i++) {
    evens[i] = 2 * i;
    odds[i] = 2 * i + 1;
  }
#pragma GCC unroll 8
  for (int s = 0; s < bits; s++) {
    const typename V::Vec even = __builtin_shuffle(a, b, evens), odd = __builtin_shuffle(a, b, odds);
    a = s < S ? even + odd : even;
    b = s < S ? even - odd : odd;
  }
}

// Stages across 2^R vectors, from the one that pairs vectors 2^First apart.
template <int First, int R, class Vec> void across(Vec* v) {
#pragma GCC unroll 8
  for (int s = First; s < R; s++)
#pragma GCC unroll 16
    for (int i = 0; i < 1 << R; i++)
      if (!(i >> s & 1)) {
        const Vec a = v[i], b = v[i + (1 << s)];
        v[i] = a + b;
        v[i + (1 << s)] = a - b;
      }
}

// The first S stages within pairs of vectors, then those across 2^R vectors.
template <class T, Put how, int S, int R> void first_pass(const T* from, T* out, int64_t count, T factor) {
  using V = Vectors<T>;
  constexpr int vectors = 1 << R;
  for (int64_t at = 0; at < count; at += vectors * V::width) {
    typename V::Vec v[vectors];
#pragma GCC unroll 16
    for (int i = 0; i < vectors; i++) {
      v[i] = V::load(from + at + i * V::width);
      _mm_prefetch((const char*)(from + at + i * V::width) + kAhead, _MM_HINT_T0);
    }
#pragma GCC unroll 8
    for (int i = 0; i < vectors; i += 2) near_stages<T, S>(v[i], v[i + 1]);
    across<1, R>(v);
#pragma GCC unroll 16
    for (int i = 0; i < vectors; i++) put<how>(out + at + i * V::width, v[i], factor);
  }
}

// The last R stages of one group of 2^R * step elements.
template <class T, Put how, int R> void later_pass(const T* from, T* out, int64_t step, T factor) {
  using V = Vectors<T>;
  constexpr int vectors = 1 << R;
  for (int64_t at = 0; at < step; at += V::width) {
    typename V::Vec v[vectors];
#pragma GCC unroll 16
    for (int i = 0; i < vectors; i++) v[i] = V::load(from + at + i * step);
    across<0, R>(v);
#pragma GCC unroll 16
    for (int i = 0; i < vectors; i++) put<how>(out + at + i * step, v[i], factor);
  }
}

template <class T> constexpr int64_t kPair = 2 * Vectors<T>::width;
template <class T> constexpr int64_t kFirstGroup = Vectors<T>::width << kStages;

// Groups that one pass does.
template <class T, Put how, int S = log2_of(kPair<T>), int R = kStages>
void short_groups(const T* from, T* out, int64_t count, int stages, T factor) {
  if (stages == S + R - 1)
    first_pass<T, how, S, R>(from, out, count, factor);
  else if constexpr (R > 1)
    short_groups<T, how, S, R - 1>(from, out, count, stages, factor);
  else if constexpr (S > 0)
    short_groups<T, how, S - 1, R>(from, out, count, stages, factor);
}

template <class T, Put how, int R = kStages>
void last_stages(const T* from, T* out, int64_t step, int stages, T factor) {
  if (stages == R)
    later_pass<T, how, R>(from, out, step, factor);
  else if constexpr (R > 1)
    last_stages<T, how, R - 1>(from, out, step, stages, factor);
}

// One group; each part of it is finished in a near cache before the stages across the parts.
template <class T, Put how> void group(const T* from, T* out, int stages, T factor, T* room) {
  constexpr int first = log2_of(kFirstGroup<T>);
  if (stages <= first) return short_groups<T, how>(from, out, int64_t(1) << stages, stages, factor);
  const int passes = (stages - first + kStages - 1) / kStages, last = (stages - first + passes - 1) / passes;
  const int64_t part = int64_t(1) << (stages - last);
  for (int64_t at = 0; at < part << last; at += part)
    group<T, Put::plain>(from + at, room + at, stages - last, factor, room + at);
  last_stages<T, how>(room, out, part, last, factor);
}

template <class T, Put how>
void groups(const T* from, T* out, int64_t count, int64_t size, T factor, T* room) {
  const int stages = log2_of(size);
  if (size > kFirstGroup<T>) {
    for (int64_t at = 0; at < count; at += size) group<T, how>(from + at, out + at, stages, factor, room);
    return;
  }
  const int64_t whole = count - count % std::max(size, kPair<T>);
  short_groups<T, how>(from, out, whole, stages, factor);
  if (whole == count) return;
  T rest[kPair<T>] = {}; // fewer than two vectors are left: the groups are no longer than what is left
  std::copy(from + whole, from + count, rest);
  constexpr Put near = how == Put::plain ? how : Put::scaled;
  short_groups<T, near>(rest, rest, kPair<T>, stages, factor);
  std::copy(rest, rest + (count - whole), out + whole);
}

template <class T>
void fast(const T* from, T* out, int64_t count, int64_t size, T factor, bool stream, T* room) {
  if (stream && kVectorBytes == 64) // a part of a cache line at a time would go out to memory as such
    groups<T, Put::streamed>(from, out, count, size, factor, room);
  else if (factor == 1)
    groups<T, Put::plain>(from, out, count, size, factor, room);
  else
    groups<T, Put::scaled>(from, out, count, size, factor, room);
}

// R rows by C vectors. A product with 1 or -1 is exact, so adding it rounds as adding or subtracting does,
// fused or not.
template <class T, int R, int C>
void mix_rows(const T* from, int64_t from_stride, const T* signs, int64_t m, T factor, T* out,
              int64_t out_stride) {
  using V = Vectors<T>;
  using Register = std::conditional_t<sizeof(T) == 4, F32, F64>;
  constexpr int r4 = int(cpu::kMixRows);
  Register sum[R][C];
  for (int r = 0; r < R; r++)
    for (int c = 0; c < C; c++) sum[r][c] = Register::all(0);
  for (int64_t b = 0; b < m; b++) {
    Register x[C];
    for (int c = 0; c < C; c++) x[c] = Register::load(from + b * from_stride + c * V::width);
    for (int r = 0; r < R; r++) {
      const auto sign = Register::all(signs[(r / r4 * m + b) * r4 + r % r4]);
      for (int c = 0; c < C; c++) sum[r][c].add_product(x[c], sign);
    }
  }
  for (int r = 0; r < R; r++)
    for (int c = 0; c < C; c++)
      V::store(out + r * out_stride + c * V::width, (typename V::Vec)sum[r][c].v * factor);
}

// C vectors of columns of all rows. Unless all sums are formed at once the rows are laid out densely first:
// out may be from, and rows a power of two apart would share a few cache sets.
template <class T, int C>
void mix_strip(const T* from, T* out, const T* signs, int64_t m, int64_t width, T factor, T* room) {
  using V = Vectors<T>;
  int64_t stride = width;
  if (m > 12) {
    stride = C * V::width;
    for (int64_t b = 0; b < m; b++)
      for (int c = 0; c < C; c++)
        V::store(room + b * stride + c * V::width, V::load(from + b * width + c * V::width));
    from = room;
  }
  int64_t a = 0;
  for (; a + 12 <= m; a += 12)
    mix_rows<T, 12, C>(from, stride, signs + a * m, m, factor, out + a * width, width);
  if (a + 8 <= m) {
    mix_rows<T, 8, C>(from, stride, signs + a * m, m, factor, out + a * width, width);
    a += 8;
  }
  if (a < m) mix_rows<T, 4, C>(from, stride, signs + a * m, m, factor, out + a * width, width);
}

template <class T>
void mix(const T* from, T* out, const T* signs, int64_t m, int64_t width, T factor, T* room) {
  constexpr int64_t w = Vectors<T>::width;
  static_assert(kStripVectors * w <= cpu::kMixColumns);
  int64_t c = 0;
  for (; c + kStripVectors * w <= width; c += kStripVectors * w)
    mix_strip<T, kStripVectors>(from + c, out + c, signs, m, width, factor, room);
  for (; c + w <= width; c += w) mix_strip<T, 1>(from + c, out + c, signs, m, width, factor, room);
  if (c == width) return;
  for (int64_t b = 0; b < m; b++) // fewer columns than a vector holds: the same with zeros beside them
    for (int64_t i = 0; i < w; i++) room[b * w + i] = c + i < width ? from[b * width + c + i] : T(0);
  T result[4 * w];
  for (int64_t a = 0; a < m; a += 4) {
    mix_rows<T, 4, 1>(room, w, signs + a * m, m, factor, result, w);
    for (int64_t r = 0; r < 4; r++)
      std::copy(result + r * w, result + r * w + width - c, out + (a + r) * width + c);
  }
}

template <class T> void multiply(const T* x, const T* y, int64_t count, T* out) {
#pragma GCC ivdep
  for (int64_t i = 0; i < count; i++) out[i] = x[i] * y[i];
}

} // namespace

const cpu::HadamardTable& hadamard_kernels() {
  static const cpu::HadamardTable table{{fast<float>, mix<float>, multiply<float>},
                                        {fast<double>, mix<double>, multiply<double>}};
  return table;
}

} // namespace wane::WANE_ISA_NAMESPACE
