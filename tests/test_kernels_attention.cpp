// Attention and rope against f64 oracles, and the promise that a query's bits depend on nothing but its keys.
#include "runtime/cpu/attention_part.h"
#include "runtime/cpu/kernels.h"
#include "runtime/error.h"
#include "tests/kernel_checks.h"

#include <bit>

using namespace wane;
using namespace wane::cpu;

namespace {

struct Problem {
  int64_t tokens, start, heads, kv_heads, dim, window;
  std::vector<float> q, k, v;
  float scale;

  Problem(int64_t tokens, int64_t start, int64_t heads, int64_t kv_heads, int64_t dim, int64_t window,
          unsigned seed = 1)
      : tokens(tokens), start(start), heads(heads), kv_heads(kv_heads), dim(dim), window(window),
        q(drawn(size_t(tokens * heads * dim), seed)),
        k(drawn(size_t((start + tokens) * kv_heads * dim), seed + 1, 2)),
        v(drawn(size_t((start + tokens) * kv_heads * dim), seed + 2)), scale(1 / std::sqrt(float(dim))) {}

  AttentionArgs args(float* out, int64_t first = 0, int64_t count = -1) const {
    return {DType::f32,
            q.data() + first * heads * dim,
            k.data(),
            v.data(),
            out + first * heads * dim,
            count < 0 ? tokens : count,
            start + first,
            heads,
            kv_heads,
            dim,
            heads * dim,
            kv_heads * dim,
            heads * dim,
            window,
            scale};
  }
  std::vector<float> run() const {
    std::vector<float> out(q.size(), 7);
    AttentionArgs a = args(out.data());
    attention({&a, 1});
    return out;
  }
  double exact(int64_t token, int64_t head, int64_t d) const {
    const int64_t position = start + token, kv = head / (heads / kv_heads);
    const int64_t lowest = window ? std::max<int64_t>(0, position - window + 1) : 0;
    std::vector<double> s;
    double most = -1e300, total = 0, sum = 0;
    for (int64_t j = lowest; j <= position; j++) {
      double dot = 0;
      for (int64_t i = 0; i < dim; i++)
        dot += double(q[size_t((token * heads + head) * dim + i)]) * k[size_t((j * kv_heads + kv) * dim + i)];
      s.push_back(dot * scale);
      most = std::max(most, s.back());
    }
    for (size_t j = 0; j < s.size(); j++) {
      double w = std::exp(s[j] - most);
      total += w;
      sum += w * v[size_t(((lowest + int64_t(j)) * kv_heads + kv) * dim + d)];
    }
    return sum / total;
  }
};

} // namespace

TEST_CASE("attention equals the f64 softmax within 2e-5") {
  const int64_t shapes[][6] = {{1, 0, 1, 1, 1, 0},     {1, 63, 2, 1, 7, 0},    {65, 0, 4, 2, 64, 0},
                               {100, 37, 9, 3, 64, 0}, {70, 130, 6, 2, 33, 0}, {130, 0, 2, 2, 128, 50},
                               {5, 300, 8, 1, 80, 64}, {90, 10, 3, 3, 96, 1},  {67, 61, 5, 1, 20, 70}};
  for (auto& s : shapes) {
    Problem p(s[0], s[1], s[2], s[3], s[4], s[5]);
    auto out = p.run();
    double worst = 0;
    for (int64_t t = 0; t < p.tokens; t++)
      for (int64_t h = 0; h < p.heads; h++)
        for (int64_t d = 0; d < p.dim; d += 5)
          worst = std::max(worst, std::abs(out[size_t((t * p.heads + h) * p.dim + d)] - p.exact(t, h, d)));
    CAPTURE(p.tokens);
    CAPTURE(p.dim);
    CHECK(worst < 2e-5);
  }
}

TEST_CASE("attention: chunks, single tokens, batches and threads give the bits of the whole") {
  // Groups of 3, 1 and 5 queries per key: tiles end inside and between positions.
  struct Heads {
    int64_t queries, keys, dim;
  };
  for (int64_t window : {0, 1, 40, 64, 100})
    for (Heads heads : {Heads{6, 2, 48}, Heads{2, 2, 80}, Heads{5, 1, 17}}) {
      Problem p(150, 21, heads.queries, heads.keys, heads.dim, window);
      const auto whole = p.run();
      std::vector<float> pieces(whole.size());
      const int64_t cuts[] = {0, 1, 2, 3, 10, 43, 44, 107, 108, 149, 150};
      for (size_t i = 0; i + 1 < std::size(cuts); i++) {
        AttentionArgs a = p.args(pieces.data(), cuts[i], cuts[i + 1] - cuts[i]);
        attention({&a, 1});
      }
      CHECK(same_bytes(whole, pieces));
      std::vector<float> single(whole.size());
      std::vector<AttentionArgs> all;
      for (int64_t t = 0; t < p.tokens; t++) all.push_back(p.args(single.data(), t, 1));
      attention(all);
      CHECK(same_bytes(whole, single));
      check_threads([&] { return p.run(); });
    }
}

