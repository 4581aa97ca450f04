#include "runtime/cpu/matmul.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <thread>

#include <doctest/doctest.h>

#include "runtime/cpu/isa.h"
#include "runtime/cpu/matmul_tiles.h"
#include "runtime/cpu/pool.h"

using namespace wane;

namespace {

struct Threads {
  int before = thread_count();
  explicit Threads(int n) { set_thread_count(n); }
  ~Threads() { set_thread_count(before); }
};

float from_bf16(uint16_t bits) {
  uint32_t wide = uint32_t(bits) << 16;
  float value;
  std::memcpy(&value, &wide, 4);
  return value;
}

// A matrix of some type, rows `stride` apart, with its values in f64 beside it.
struct Matrix {
  DType type;
  int64_t rows, cols, stride;
  std::vector<std::byte> bytes;
  std::vector<double> values; // [rows, cols]

  Matrix(DType type_, int64_t rows_, int64_t cols_, unsigned seed, int64_t extra = 0)
      : type(type_), rows(rows_), cols(cols_), stride(cols_ + extra),
        bytes(size_t(rows_ * stride) * size_of(type_) + 64), values(size_t(rows_ * cols_)) {
    std::minstd_rand random(seed * 7919 + 1);
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < cols; ++j) values[size_t(i * cols + j)] = put(i, j, random());
  }
  // Stores a random number and returns what was stored.
  double put(int64_t i, int64_t j, unsigned long draw) {
    std::byte* at = &bytes[size_t(i * stride + j) * size_of(type)];
    double x = double(draw % 2000001) / 1e6 - 1.0;
    auto save = [&](auto value) { std::memcpy(at, &value, sizeof value); };
    switch (type) {
    case DType::f64: save(x); return x;
    case DType::f32: save(float(x)); return double(float(x));
    case DType::bf16: {
      auto f = float(x);
      uint32_t u;
      std::memcpy(&u, &f, 4);
      save(uint16_t(u >> 16));
      return double(from_bf16(uint16_t(u >> 16)));
    }
    case DType::f16: { // sign, exponent of 1/2 .. 1, ten bits: always normal
      auto half = uint16_t((draw & 0x8000) | 0x3800 | (draw & 0x3ff));
      save(half);
      return (half & 0x8000 ? -0.5 : 0.5) * (1 + (half & 0x3ff) / 1024.0);
    }
    default: save(int8_t(draw % 256 - 128)); return double(int8_t(draw % 256 - 128));
    }
  }
  const void* data() const { return bytes.data(); }
};

DType sums_of(DType compute) {
  return compute == DType::i8 ? DType::i32 : compute == DType::f64 ? DType::f64 : DType::f32;
}

std::vector<DType> compute_types() {
  std::vector<DType> types{DType::f32, DType::i8, DType::f64};
  if (native_bf16()) types.push_back(DType::bf16);
  return types;
}

PackedWeightsPtr pack(const Matrix& w) {
  return pack_weights(w.type, w.type, w.data(), w.rows, w.cols, w.stride, 1);
}

// Rows [first, first + count) of a alone.
std::vector<std::byte> product(const Matrix& a, const PackedWeights& w, DType out_dtype, int64_t first,
                               int64_t count, const float* bias = nullptr) {
  std::vector<std::byte> out(size_t(count * w.n()) * size_of(out_dtype));
  const std::byte* rows = &a.bytes[size_t(first * a.stride) * size_of(a.type)];
  matmul_packed(a.type, rows, count, a.stride, w, out.data(), out_dtype, w.n(), bias);
  return out;
}
std::vector<std::byte> product(const Matrix& a, const PackedWeights& w) {
  return product(a, w, sums_of(a.type), 0, a.rows);
}

double value_at(const std::vector<std::byte>& out, DType type, size_t i) {
  const std::byte* at = &out[i * size_of(type)];
  float f;
  double d;
  int32_t n;
  uint16_t h;
  switch (type) {
  case DType::f32: std::memcpy(&f, at, 4); return f;
  case DType::f64: std::memcpy(&d, at, 8); return d;
  case DType::bf16: std::memcpy(&h, at, 2); return from_bf16(h);
  default: std::memcpy(&n, at, 4); return n;
  }
}

