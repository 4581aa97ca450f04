// Conversions between stored dtypes, against arithmetic in f64.
#include <bit>
#include <cmath>
#include <numeric>
#include <random>

#include "runtime/model/gguf_blocks.h"
#include "tests/checkpoint_files.h"

using namespace wane;
using namespace wane::test;

namespace {

float reference_16(double value, int digits, int least, float largest) {
  if (std::isnan(value) || value == 0 || std::isinf(value)) return float(value);
  int exponent = std::max(std::ilogb(value), least);
  double step = std::ldexp(1.0, exponent - digits);
  double rounded = std::nearbyint(value / step) * step; // to nearest even, exact in f64
  return float(std::abs(rounded) > largest ? std::copysign(INFINITY, rounded) : rounded);
}
float bf16_of(uint16_t bits) { return std::bit_cast<float>(uint32_t(bits) << 16); }
float f16_of(uint16_t bits) {
  int exponent = (bits >> 10) & 31, fraction = bits & 1023;
  float value = exponent == 31
                    ? (fraction ? NAN : INFINITY)
                    : std::ldexp(float(fraction + (exponent ? 1024 : 0)), std::max(exponent, 1) - 25);
  return bits & 0x8000 ? -value : value;
}
bool same(float a, float b) {
  return std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b) || (a != a && b != b);
}

std::vector<double> interesting() {
  std::vector<double> out{0.0,
                          -0.0,
                          1,
                          -1,
                          INFINITY,
                          -INFINITY,
                          NAN,
                          65504,
                          65519.99,
                          65520,
                          65536,
                          1e300,
                          -1e300,
                          1e-300,
                          0x1p-24,
                          0x1p-25,
                          0x1.8p-25,
                          0x1p-14,
                          0x1.ffcp-15,
                          0x1.ffep-15,
                          0x1p-133,
                          0x1p-134,
                          0x1p-149,
                          1 + 0x1p-8,
                          1 + 0x1p-8 + 0x1p-40,
                          1 + 0x1p-11,
                          1 + 0x1p-11 + 0x1p-50,
                          3.3895313892515355e38,
                          3.4e38};
  std::mt19937_64 random(5);
  for (int i = 0; i < 4000; ++i) {
    double value = std::ldexp(1 + double(random() % 4096) / 4096, int(random() % 60) - 40);
    out.push_back(value * (random() % 2 ? 1 : -1));
    out.push_back(value + std::ldexp(1.0, std::ilogb(value) - 40)); // just off a tie
  }
  return out;
}

} // namespace

TEST_CASE("numbers: f64 and f32 are rounded once to 16 bits") {
  auto values = interesting();
  auto& kernels = decode_kernels();
  std::vector<float> singles(values.begin(), values.end());
  std::vector<uint16_t> bf16(values.size()), f16(values.size());
  auto bytes = [](auto& list) { return reinterpret_cast<std::byte*>(list.data()); };
  int64_t count = int64_t(values.size());
  for (bool wide : {true, false}) {
    auto* source = wide ? bytes(values) : bytes(singles);
    auto from = wide ? DType::f64 : DType::f32;
    kernels.numbers(from, source, count, DType::bf16, bytes(bf16));
    kernels.numbers(from, source, count, DType::f16, bytes(f16));
    for (size_t i = 0; i < values.size(); ++i) {
      double value = wide ? values[i] : double(singles[i]);
      INFO(value);
      CHECK(same(bf16_of(bf16[i]), reference_16(value, 7, -126, 0x1.fep127f)));
      CHECK(same(f16_of(f16[i]), reference_16(value, 10, -14, 65504)));
    }
  }
}

TEST_CASE("numbers: every 8- and 16-bit pattern widens exactly and comes back") {
  auto& kernels = decode_kernels();
  std::vector<uint16_t> codes(65536), back(65536);
  std::iota(codes.begin(), codes.end(), uint16_t(0));
  std::vector<float> wide(65536);
  auto bytes = [](auto& list) { return reinterpret_cast<std::byte*>(list.data()); };
  for (auto type : {DType::f16, DType::bf16}) {
    kernels.numbers(type, bytes(codes), 65536, DType::f32, bytes(wide));
    kernels.numbers(DType::f32, bytes(wide), 65536, type, bytes(back));
    for (size_t i = 0; i < 65536; ++i) {
      float expected = type == DType::f16 ? f16_of(codes[i]) : bf16_of(codes[i]);
      bool good = same(wide[i], expected) && (wide[i] != wide[i] || back[i] == codes[i]);
      if (!good) FAIL_CHECK(name_of(type), " pattern ", i);
    }
  }
  std::vector<uint8_t> small(256);
  std::iota(small.begin(), small.end(), uint8_t(0));
  kernels.numbers(DType::e4m3, bytes(small), 256, DType::f32, bytes(wide));
  for (int i = 0; i < 256; ++i) {
    int exponent = (i >> 3) & 15, fraction = i & 7;
    float value =
        (i & 127) == 127 ? NAN : std::ldexp(float(fraction + (exponent ? 8 : 0)), std::max(exponent, 1) - 10);
    CHECK(same(wide[size_t(i)], i & 128 ? -value : value));
  }
  kernels.numbers(DType::e5m2, bytes(small), 256, DType::f32, bytes(wide));
  for (int i = 0; i < 256; ++i) CHECK(same(wide[size_t(i)], f16_of(uint16_t(i << 8))));
}

TEST_CASE("numbers: integers") {
  auto& kernels = decode_kernels();
  std::vector<int32_t> source{0, -1, 16777217, INT32_MAX, INT32_MIN, 257, 65537};
  std::vector<double> doubles(source.size());
  std::vector<float> singles(source.size());
  std::vector<uint16_t> bf16(source.size());
  auto bytes = [](auto& list) { return reinterpret_cast<std::byte*>(list.data()); };
  kernels.numbers(DType::i32, bytes(source), 7, DType::f64, bytes(doubles));
  kernels.numbers(DType::i32, bytes(source), 7, DType::f32, bytes(singles));
  kernels.numbers(DType::i32, bytes(source), 7, DType::bf16, bytes(bf16));
  for (size_t i = 0; i < source.size(); ++i) {
    CHECK(doubles[i] == double(source[i]));
    CHECK(singles[i] == float(source[i]));
    CHECK(bf16_of(bf16[i]) == reference_16(source[i], 7, -126, 0x1.fep127f));
  }
}