TEST_CASE("attention gives the same bits at x86-64-v3 and v4, at v2 nearly") {
  for (int64_t dim : {64, 72, 17}) {
    Problem p(64, 100, 4, 2, dim, dim == 72 ? 90 : 0);
    auto run = [&](void (*part_of)(const AttentionPart&, float*)) {
      std::vector<float> out(p.q.size());
      AttentionArgs a = p.args(out.data());
      for (int64_t head = 0; head < 2; head++) {
        AttentionPart part{&a, head, 0, 64};
        std::vector<float> memory(size_t(attention_scratch(part) + 16));
        part_of(part, reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) / 64 * 64));
      }
      return out;
    };
    if (isa_level() < IsaLevel::v3) continue;
    const auto v2 = run(isa_v2::attention_part), v3 = run(isa_v3::attention_part);
    double worst = 0;
    for (size_t i = 0; i < v2.size(); i++) worst = std::max(worst, double(std::abs(v2[i] - v3[i])));
    CHECK(worst < 1e-5); // v2 lacks the fused multiply-add
    if (isa_level() >= IsaLevel::v4) CHECK(same_bytes(v3, run(isa_v4::attention_part)));
  }
}

TEST_CASE("attention: far scores weigh nothing, and NaN stays NaN whatever its bits") {
  Problem p(70, 60, 3, 1, 16, 0);
  for (float& x : p.q) x *= 200; // scores beyond what exp holds
  auto out = p.run();
  double worst = 0;
  for (int64_t t = 0; t < p.tokens; t++)
    for (int64_t h = 0; h < 3; h++)
      for (int64_t d = 0; d < 16; d++)
        worst = std::max(worst, std::abs(out[size_t((t * 3 + h) * 16 + d)] - p.exact(t, h, d)));
  CHECK(worst < 2e-3);
  for (uint32_t bits : {0x7fc00000u, 0x7fc001ffu, 0xffc00101u}) {
    p.k[90 * 16 + 3] = std::bit_cast<float>(bits);
    out = p.run();
    for (int64_t t = 0; t < p.tokens; t++) CHECK(std::isnan(out[size_t(t * 48 + 20)]) == (t + 60 >= 90));
  }
}

TEST_CASE("attention reads no key behind the query, not even one that is NaN") {
  Problem p(70, 0, 2, 1, 16, 0);
  const auto whole = p.run();
  for (size_t i = 40 * 16; i < p.k.size(); i++) p.k[i] = p.v[i] = NAN;
  const auto cut = p.run();
  for (size_t i = 0; i < cut.size(); i++) {
    if (i < 40 * 32)
      CHECK(std::memcmp(&cut[i], &whole[i], 4) == 0);
    else
      CHECK(std::isnan(cut[i]));
  }
}

// On AMX the weights have 16 bits, so a value may fall on the other side of a rounding.
TEST_CASE("attention in bf16 is the f32 one rounded, within a last place on AMX") {
  for (int64_t dim : {64, 33, 80}) {
    Problem p(80, 5, 3, 3, dim, 0);
    auto q = to_bf16(p.q), k = to_bf16(p.k), v = to_bf16(p.v);
    for (size_t i = 0; i < q.size(); i++) p.q[i] = wane_from_bf16(q[i]);
    for (size_t i = 0; i < k.size(); i++) p.k[i] = wane_from_bf16(k[i]), p.v[i] = wane_from_bf16(v[i]);
    std::vector<uint16_t> out(q.size());
    for (int64_t first = 0; first < 80; first += 40) {
      AttentionArgs a = p.args(nullptr, 0, 40);
      a.dtype = DType::bf16, a.start += first;
      a.q = q.data() + first * 3 * dim, a.k = k.data(), a.v = v.data(), a.out = out.data() + first * 3 * dim;
      attention({&a, 1});
    }
    CAPTURE(dim);
    const auto whole = p.run();
    if (std::string_view(attention_form()) != "amx") {
      CHECK(out == to_bf16(whole));
      continue;
    }
    double worst = 0;
    for (size_t i = 0; i < out.size(); i++)
      worst =
          std::max(worst, std::abs(wane_from_bf16(out[i]) - double(whole[i])) / (std::abs(whole[i]) + 0.01));
    CHECK(worst < 0x1p-8);
  }
}