// The largest error over all outputs, in units of what the sum of K rounded products may be off: K times half
// a unit of the sum's type times sum |a||w|, plus one rounding to the type of the result. Exact types give 0
// or infinity.
double worst_error(const Matrix& a, const Matrix& w, const std::vector<std::byte>& out, DType out_dtype,
                   const float* bias = nullptr) {
  double unit = out_dtype == DType::f64 ? 0x1p-53 : 0x1p-24, worst = 0;
  for (int64_t i = 0; i < a.rows; ++i)
    for (int64_t j = 0; j < w.rows; ++j) {
      double sum = bias ? bias[j] : 0, size = std::fabs(sum);
      for (int64_t k = 0; k < a.cols; ++k) {
        double term = a.values[size_t(i * a.cols + k)] * w.values[size_t(j * w.cols + k)];
        sum += term;
        size += std::fabs(term);
      }
      double got = value_at(out, out_dtype, size_t(i * w.rows + j));
      if (out_dtype == DType::i32) {
        if (got != sum) return INFINITY;
        continue;
      }
      double allowed = double(a.cols + 2) * unit * size;
      if (out_dtype == DType::bf16) allowed += std::fabs(sum) * 0x1p-8;
      double off = std::fabs(got - sum);
      if (off != 0) worst = std::max(worst, off / allowed);
      if (!std::isfinite(got)) return INFINITY;
    }
  return worst;
}

} // namespace

TEST_CASE("matmul: every type equals an f64 oracle at odd and even sizes") {
  struct Size {
    int64_t m, n, k;
  };
  for (DType type : compute_types())
    for (Size s : {Size{1, 1, 1}, Size{3, 7, 5}, Size{1, 64, 64}, Size{5, 65, 33}, Size{8, 200, 171},
                   Size{9, 63, 172}, Size{17, 130, 1000}, Size{64, 192, 63}, Size{65, 513, 100},
                   Size{129, 577, 31}, Size{2, 1100, 576}}) {
      CAPTURE(name_of(type));
      CAPTURE(s.m);
      CAPTURE(s.n);
      CAPTURE(s.k);
      Matrix a(type, s.m, s.k, 1), w(type, s.n, s.k, 2);
      auto packed = pack(w);
      CHECK(worst_error(a, w, product(a, *packed), sums_of(type)) < 1);
    }
}

TEST_CASE("matmul: bias is added before the result is rounded to bf16") {
  std::vector<float> bias(300);
  for (size_t i = 0; i < bias.size(); ++i) bias[i] = float(i) / 7 - 20;
  for (DType type : {DType::f32, DType::bf16}) {
    if (type == DType::bf16 && !native_bf16()) continue;
    for (int64_t m : {1, 4, 20, 70}) {
      Matrix a(type, m, 96, 3), w(type, 300, 96, 4);
      auto packed = pack(w);
      auto exact = product(a, *packed, DType::f32, 0, m, bias.data()),
           rounded = product(a, *packed, DType::bf16, 0, m, bias.data());
      CHECK(worst_error(a, w, exact, DType::f32, bias.data()) < 1);
      for (size_t i = 0; i < size_t(m * 300); ++i) {
        uint32_t u;
        std::memcpy(&u, &exact[i * 4], 4);
        uint16_t expected = uint16_t((u + 0x7fff + (u >> 16 & 1)) >> 16), got;
        std::memcpy(&got, &rounded[i * 2], 2);
        REQUIRE(got == expected);
      }
    }
  }
}

TEST_CASE("matmul: rows wider than the matrix, and results with room between the rows") {
  for (DType type : compute_types())
    for (int64_t m : {1, 3, 40, 100}) {
      Matrix tight(type, m, 77, 5), a(type, m, 77, 5, 13), w(type, 150, 77, 6, 3);
      DType out_type = sums_of(type);
      size_t bytes = size_of(out_type);
      auto packed = pack(w);
      auto expected = product(tight, *packed);
      std::vector<std::byte> out(size_t(m * 170) * bytes, std::byte{0x5a});
      matmul_packed(type, a.data(), m, a.stride, *packed, out.data(), out_type, 170);
      for (size_t i = 0; i < size_t(m); ++i) {
        REQUIRE(std::memcmp(&out[i * 170 * bytes], &expected[i * 150 * bytes], 150 * bytes) == 0);
        for (size_t pad = 150 * bytes; pad < 170 * bytes; ++pad)
          REQUIRE(out[i * 170 * bytes + pad] == std::byte{0x5a});
      }
    }
}

