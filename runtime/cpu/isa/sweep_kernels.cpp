// The column sweep's update for one x86-64 level. A block of 4 columns by a few vectors of rows stays in
// registers over a run of k; every element is one chain in the order of k, so the bits depend on neither the
// blocks nor the number of rows. Lanes are a multiple of 16, so no vector is cut.
#include "runtime/cpu/sweep_kernels.h"

#include <algorithm>
#include <type_traits>

#include "runtime/cpu/isa/registers.h"

namespace wane::WANE_ISA_NAMESPACE {
namespace {

using cpu::kPanelColumns;
using cpu::panel_offset;

#if defined(__AVX512F__)
constexpr int kVectors = 4;
#else
constexpr int kVectors = 2;
#endif
template <class T> using Vec = std::conditional_t<sizeof(T) == 4, F32, F64>;
template <class T> constexpr int kWidth = Vec<T>::kLanes;
constexpr int64_t kRun = 128; // k's whose vectors stay in the first cache while the columns pass

// `columns` columns at x, `vectors` vectors of rows each, over k of n entries; u and second step by a panel's
// row.
template <class T, int vectors, int columns, bool has_second>
void block(T* x, const T* s, const T* v, int64_t lanes, int64_t n, const T* u, const T* second) {
  using V = Vec<T>;
  V sum[columns][vectors];
  for (int c = 0; c < columns; c++)
    for (int i = 0; i < vectors; i++) sum[c][i] = V::load(x + c * lanes + i * kWidth<T>);
  const auto add = [&](const T* from, const T* factors) {
    V e[vectors];
    for (int i = 0; i < vectors; i++) e[i] = V::load(from + i * kWidth<T>);
    for (int c = 0; c < columns; c++) {
      const V factor = V::all(factors[c]);
      for (int i = 0; i < vectors; i++) sum[c][i].add_product(e[i], factor);
    }
  };
  for (int64_t k = 0; k < n; k++, s += lanes, u += kPanelColumns) {
    add(s, u);
    if constexpr (has_second) {
      add(v, second);
      v += lanes;
      second += kPanelColumns;
    }
  }
  for (int c = 0; c < columns; c++)
    for (int i = 0; i < vectors; i++) sum[c][i].store(x + c * lanes + i * kWidth<T>);
}

// All rows of the tile, for `columns` columns of one panel.
template <class T, int columns, bool has_second>
void all_rows(T* x, const T* s, const T* v, int64_t lanes, int64_t n, const T* u, const T* second,
              int64_t row, int64_t last) {
  for (; row + kVectors * kWidth<T> <= last; row += kVectors * kWidth<T>)
    block<T, kVectors, columns, has_second>(x + row, s + row, v + row, lanes, n, u, second);
  for (; row < last; row += kWidth<T>)
    block<T, 1, columns, has_second>(x + row, s + row, v + row, lanes, n, u, second);
}

template <class T, bool has_second>
void run(T* s, const T* v, int64_t lanes, int64_t k0, int64_t k1, int64_t c0, int64_t c1, const T* u,
         const T* second, int64_t row, int64_t last) {
  for (int64_t c = c0; c < c1;) {
    const int64_t panel = c / kPanelColumns, within = c % kPanelColumns;
    const int64_t at = panel_offset(panel) + k0 * kPanelColumns + within;
    const T* other = has_second ? second + at : nullptr;
    if (within == 0 && c + kPanelColumns <= c1) {
      all_rows<T, kPanelColumns, has_second>(s + c * lanes, s + k0 * lanes, v + k0 * lanes, lanes, k1 - k0,
                                             u + at, other, row, last);
      c += kPanelColumns;
    } else {
      all_rows<T, 1, has_second>(s + c * lanes, s + k0 * lanes, v + k0 * lanes, lanes, k1 - k0, u + at, other,
                                 row, last);
      c++;
    }
  }
}

template <class T>
void update(T* s, const T* v, int64_t lanes, int64_t k0, int64_t k1, int64_t c0, int64_t c1, const T* u,
            const T* second) {
  if (!v) v = s;
  constexpr int64_t kRows = kVectors * kWidth<T>;
  for (; k0 < k1; k0 += kRun) {
    const int64_t end = std::min(k1, k0 + kRun);
    for (int64_t row = 0; row < lanes; row += kRows) {
      const int64_t last = std::min(lanes, row + kRows);
      second ? run<T, true>(s, v, lanes, k0, end, c0, c1, u, second, row, last)
             : run<T, false>(s, v, lanes, k0, end, c0, c1, u, second, row, last);
    }
  }
}

template <class T>
bool settle(const T* codes, const T* values, T* w, T pivot, T levels, int64_t lanes, uint8_t* out) {
  constexpr int64_t kPiece = 16;
  bool good = true;
  for (int64_t at = 0; at < lanes; at += kPiece) {
    int whole[kPiece], fits[kPiece];
    for (int64_t r = 0; r < kPiece; r++) {
      const T code = codes[at + r];
      const bool inside = (code >= T(0)) & (code < levels);
      whole[r] = int(inside ? code : T(0));
      fits[r] = inside & (T(whole[r]) == code);
    }
    int all = 1;
    for (int64_t r = 0; r < kPiece; r++) all &= fits[r];
    good &= all != 0;
    for (int64_t r = 0; r < kPiece; r++) out[at + r] = uint8_t(whole[r]);
    for (int64_t r = 0; r < kPiece; r++) w[at + r] = (values[at + r] - w[at + r]) / pivot;
  }
  return good;
}

} // namespace

const cpu::SweepTable& sweep_kernels() {
  static const cpu::SweepTable table{{update<float>, settle<float>}, {update<double>, settle<double>}};
  return table;
}

} // namespace wane::WANE_ISA_NAMESPACE
