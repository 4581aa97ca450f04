// Row loops for one x86-64 level: plain loops that the compiler vectorises, with 16 lanes by position
// wherever the order of a sum matters.
#include "runtime/cpu/row_kernels.h"

#include "kernels/math.h"

#include <algorithm>

namespace wane::WANE_ISA_NAMESPACE {
namespace {

constexpr int kLanes = 16;

template <class T> inline T folded(T* lanes) {
  for (int half = kLanes / 2; half; half /= 2)
    for (int l = 0; l < half; l++) lanes[l] += lanes[l + half];
  return lanes[0];
}

inline float widen(float x) { return x; }
inline float widen(uint16_t x) { return wane_from_bf16(x); }
inline void store(float x, float* out) { *out = x; }
inline void store(float x, uint16_t* out) { *out = wane_to_bf16(x); }

template <class T>
void rotate(const T* x, T* out, int64_t heads, int64_t half, const float* cosine, const float* sine) {
  for (int64_t h = 0; h < heads; h++, x += 2 * half, out += 2 * half) {
#pragma GCC ivdep
    for (int64_t i = 0; i < half; i++) {
      float a = widen(x[i]), b = widen(x[i + half]), c = cosine[i], s = sine[i];
      store(a * c - b * s, out + i);
      store(b * c + a * s, out + i + half);
    }
  }
}

float largest(const float* x, int64_t n) {
  float most[kLanes];
  for (float& m : most) m = -WANE_INF;
  auto more = [](float m, float v) { return (v > m) | (v != v) ? v : m; };
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int l = 0; l < kLanes; l++) most[l] = more(most[l], x[i + l]);
  for (int l = 0; i + l < n; l++) most[l] = more(most[l], x[i + l]);
  for (int l = 1; l < kLanes; l++) most[0] = most[0] != most[0] ? most[0] : more(most[0], most[l]);
  return most[0];
}

double exp_sum(const float* x, int64_t n, float peak) {
  double sum[kLanes] = {};
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int l = 0; l < kLanes; l++) sum[l] += wane_exp_d(double(x[i + l]) - double(peak));
  for (int l = 0; i + l < n; l++) sum[l] += wane_exp_d(double(x[i + l]) - double(peak));
  return folded(sum);
}

void kl_sums(const float* x, const float* b, int64_t n, float peak, float peak_b, double sums[3]) {
  double base[kLanes] = {}, other[kLanes] = {}, cross[kLanes] = {};
  auto add = [&](int l, double v, double w) {
    double e = wane_exp_d(w - double(peak_b));
    base[l] += e;
    other[l] += wane_exp_d(v - double(peak));
    // A token ruled out in the base adds nothing, whatever the other model says (0 * infinity otherwise).
    cross[l] += e > 0.0 ? e * (w - v) : 0.0;
  };
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes)
    for (int l = 0; l < kLanes; l++) add(l, double(x[i + l]), double(b[i + l]));
  for (int l = 0; i + l < n; l++) add(l, double(x[i + l]), double(b[i + l]));
  sums[0] = folded(base);
  sums[1] = folded(other);
  sums[2] = folded(cross);
}

} // namespace

const cpu::RowKernels& row_kernels() {
  static const cpu::RowKernels table{rotate<float>, rotate<uint16_t>, largest, exp_sum, kl_sums};
  return table;
}

} // namespace wane::WANE_ISA_NAMESPACE
