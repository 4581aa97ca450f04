// Blocked Cholesky, triangular inverse and solves. A job's parts are pieces of columns of tiles; they wait
// for the tiles they build on, so no thread waits for a whole phase. Every output has one owner and one
// order.
#include "runtime/cpu/linalg.h"

#include <vector>

#include "runtime/cpu/linalg_panels.h"
#include "runtime/cpu/pool.h"
#include "runtime/cpu/progress.h"
#include "runtime/error.h"

namespace wane::cpu {
namespace {

struct Part {
  int64_t tile, from, to; // panels [from, to) in one row or column of tiles
};

// Panels [from, to) in groups small enough to keep all threads at work. No bit depends on them.
void add_parts(std::vector<Part>& parts, int64_t tile, int64_t from, int64_t to, int64_t per_tile) {
  const int64_t group = std::clamp<int64_t>((to - from) / (4 * thread_count()), 1, per_tile);
  for (int64_t p = from; p < to; p += group) parts.push_back({tile, p, std::min(to, p + group)});
}

template <class F> void run_parts(const std::vector<Part>& parts, Progress& progress, F&& body) {
  parallel_parts(int64_t(parts.size()),
                 [&](int64_t i, int) { progress.run([&] { body(parts[size_t(i)]); }); });
}

// ---- l l^T = x ----

template <class T> struct Factor {
  const Strided<T>& x;
  const Extent<T>& e;
  const Panels<T>& l;
  const char* op;
  bool reversed;                 // for the error: pivots count from the end
  Progress progress{e.panels()}; // of a panel: how many of its tiles are done

  void run() {
    std::vector<Part> parts;
    for (int64_t tile = 0; tile < e.tiles(); ++tile) {
      parts.push_back({tile, e.first_panel(tile), e.last_panel(tile)});
      add_parts(parts, tile, e.last_panel(tile), e.panels(), e.per_tile());
    }
    run_parts(parts, progress, [&](const Part& part) {
      const int64_t end = std::min((part.tile + 1) * kTile, e.padded());
      for (int64_t p = part.from; p < part.to; ++p) load_triangle(x, e, l, p, part.tile * kTile, end);
      if (!take_earlier(part)) return;
      if (part.from == e.first_panel(part.tile))
        factor_tile(part);
      else if (!solve_tile(part))
        return;
      for (int64_t p = part.from; p < part.to; ++p) progress.advance(p, part.tile + 1);
    });
  }

private:
  bool ready(int64_t from, int64_t to, int64_t steps) {
    for (int64_t p = from; p < to; ++p)
      if (!progress.wait(p, steps)) return false;
    return true;
  }

  // What the tiles to the left contribute.
  bool take_earlier(const Part& part) {
    const int64_t first = e.first_panel(part.tile), last = e.last_panel(part.tile);
    for (int64_t t = 0; t < part.tile; ++t) {
      check_interrupt();
      if (!ready(first, last, t + 1) || !ready(part.from, part.to, t + 1)) return false;
      for (int64_t p = part.from; p < part.to; ++p)
        for (int64_t q = first; q < std::min(last, p + 1); ++q)
          linalg_kernels<T>().update(l.at(p, q * e.width), l.at(q, t * kTile), l.at(p, t * kTile), e.width,
                                     kTile);
    }
    return true;
  }

  void solve_by(int64_t p, int64_t q, int64_t begin) {
    linalg_kernels<T>().solve(l.at(p, q * e.width), l.at(q, q * e.width), q * e.width - begin, e.width);
  }

  void factor_tile(const Part& part) {
    const int64_t begin = part.tile * kTile;
    for (int64_t p = part.from; p < part.to; ++p) {
      for (int64_t q = part.from; q < p; ++q) solve_by(p, q, begin);
      const int64_t first = p * e.width, row = linalg_kernels<T>().factor(l.at(p, first), first - begin);
      if (row == e.width) continue;
      throw error("{}: the matrix is not positive definite: pivot {} of {} is {}", op,
                  reversed ? e.n - first - row : first + row + 1, e.n, l.at(p, first + row)[row])
          .hint("add to the diagonal (damp), or use more samples than columns");
    }
  }

  bool solve_tile(const Part& part) {
    const int64_t first = e.first_panel(part.tile), last = e.last_panel(part.tile);
    if (!ready(first, last, part.tile + 1)) return false;
    for (int64_t p = part.from; p < part.to; ++p)
      for (int64_t q = first; q < last; ++q) solve_by(p, q, part.tile * kTile);
    return true;
  }
};

// ---- x = l^-1 x ----

// Panels of right sides from row start(p) on, each a chain of tiles. `begin(part)` fills a panel's rows of
// the part's tile; rows in front of start(p) are zero.
template <class T> struct Substitution {
  const Extent<T>& e;
  const Panels<T>& l;
  const Panels<T>& x;
  Progress progress{x.count()};

  template <class Start> bool tile_done(const Part& part, Start&& start) {
    const int64_t first = e.first_panel(part.tile), last = e.last_panel(part.tile);
    for (int64_t t = e.tile_of(start(part.from)); t < part.tile; ++t) {
      check_interrupt();
      for (int64_t p = part.from; p < part.to; ++p) {
        if (!progress.wait(p, t + 1)) return false;
        for (int64_t q = first; q < last; ++q)
          linalg_kernels<T>().update(x.at(p, q * e.width), l.at(q, t * kTile), x.at(p, t * kTile), e.width,
                                     kTile);
      }
    }
    for (int64_t p = part.from; p < part.to; ++p) {
      const int64_t top = std::max(first, start(p));
      for (int64_t q = top; q < last; ++q)
        linalg_kernels<T>().solve(x.at(p, q * e.width), l.at(q, q * e.width), (q - top) * e.width, e.width);
      progress.advance(p, part.tile + 1);
    }
    return true;
  }
};

template <class T> void substitute(const Extent<T>& e, const Panels<T>& l, const Panels<T>& x) {
  Substitution<T> work{e, l, x};
  std::vector<Part> parts;
  for (int64_t tile = 0; tile < e.tiles(); ++tile) add_parts(parts, tile, 0, x.count(), e.per_tile());
  run_parts(parts, work.progress,
            [&](const Part& part) { work.tile_done(part, [](int64_t) { return int64_t(0); }); });
}

// m = l^-1, by the same with the identity on the right; its zeros above the diagonal are left out.
template <class T> void invert(const Extent<T>& e, const Panels<T>& l, const Panels<T>& m) {
  Substitution<T> work{e, l, m};
  std::vector<Part> parts;
  for (int64_t tile = 0; tile < e.tiles(); ++tile)
    for (int64_t column = 0; column <= tile; ++column)
      add_parts(parts, tile, e.first_panel(column), e.last_panel(column), e.per_tile());
  run_parts(parts, work.progress, [&](const Part& part) {
    const int64_t begin = part.tile * kTile, end = std::min(begin + kTile, e.padded());
    for (int64_t p = part.from; p < part.to; ++p) {
      std::fill(m.at(p, begin), m.at(p, end), T(0));
      if (e.tile_of(p) == part.tile)
        for (int64_t i = 0; i < e.width; ++i) m.at(p, p * e.width + i)[i] = T(1);
    }
    work.tile_done(part, [](int64_t p) { return p; });
  });
}

// ---- out = m^T m ----

// The rows of one tile, at the columns of some panels left of its end, and their mirror image.
template <class T> void square_tile(const Extent<T>& e, const Panels<T>& m, const Part& part, T* out) {
  const int64_t w = e.width, n = e.n, first = e.first_panel(part.tile), last = e.last_panel(part.tile);
  std::vector<T> sums(size_t((part.to - part.from) * kTile * w)); // panels of the tile's rows, negated
  auto at = [&](int64_t p, int64_t q) {
    return sums.data() + ((p - part.from) * kTile + (q - first) * w) * w;
  };
  for (int64_t t = part.tile; t < e.tiles(); ++t) {
    check_interrupt();
    const int64_t end = std::min((t + 1) * kTile, e.padded());
    for (int64_t p = part.from; p < part.to; ++p)
      for (int64_t q = std::max(p, first); q < last; ++q) {
        const int64_t k = std::max(t * kTile, q * w); // m is zero before
        if (k < end) linalg_kernels<T>().update(at(p, q), m.at(q, k), m.at(p, k), w, end - k);
      }
  }
  for (int64_t p = part.from; p < part.to; ++p)
    for (int64_t q = std::max(p, first); q < last; ++q) {
      const int64_t i = q * w, j = p * w, rows = std::min(w, n - i), columns = std::min(w, n - j);
      T* block = at(p, q);
      for (int64_t s = 0; s < w * w; ++s) block[s] = T(0) - block[s];
      for (int64_t r = 0; r < rows; ++r) std::copy_n(block + r * w, columns, out + (i + r) * n + j);
      if (q > p) linalg_kernels<T>().turn(block, w, out + j * n + i, n, columns, rows);
    }
}

template <class T> void square(const Extent<T>& e, const Panels<T>& m, T* out) {
  std::vector<Part> parts;
  for (int64_t tile = 0; tile < e.tiles(); ++tile)
    add_parts(parts, tile, 0, e.last_panel(tile), e.per_tile());
  parallel_parts(int64_t(parts.size()), [&](int64_t i, int) { square_tile(e, m, parts[size_t(i)], out); });
}

// ---- whole calls ----

// Rows of a result that one part writes.
template <class F> void each_row(int64_t n, F&& row) {
  constexpr int64_t kRows = 64;
  parallel_parts((n + kRows - 1) / kRows, [&](int64_t part, int) {
    for (int64_t i = part * kRows; i < std::min(n, (part + 1) * kRows); ++i) row(i);
  });
}

template <class T>
Panels<T> factored(const Strided<T>& x, const Extent<T>& e, const char* op, bool reversed = false) {
  Panels<T> l = triangle_panels(e);
  Factor<T>{x, e, l, op, reversed}.run();
  return l;
}

template <class T> void cholesky_of(const T* x, T* out, int64_t n) {
  const Extent<T> e(n);
  const Panels<T> l = factored<T>({x, n, 1}, e, "cholesky");
  parallel_parts(e.panels(), [&](int64_t p, int) { store_triangle(l, e, p, out); });
}

template <class T> void inverse_of(const T* x, T* out, int64_t n) {
  const Extent<T> e(n);
  const Panels<T> m = column_panels(e);
  invert(e, factored<T>({x, n, 1}, e, "inverse"), m);
  square(e, m, out);
}

// With j the reversal of rows and columns: j x j = l l^T, so x^-1 = u^T u with u = j l^-1 j, upper. Reversed,
// x's lower triangle lies above the diagonal, so it is read transposed.
template <class T> void inverse_upper_of(const T* x, T* out, int64_t n, const T* added) {
  const Extent<T> e(n);
  const Panels<T> m = column_panels(e);
  const Strided<T> lower{x, n, 1, added};
  invert(e, factored(lower.reversed(n).transposed(), e, "inverse_upper", true), m);
  each_row(n, [&](int64_t k) {
    T *last = out + (n - k) * n - 1, *end = last - k; // u's row n - 1 - k backwards, to the diagonal
    for (int64_t p = 0; p <= k / e.width; ++p) {
      const T* lanes = m.at(p, k);
      for (int64_t i = 0; i < std::min(e.width, k + 1 - p * e.width); ++i) *last-- = lanes[i];
    }
    std::fill(out + (n - 1 - k) * n, end, T(0));
  });
}

// Right sides in panels and back, from the last row on when `reversed`.
template <class T> Panels<T> loaded(const T* b, const Extent<T>& e, int64_t columns, bool reversed) {
  Panels<T> x = side_panels(e, columns);
  const Strided<T> rows =
      reversed ? Strided<T>{b + (e.n - 1) * columns, -columns, 1} : Strided<T>{b, columns, 1};
  parallel_parts(x.count(), [&](int64_t p, int) { load_sides(rows, e, columns, x, p); });
  return x;
}

template <class T> void solve_of(const T* x, const T* b, T* out, int64_t n, int64_t columns) {
  const Extent<T> e(n);
  const Panels<T> l = factored<T>({x, n, 1}, e, "solve"), y = loaded(b, e, columns, false);
  substitute(e, l, y);
  Panels<T> turned = triangle_panels(e);
  parallel_parts(e.panels(), [&](int64_t p, int) { turn_triangle(l, e, turned, p); });
  parallel_parts(y.count(), [&](int64_t p, int) { reverse_sides(y, e, p); });
  substitute(e, turned, y);
  each_row(n, [&](int64_t k) { store_side(y, e.padded() - 1 - k, columns, out + k * columns); });
}

template <class T>
void solve_triangular_of(const T* x, const T* b, T* out, int64_t n, int64_t columns, bool upper) {
  for (int64_t i = 0; i < n; ++i)
    if (x[i * (n + 1)] == T(0))
      throw error("solve_{}: the diagonal of the triangle is zero at {} of {}", upper ? "upper" : "lower",
                  i + 1, n);
  const Extent<T> e(n);
  const Panels<T> l = triangle_panels(e), y = loaded(b, e, columns, upper);
  const Strided<T> lower = upper ? Strided<T>{x, n, 1}.reversed(n) : Strided<T>{x, n, 1};
  parallel_parts(e.panels(), [&](int64_t p, int) { load_triangle(lower, e, l, p, 0, (p + 1) * e.width); });
  substitute(e, l, y);
  each_row(n, [&](int64_t k) { store_side(y, upper ? n - 1 - k : k, columns, out + k * columns); });
}

// Calls run(x, out) with pointers to the type; of size 0 there is nothing to do.
template <class F> void typed(const char* op, DType dtype, const void* x, void* out, int64_t n, F&& run) {
  if (dtype != DType::f32 && dtype != DType::f64)
    throw error("{}: not supported: {}; f32 and f64 are", op, name_of(dtype));
  if (n == 0) return;
  if (dtype == DType::f32)
    run(static_cast<const float*>(x), static_cast<float*>(out));
  else
    run(static_cast<const double*>(x), static_cast<double*>(out));
}

} // namespace

void cholesky(DType dtype, const void* x, void* out, int64_t n) {
  typed("cholesky", dtype, x, out, n, [n](auto* from, auto* to) { cholesky_of(from, to, n); });
}
void inverse(DType dtype, const void* x, void* out, int64_t n) {
  typed("inverse", dtype, x, out, n, [n](auto* from, auto* to) { inverse_of(from, to, n); });
}
void inverse_upper(DType dtype, const void* x, void* out, int64_t n, const void* added) {
  typed("inverse_upper", dtype, x, out, n,
        [&]<class T>(const T* from, T* to) { inverse_upper_of(from, to, n, static_cast<const T*>(added)); });
}
void solve(DType dtype, const void* x, const void* b, void* out, int64_t n, int64_t columns) {
  typed("solve", dtype, x, out, n,
        [&]<class T>(const T* from, T* to) { solve_of(from, static_cast<const T*>(b), to, n, columns); });
}
void solve_triangular(DType dtype, const void* x, const void* b, void* out, int64_t n, int64_t columns,
                      bool upper) {
  typed(upper ? "solve_upper" : "solve_lower", dtype, x, out, n, [&]<class T>(const T* from, T* to) {
    solve_triangular_of(from, static_cast<const T*>(b), to, n, columns, upper);
  });
}

} // namespace wane::cpu
