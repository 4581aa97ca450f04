// Calls that only move elements: embedding rows, gathers, strided copies.
#include "runtime/cpu/kernels.h"

#include "runtime/cpu/pool.h"
#include "runtime/error.h"

#include <algorithm>
#include <cstring>

namespace wane::cpu {
namespace {

constexpr int64_t kBytesPerPart = 256 << 10;

// Items of `bytes` each that one part should move.
int64_t items_per_part(int64_t bytes) {
  return std::max<int64_t>(1, kBytesPerPart / std::max<int64_t>(1, bytes));
}

template <class F> void for_ranges(int64_t count, int64_t bytes_each, F&& body) {
  if (count <= 0) return;
  const int64_t step = items_per_part(bytes_each);
  parallel_parts((count + step - 1) / step,
                 [&](int64_t part, int) { body(part * step, std::min(count, (part + 1) * step)); });
}

template <class P>
void gather_as(size_t element_bytes, const void* x, void* out, int64_t outer, int64_t n, int64_t inner,
               const P* positions, int64_t count) {
  const int64_t run = inner * int64_t(element_bytes);
  auto* from = static_cast<const char*>(x);
  auto* to = static_cast<char*>(out);
  for_ranges(outer * count, run, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++)
      std::memcpy(to + i * run, from + (i / count * n + int64_t(positions[i % count])) * run, size_t(run));
  });
}

struct Dims {
  int rank = 0;
  int64_t shape[16], strides[16]; // outermost first; strides in bytes
};

// Drops dims of size 1 and joins neighbours that lie behind one another; the innermost stays last.
Dims simplified(size_t element_bytes, const int64_t* strides, const int64_t* shape, int rank) {
  Dims d;
  for (int i = 0; i < rank; i++) {
    if (shape[i] == 1) continue;
    const int64_t stride = strides[i] * int64_t(element_bytes);
    if (d.rank > 0 && d.strides[d.rank - 1] == stride * shape[i]) {
      d.shape[d.rank - 1] *= shape[i];
      d.strides[d.rank - 1] = stride;
      continue;
    }
    if (d.rank == 16) throw error(Fault::internal, "copy: more than 16 dims");
    d.shape[d.rank] = shape[i];
    d.strides[d.rank++] = stride;
  }
  return d;
}

template <class T, bool kInto> void copy_line(char* strided, int64_t stride, char* dense, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    if constexpr (kInto)
      std::memcpy(strided + i * stride, dense + i * int64_t(sizeof(T)), sizeof(T));
    else
      std::memcpy(dense + i * int64_t(sizeof(T)), strided + i * stride, sizeof(T));
  }
}

// The two innermost dims in squares, so that a transposed copy uses whole cache lines of both sides.
template <class T, bool kInto>
void copy_plane(char* strided, const Dims& d, char* dense, int64_t begin, int64_t end) {
  const int64_t columns = d.shape[d.rank - 1], row_stride = d.strides[d.rank - 2],
                stride = d.strides[d.rank - 1];
  const int64_t bytes = int64_t(sizeof(T)), square = 64;
  for (int64_t r = begin; r < end; r += square)
    for (int64_t c = 0; c < columns; c += square)
      for (int64_t i = r; i < std::min(end, r + square); i++)
        copy_line<T, kInto>(strided + i * row_stride + c * stride, stride, dense + (i * columns + c) * bytes,
                            std::min(square, columns - c));
}

