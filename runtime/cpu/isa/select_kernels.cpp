// Counting and comparing over rows, for one x86-64 level. Positions come from bit masks of many elements at a
// time: a selection keeps few of them, and a branch per element would be guessed wrong for each of these.
#include "runtime/cpu/select_kernels.h"
#include "runtime/cpu/isa/vectors.h"

#include <bit>
#include <limits>

#include <immintrin.h>

namespace wane::WANE_ISA_NAMESPACE {
namespace {

// One bit per lane, set where a < b.
template <class T> uint64_t below_bits(typename Vectors<T>::Vec a, typename Vectors<T>::Vec b) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<T, float>) return _mm512_cmp_ps_mask((__m512)a, (__m512)b, _CMP_LT_OQ);
  if constexpr (std::is_same_v<T, double>) return _mm512_cmp_pd_mask((__m512d)a, (__m512d)b, _CMP_LT_OQ);
  return _mm512_cmplt_epi64_mask((__m512i)a, (__m512i)b);
#elif defined(__AVX2__)
  if constexpr (sizeof(T) == 4) return uint64_t(_mm256_movemask_ps((__m256)(a < b)));
  return uint64_t(_mm256_movemask_pd((__m256d)(a < b)));
#else
  if constexpr (sizeof(T) == 4) return uint64_t(_mm_movemask_ps((__m128)(a < b)));
  return uint64_t(_mm_movemask_pd((__m128d)(a < b)));
#endif
}
template <class T> uint64_t below_bits(T a, T b) { return a < b; }

template <class T> constexpr T lowest() {
  using L = std::numeric_limits<T>;
  return L::has_infinity ? -L::infinity() : L::min();
}
template <class T> constexpr T highest() {
  using L = std::numeric_limits<T>;
  return L::has_infinity ? L::infinity() : L::max();
}

template <class T> bool extent(const T* x, int64_t n, T* least, T* largest) {
  using V = Vectors<T>;
  constexpr int64_t w = V::width;
  typename V::Vec low[2], high[2];
  typename V::Lanes odd[2] = {};
  for (int s = 0; s < 2; s++) {
    low[s] = V::all(highest<T>());
    high[s] = V::all(lowest<T>());
  }
  int64_t i = 0;
  for (; i + 2 * w <= n; i += 2 * w)
    for (int s = 0; s < 2; s++) {
      const auto v = V::load(x + i + s * w);
      low[s] = v < low[s] ? v : low[s];
      high[s] = v > high[s] ? v : high[s];
      odd[s] |= v != v;
    }
  T a = highest<T>(), b = lowest<T>();
  bool nan = false;
  auto add = [&](T from, T to) {
    if (from < a) a = from;
    if (to > b) b = to;
  };
  for (int s = 0; s < 2; s++)
    for (int l = 0; l < w; l++) {
      add(low[s][l], high[s][l]);
      nan |= odd[s][l] != 0;
    }
  for (; i < n; i++) {
    add(x[i], x[i]);
    nan |= x[i] != x[i];
  }
  *least = a;
  *largest = b;
  return nan;
}

template <class T> void group_maxima(const T* x, int64_t n, T* groups, int64_t count) {
  using V = Vectors<T>;
  for (int64_t g = 0; g < count; g++) groups[g] = lowest<T>();
  int64_t i = 0;
  for (; i + count <= n; i += count)
    for (int64_t g = 0; g < count; g += V::width) {
      _mm_prefetch((const char*)(x + i + g) + 2048, _MM_HINT_T0); // also past the page, and the next row
      const auto v = V::load(x + i + g), most = V::load(groups + g);
      V::store(groups + g, v > most ? v : most);
    }
  for (int64_t g = 0; i < n; i++, g++)
    if (x[i] > groups[g]) groups[g] = x[i];
}

// Rows of 2^31 elements and more are refused before they come here, so that 32 bits count a lane.
template <class T> int64_t count_below(const T* x, int64_t n, T bound) {
  using V = Vectors<T>;
  constexpr int64_t w = V::width;
  const auto limit = V::all(bound);
  typename V::Lanes many[4] = {};
  int64_t i = 0;
  for (; i + 4 * w <= n; i += 4 * w)
    for (int s = 0; s < 4; s++) many[s] = V::load(x + i + s * w) < limit ? many[s] + 1 : many[s];
  const typename V::Lanes sum = (many[0] + many[1]) + (many[2] + many[3]);
  int64_t total = 0;
  for (int l = 0; l < w; l++) total += sum[l];
  for (; i < n; i++) total += x[i] < bound;
  return total;
}

// Writes the places of the bits of words that follow one another, kWord elements each.
#if defined(__AVX512F__)
constexpr int64_t kWord = 16;
class Places {
public:
  explicit Places(uint32_t* out) : out_(out) {}
  void put(uint64_t word) {
    _mm512_storeu_si512(out_, _mm512_maskz_compress_epi32(__mmask16(word), at_));
    out_ += std::popcount(word);
    at_ = _mm512_add_epi32(at_, _mm512_set1_epi32(16));
  }
  uint32_t* end() const { return out_; }

private:
  uint32_t* out_;
  __m512i at_ = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
};
#else
constexpr int64_t kWord = 64;
class Places {
public:
  explicit Places(uint32_t* out) : out_(out) {}
  void put(uint64_t word) {
    for (; word; word &= word - 1) *out_++ = at_ + uint32_t(std::countr_zero(word));
    at_ += 64;
  }
  uint32_t* end() const { return out_; }

private:
  uint32_t* out_;
  uint32_t at_ = 0;
};
#endif

