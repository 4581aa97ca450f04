// Butterflies for one x86-64 level. The stages run from neighbours outwards at every vector width, so each
// output is the same tree of additions.
#include "runtime/cpu/hadamard_kernels.h"

#include <algorithm>
#include <type_traits>

namespace wane::WANE_ISA_NAMESPACE {
namespace {

#if defined(__AVX512F__)
constexpr int kBytes = 64;
#elif defined(__AVX__)
constexpr int kBytes = 32;
#else
constexpr int kBytes = 16;
#endif

template <class T> struct Vectors {
  static constexpr int width = kBytes / int(sizeof(T));
  using Index = std::conditional_t<sizeof(T) == 4, int32_t, int64_t>;
  typedef T Vec __attribute__((vector_size(kBytes), may_alias));
  typedef T Loose __attribute__((vector_size(kBytes), aligned(sizeof(T)), may_alias));
  typedef Index Lanes __attribute__((vector_size(kBytes)));
};

// The innermost stages of two vectors at a time. Splitting evens from odds pairs the neighbours and moves the
// lowest bit of the index to its top; after as many splits as the index has bits everything is back in place.
template <class T> void near_stages(const T* from, T* x, int stages) {
  using V = Vectors<T>;
  constexpr int width = V::width;
  typename V::Lanes evens, odds;
  for (int i = 0; i < width; i++) {
    evens[i] = 2 * i;
    odds[i] = 2 * i + 1;
  }
  typename V::Vec a = *(const typename V::Loose*)from, b = *(const typename V::Loose*)(from + width);
  int bits = 1;
  while ((1 << bits) < 2 * width) bits++;
  for (int s = 0; s < bits; s++) {
    typename V::Vec even = __builtin_shuffle(a, b, evens), odd = __builtin_shuffle(a, b, odds);
    a = s < stages ? even + odd : even;
    b = s < stages ? even - odd : odd;
  }
  *(typename V::Loose*)x = a;
  *(typename V::Loose*)(x + width) = b;
}

template <class T> void far_stage(T* x, int64_t count, int64_t step) {
  for (int64_t start = 0; start < count; start += 2 * step) {
    T *p = x + start, *q = p + step;
#pragma GCC ivdep
    for (int64_t i = 0; i < step; i++) {
      T a = p[i], b = q[i];
      p[i] = a + b;
      q[i] = a - b;
    }
  }
}

// Two stages in one pass over memory.
template <class T> void far_stages(T* x, int64_t count, int64_t step) {
  for (int64_t start = 0; start < count; start += 4 * step) {
    T *p = x + start, *q = p + step, *r = q + step, *s = r + step;
#pragma GCC ivdep
    for (int64_t i = 0; i < step; i++) {
      T a = p[i] + q[i], b = p[i] - q[i], c = r[i] + s[i], d = r[i] - s[i];
      p[i] = a + c;
      q[i] = b + d;
      r[i] = a - c;
      s[i] = b - d;
    }
  }
}

template <class T> void fast(const T* from, T* x, int64_t count, int64_t size) {
  constexpr int64_t pair = 2 * Vectors<T>::width;
  int stages = 0;
  while ((int64_t(1) << stages) < std::min(size, pair)) stages++;
  if (stages == 0) {
    if (from != x) std::copy(from, from + count, x);
    return;
  }
  int64_t i = 0;
  for (; i + pair <= count; i += pair) near_stages(from + i, x + i, stages);
  if (i < count) { // fewer than two vectors are left: the groups are no longer than what is left
    T rest[pair] = {};
    std::copy(from + i, from + count, rest);
    near_stages(rest, rest, stages);
    std::copy(rest, rest + (count - i), x + i);
  }
  int64_t step = pair;
  for (; 4 * step <= size; step *= 4) far_stages(x, count, step);
  if (2 * step <= size) far_stage(x, count, step);
}

// Four rows (every Paley order is a multiple of 4) by C vectors.
template <class T, int C>
void mix_four(const T* source, const int32_t* terms, int64_t m, int64_t columns, T* out, int64_t stride) {
  using V = Vectors<T>;
  typename V::Vec sum[4][C] = {};
  for (int64_t b = 0; b < m; b++)
    for (int r = 0; r < 4; r++)
      for (int c = 0; c < C; c++)
        sum[r][c] += *(const typename V::Loose*)(source + terms[r * m + b] * columns + c * V::width);
  for (int r = 0; r < 4; r++)
    for (int c = 0; c < C; c++) *(typename V::Loose*)(out + r * stride + c * V::width) = sum[r][c];
}

// A strip of whole vectors of columns: laid out densely with its negative behind it, for rows a power of two
// apart would share a few cache sets, then mixed back into x.
template <class T>
void mix_strip(T* x, const int32_t* terms, int64_t m, int64_t width, int64_t columns, T* room) {
  using V = Vectors<T>;
  constexpr int64_t w = V::width;
  for (int64_t b = 0; b < m; b++) {
    T *row = room + b * columns, *negative = row + m * columns;
    for (int64_t c = 0; c < columns; c += w) {
      const typename V::Vec given = *(const typename V::Loose*)(x + b * width + c);
      *(typename V::Loose*)(row + c) = given;
      *(typename V::Loose*)(negative + c) = -given;
    }
  }
  for (int64_t a = 0; a < m; a += 4) {
    int64_t c = 0;
    for (; c + 2 * w <= columns; c += 2 * w)
      mix_four<T, 2>(room + c, terms + a * m, m, columns, x + a * width + c, width);
    for (; c < columns; c += w) mix_four<T, 1>(room + c, terms + a * m, m, columns, x + a * width + c, width);
  }
}

// Fewer columns than a vector holds: the same with zeros beside them.
template <class T>
void mix_rest(T* x, const int32_t* terms, int64_t m, int64_t width, int64_t many, T* room) {
  constexpr int64_t w = Vectors<T>::width;
  T result[4 * w];
  for (int64_t b = 0; b < m; b++) {
    T *row = room + b * w, *negative = row + m * w;
    for (int64_t c = 0; c < w; c++) {
      row[c] = c < many ? x[b * width + c] : T(0);
      negative[c] = -row[c];
    }
  }
  for (int64_t a = 0; a < m; a += 4) {
    mix_four<T, 1>(room, terms + a * m, m, w, result, w);
    for (int64_t r = 0; r < 4; r++)
      for (int64_t c = 0; c < many; c++) x[(a + r) * width + c] = result[r * w + c];
  }
}

template <class T> void mix(T* x, const int32_t* terms, int64_t m, int64_t width, T* room) {
  constexpr int64_t w = Vectors<T>::width;
  int64_t from = 0;
  for (int64_t many; from + w <= width; from += many) {
    many = std::min(cpu::kMixColumns, (width - from) / w * w);
    mix_strip(x + from, terms, m, width, many, room);
  }
  if (from < width) mix_rest(x + from, terms, m, width, width - from, room);
}

template <class T> void scale(const T* x, int64_t count, T factor, T* out) {
#pragma GCC ivdep
  for (int64_t i = 0; i < count; i++) out[i] = x[i] * factor;
}

template <class T> void multiply(const T* x, const T* y, int64_t count, T* out) {
#pragma GCC ivdep
  for (int64_t i = 0; i < count; i++) out[i] = x[i] * y[i];
}

} // namespace

const cpu::HadamardTable& hadamard_kernels() {
  static const cpu::HadamardTable table{{fast<float>, mix<float>, scale<float>, multiply<float>},
                                        {fast<double>, mix<double>, scale<double>, multiply<double>}};
  return table;
}

} // namespace wane::WANE_ISA_NAMESPACE