template <class T, bool kInto> void copy_typed(const Dims& d, char* strided, char* dense, int64_t count) {
  const int64_t bytes = int64_t(sizeof(T));
  if (d.rank == 0) {
    copy_line<T, kInto>(strided, 0, dense, 1);
    return;
  }
  if (d.rank == 1 || d.strides[d.rank - 1] == bytes) { // lines
    const int64_t line = d.rank == 1 ? 1 : d.shape[d.rank - 1];
    const int outer_rank = d.rank == 1 ? 1 : d.rank - 1;
    const bool solid = d.rank > 1 || d.strides[0] == bytes;
    if (d.rank == 1 && solid) {
      for_ranges(count, bytes, [&](int64_t begin, int64_t end) {
        char *s = strided + begin * bytes, *t = dense + begin * bytes;
        std::memcpy(kInto ? s : t, kInto ? t : s, size_t((end - begin) * bytes));
      });
      return;
    }
    for_ranges(count / line, line * bytes, [&](int64_t begin, int64_t end) {
      if (d.rank == 1) {
        copy_line<T, kInto>(strided + begin * d.strides[0], d.strides[0], dense + begin * bytes, end - begin);
        return;
      }
      for (int64_t i = begin; i < end; i++) {
        int64_t rest = i;
        char* s = strided;
        for (int k = outer_rank - 1; k >= 0; k--) {
          s += rest % d.shape[k] * d.strides[k];
          rest /= d.shape[k];
        }
        char* t = dense + i * line * bytes;
        std::memcpy(kInto ? s : t, kInto ? t : s, size_t(line * bytes));
      }
    });
    return;
  }
  const int64_t rows = d.shape[d.rank - 2], columns = d.shape[d.rank - 1];
  const int64_t step = std::max<int64_t>(64, items_per_part(columns * bytes) / 64 * 64);
  const int64_t steps = (rows + step - 1) / step, planes = count / (rows * columns);
  parallel_parts(planes * steps, [&](int64_t part, int) {
    int64_t rest = part / steps, begin = part % steps * step;
    char *s = strided, *t = dense + rest * rows * columns * bytes;
    for (int k = d.rank - 3; k >= 0; k--) {
      s += rest % d.shape[k] * d.strides[k];
      rest /= d.shape[k];
    }
    copy_plane<T, kInto>(s, d, t, begin, std::min(rows, begin + step));
  });
}

template <bool kInto>
void copy_any(size_t element_bytes, char* strided, const int64_t* strides, const int64_t* shape, int rank,
              char* dense) {
  int64_t count = 1;
  for (int i = 0; i < rank; i++) count *= shape[i];
  if (count == 0) return;
  const Dims d = simplified(element_bytes, strides, shape, rank);
  switch (element_bytes) {
  case 1: return copy_typed<uint8_t, kInto>(d, strided, dense, count);
  case 2: return copy_typed<uint16_t, kInto>(d, strided, dense, count);
  case 4: return copy_typed<uint32_t, kInto>(d, strided, dense, count);
  case 8: return copy_typed<uint64_t, kInto>(d, strided, dense, count);
  default: throw error(Fault::internal, "copy: elements of {} bytes", element_bytes);
  }
}

} // namespace

void embedding(DType dtype, const void* table, int64_t rows, int64_t width, const int32_t* ids, int64_t count,
               void* out) {
  for (int64_t i = 0; i < count; i++)
    if (ids[i] < 0 || ids[i] >= rows)
      throw error("embedding: token {} at position {} is outside the table of {} rows", ids[i], i + 1, rows);
  gather_as(size_of(dtype), table, out, 1, rows, width, ids, count);
}

void gather(size_t element_bytes, const void* x, void* out, int64_t outer, int64_t n, int64_t inner,
            const int64_t* positions, int64_t count) {
  gather_as(element_bytes, x, out, outer, n, inner, positions, count);
}
void gather(size_t element_bytes, const void* x, void* out, int64_t outer, int64_t n, int64_t inner,
            const int32_t* positions, int64_t count) {
  gather_as(element_bytes, x, out, outer, n, inner, positions, count);
}

void copy_strided(size_t element_bytes, const void* x, const int64_t* strides, const int64_t* shape, int rank,
                  void* out_dense) {
  copy_any<false>(element_bytes, static_cast<char*>(const_cast<void*>(x)), strides, shape, rank,
                  static_cast<char*>(out_dense));
}
void copy_into_strided(size_t element_bytes, const void* x_dense, const int64_t* strides,
                       const int64_t* shape, int rank, void* out) {
  copy_any<true>(element_bytes, static_cast<char*>(out), strides, shape, rank,
                 static_cast<char*>(const_cast<void*>(x_dense)));
}

} // namespace wane::cpu