// A problem of bf16 numbers; its f32 fields hold the same values.
struct Rounded : Problem {
  std::vector<uint16_t> q16, k16, v16;

  explicit Rounded(const Problem& p) : Problem(p) { round(); }
  void round() {
    q16 = to_bf16(q), k16 = to_bf16(k), v16 = to_bf16(v);
    auto widened = [](const std::vector<uint16_t>& from, std::vector<float>& to) {
      for (size_t i = 0; i < from.size(); i++) to[i] = wane_from_bf16(from[i]);
    };
    widened(q16, q), widened(k16, k), widened(v16, v);
  }
  AttentionArgs args(std::vector<uint16_t>& out, int64_t first, int64_t count) const {
    AttentionArgs a = Problem::args(nullptr, first, count);
    a.dtype = DType::bf16, a.k = k16.data(), a.v = v16.data();
    a.q = q16.data() + first * heads * dim, a.out = out.data() + first * heads * dim;
    return a;
  }
  std::vector<uint16_t> run() const {
    std::vector<uint16_t> out(q.size(), 7);
    AttentionArgs a = args(out, 0, tokens);
    attention({&a, 1});
    return out;
  }
};

TEST_CASE("attention in bf16 equals the f64 softmax, and chunks, single tokens and threads give its bits") {
  const int64_t shapes[][6] = {{150, 21, 6, 2, 48, 0},  {100, 37, 9, 3, 64, 40}, {70, 130, 5, 1, 17, 0},
                               {130, 0, 2, 2, 128, 64}, {67, 2101, 4, 1, 80, 0}, {90, 10, 3, 3, 96, 1}};
  for (auto& s : shapes) {
    Rounded p(Problem(s[0], s[1], s[2], s[3], s[4], s[5]));
    const auto whole = p.run();
    double worst = 0;
    for (int64_t t = 0; t < p.tokens; t += 3)
      for (int64_t h = 0; h < p.heads; h++)
        for (int64_t d = 0; d < p.dim; d += 5) {
          double exact = p.exact(t, h, d);
          worst =
              std::max(worst, std::abs(wane_from_bf16(whole[size_t((t * p.heads + h) * p.dim + d)]) - exact)
                                  / (std::abs(exact) + 0.01));
        }
    CAPTURE(p.dim);
    CHECK(worst < 0x1.1p-8); // half a last place of bf16, and what f32 sums are off
    std::vector<uint16_t> pieces(whole.size()), single(whole.size());
    const int64_t cuts[] = {0, 1, 2, 3, 10, 43, 44, s[0]};
    for (size_t i = 0; i + 1 < std::size(cuts); i++) {
      AttentionArgs a = p.args(pieces, cuts[i], cuts[i + 1] - cuts[i]);
      attention({&a, 1});
    }
    CHECK(same_bytes(whole, pieces));
    std::vector<AttentionArgs> all;
    for (int64_t t = 0; t < p.tokens; t++) all.push_back(p.args(single, t, 1));
    attention(all);
    CHECK(same_bytes(whole, single));
    check_threads([&] { return p.run(); });
  }
}

TEST_CASE("attention in bf16 reads no key behind the query, not even one that is NaN or infinite") {
  for (float bad : {NAN, INFINITY}) {
    Rounded p(Problem(70, 0, 2, 1, 16, 0));
    const auto whole = p.run();
    for (size_t i = 40 * 16; i < p.k.size(); i++) p.v[i] = bad, p.k[i] = std::isnan(bad) ? bad : p.k[i];
    p.round();
    const auto cut = p.run();
    for (size_t i = 0; i < cut.size(); i++) {
      if (i < 40 * 32)
        CHECK(cut[i] == whole[i]);
      else
        CHECK(!std::isfinite(wane_from_bf16(cut[i])));
    }
  }
}

