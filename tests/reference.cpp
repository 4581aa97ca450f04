#include "tests/reference.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <map>

#include "kernels/ops.h"
#include "runtime/program.h"

namespace reference {

using namespace wane;

namespace {

struct Format { // of a float: bits after the point, least exponent of a normal number, largest number
  int fraction, least;
  double largest;
};
Format format_of(DType dtype) {
  switch (dtype) {
  case DType::bf16: return {7, -126, 0x1.fep127};
  case DType::f16: return {10, -14, 65504};
  case DType::e4m3: return {3, -6, 448};
  case DType::e5m2: return {2, -14, 57344};
  default: return {23, -126, 0x1.fffffep127};
  }
}

DType full_dtype(Lane lane) {
  constexpr DType kFull[] = {DType::f32, DType::f64, DType::i32, DType::i64};
  return kFull[int(lane)];
}

Number real(double x) { return {x, 0}; }
Number whole(int64_t x) { return {0, x}; }

// -- the texts of ops.def, one element at a time
// -------------------------------------------------------------
#define WANE_MAP(name, arity, rule, kinds, ftext, itext, derivative, doc)                                    \
  template <class T, class A> auto real_##name(A a, T b, T c) {                                              \
    (void)a, (void)b, (void)c;                                                                               \
    return ftext;                                                                                            \
  }                                                                                                          \
  template <class T, class A> auto whole_##name(A a, T b, T c) {                                             \
    (void)a, (void)b, (void)c;                                                                               \
    return itext;                                                                                            \
  }
#include "runtime/ops.def"
#undef WANE_MAP

template <class T> Number number_of(T y, bool truth) {
  if (truth) return whole(y != T(0));
  if constexpr (std::is_floating_point_v<T>) return real(double(y));
  return whole(int64_t(y));
}