TEST_CASE("matmul: the batch cannot be seen in the bits") {
  struct Size {
    int64_t n, k;
  };
  for (DType type : compute_types())
    for (Size s : {Size{192, 576}, Size{1536, 576}, Size{576, 1536}, Size{200, 172}, Size{513, 64},
                   Size{320, 1000}, Size{65, 601}, Size{70, 5000}, Size{129, 20}, Size{100, 9001}}) {
      CAPTURE(name_of(type));
      CAPTURE(s.n);
      CAPTURE(s.k);
      Matrix a(type, 197, s.k, 7), w(type, s.n, s.k, 8);
      auto packed = pack(w);
      for (DType out_type : {sums_of(type), DType::bf16}) {
        if (out_type == DType::bf16 && sums_of(type) != DType::f32) continue;
        size_t row_bytes = size_t(s.n) * size_of(out_type);
        auto all = product(a, *packed, out_type, 0, a.rows);
        int64_t step = s.k == 576 ? 1 : 5; // every count of rows for one shape, a sample for the others
        std::string differing;
        for (int64_t rows = 1; rows <= 66; rows += rows < 9 ? 1 : step) {
          int64_t first = rows * 7 % 100;
          auto alone = product(a, *packed, out_type, first, rows);
          if (std::memcmp(alone.data(), &all[size_t(first) * row_bytes], alone.size()) != 0)
            differing += " " + std::to_string(rows);
        }
        CHECK(differing == "");
      }
    }
}

TEST_CASE("matmul: a wide head of 49152 columns, alone and in a batch") {
  DType type = native_bf16() ? DType::bf16 : DType::f32;
  Matrix a(type, 66, 64, 9), w(type, 49152, 64, 10);
  auto packed = pack(w);
  auto all = product(a, *packed);
  for (int64_t row : {0, 41, 65}) {
    auto alone = product(a, *packed, DType::f32, row, 1);
    CHECK(std::memcmp(alone.data(), &all[size_t(row) * 49152 * 4], alone.size()) == 0);
  }
}

TEST_CASE("matmul: the number of threads cannot be seen in the bits") {
  for (DType type : compute_types())
    for (int64_t m : {1, 6, 50, 200}) {
      Matrix a(type, m, 576, 11), w(type, 700, 576, 12);
      std::vector<std::byte> first;
      for (int threads : {1, 2, 3, 7}) {
        Threads set(threads);
        auto out = product(a, *pack(w));
        if (first.empty()) first = out;
        CHECK(out == first);
      }
    }
}

TEST_CASE("matmul: all threads at once, a hundred times") {
  Threads set(3);
  for (DType type : compute_types()) {
    Matrix a(type, 80, 300, 13), w(type, 600, 300, 14);
    auto packed = pack(w);
    auto expected = product(a, *packed);
    int differing = 0;
    for (int round = 0; round < 100; ++round)
      if (product(a, *packed) != expected) ++differing;
    CHECK(differing == 0);
    // And from threads of their own, each with its scratchpad and primitives.
    std::vector<std::thread> callers;
    std::vector<int> wrong(4, 0);
    for (size_t t = 0; t < wrong.size(); ++t)
      callers.emplace_back([&, t] {
        for (int round = 0; round < 25; ++round)
          if (product(a, *packed) != expected) ++wrong[t];
      });
    for (auto& caller : callers) caller.join();
    CHECK(wrong == std::vector<int>(4, 0));
  }
}

