#include "runtime/random.h"

#include <map>
#include <mutex>
#include <string>

#include "kernels/math.h"
#include "runtime/calls.h"
#include "runtime/cpu/pool.h"
#include "runtime/profile.h"

namespace wane {
namespace {

struct Streams {
  std::mutex mutex;
  uint64_t seed = 0;
  std::map<std::string, uint64_t, std::less<>> draws;
};
Streams& streams() {
  static Streams* state = new Streams;
  return *state;
}

uint64_t mix(uint64_t x) { // splitmix64's finaliser: spreads names and counters over the key
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ull;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebull;
  return x ^ (x >> 31);
}

uint64_t name_hash(std::string_view name) { // FNV-1a
  uint64_t hash = 0xcbf29ce484222325ull;
  for (char c : name) hash = (hash ^ uint8_t(c)) * 0x100000001b3ull;
  return hash;
}

std::array<uint32_t, 4> block(uint64_t key, uint64_t index) {
  return philox({uint32_t(index), uint32_t(index >> 32), 0, 0}, {uint32_t(key), uint32_t(key >> 32)});
}

double unit(uint32_t high, uint32_t low) { return double((uint64_t(high) << 32 | low) >> 11) * 0x1p-53; }

template <class F> Tensor fill(const Shape& shape, DType dtype, const char* name, F value) {
  if (!is_float(dtype)) throw error("{}: dtype {} holds no fractions", name, name_of(dtype));
  DType computed = dtype == DType::f64 ? DType::f64 : DType::f32;
  WorkSpan span(name);
  Tensor t = empty(shape, computed, name);
  span.moves(t);
  int64_t count = t.count();
  constexpr int64_t kPart = 1 << 14;
  parallel_parts((count + kPart - 1) / kPart, [&](int64_t part, int) {
    int64_t last = std::min(count, (part + 1) * kPart);
    for (int64_t i = part * kPart; i < last; ++i) {
      double v = value(uint64_t(i));
      if (computed == DType::f64)
        t.data<double>()[i] = v;
      else
        t.data<float>()[i] = float(v);
    }
  });
  return dtype == computed ? t : cast(t, dtype).flushed();
}

} // namespace

std::array<uint32_t, 4> philox(std::array<uint32_t, 4> c, std::array<uint32_t, 2> k) {
  for (int round = 0; round < 10; ++round) {
    uint64_t a = uint64_t(0xD2511F53u) * c[0], b = uint64_t(0xCD9E8D57u) * c[2];
    c = {uint32_t(b >> 32) ^ c[1] ^ k[0], uint32_t(b), uint32_t(a >> 32) ^ c[3] ^ k[1], uint32_t(a)};
    k[0] += 0x9E3779B9u;
    k[1] += 0xBB67AE85u;
  }
  return c;
}

void set_seed(uint64_t seed) {
  std::lock_guard lock(streams().mutex);
  streams().seed = seed;
}
uint64_t seed() {
  std::lock_guard lock(streams().mutex);
  return streams().seed;
}
void reset_streams() {
  std::lock_guard lock(streams().mutex);
  streams().draws.clear();
}

uint64_t next_draw(std::string_view stream) {
  std::lock_guard lock(streams().mutex);
  auto entry = streams().draws.try_emplace(std::string(stream), 0).first;
  uint64_t number = entry->second++;
  return mix(mix(streams().seed + 0x9e3779b97f4a7c15ull) ^ mix(name_hash(stream))
             ^ mix(number * 0x9e3779b97f4a7c15ull + 1));
}

uint32_t random_bits(uint64_t key, uint64_t i) { return block(key, i / 4)[i % 4]; }

double random_uniform(uint64_t key, uint64_t i) {
  auto bits = block(key, i);
  return unit(bits[0], bits[1]);
}

Tensor uniform(const Shape& shape, DType dtype, uint64_t key) {
  return fill(shape, dtype, "uniform", [key](uint64_t i) { return random_uniform(key, i); });
}

// Box and Muller's method on two uniform numbers of one counter, in f64, so that both back ends round the
// same value.
Tensor randn(const Shape& shape, DType dtype, uint64_t key) {
  return fill(shape, dtype, "randn", [key](uint64_t i) {
    auto bits = block(key, i);
    double u = 1.0 - unit(bits[0], bits[1]), v = unit(bits[2], bits[3]);
    return WANE_SQRT_D(-2.0 * wane_log_d(u)) * wane_cos_d(6.283185307179586 * v);
  });
}

} // namespace wane
