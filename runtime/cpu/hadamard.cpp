// The Hadamard transform of rows. n = a * b * ... * 2^k: the Kronecker product of matrices by R. Paley's two
// constructions (1933) for the odd part and of Sylvester's for the rest.
#include "runtime/cpu/hadamard_kernels.h"
#include "runtime/cpu/kernels.h"
#include "runtime/cpu/lanes.h"

#include "runtime/cpu/isa.h"
#include "runtime/cpu/pool.h"
#include "runtime/cpu/stream.h"
#include "runtime/error.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <immintrin.h>

namespace wane::cpu {

const HadamardTable& hadamard_kernels() {
  static const HadamardTable& chosen = isa_level() == IsaLevel::v4   ? isa_v4::hadamard_kernels()
                                       : isa_level() == IsaLevel::v3 ? isa_v3::hadamard_kernels()
                                                                     : isa_v2::hadamard_kernels();
  return chosen;
}

namespace {

constexpr int64_t kElementsPerPart = 1 << 15;
constexpr int64_t kLargestOrder = 1024; // of one Paley matrix

bool is_prime(int64_t q) {
  if (q < 2) return false;
  for (int64_t d = 2; d * d <= q; d++)
    if (q % d == 0) return false;
  return true;
}

bool is_paley_one(int64_t m) { return (m - 1) % 4 == 3 && is_prime(m - 1); }
bool is_paley_two(int64_t m) { return m % 4 == 0 && (m / 2 - 1) % 4 == 1 && is_prime(m / 2 - 1); }
bool is_paley(int64_t m) { return m <= kLargestOrder && (is_paley_one(m) || is_paley_two(m)); }

// [[0, 1], [s, Q]] with Q_ij = chi(i - j), the quadratic character modulo the prime q; s is 1 or -1.
std::vector<int> conference(int64_t q, int s) {
  std::vector<int> chi(size_t(q), -1), c(size_t((q + 1) * (q + 1)), 0);
  chi[0] = 0;
  for (int64_t i = 1; i < q; i++) chi[size_t(i * i % q)] = 1;
  for (int64_t i = 0; i < q; i++) {
    c[size_t(i + 1)] = 1;
    c[size_t((i + 1) * (q + 1))] = s;
    for (int64_t j = 0; j < q; j++) c[size_t((i + 1) * (q + 1) + j + 1)] = chi[size_t((i - j + q) % q)];
  }
  return c;
}

// H [m, m] of +-1 with H H^T = m I.
std::vector<int> paley_matrix(int64_t m) {
  std::vector<int> h(size_t(m * m));
  if (is_paley_one(m)) {
    h = conference(m - 1, -1);
    for (int64_t i = 0; i < m; i++) h[size_t(i * m + i)] = 1;
    return h;
  }
  const int64_t n = m / 2;
  const auto c = conference(n - 1, 1);
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < n; j++) {
      const int v = c[size_t(i * n + j)];
      const int square[4] = {v ? v : 1, v ? v : -1, v ? v : -1, v ? -v : -1};
      for (int k = 0; k < 4; k++) h[size_t((2 * i + k / 2) * m + 2 * j + k % 2)] = square[k];
    }
  return h;
}

// Splits odd * 2^twos into Paley orders and a power of two with the least additions; narrow powers of two
// cost more, for the mixing runs over them in vectors.
struct Plan {
  std::vector<int64_t> orders; // slowest axis first
  int64_t power = 1;
  double cost = INFINITY;
};
void search(int64_t odd, int64_t power, int64_t largest, std::vector<int64_t>& orders, Plan& best) {
  if (odd == 1) {
    double cost = 0;
    for (int64_t m : orders) cost += double(m);
    cost *= std::max(1.0, 16.0 / double(power));
    if (cost < best.cost) best = {orders, power, cost};
    return;
  }
  // An odd factor becomes an order of at least four times its size.
  for (int64_t d = std::min({odd, largest, (kLargestOrder / 4 - 1) | 1}); d > 1; d -= 2) {
    if (odd % d) continue;
    for (int64_t m = 4 * d; m <= kLargestOrder && power % (m / d) == 0; m *= 2) {
      if (!is_paley(m)) continue;
      orders.push_back(m);
      search(odd / d, power / (m / d), d, orders, best);
      orders.pop_back();
      break;
    }
  }
}

// Its cost is infinite when there is none.
Plan best_plan(int64_t n) {
  int64_t odd = n, power = 1;
  for (; odd % 2 == 0; odd /= 2) power *= 2;
  std::vector<int64_t> orders;
  Plan best;
  search(odd, power, odd, orders, best);
  return best;
}

Plan plan_for(int64_t n) {
  Plan best = best_plan(n);
  if (best.cost == INFINITY) throw error("not supported: hadamard of size {}", n);
  return best;
}

template <class T> struct Factor {
  int64_t m, width;
  std::vector<T> signs; // [m / kMixRows, m, kMixRows]: column a of H (of H^T: row a) in groups of kMixRows
};

template <class T> std::vector<Factor<T>> factors_of(const Plan& plan, bool transposed) {
  std::vector<Factor<T>> factors;
  int64_t width = plan.power;
  for (auto m = plan.orders.rbegin(); m != plan.orders.rend(); width *= *m++) {
    Factor<T> f{*m, width, std::vector<T>(size_t(*m * *m))};
    const auto h = paley_matrix(*m);
    for (int64_t a = 0; a < *m; a++)
      for (int64_t b = 0; b < *m; b++)
        f.signs[size_t((a / kMixRows * *m + b) * kMixRows + a % kMixRows)] =
            T(h[size_t(transposed ? a * *m + b : b * *m + a)]);
    factors.push_back(std::move(f));
  }
  return factors;
}

// Vectors that lie across cache lines would take two accesses each.
template <class T> struct Lines {
  struct alignas(64) Line {
    T elements[64 / sizeof(T)];
  };
  explicit Lines(int64_t n) : lines(size_t(n) * sizeof(T) / sizeof(Line) + 1) {}
  T* data() { return lines.data()->elements; }
  std::vector<Line> lines;
};

template <class T>
void transform_rows(DType dtype, const char* x, char* out, int64_t rows, int64_t n, const HadamardUse& use) {
  const HadamardKernels<T>& k = hadamard_kernels().of<T>();
  const Plan plan = plan_for(n);
  const auto factors = factors_of<T>(plan, use.back);
  const int64_t largest = plan.orders.empty() ? 0 : *std::max_element(plan.orders.begin(), plan.orders.end());
  const std::vector<T> scales(use.factors.begin(), use.factors.end());
  const int64_t turns = int64_t(scales.size()) / n;
  const T scale = T(1 / std::sqrt(double(n)));
  const int64_t step = std::max<int64_t>(1, kElementsPerPart / n), row_bytes = n * int64_t(size_of(dtype));
  const bool direct = dtype == computed_dtype<T>();
  const bool stream = direct && factors.empty() && out != x && !(turns && use.back)
                      && rows * row_bytes > kStreamBytes && row_bytes % 64 == 0
                      && reinterpret_cast<uintptr_t>(out) % 64 == 0;
  parallel_parts((rows + step - 1) / step, [&](int64_t part, int) {
    Lines<T> lines(n), rooms(std::max(plan.power, largest * kMixColumns));
    T *line = lines.data(), *room = rooms.data();
    for (int64_t r = part * step; r < std::min(rows, (part + 1) * step); r++) {
      const T* own = turns ? scales.data() + r % turns * n : nullptr;
      const T* from = read_lanes(dtype, x + r * row_bytes, n, line);
      if (own && !use.back) {
        k.multiply(from, own, n, line);
        from = line;
      }
      char* to = out + r * row_bytes;
      T* result = direct ? reinterpret_cast<T*>(to) : line;
      size_t left = factors.size(); // the last step of all scales
      k.fast(from, left ? line : result, n, plan.power, left ? T(1) : scale, stream, room);
      for (const Factor<T>& f : factors) {
        left--;
        T* mixed = left ? line : result;
        for (int64_t at = 0; at < n; at += f.m * f.width)
          k.mix(line + at, mixed + at, f.signs.data(), f.m, f.width, left ? T(1) : scale, room);
      }
      if (own && use.back) k.multiply(result, own, n, result);
      if (result == line) write_lanes(dtype, result, to, n);
    }
    if (stream) _mm_sfence();
  });
}

} // namespace

bool has_hadamard(int64_t n) { return n >= 1 && best_plan(n).cost < INFINITY; }

// A row is read before it is written, so out may be x.
void hadamard_rows(DType dtype, const void* x, void* out, int64_t rows, int64_t n, const HadamardUse& use) {
  if (!is_float(dtype)) throw error("hadamard: not supported: {}; floats are", name_of(dtype));
  if (n < 1) throw error("not supported: hadamard of size {}", n);
  if (use.factors.size() % size_t(n) != 0)
    throw error(Fault::internal, "hadamard: {} factors for rows of {}", use.factors.size(), n);
  if (dtype == DType::f64)
    transform_rows<double>(dtype, static_cast<const char*>(x), static_cast<char*>(out), rows, n, use);
  else
    transform_rows<float>(dtype, static_cast<const char*>(x), static_cast<char*>(out), rows, n, use);
}

} // namespace wane::cpu
