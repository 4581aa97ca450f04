// The Hadamard transform: orthonormal for every size that models have, natural order for powers of two.
#include "runtime/cpu/hadamard_kernels.h"
#include "runtime/cpu/kernels.h"
#include "runtime/error.h"
#include "tests/kernel_checks.h"

#include <bit>

using namespace wane;
using namespace wane::cpu;

TEST_CASE("hadamard of powers of two is Sylvester's matrix") {
  for (int64_t n : {1, 2, 4, 8, 16, 32, 64, 128, 512, 2048}) {
    const int64_t rows = 3;
    const auto x = drawn(size_t(rows * n), unsigned(n));
    std::vector<float> out(x.size());
    hadamard_rows(DType::f32, x.data(), out.data(), rows, n);
    double worst = 0;
    for (int64_t r = 0; r < rows; r++)
      for (int64_t j = 0; j < n; j++) {
        double sum = 0;
        for (int64_t i = 0; i < n; i++)
          sum += std::popcount(uint64_t(i & j)) % 2 ? -double(x[size_t(r * n + i)])
                                                    : double(x[size_t(r * n + i)]);
        worst = std::max(worst, std::abs(sum / std::sqrt(double(n)) - out[size_t(r * n + j)]));
      }
    CAPTURE(n);
    CHECK(worst < 3e-6);
  }
}

TEST_CASE("hadamard is orthonormal with entries of one magnitude for the sizes of models") {
  // The rows of the identity give the matrix itself.
  for (int64_t n : {12, 20, 24, 28, 36, 40, 44, 48, 60, 68, 76, 80, 108, 140, 144, 148, 576, 960, 896}) {
    std::vector<double> eye(size_t(n * n)), h(size_t(n * n));
    for (int64_t i = 0; i < n; i++) eye[size_t(i * n + i)] = 1;
    hadamard_rows(DType::f64, eye.data(), h.data(), n, n);
    double off = 0, magnitude = 0;
    for (double v : h) magnitude = std::max(magnitude, std::abs(std::abs(v) * std::sqrt(double(n)) - 1));
    const int64_t step = n > 200 ? 7 : 1;
    for (int64_t a = 0; a < n; a += step)
      for (int64_t b = 0; b < n; b++) {
        double dot = 0;
        for (int64_t i = 0; i < n; i++) dot += h[size_t(a * n + i)] * h[size_t(b * n + i)];
        off = std::max(off, std::abs(dot - (a == b ? 1 : 0)));
      }
    CAPTURE(n);
    CHECK(off < 1e-12);
    CHECK(magnitude < 1e-12);
  }
  for (int64_t n :
       {1536, 2560, 3072, 3584, 4864, 5120, 6144, 8960, 9728, 12288, 13824, 14336, 17408, 18944, 25600}) {
    const auto x = drawn(size_t(n), unsigned(n));
    std::vector<float> out(x.size());
    hadamard_rows(DType::f32, x.data(), out.data(), 1, n);
    double before = 0, after = 0;
    for (float v : x) before += double(v) * v;
    for (float v : out) after += double(v) * v;
    CAPTURE(n);
    CHECK(after == doctest::Approx(before).epsilon(1e-6));
  }
}

TEST_CASE("hadamard: a row's bits depend on neither the others, the threads nor the x86-64 level") {
  for (int64_t n : {4, 16, 36, 48, 576, 1536, 4096}) {
    const int64_t rows = 37;
    const auto x = drawn(size_t(rows * n), unsigned(n));
    std::vector<float> out(x.size()), single(x.size());
    hadamard_rows(DType::f32, x.data(), out.data(), rows, n);
    for (int64_t r = 0; r < rows; r++)
      hadamard_rows(DType::f32, x.data() + r * n, single.data() + r * n, 1, n);
    CHECK(same_bytes(out, single));
    check_threads([&] {
      hadamard_rows(DType::f32, x.data(), out.data(), rows, n);
      return out;
    });
    auto narrow = to_bf16(x);
    std::vector<float> rounded;
    for (uint16_t v : narrow) rounded.push_back(wane_from_bf16(v));
    std::vector<uint16_t> half(x.size());
    hadamard_rows(DType::bf16, narrow.data(), half.data(), rows, n);
    hadamard_rows(DType::f32, rounded.data(), out.data(), rows, n);
    CHECK(half == to_bf16(out));
  }
  const auto x = drawn(12 * 64, 1);
  auto signs = drawn(144, 2);
  for (float& sign : signs) sign = sign < 0 ? -1.0f : 1.0f;
  auto run = [&](const HadamardTable& table) {
    std::vector<float> y(x.size()), room(12 * kMixColumns);
    table.f32.fast(x.data(), y.data(), 12 * 64, 64, 1, false, room.data());
    table.f32.mix(y.data(), y.data(), signs.data(), 12, 64, 0.3f, room.data());
    return y;
  };
  const auto v2 = run(isa_v2::hadamard_kernels());
  if (isa_level() >= IsaLevel::v3) CHECK(same_bytes(v2, run(isa_v3::hadamard_kernels())));
  if (isa_level() >= IsaLevel::v4) CHECK(same_bytes(v2, run(isa_v4::hadamard_kernels())));
}

