// What every generated CUDA program shares: its arguments, and how stored elements become the type they are
// computed in and back. Pasted after ops.h; includes nothing, so that NVRTC needs a few milliseconds for it.
// The arithmetic is that of runtime/cpu/isa/map_kernels.cpp, so that both back ends give the same bits.
#pragma once

// Arguments of a launch (runtime/cuda/launch.h packs them). Strides count elements; a program's structure
// fixes the numbers of inputs and constants, everything else is a value here, so that one kernel serves every
// size.
struct WaneInput {
  const void* data;
  long long inner;    // along the row; 0 where there is one value a row
  long long outer[8]; // over WaneLaunch::outer
  long long count;    // entries, of a lookup table
};
union WaneNumber {
  double real;
  long long whole;
};
// Division of numbers below 2^31 by one that is known at the launch: a multiplication instead of the forty
// instructions, and as many milliseconds of compiling, of the real thing.
struct WaneDivisor {
  unsigned size, magic, shift, unused;
};
WANE_FN unsigned wane_divide(unsigned x, const WaneDivisor& by) {
  return ((unsigned)(((unsigned long long)x * by.magic) >> 32) + x) >> by.shift;
}
template <int inputs_, int constants_> struct WaneLaunch {
  long long rows, n;
  WaneDivisor row;      // by n
  WaneDivisor outer[8]; // the outer dims; the product of their sizes is rows
  long long rank;       // of outer
  void* output;         // dense [rows x n], or [rows]
  WaneInput inputs[inputs_];
  WaneNumber constants[constants_];
};

// Where an input's row starts. Rows over more than one outer dim are taken apart, the last dim fastest, in a
// function that is compiled once for all kernels of a text; the usual single dim is a multiplication. A
// launch has fewer than 2^31 rows.
static __device__ __noinline__ long long wane_far(const WaneInput& in, const WaneDivisor* outer, int rank,
                                                  unsigned row) {
  long long at = 0;
#pragma unroll 1
  for (int d = rank - 1; d > 0; --d) {
    const unsigned whole = wane_divide(row, outer[d]);
    at += in.outer[d] * (row - whole * outer[d].size);
    row = whole;
  }
  return at + in.outer[0] * row;
}
template <class Launch> WANE_FN long long wane_at(const Launch& launch, int input, long long row) {
  if (launch.rank > 1) return wane_far(launch.inputs[input], launch.outer, (int)launch.rank, (unsigned)row);
  return launch.inputs[input].outer[0] * row;
}

// lane and memory: what a stored element is computed as, and that rounded to how it is stored. load: element
// `column` of the row at `at`; store: element i of the result; round: to the dtype and back.
#define WANE_STORED(name, Memory, Lane, from, to)                                                            \
  WANE_FN Lane wane_lane_##name(Memory x) { return from; }                                                   \
  WANE_FN Memory wane_memory_##name(Lane x) { return (Memory)(to); }                                         \
  WANE_FN Lane wane_load_##name(const WaneInput& in, long long at, long long column) {                       \
    return wane_lane_##name(static_cast<const Memory*>(in.data)[at + column * in.inner]);                    \
  }                                                                                                          \
  WANE_FN void wane_store_##name(void* out, long long i, Lane x) {                                           \
    static_cast<Memory*>(out)[i] = wane_memory_##name(x);                                                    \
  }                                                                                                          \
  WANE_FN Lane wane_round_##name(Lane x) { return wane_lane_##name(wane_memory_##name(x)); }
WANE_STORED(f64, double, double, x, x)
WANE_STORED(f32, float, float, x, x)
WANE_STORED(bf16, unsigned short, float, wane_from_bf16(x), wane_to_bf16(x))
WANE_STORED(f16, unsigned short, float, wane_from_f16(x), wane_to_f16(x))
WANE_STORED(e4m3, unsigned char, float, wane_from_e4m3(x), wane_to_e4m3(x))
WANE_STORED(e5m2, unsigned char, float, wane_from_e5m2(x), wane_to_e5m2(x))
WANE_STORED(i64, long long, long long, x, x)
WANE_STORED(i32, int, int, x, x)
WANE_STORED(i8, signed char, int, x, x)
WANE_STORED(u8, unsigned char, int, x, x)
WANE_STORED(bool, unsigned char, int, x != 0, x != 0)
#undef WANE_STORED

// A whole number in the ends of a dtype.
WANE_FN int wane_between(int x, int low, int high) { return x < low ? low : (x > high ? high : x); }

// The entry of a lookup table that an index names: towards zero, kept inside the table.
WANE_FN long long wane_entry(int index, long long count) {
  return index < 0 ? 0 : (index > (int)(count - 1) ? count - 1 : index);
}
WANE_FN long long wane_entry(float index, long long count) { return wane_entry(wane_to_i32(index), count); }