// left_out(v) gives a bit for each lane of a vector, or for one element.
template <class T, class F>
int64_t positions_but(const T* x, int64_t n, int64_t most, uint32_t* out, F&& left_out) {
  using V = Vectors<T>;
  constexpr uint64_t all = ~uint64_t(0) >> (64 - kWord);
  Places places(out);
  int64_t i = 0;
  for (; i + kWord <= n && places.end() - out <= most; i += kWord) {
    uint64_t word = 0;
    for (int64_t l = 0; l < kWord; l += V::width) word |= left_out(V::load(x + i + l)) << l;
    places.put(word ^ all);
  }
  uint32_t* end = places.end();
  for (; i < n && end - out <= most; i++)
    if (!left_out(x[i])) *end++ = uint32_t(i);
  return end - out;
}

// A bound in a form that goes with vectors and with elements.
template <class T> struct Bound {
  T one;
  typename Vectors<T>::Vec all;
  explicit Bound(T x) : one(x), all(Vectors<T>::all(x)) {}
  uint64_t above(T x) const { return below_bits<T>(x, one); }
  uint64_t above(typename Vectors<T>::Vec x) const { return below_bits<T>(x, all); }
  uint64_t below(T x) const { return below_bits<T>(one, x); }
  uint64_t below(typename Vectors<T>::Vec x) const { return below_bits<T>(all, x); }
};

template <class T> int64_t positions_from(const T* x, int64_t n, T from, int64_t most, uint32_t* out) {
  const Bound<T> bound(from);
  return positions_but(x, n, most, out, [&](auto v) { return bound.above(v); });
}

template <class T>
int64_t positions_within(const T* x, int64_t n, T from, T to, int64_t most, uint32_t* out) {
  const Bound<T> low(from), high(to);
  return positions_but(x, n, most, out, [&](auto v) { return low.above(v) | high.below(v); });
}

template <class T> void neighbours(const T* x, int64_t n, T bound, T* below, T* from) {
  using V = Vectors<T>;
  constexpr int64_t w = V::width;
  const auto limit = V::all(bound);
  auto under = V::all(lowest<T>()), over = V::all(highest<T>());
  int64_t i = 0;
  for (; i + w <= n; i += w) {
    const auto v = V::load(x + i);
    under = (v < limit) & (v > under) ? v : under;
    over = (v >= limit) & (v < over) ? v : over;
  }
  T a = lowest<T>(), b = highest<T>();
  auto add = [&](T v) {
    if (v < bound && v > a) a = v;
    if (v >= bound && v < b) b = v;
  };
  for (int l = 0; l < w; l++) {
    add(under[l]);
    add(over[l]);
  }
  for (; i < n; i++) add(x[i]);
  *below = a;
  *from = b;
}

// Neighbouring elements often fall into one bin; on tables of their own the second need not wait for the
// count that the first stores.
template <class T>
void tally(const T* x, int64_t n, double lo, double hi, int64_t bins, uint32_t* counts, int64_t stride) {
  constexpr int64_t block = 256;
  const double per_unit = double(bins) / (hi - lo), last = double(bins - 1), none = double(bins);
  int32_t bin[block];
  for (int64_t i = 0; i < n; i += block) {
    const int64_t many = n - i < block ? n - i : block;
#pragma GCC ivdep
    for (int64_t j = 0; j < many; j++) {
      const double value = double(x[i + j]), at = (value - lo) * per_unit, place = at < last ? at : last;
      bin[j] = int32_t((value >= lo) & (value <= hi) ? place : none);
    }
    int64_t j = 0;
    for (; j + 4 <= many; j += 4)
      for (int64_t t = 0; t < 4; t++) counts[t * stride + bin[j + t]]++;
    for (; j < many; j++) counts[bin[j]]++;
  }
}

template <class K> void ranks(const K* keys, int64_t n, K* out) {
  using V = Vectors<K>;
  constexpr int64_t w = V::width;
  typename V::Vec lane;
  for (int l = 0; l < w; l++) lane[l] = K(l);
  for (int64_t i = 0; i < n; i += w) {
    const auto own = V::load(keys + i);
    typename V::Vec rank = {};
    for (int64_t j = 0; j < i; j++) rank = keys[j] >= own ? rank + 1 : rank;
    for (int64_t j = i; j < i + w && j < n; j++)
      rank -= (keys[j] > own) | ((keys[j] == own) & (K(j - i) < lane));
    for (int64_t j = i + w; j < n; j++) rank = keys[j] > own ? rank + 1 : rank;
    V::store(out + i, rank);
  }
}

template <class T> constexpr cpu::SelectKernels<T> kernels() {
  return {extent<T>,           group_maxima<T>, count_below<T>, positions_from<T>,
          positions_within<T>, neighbours<T>,   tally<T>,       ranks<typename cpu::SelectKernels<T>::Key>};
}

} // namespace

const cpu::SelectTable& select_kernels() {
  static constexpr cpu::SelectTable table{kernels<float>(), kernels<double>(), kernels<int64_t>()};
  return table;
}

} // namespace wane::WANE_ISA_NAMESPACE
