// Reductions over any dim, seen as [outer, n, inner]. Columns are folded where they lie, without a transposed
// copy, in the tree that rows are folded in, so a matrix and its transpose give the same bits.
#include "runtime/cpu/fold_kernels.h"
#include "runtime/cpu/kernels.h"
#include "runtime/cpu/lanes.h"

#include "runtime/cpu/pool.h"
#include "runtime/error.h"

#include <algorithm>
#include <memory>
#include <vector>

namespace wane::cpu {
namespace {

constexpr int64_t kColumns = 256;      // columns that one part folds
constexpr int64_t kManyColumns = 1024; // the same of large matrices: whole pages of their rows
constexpr int64_t kLarge = 1 << 22;    // elements
constexpr int64_t kElements = 1 << 16; // about so many elements make a part

// How the work is cut: columns into chunks; if few outputs have long sums, blocks of 256 into runs, whose
// sums are kept and joined in order afterwards.
struct Cut {
  int64_t outer, n, inner;
  int64_t width, chunks, blocks, run, runs;

  Cut(int64_t outer, int64_t n, int64_t inner) : outer(outer), n(n), inner(inner) {
    width = std::min(inner, outer * n * inner < kLarge ? kColumns : kManyColumns);
    chunks = (inner + width - 1) / width;
    blocks = (n + kReduceBlock - 1) / kReduceBlock;
    run = std::max<int64_t>(1, kElements / (kReduceBlock * width));
    runs = (blocks + run - 1) / run;
  }
};

// Joins block `b` of columns [column, column + width) to total.
template <class T>
void fold_block(const FoldKernels<T>& k, DType in, const char* x, const Cut& cut, int64_t b, int64_t column,
                int64_t width, T* total, T* lanes, T* room) {
  const int64_t first = b * kReduceBlock, last = std::min(cut.n, first + kReduceBlock),
                bytes = int64_t(size_of(in));
  if (cut.inner == 1) {
    k.block(read_lanes(in, x + first * bytes, last - first, room), last - first, total);
    return;
  }
  k.start(lanes, kReduceLanes * width);
  const char* at = x + (first * cut.inner + column) * bytes;
  if (in == computed_dtype<T>())
    k.rows(reinterpret_cast<const T*>(at), last - first, width, cut.inner, lanes);
  else
    for (int64_t i = first; i < last; i += kReduceLanes) {
      const int64_t count = std::min<int64_t>(kReduceLanes, last - i);
      for (int64_t r = 0; r < count; r++, at += cut.inner * bytes)
        read_lanes(in, at, width, room + r * width);
      k.rows(room, count, width, width, lanes);
    }
  k.finish(lanes, width, total);
}

template <class T> void fold(Reduction how, DType in, const char* x, T* out, const Cut& cut) {
  const FoldKernels<T>& k = fold_kernels().of<T>(how);
  const int64_t bytes = int64_t(size_of(in)), row = cut.n * cut.inner;
  const bool direct = cut.runs <= 1;
  std::vector<T> sums(direct ? 0 : size_t(cut.outer * cut.blocks * cut.inner));
  k.start(out, cut.outer * cut.inner);
  if (!direct) k.start(sums.data(), int64_t(sums.size()));
  // Short sums of few columns are batched.
  const int64_t runs = std::max<int64_t>(1, cut.runs), tasks = cut.outer * cut.chunks * runs;
  const int64_t step = direct ? std::max<int64_t>(1, kElements / std::max<int64_t>(1, cut.n * cut.width)) : 1;
  parallel_parts((tasks + step - 1) / step, [&](int64_t part, int) {
    auto lanes = std::make_unique_for_overwrite<T[]>(size_t(kReduceLanes * cut.width)),
         room = std::make_unique_for_overwrite<T[]>(size_t(std::max(kReduceBlock, kReduceLanes * cut.width)));
    for (int64_t task = part * step; task < std::min(tasks, (part + 1) * step); task++) {
      const int64_t o = task / (cut.chunks * runs), chunk = task / runs % cut.chunks, r = task % runs;
      const int64_t column = chunk * cut.width, width = std::min(cut.width, cut.inner - column);
      for (int64_t b = r * cut.run; b < std::min(cut.blocks, (r + 1) * cut.run); b++) {
        T* total =
            direct ? out + o * cut.inner + column : &sums[size_t((o * cut.blocks + b) * cut.inner + column)];
        fold_block(k, in, x + o * row * bytes, cut, b, column, width, total, lanes.get(), room.get());
      }
    }
  });
  if (direct) return;
  parallel_parts(cut.outer * cut.chunks, [&](int64_t part, int) {
    const int64_t o = part / cut.chunks, column = part % cut.chunks * cut.width;
    for (int64_t b = 0; b < cut.blocks; b++)
      k.join(&sums[size_t((o * cut.blocks + b) * cut.inner + column)],
             std::min(cut.width, cut.inner - column), out + o * cut.inner + column);
  });
}

// The first place of the largest (smallest) of a run of rows, for each column; NaN wins.
template <class T, bool kLargest>
void place_rows(DType in, const char* x, int64_t inner, int64_t first, int64_t last, int64_t width, T* best,
                int64_t* place, std::vector<T>& room) {
  const int64_t bytes = int64_t(size_of(in));
  for (int64_t i = first; i < last; i++) {
    const T* v = read_lanes(in, x + i * inner * bytes, width, room.data());
    for (int64_t c = 0; c < width; c++) {
      const bool better =
          i == first || (kLargest ? v[c] > best[c] : v[c] < best[c]) || (v[c] != v[c] && best[c] == best[c]);
      if (better) best[c] = v[c], place[c] = i;
    }
  }
}

template <class T, bool kLargest> void place(DType in, const char* x, int64_t* out, const Cut& cut) {
  const int64_t bytes = int64_t(size_of(in)), runs = cut.runs, rows_per_run = cut.run * kReduceBlock;
  std::vector<T> best(size_t(cut.outer * runs * cut.inner));
  std::vector<int64_t> places(best.size());
  const int64_t tasks = cut.outer * cut.chunks * runs;
  const int64_t step =
      std::max<int64_t>(1, kElements / std::max<int64_t>(1, std::min(cut.n, rows_per_run) * cut.width));
  parallel_parts((tasks + step - 1) / step, [&](int64_t part, int) {
    std::vector<T> room(size_t(cut.width));
    for (int64_t task = part * step; task < std::min(tasks, (part + 1) * step); task++) {
      const int64_t o = task / (cut.chunks * runs), r = task / cut.chunks % runs,
                    column = task % cut.chunks * cut.width;
      const size_t at = size_t((o * runs + r) * cut.inner + column);
      place_rows<T, kLargest>(in, x + (o * cut.n * cut.inner + column) * bytes, cut.inner, r * rows_per_run,
                              std::min(cut.n, (r + 1) * rows_per_run),
                              std::min(cut.width, cut.inner - column), &best[at], &places[at], room);
    }
  });
  for (int64_t i = 0; i < cut.outer * cut.inner; i++) {
    const int64_t o = i / cut.inner, c = i % cut.inner;
    T top = best[size_t(o * runs * cut.inner + c)];
    out[i] = places[size_t(o * runs * cut.inner + c)];
    for (int64_t r = 1; r < runs; r++) {
      const size_t at = size_t((o * runs + r) * cut.inner + c);
      const T v = best[at];
      if ((kLargest ? v > top : v < top) || (v != v && top == top)) top = v, out[i] = places[at];
    }
  }
}

} // namespace

void reduce_strided(Reduction how, DType in, const void* x, void* out, DType out_dtype, int64_t outer,
                    int64_t n, int64_t inner) {
  if (outer == 0 || inner == 0) return;
  const bool finds = how == Reduction::argmax || how == Reduction::argmin;
  if (n == 0 && (finds || how == Reduction::min || how == Reduction::max))
    throw error("{}: of no elements", name_of(how));
  const Cut cut(outer, n, inner);
  const size_t results = size_t(outer * inner);
  with_computed(in, [&](auto zero) {
    using T = decltype(zero);
    auto* from = static_cast<const char*>(x);
    if (finds) {
      std::vector<int64_t> places(results);
      if (how == Reduction::argmax)
        place<T, true>(in, from, places.data(), cut);
      else
        place<T, false>(in, from, places.data(), cut);
      write_lanes(out_dtype, places.data(), out, int64_t(results));
      return;
    }
    if (out_dtype == computed_dtype<T>()) {
      fold(how, in, from, static_cast<T*>(out), cut);
      return;
    }
    std::vector<T> values(results);
    fold(how, in, from, values.data(), cut);
    write_lanes(out_dtype, values.data(), out, int64_t(results));
  });
}

void cumsum(DType in, const void* x, void* out, DType out_dtype, int64_t outer, int64_t n, int64_t inner) {
  if (outer == 0 || n == 0 || inner == 0) return;
  const Cut cut(outer, n, inner);
  const int64_t bytes = int64_t(size_of(in)), out_bytes = int64_t(size_of(out_dtype));
  with_computed(in, [&](auto zero) {
    using T = decltype(zero);
    using Sum = std::conditional_t<std::is_integral_v<T>, uint64_t, T>;
    parallel_parts(outer * cut.chunks, [&](int64_t part, int) {
      const int64_t o = part / cut.chunks, column = part % cut.chunks * cut.width;
      const int64_t width = std::min(cut.width, inner - column);
      // A single column is read in runs, several row by row.
      const int64_t step = inner == 1 ? std::min<int64_t>(n, 1024) : 1;
      std::vector<T> room(size_t(step * width)), sums(size_t(step * width));
      std::vector<Sum> total(size_t(width), Sum(0));
      for (int64_t i = 0; i < n; i += step) {
        const int64_t at = (o * n + i) * inner + column, many = std::min(step, n - i) * width;
        const T* v = read_lanes(in, static_cast<const char*>(x) + at * bytes, many, room.data());
        for (int64_t c = 0; c < many; c++) {
          Sum& t = total[size_t(c % width)];
          t += Sum(v[c]);
          sums[size_t(c)] = T(t);
        }
        write_lanes(out_dtype, sums.data(), static_cast<char*>(out) + at * out_bytes, many);
      }
    });
  });
}

} // namespace wane::cpu