TEST_CASE("matmul: empty sizes") {
  for (DType type : compute_types()) {
    Matrix a(type, 3, 8, 15), w(type, 5, 8, 16);
    auto packed = pack(w);
    std::vector<std::byte> out(3 * 5 * 8, std::byte{0x77});
    auto untouched = out;
    matmul_packed(type, a.data(), 0, 8, *packed, out.data(), sums_of(type), 5);
    CHECK(out == untouched);
    auto none = pack_weights(type, type, w.data(), 0, 8, 8, 1);
    matmul_packed(type, a.data(), 3, 8, *none, out.data(), sums_of(type), 0);
    CHECK(out == untouched);
    auto hollow = pack_weights(type, type, w.data(), 5, 0, 0, 1);
    matmul_packed(type, a.data(), 3, 0, *hollow, out.data(), sums_of(type), 5);
    size_t written = 15 * size_of(sums_of(type));
    CHECK(std::all_of(out.begin(), out.begin() + std::ptrdiff_t(written),
                      [](std::byte b) { return b == std::byte{0}; }));
    CHECK((written == out.size() || out[written] == std::byte{0x77}));
  }
  float bias[5] = {1, 2, 3, 4, 5}, out[10];
  auto hollow = pack_weights(DType::f32, DType::f32, bias, 5, 0, 0, 1);
  matmul_packed(DType::f32, bias, 2, 0, *hollow, out, DType::f32, 5, bias);
  CHECK(out[0] == 1);
  CHECK(out[9] == 5);
}

TEST_CASE("matmul: every order of the operand packs to the same bytes") {
  for (DType type : compute_types())
    for (auto [n, k] : {std::pair{1, 1}, {64, 64}, {70, 33}, {130, 515}, {63, 1030}}) {
      Matrix w(type, n, k, 17);
      size_t bytes = size_of(type);
      // Transposed, and with every element apart.
      std::vector<std::byte> turned(w.bytes.size() + 64), spread(w.bytes.size() * 3 + 64);
      for (int64_t i = 0; i < n; ++i)
        for (int64_t j = 0; j < k; ++j) {
          std::memcpy(&turned[size_t(j * n + i) * bytes], &w.bytes[size_t(i * k + j) * bytes], bytes);
          std::memcpy(&spread[size_t(i * k + j) * 3 * bytes], &w.bytes[size_t(i * k + j) * bytes], bytes);
        }
      auto rows = pack(w), columns = pack_weights(type, type, turned.data(), n, k, 1, n);
      auto loose = pack_weights(type, type, spread.data(), n, k, 3 * k, 3);
      size_t size = size_t(rows->blocks()) * rows->block_bytes();
      CHECK(std::memcmp(rows->block(0), columns->block(0), size) == 0);
      CHECK(std::memcmp(rows->block(0), loose->block(0), size) == 0);
      if (type == DType::i8)
        for (int64_t j = 0; j < n; ++j) {
          double sum = 0;
          for (int64_t i = 0; i < k; ++i) sum += w.values[size_t(j * k + i)];
          REQUIRE(rows->column_sums()[j] == sum);
        }
    }
}

TEST_CASE("matmul: the packed layouts are the documented ones") {
  Matrix f(DType::f32, 100, 40, 18), b(DType::bf16, 100, 40, 19), c(DType::i8, 100, 40, 20);
  auto pf = pack(f), pb = pack(b), pc = pack(c);
  CHECK(pf->block_bytes() == 48 * 64 * 4);
  CHECK(pb->block_bytes() == 64 * 64 * 2);
  CHECK(pc->block_bytes() == 64 * 64);
  for (size_t i = 0; i < 100; ++i)
    for (size_t j = 0; j < 40; ++j) {
      size_t column = i % 64;
      auto* words = reinterpret_cast<const float*>(pf->block(int64_t(i / 64)));
      REQUIRE(double(words[j * 64 + column]) == f.values[i * 40 + j]);
      auto* halves = reinterpret_cast<const uint16_t*>(pb->block(int64_t(i / 64)));
      REQUIRE(double(from_bf16(halves[j / 2 * 128 + column * 2 + j % 2])) == b.values[i * 40 + j]);
      auto* bytes = reinterpret_cast<const int8_t*>(pc->block(int64_t(i / 64)));
      REQUIRE(double(bytes[j / 4 * 256 + column * 4 + j % 4]) == c.values[i * 40 + j]);
    }
}