TEST_CASE("attention: wrong use") {
  Problem p(4, 0, 3, 1, 8, 0);
  std::vector<float> out(p.q.size());
  AttentionArgs a = p.args(out.data());
  a.dtype = DType::i8;
  CHECK_THROWS_WITH_AS(attention({&a, 1}), "attention: not supported: i8; f32 and bf16 are", Error);
  a = p.args(out.data());
  a.kv_heads = 2;
  CHECK_THROWS_WITH_AS(attention({&a, 1}), "attention: 3 heads do not share 2 heads of keys evenly", Error);
  a = p.args(out.data(), 0, 0);
  attention({&a, 1}); // no queries: nothing to do
  attention({});
}

TEST_CASE("rope equals the f64 rotation") {
  const int64_t tokens = 37, heads = 3, dim = 20, half = dim / 2;
  std::vector<double> freqs;
  for (int64_t i = 0; i < half; i++) freqs.push_back(std::pow(10000.0, -double(i) / half));
  std::vector<int32_t> positions;
  for (int64_t t = 0; t < tokens; t++)
    positions.push_back(int32_t(t < 30 ? t * 57 : 70000 + t * 999)); // some beyond the table
  auto x = drawn(size_t(tokens * heads * dim), 3);
  for (DType dtype : {DType::f64, DType::f32, DType::bf16, DType::f16}) {
    std::vector<double> wide(x.begin(), x.end());
    std::vector<float> f32 = x;
    std::vector<uint16_t> half_bits(x.size());
    if (dtype == DType::bf16 || dtype == DType::f16)
      for (size_t i = 0; i < x.size(); i++) {
        half_bits[i] = dtype == DType::bf16 ? wane_to_bf16(x[i]) : wane_to_f16(x[i]);
        wide[i] = dtype == DType::bf16 ? wane_from_bf16(half_bits[i]) : wane_from_f16(half_bits[i]);
      }
    const void* in = dtype == DType::f64   ? (void*)wide.data()
                     : dtype == DType::f32 ? (void*)f32.data()
                                           : half_bits.data();
    std::vector<double> out(x.size());
    rope(dtype, in, out.data(), tokens, heads, dim, positions.data(), freqs.data(), 1.5f);
    const double bound = dtype == DType::f64   ? 1e-13
                         : dtype == DType::f32 ? 1e-6
                         : dtype == DType::f16 ? 5e-3
                                               : 4e-2;
    double worst = 0;
    for (int64_t t = 0; t < tokens; t++)
      for (int64_t h = 0; h < heads; h++)
        for (int64_t i = 0; i < half; i++) {
          const int64_t at = (t * heads + h) * dim + i;
          const double angle = positions[size_t(t)] * freqs[size_t(i)], c = std::cos(angle) * 1.5,
                       s = std::sin(angle) * 1.5;
          auto got = [&](int64_t j) {
            if (dtype == DType::f64) return out[size_t(j)];
            if (dtype == DType::f32) return double(reinterpret_cast<float*>(out.data())[j]);
            uint16_t bits = reinterpret_cast<uint16_t*>(out.data())[j];
            return double(dtype == DType::bf16 ? wane_from_bf16(bits) : wane_from_f16(bits));
          };
          worst = std::max(worst, std::abs(got(at) - (wide[size_t(at)] * c - wide[size_t(at + half)] * s)));
          worst = std::max(worst,
                           std::abs(got(at + half) - (wide[size_t(at + half)] * c + wide[size_t(at)] * s)));
        }
    CAPTURE(name_of(dtype));
    CHECK(worst < bound);
  }
  std::vector<float> a(x.size()), b(x.size());
  rope(DType::f32, x.data(), a.data(), tokens, heads, dim, positions.data(), freqs.data(), 1);
  check_threads([&] {
    rope(DType::f32, x.data(), b.data(), tokens, heads, dim, positions.data(), freqs.data(), 1);
    return b;
  });
  CHECK(same_bytes(a, b));
  // A token alone has the bits it has in a batch.
  rope(DType::f32, x.data() + 5 * heads * dim, b.data(), 1, heads, dim, positions.data() + 5, freqs.data(),
       1);
  CHECK(std::memcmp(b.data(), a.data() + 5 * heads * dim, size_t(heads * dim) * 4) == 0);
  CHECK_THROWS_WITH_AS(rope(DType::i32, nullptr, nullptr, 1, 1, 4, nullptr, nullptr, 1),
                       "rope: not supported: i32; floats are", Error);
  CHECK_THROWS_WITH_AS(rope(DType::f32, nullptr, nullptr, 1, 1, 5, nullptr, nullptr, 1),
                       "rope: the size of a head is even, not 5", Error);
}