// An operation in lane type T; `chosen`: the first operand is a truth value.
template <class T> Number on_reals(Op op, Number a, T b, T c) {
  bool truth = info(op).rule == ResultRule::truth || info(op).rule == ResultRule::logical;
  switch (op) {
#define WANE_MAP(name, arity, rule, kinds, ftext, itext, derivative, doc)                                    \
  case Op::name:                                                                                             \
    if constexpr (OpKinds::kinds != OpKinds::I) {                                                            \
      if constexpr (ResultRule::rule == ResultRule::chosen)                                                  \
        return number_of(T(real_##name<T, int>(int(a.whole), b, c)), truth);                                 \
      else                                                                                                   \
        return number_of(T(real_##name<T, T>(T(a.real), b, c)), truth);                                      \
    }                                                                                                        \
    break;
#include "runtime/ops.def"
#undef WANE_MAP
  }
  throw error(Fault::internal, "{} of floats", info(op).name);
}
template <class T> Number on_wholes(Op op, Number a, T b, T c) {
  bool truth = info(op).rule == ResultRule::truth || info(op).rule == ResultRule::logical;
  switch (op) {
#define WANE_MAP(name, arity, rule, kinds, ftext, itext, derivative, doc)                                    \
  case Op::name:                                                                                             \
    if constexpr (OpKinds::kinds != OpKinds::F) {                                                            \
      if constexpr (ResultRule::rule == ResultRule::chosen)                                                  \
        return number_of(T(whole_##name<T, int>(int(a.whole), b, c)), truth);                                \
      else                                                                                                   \
        return number_of(T(whole_##name<T, T>(T(a.whole), b, c)), truth);                                    \
    }                                                                                                        \
    break;
#include "runtime/ops.def"
#undef WANE_MAP
  }
  throw error(Fault::internal, "{} of whole numbers", info(op).name);
}

// Arithmetic by f64 with one more rounding (which for these is exact: 53 >= 2 * 24 + 2 digits), the rest by
// the texts of ops.def.
Number evaluated(Op op, Lane lane, const Number* x) {
  if (lane == Lane::f32) {
    double a = x[0].real, b = x[1].real;
    switch (op) {
    case Op::add: return real(float(a + b));
    case Op::sub: return real(float(a - b));
    case Op::mul: return real(float(a * b));
    case Op::div: return real(float(a / b));
    case Op::square: return real(float(a * a));
    case Op::sqrt: return real(float(std::sqrt(a)));
    case Op::reciprocal: return real(float(1 / a));
    default: return on_reals<float>(op, x[0], float(b), float(x[2].real));
    }
  }
  if (lane == Lane::f64) return on_reals<double>(op, x[0], x[1].real, x[2].real);
  if (lane == Lane::i32) return on_wholes<int>(op, x[0], int(x[1].whole), int(x[2].whole));
  return on_wholes<long long>(op, x[0], x[1].whole, x[2].whole);
}

Number wrapped(DType dtype, int64_t x) {
  switch (dtype) {
  case DType::i32: return whole(int32_t(x));
  case DType::i8: return whole(int8_t(x));
  case DType::u8: return whole(uint8_t(x));
  case DType::boolean: return whole(x != 0);
  default: return whole(x);
  }
}

Number saturated(DType dtype, double x) {
  if (std::isnan(x)) return whole(0);
  double low = dtype == DType::i64 ? -0x1p63 : dtype == DType::i32 ? -0x1p31 : dtype == DType::i8 ? -128 : 0;
  double high = dtype == DType::i64   ? 0x1p63
                : dtype == DType::i32 ? 0x1p31 - 1
                : dtype == DType::i8  ? 127
                                      : 255;
  double t = std::trunc(x);
  if (dtype == DType::i64 && t >= high) return whole(INT64_MAX);
  return whole(int64_t(t < low ? low : t > high ? high : t));
}

// A whole number to a float in one rounding.
double real_of(int64_t x, DType dtype) {
  if (dtype == DType::f64) return double(x);
  if (dtype == DType::f32) return double(float(x));
  int64_t low = x & 2047; // beyond 2^53 what is cut is kept as a bit that no tie survives
  bool wide = x > (int64_t(1) << 53) || x < -(int64_t(1) << 53);
  return rounded(dtype, double(wide ? (x - low) | (low ? 1024 : 0) : x));
}

std::vector<int64_t> positions(const Shape& from, const Shape& shape) {
  std::vector<int64_t> at(size_t(shape.count()));
  for (int64_t i = 0; i < shape.count(); ++i) {
    int64_t rest = i, stride = 1, place = 0;
    for (int d = shape.rank() - 1; d >= 0; --d) {
      int64_t index = rest % shape[d];
      rest /= shape[d];
      int own = d - (shape.rank() - from.rank());
      if (own < 0) continue;
      place += from[own] == 1 ? 0 : index * stride;
      stride *= from[own];
    }
    at[size_t(i)] = place;
  }
  return at;
}

Shape joined(const Shape& a, const Shape& b) {
  Shape out;
  int rank = std::max(a.rank(), b.rank());
  for (int d = 0; d < rank; ++d) {
    int64_t x = d - (rank - a.rank()) >= 0 ? a[d - (rank - a.rank())] : 1;
    int64_t y = d - (rank - b.rank()) >= 0 ? b[d - (rank - b.rank())] : 1;
    if (x != y && x != 1 && y != 1) throw error("shapes do not fit");
    out.push_back(x == 1 ? y : x);
  }
  return out;
}

struct Types {
  DType compute, result;
};
Types types_of(Op op, const std::vector<Array>& x) {
  const OpInfo& how = info(op);
  size_t first = how.rule == ResultRule::chosen ? 1 : 0;
  DType t = x[first].dtype;
  for (size_t i = first + 1; i < x.size(); ++i) t = promoted(t, x[i].dtype);
  bool counts = how.rule == ResultRule::same || how.rule == ResultRule::integer;
  bool keeps_bool =
      op == Op::maximum || op == Op::minimum || op == Op::band || op == Op::bor || op == Op::bxor;
  if (t == DType::boolean && counts && !keeps_bool) t = DType::i32;
  if (how.rule == ResultRule::real && !is_float(t)) t = DType::f32;
  bool truth = how.rule == ResultRule::truth || how.rule == ResultRule::logical;
  return {t, truth ? DType::boolean : t};
}

// -- reductions in their order
// ------------------------------------------------------------------------------
struct Fold {
  Reduction kind;
  bool wide;
  double start() const {
    if (kind == Reduction::max) return -INFINITY;
    return kind == Reduction::min ? INFINITY : 0;
  }
  double take(double x) const {
    if (kind == Reduction::absmax) return std::abs(x);
    if (kind == Reduction::sumsq) return wide ? x * x : double(float(x * x));
    return x;
  }
  double join(double a, double b) const {
    if (kind == Reduction::sum || kind == Reduction::sumsq) return wide ? a + b : double(float(a + b));
    if (kind == Reduction::min) return b != b || b < a ? b : a;
    return b != b || b > a ? b : a;
  }
  double of(const Array& x, int64_t first, int64_t n) const {
    double total = start();
    for (int64_t block = 0; block < n; block += kReduceBlock) {
      double lanes[kReduceLanes];
      for (auto& lane : lanes) lane = start();
      for (int64_t i = block; i < std::min(n, block + kReduceBlock); ++i) {
        double& lane = lanes[(i - block) % kReduceLanes];
        lane = join(lane, take(x.values[size_t(first + i)].real));
      }
      for (int half = kReduceLanes / 2; half > 0; half /= 2)
        for (int l = 0; l < half; ++l) lanes[l] = join(lanes[l], lanes[l + half]);
      total = join(total, lanes[0]);
    }
    return total;
  }
};

int64_t fold_wholes(Reduction kind, const Array& x, int64_t first, int64_t n) {
  int64_t total = kind == Reduction::min ? INT64_MAX : kind == Reduction::max ? INT64_MIN : 0;
  for (int64_t i = 0; i < n; ++i) {
    int64_t v = x.values[size_t(first + i)].whole;
    if (kind == Reduction::min)
      total = std::min(total, v);
    else if (kind == Reduction::max)
      total = std::max(total, v);
    else if (kind == Reduction::sum)
      total = int64_t(uint64_t(total) + uint64_t(v));
    else
      throw error(Fault::internal, "{} of whole numbers", name_of(kind));
  }
  return total;
}

// Codes of a narrow float by value; -0 and NaN have theirs.
const std::map<double, unsigned>& codes_of(DType dtype) {
  static std::map<DType, std::map<double, unsigned>> all;
  auto& codes = all[dtype];
  unsigned count = 1u << (8 * size_of(dtype));
  for (unsigned code = codes.empty() ? 0 : count; code < count; ++code)
    if (double x = decoded(dtype, code); !std::isnan(x) && !(x == 0 && std::signbit(x)))
      codes.emplace(x, code);
  return codes;
}

unsigned code_of(DType dtype, double x) {
  unsigned sign = size_of(dtype) == 2 ? 0x8000 : 0x80;
  if (std::isnan(x)) return sign - 1; // all ones but the sign
  return x == 0 && std::signbit(x) ? sign : codes_of(dtype).at(x);
}

void put(std::byte* to, DType dtype, Number x) {
  auto as = [&](auto value) { std::memcpy(to, &value, sizeof value); };
  switch (dtype) {
  case DType::f64: return as(x.real);
  case DType::f32: return as(float(x.real));
  case DType::bf16:
  case DType::f16: return as(uint16_t(code_of(dtype, x.real)));
  case DType::e4m3:
  case DType::e5m2: return as(uint8_t(code_of(dtype, x.real)));
  case DType::i64: return as(x.whole);
  case DType::i32: return as(int32_t(x.whole));
  default: return as(uint8_t(x.whole));
  }
}

Number get(const std::byte* from, DType dtype) {
  auto as = [&]<class T>(T value) {
    std::memcpy(&value, from, sizeof value);
    return value;
  };
  switch (dtype) {
  case DType::f64: return real(as(double()));
  case DType::f32: return real(as(float()));
  case DType::bf16:
  case DType::f16: return real(decoded(dtype, as(uint16_t())));
  case DType::e4m3:
  case DType::e5m2: return real(decoded(dtype, as(uint8_t())));
  case DType::i64: return whole(as(int64_t()));
  case DType::i32: return whole(as(int32_t()));
  case DType::i8: return whole(as(int8_t()));
  default: return whole(as(uint8_t()));
  }
}

} // namespace

double rounded(DType dtype, double exact) {
  if (dtype == DType::f64 || exact != exact) return exact;
  if (dtype == DType::f32) return double(float(exact));
  Format f = format_of(dtype);
  double y = exact;
  if (exact != 0 && !std::isinf(exact)) {
    double step = std::ldexp(1.0, std::max(std::ilogb(exact), f.least) - f.fraction);
    y = std::nearbyint(exact / step) * step;
    if (y == 0) y = std::copysign(0.0, exact);
    if (std::abs(y) > f.largest) y = std::copysign(INFINITY, y);
  }
  return dtype == DType::e4m3 && std::isinf(y) ? double(NAN) : y;
}

double decoded(DType dtype, unsigned code) {
  Format f = format_of(dtype);
  unsigned bits = 8 * unsigned(size_of(dtype)), sign = 1u << (bits - 1);
  unsigned magnitude = code & (sign - 1), fraction = magnitude & ((1u << f.fraction) - 1);
  int exponent = int(magnitude >> f.fraction), top = int((sign - 1) >> f.fraction);
  double value;
  if (dtype == DType::e4m3 && magnitude == 0x7f)
    value = NAN;
  else if (dtype != DType::e4m3 && exponent == top)
    value = fraction ? double(NAN) : double(INFINITY);
  else if (exponent == 0)
    value = std::ldexp(double(fraction), f.least - f.fraction);
  else
    value = std::ldexp(double(fraction + (1u << f.fraction)), exponent - 1 + f.least - f.fraction);
  return code & sign ? -value : value;
}

Number converted(Number x, DType from, DType to) {
  if (to == DType::boolean) return whole(is_float(from) ? x.real != 0 : x.whole != 0);
  if (is_float(to)) return real(is_float(from) ? rounded(to, x.real) : real_of(x.whole, to));
  return is_float(from) ? saturated(to, x.real) : wrapped(to, x.whole);
}

bool alike(DType dtype, Number a, Number b) {
  if (!is_float(dtype)) return a.whole == b.whole;
  if (a.real != a.real || b.real != b.real) return a.real != a.real && b.real != b.real;
  return a.real == b.real && std::signbit(a.real) == std::signbit(b.real);
}

Array array_of(const Tensor& t) {
  Tensor dense = t.dense();
  Array out{t.shape(), t.dtype(), {}};
  out.values.resize(size_t(t.count()));
  for (int64_t i = 0; i < t.count(); ++i)
    out.values[size_t(i)] = get(dense.bytes() + i * int64_t(size_of(t.dtype())), t.dtype());
  return out;
}

Tensor tensor_of(const Array& a) {
  std::vector<std::byte> bytes(a.values.size() * size_of(a.dtype));
  for (size_t i = 0; i < a.values.size(); ++i) put(bytes.data() + i * size_of(a.dtype), a.dtype, a.values[i]);
  return from_bytes(a.shape, a.dtype, bytes);
}

// Of two floats the wider, bf16 with f16 and e4m3 with e5m2 in f32; a float wins over whole numbers; of those
// i64 wins, bool yields, others meet in i32.
DType promoted(DType a, DType b) {
  if (a == b) return a;
  if (is_float(a) && is_float(b)) {
    if (size_of(a) == size_of(b)) return DType::f32;
    return size_of(a) > size_of(b) ? a : b;
  }
  if (is_float(a) || is_float(b)) return is_float(a) ? a : b;
  if (a == DType::i64 || b == DType::i64) return DType::i64;
  if (a == DType::boolean) return b;
  return b == DType::boolean ? a : DType::i32;
}

Array cast(const Array& x, DType dtype) {
  Array out{x.shape, dtype, x.values};
  for (auto& value : out.values) value = converted(value, x.dtype, dtype);
  return out;
}

Array map(Op op, const std::vector<Array>& operands) {
  auto [compute, result] = types_of(op, operands);
  Lane lane = lane_of(compute);
  bool chosen = info(op).rule == ResultRule::chosen;
  Array out{operands[0].shape, result, {}};
  for (auto& x : operands) out.shape = joined(out.shape, x.shape);
  std::vector<std::vector<int64_t>> at;
  for (auto& x : operands) at.push_back(positions(x.shape, out.shape));
  out.values.resize(size_t(out.shape.count()));
  for (size_t i = 0; i < out.values.size(); ++i) {
    Number x[3];
    for (size_t k = 0; k < operands.size(); ++k) {
      DType own = operands[k].dtype, wanted = chosen && k == 0 ? DType::boolean : full_dtype(lane);
      Number value = operands[k].values[size_t(at[k][i])];
      x[k] = lane_of(own) == lane && !(chosen && k == 0) ? value : converted(value, own, wanted);
    }
    Number y = evaluated(op, lane, x);
    out.values[i] = is_float(result) ? real(rounded(result, y.real)) : wrapped(result, y.whole);
  }
  return out;
}

Array lookup(const Array& x, const Array& table) {
  Array out{x.shape, table.dtype, {}};
  for (auto& value : x.values) {
    int64_t index = is_float(x.dtype) ? saturated(DType::i32, value.real).whole : value.whole;
    index = std::max<int64_t>(0, std::min<int64_t>(index, table.count() - 1));
    out.values.push_back(table.values[size_t(index)]);
  }
  return out;
}

Array reduce(Reduction kind, const Array& x) {
  Shape shape = x.shape;
  int64_t n = shape.back();
  shape[shape.rank() - 1] = 1;
  DType dtype = is_float(x.dtype)           ? (x.dtype == DType::f64 ? DType::f64 : DType::f32)
                : kind == Reduction::sum    ? DType::i64
                : x.dtype == DType::boolean ? DType::i32
                                            : x.dtype;
  Array out{shape, dtype, {}};
  Fold fold{kind, dtype == DType::f64};
  for (int64_t row = 0; row < shape.count(); ++row)
    out.values.push_back(is_float(dtype) ? real(fold.of(x, row * n, n))
                                         : whole(fold_wholes(kind, x, row * n, n)));
  return out;
}

Array transposed(const Array& x, int a, int b) {
  Shape shape = x.shape;
  std::swap(shape[a], shape[b]);
  Array out{shape, x.dtype, {}};
  std::vector<int64_t> strides(size_t(x.shape.rank()), 1);
  for (int d = x.shape.rank() - 2; d >= 0; --d) strides[size_t(d)] = strides[size_t(d + 1)] * x.shape[d + 1];
  std::swap(strides[size_t(a)], strides[size_t(b)]);
  for (int64_t i = 0; i < shape.count(); ++i) {
    int64_t rest = i, place = 0;
    for (int d = shape.rank() - 1; d >= 0; --d)
      place += rest % shape[d] * strides[size_t(d)], rest /= shape[d];
    out.values.push_back(x.values[size_t(place)]);
  }
  return out;
}

Array sliced(const Array& x, int dim, int64_t first, int64_t count) {
  int64_t inner = 1, outer = 1;
  for (int d = 0; d < dim; ++d) outer *= x.shape[d];
  for (int d = dim + 1; d < x.shape.rank(); ++d) inner *= x.shape[d];
  Array out{x.shape, x.dtype, {}};
  out.shape[dim] = count;
  for (int64_t o = 0; o < outer; ++o) {
    auto from = x.values.begin() + (o * x.shape[dim] + first) * inner;
    out.values.insert(out.values.end(), from, from + count * inner);
  }
  return out;
}

Array expanded(const Array& x, const Shape& shape) {
  Array out{shape, x.dtype, {}};
  for (int64_t at : positions(x.shape, shape)) out.values.push_back(x.values[size_t(at)]);
  return out;
}

Array reshaped(Array x, const Shape& shape) {
  x.shape = shape;
  return x;
}

std::string difference(const Tensor& got, const Array& want) {
  if (got.dtype() != want.dtype) return fmt::format("{}, not {}", name_of(got.dtype()), name_of(want.dtype));
  if (!(got.shape() == want.shape))
    return fmt::format("{}, not {}", to_string(got.shape()), to_string(want.shape));
  Array values = array_of(got);
  for (int64_t i = 0; i < want.count(); ++i)
    if (!alike(want.dtype, values.values[size_t(i)], want.values[size_t(i)]))
      return fmt::format("element {} of {} {}: {}, not {}", i, to_string(want.shape), name_of(want.dtype),
                         values.at(i), want.at(i));
  return "";
}

} // namespace reference