TEST_CASE("matmul: weights of other types convert while they are packed") {
  for (DType source : {DType::f16, DType::bf16, DType::f64, DType::i8}) {
    CAPTURE(name_of(source));
    Matrix a(DType::f32, 10, 90, 21), w(source, 75, 90, 22);
    auto packed = pack_weights(DType::f32, source, w.data(), 75, 90, 90, 1);
    CHECK(packed->dtype() == DType::f32);
    CHECK(worst_error(a, w, product(a, *packed), DType::f32)
          < (source == DType::f64 ? 3 : 1)); // f64 rounds to f32
  }
}

TEST_CASE("matmul: two plain operands give the bits of packed ones") {
  std::vector<DType> types = compute_types();
  types.push_back(DType::f16);
  for (DType type : types)
    for (int64_t m : {1, 70}) {
      Matrix a(type, m, 83, 23, 2), w(type, 140, 83, 24);
      DType out_type = sums_of(type);
      std::vector<std::byte> out(size_t(m * 140) * size_of(out_type));
      matmul_plain(type, a.data(), m, a.stride, w.data(), 1, 83, 140, 83, out.data(), out_type, 140);
      CHECK(worst_error(a, w, out, out_type) < 1);
      if (type == DType::f16) continue;
      CHECK(out == product(a, *pack(w)));
    }
}

TEST_CASE("matmul: i8 is exact at its extremes") {
  for (int64_t m : {1, 30}) {
    std::vector<int8_t> low(size_t(m) * 4099, -128), w(70 * 4099, -128);
    auto packed = pack_weights(DType::i8, DType::i8, w.data(), 70, 4099, 4099, 1);
    std::vector<int32_t> out(size_t(m) * 70);
    matmul_packed(DType::i8, low.data(), m, 4099, *packed, out.data(), DType::i32, 70);
    CHECK(std::all_of(out.begin(), out.end(), [](int32_t x) { return x == 16384 * 4099; }));
    std::fill(low.begin(), low.end(), int8_t(127));
    matmul_packed(DType::i8, low.data(), m, 4099, *packed, out.data(), DType::i32, 70);
    CHECK(std::all_of(out.begin(), out.end(), [](int32_t x) { return x == -128 * 127 * 4099; }));
  }
}

TEST_CASE("matmul: infinities and NaN stay in their row") {
  for (DType type : {DType::f32, DType::bf16}) {
    if (type == DType::bf16 && !native_bf16()) continue;
    for (int64_t m : {3, 40}) {
      Matrix a(type, m, 50, 25), w(type, 66, 50, 26);
      std::byte* bad = &a.bytes[size_t(a.stride + 7) * size_of(type)];
      uint32_t nan = 0x7fc00000;
      std::memcpy(bad, reinterpret_cast<std::byte*>(&nan) + (4 - size_of(type)), size_of(type));
      auto out = product(a, *pack(w));
      for (size_t j = 0; j < 66; ++j) {
        CHECK(std::isnan(value_at(out, DType::f32, 66 + j)));
        CHECK(std::isfinite(value_at(out, DType::f32, j)));
        CHECK(std::isfinite(value_at(out, DType::f32, 132 + j)));
      }
    }
  }
}

TEST_CASE("matmul: the own kernel's order of summation is found for the usual sizes") {
  for (DType type : {DType::f32, DType::bf16}) {
    if (!library_computes(type)) continue; // else it is an own kernel's too
    for (int64_t k : {64, 576, 1536, 4096}) {
      CAPTURE(name_of(type));
      CAPTURE(k);
      CHECK(sum_order(type, k).kind != SumOrder::unknown);
    }
  }
}

TEST_CASE("matmul: an interrupt stops a product between tiles") {
  Matrix a(DType::f32, 300, 64, 27), w(DType::f32, 600, 64, 28);
  auto packed = pack(w);
  request_interrupt();
  Fault fault = Fault::internal;
  try {
    product(a, *packed);
  } catch (const Error& e) {
    fault = e.fault();
  }
  clear_interrupt();
  CHECK(fault == Fault::interrupted);
}