TEST_CASE("hadamard of more than a cache holds gives each row's own bits") {
  for (int64_t n : {16, 48, 576, 4096, 12288}) {
    const int64_t rows = (int64_t(33) << 18) / n;
    auto x = drawn(size_t(16 * n), unsigned(n));
    while (int64_t(x.size()) < rows * n) x.insert(x.end(), x.begin(), x.begin() + 16 * n);
    x.resize(size_t(rows * n));
    std::vector<float> out(x.size() + 16), row(static_cast<size_t>(n));
    float* aligned = out.data();
    while (reinterpret_cast<uintptr_t>(aligned) % 64) aligned++;
    hadamard_rows(DType::f32, x.data(), aligned, rows, n);
    bool same = true;
    for (int64_t r = 0; r < rows; r += r < 32 ? 1 : 37) {
      hadamard_rows(DType::f32, x.data() + r * n, row.data(), 1, n);
      same &= std::memcmp(row.data(), aligned + r * n, row.size() * sizeof(float)) == 0;
    }
    CAPTURE(n);
    CHECK(same);
  }
}

TEST_CASE("hadamard: sizes without a transform are refused by name") {
  float x[200] = {};
  for (int64_t n : {3, 6, 7, 18, 92, 100, 11008})
    CHECK_THROWS_WITH_AS(hadamard_rows(DType::f32, x, x, 0, n),
                         fmt::format("not supported: hadamard of size {}", n).c_str(), Error);
  CHECK_THROWS_WITH_AS(hadamard_rows(DType::i32, x, x, 0, 4), "hadamard: not supported: i32; floats are",
                       Error);
  hadamard_rows(DType::f32, x, x, 0, 4);
}

TEST_CASE("hadamard transposed takes the transform back, also where H is not symmetric") {
  for (int64_t n : {1, 4, 12, 20, 28, 60, 240, 400, 960}) { // 12, 20 and 60 are of Paley's first kind
    const auto x = drawn(size_t(3 * n), unsigned(n));
    std::vector<float> there(x.size()), back(x.size());
    hadamard_rows(DType::f32, x.data(), there.data(), 3, n);
    hadamard_rows(DType::f32, there.data(), back.data(), 3, n, {.back = true});
    double off = 0;
    for (size_t i = 0; i < x.size(); i++) off = std::max(off, std::abs(double(x[i]) - back[i]));
    CAPTURE(n);
    CHECK(off < 2e-6);
  }
  std::vector<float> eye(144), h(144), t(144);
  for (size_t i = 0; i < 12; i++) eye[i * 13] = 1;
  hadamard_rows(DType::f32, eye.data(), h.data(), 12, 12);
  hadamard_rows(DType::f32, eye.data(), t.data(), 12, 12, {.back = true});
  bool symmetric = true;
  for (size_t i = 0; i < 144; i++) {
    CHECK(h[i] == t[i % 12 * 12 + i / 12]);
    symmetric &= h[i] == t[i];
  }
  CHECK_FALSE(symmetric);
}

TEST_CASE("hadamard with factors: rows take turns, before the transform or after the way back") {
  const int64_t n = 24, rows = 7;
  const auto x = drawn(size_t(rows * n), 3), signs = drawn(size_t(2 * n), 4);
  std::vector<double> factors;
  for (float v : signs) factors.push_back(v < 0 ? -1 : 1);
  std::vector<float> signed_x(x.size()), expected(x.size()), out(x.size()), back(x.size());
  for (size_t i = 0; i < x.size(); i++) signed_x[i] = x[i] * float(factors[i % factors.size()]);
  hadamard_rows(DType::f32, signed_x.data(), expected.data(), rows, n);
  hadamard_rows(DType::f32, x.data(), out.data(), rows, n, {.factors = factors});
  CHECK(same_bytes(out, expected));
  hadamard_rows(DType::f32, out.data(), back.data(), rows, n, {.factors = factors, .back = true});
  double off = 0;
  for (size_t i = 0; i < x.size(); i++) off = std::max(off, std::abs(double(x[i]) - back[i]));
  CHECK(off < 2e-6);
}

TEST_CASE("has_hadamard says which sizes have a transform") {
  for (int64_t n : {1, 2, 12, 36, 576, 1536, 12288, 18944, 25600}) CHECK(has_hadamard(n));
  for (int64_t n : {-4, 0, 3, 6, 18, 172, 11008}) CHECK_FALSE(has_hadamard(n));
}
