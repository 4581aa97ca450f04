// What is measured on rows of logits: losses, KL between two models, one draw. All in f64 from the f32 logits
// on.
#include "runtime/cpu/kernels.h"

#include "kernels/math.h"
#include "runtime/cpu/pool.h"
#include "runtime/cpu/row_kernels.h"
#include "runtime/error.h"

#include <algorithm>
#include <numeric>
#include <vector>

namespace wane::cpu {
namespace {

void check_targets(const char* op, const int32_t* targets, int64_t rows, int64_t vocab) {
  for (int64_t r = 0; r < rows; r++)
    if (targets[r] < -1 || targets[r] >= vocab)
      throw error("{}: target {} of row {} is outside the vocabulary of {}", op, targets[r], r + 1, vocab);
}

// Where the largest value lies: the first of equals; NaN is larger than all.
int32_t place_of(const float* x, int64_t n, float largest) {
  for (int64_t i = 0; i < n; i++)
    if (x[i] == largest || x[i] != x[i]) return int32_t(i);
  return 0;
}

} // namespace

void nll_rows(const float* logits, int64_t rows, int64_t vocab, int64_t stride, const int32_t* targets,
              double* nll) {
  check_targets("cross_entropy", targets, rows, vocab);
  const RowKernels& k = row_kernels();
  parallel_parts(rows, [&](int64_t r, int) {
    nll[r] = 0;
    if (targets[r] < 0) return;
    const float* x = logits + r * stride;
    const float peak = k.largest(x, vocab);
    nll[r] = wane_log_d(k.exp_sum(x, vocab, peak)) + (double(peak) - double(x[targets[r]]));
  });
}

void kl_rows(const float* logits, const float* base, int64_t rows, int64_t vocab, int64_t stride,
             const int32_t* targets, KlRow* out) {
  if (targets) check_targets("compare", targets, rows, vocab);
  const RowKernels& k = row_kernels();
  parallel_parts(rows, [&](int64_t r, int) {
    const float *x = logits + r * stride, *b = base + r * stride;
    const float peak = k.largest(x, vocab), peak_b = k.largest(b, vocab);
    double sums[3];
    k.kl_sums(x, b, vocab, peak, peak_b, sums);
    const double log_z = wane_log_d(sums[1]), log_z_b = wane_log_d(sums[0]);
    KlRow row{};
    row.kl = sums[2] / sums[0] + ((double(peak) - double(peak_b)) + (log_z - log_z_b));
    if (targets && targets[r] >= 0) {
      row.nll = log_z + (double(peak) - double(x[targets[r]]));
      row.nll_base = log_z_b + (double(peak_b) - double(b[targets[r]]));
    }
    row.top1 = place_of(x, vocab, peak);
    row.top1_base = place_of(b, vocab, peak_b);
    out[r] = row;
  });
}

namespace {

struct Candidate {
  float logit;
  int32_t index;
  // Likelier first, then by index.
  bool operator<(const Candidate& o) const { return logit != o.logit ? logit > o.logit : index < o.index; }
};

// The last candidate that top_k and top_p let in.
Candidate last_candidate(const float* x, int64_t vocab, int64_t top_k, double top_p, const auto& weight) {
  std::vector<Candidate> all;
  all.reserve(size_t(vocab));
  for (int64_t i = 0; i < vocab; i++) all.push_back({x[i], int32_t(i)});
  if (top_k < vocab) {
    std::nth_element(all.begin(), all.begin() + (top_k - 1), all.end());
    all.resize(size_t(top_k));
  }
  if (top_p >= 1) return *std::max_element(all.begin(), all.end());
  double total = 0;
  for (const Candidate& c : all) total += weight(c.logit);
  // Sorted in growing pieces: the likely ones are few.
  double sum = 0;
  for (size_t done = 0, piece = 64; done < all.size(); piece *= 4) {
    size_t end = std::min(all.size(), done + piece);
    auto from = all.begin() + std::ptrdiff_t(done), to = all.begin() + std::ptrdiff_t(end);
    std::nth_element(from, to - 1, all.end());
    std::sort(from, to);
    for (; from != to; ++from) {
      sum += weight(from->logit);
      if (sum >= top_p * total) return *from;
    }
    done = end;
  }
  return all.back();
}

} // namespace

int32_t sample_row(const float* logits, int64_t vocab, float temperature, int64_t top_k, double top_p,
                   double u01) {
  if (vocab < 1) throw error("sample: the vocabulary is empty");
  if (!(temperature >= 0)) throw error("sample: temperature is 0 or more, not {}", temperature);
  if (top_k < 0) throw error("sample: top_k is 0 (all) or more, not {}", top_k);
  if (!(top_p > 0 && top_p <= 1)) throw error("sample: top_p is above 0 and at most 1, not {}", top_p);
  const float peak = row_kernels().largest(logits, vocab);
  if (peak != peak) throw error("sample: the logit of token {} is NaN", place_of(logits, vocab, peak));
  if (WANE_ABS(peak) == WANE_INF) throw error("sample: the largest logit is {}", peak);
  if (temperature == 0 || top_k == 1) return place_of(logits, vocab, peak);

  auto weight = [&](float x) { return wane_exp_d((double(x) - double(peak)) / double(temperature)); };
  Candidate last{-WANE_INF, int32_t(vocab)};
  if ((top_k > 0 && top_k < vocab) || top_p < 1)
    last = last_candidate(logits, vocab, top_k ? std::min(top_k, vocab) : vocab, top_p, weight);
  double total = 0;
  for (int64_t i = 0; i < vocab; i++)
    if (!(last < Candidate{logits[i], int32_t(i)})) total += weight(logits[i]);
  double sum = 0;
  int32_t chosen = place_of(logits, vocab, peak);
  for (int64_t i = 0; i < vocab; i++) {
    if (last < Candidate{logits[i], int32_t(i)}) continue;
    const double w = weight(logits[i]);
    if (w > 0) chosen = int32_t(i);
    sum += w;
    if (sum > u01 * total) return int32_t(i);
  }
  return chosen;
}

} // namespace wane::cpu