TEST_CASE("matmul: types that do not go together are named") {
  auto message = [](auto&& body) -> std::string {
    try {
      body();
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  Matrix a(DType::f32, 2, 4, 29);
  auto packed = pack(Matrix(DType::f32, 3, 4, 30));
  float out[6];
  CHECK(message([&] { matmul_packed(DType::f32, a.data(), 2, 4, *packed, out, DType::i32, 3); })
        == "matmul: f32 times weights packed for f32 to i32");
  CHECK(message([&] { matmul_packed(DType::i8, a.data(), 2, 4, *packed, out, DType::i32, 3); })
        == "matmul: i8 times weights packed for f32 to i32");
  CHECK(message([&] { matmul_packed(DType::f32, a.data(), 2, 3, *packed, out, DType::f32, 3); })
        == "matmul: [2 x 4] with rows 3 apart to [2 x 3] with rows 3 apart");
  CHECK(message([&] { pack_weights(DType::bf16, DType::f32, a.data(), 2, 4, 4, 1); })
        == "pack_weights: f32 weights for a product in bf16");
}

TEST_CASE("matmul: the class names the level, the kernels and the hash, and is stable") {
  const MatmulClass& c = matmul_class();
  CHECK(c.isa == name_of(isa_level()));
  CHECK(c.implementations.size() == compute_types().size() + 1); // and attention's
  CHECK(c.probe_hash.size() == 16);
  for (auto& name : c.implementations) CHECK(name.find("ref") == std::string::npos);
  for (auto& note : c.notes) CHECK(note.find("not batch-invariant") == std::string::npos);
  MESSAGE(c.isa << " " << c.implementations[0] << ", " << c.implementations[1] << ", hash " << c.probe_hash);
}

TEST_CASE("matmul: weights read row by row pack as those in memory do") {
  for (DType type : compute_types())
    for (auto [n, k] : {std::pair<int64_t, int64_t>{1, 1}, {64, 96}, {70, 33}, {200, 1100}, {130, 4100}}) {
      Matrix w(type, n, k, unsigned(n));
      auto whole = pack(w);
      auto read = [&](int64_t first, int64_t rows, std::byte* out) {
        std::memcpy(out, &w.bytes[size_t(first * k) * size_of(type)], size_t(rows * k) * size_of(type));
      };
      auto parts = pack_rows(type, type, n, k, read);
      for (int64_t b = 0; b < whole->blocks(); ++b)
        CHECK(std::memcmp(whole->block(b), parts->block(b), whole->block_bytes()) == 0);
      if (type == DType::i8)
        CHECK(std::memcmp(whole->column_sums(), parts->column_sums(), size_t(whole->blocks()) * 256) == 0);
    }
}

TEST_CASE("matmul: several weights in one dispatch give the bits of each alone") {
  for (DType type : compute_types())
    for (int64_t m : {1, 3, 8, 64, 65, 130}) {
      const int64_t k = 100, widths[] = {64, 200, 17, 700};
      Matrix a(type, m, k, 5);
      std::vector<PackedWeightsPtr> packed;
      std::vector<std::vector<std::byte>> out;
      std::vector<Target> targets;
      for (int64_t n : widths) {
        packed.push_back(pack(Matrix(type, n, k, unsigned(n))));
        out.emplace_back(size_t(m * n) * size_of(sums_of(type)));
      }
      for (size_t i = 0; i < packed.size(); ++i) targets.push_back({*packed[i], out[i].data(), widths[i]});
      matmul_packed(type, a.data(), m, k, targets, sums_of(type));
      for (size_t i = 0; i < packed.size(); ++i) CHECK(out[i] == product(a, *packed[i]));
    }
  auto one = pack(Matrix(DType::f32, 8, 16, 1)), other = pack(Matrix(DType::f32, 8, 17, 1));
  std::vector<float> x(16), y(16);
  Target targets[] = {{*one, y.data(), 8}, {*other, y.data() + 8, 8}};
  CHECK_THROWS_WITH_AS(matmul_packed(DType::f32, x.data(), 1, 17, targets, DType::f32),
                       "matmul: weights of k = 17 beside k = 16", Error);
}
