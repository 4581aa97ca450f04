#include "runtime/cpu/range_search.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "runtime/cpu/pool.h"
#include "runtime/error.h"

namespace wane::cpu {
namespace {

constexpr int64_t kLanes = 2 * kReduceBlock;         // computed at a time: whole rows, or whole blocks of one
constexpr int64_t kPiece = 16384, kMostRows = 256;   // elements and rows that one thread takes at a time
constexpr int64_t kFirstCheck = 11, kCheckEvery = 4; // tries

// Some rows, those whose search goes on in front, and what is known of them.
class Piece {
public:
  Piece(const RangeMaps& maps, const Lowered& fit, const Lowered& off, const Lowered* beyond,
        const RangeRows& rows, int64_t first, int64_t count)
      : maps_(maps), n_(rows.n), left_(count), together_(std::max<int64_t>(1, kLanes / rows.n)),
        fit_(maps.fit, fit, count), off_(maps.off, off, kLanes) {
    if (beyond) beyond_.emplace(maps.beyond, *beyond, kLanes);
    auto copy = [&](const float* from, int64_t each) {
      return std::vector<float>(from + first * each, from + (first + count) * each);
    };
    x_ = copy(rows.x, n_), lo_ = copy(rows.lo, 1), hi_ = copy(rows.hi, 1);
    if (rows.weights) weights_ = copy(rows.weights, n_);
    for (int64_t r = 0; r < count; r++) place_.push_back(r);
    low_.resize(size_t(count)), high_.resize(size_t(count)), sums_.resize(size_t(count));
    best_.resize(size_t(count)), least_.resize(size_t(count));
    fitted_.assign(size_t(maps.params + maps.bounded), std::vector<float>(size_t(count)));
    spread_.assign(size_t(std::max(1, maps.params)), std::vector<float>(size_t(kLanes)));
    given_.resize(size_t(2 + std::max(1, maps.params)));
  }

  void run(int64_t tries, int64_t grid, float* best) {
    for (int64_t i = 0; i < tries && left_; i++) {
      attempt(1 - double(i) / double(grid), i == 0);
      if (maps_.bounded && i >= kFirstCheck && (i - kFirstCheck) % kCheckEvery == 0) leave(best);
    }
    for (int64_t r = 0; r < left_; r++) best[place_[size_t(r)]] = best_[size_t(r)];
  }

private:
  void attempt(double share, bool first) {
    const auto p = float(share);
    for (int64_t r = 0; r < left_; r++)
      low_[size_t(r)] = lo_[size_t(r)] * p, high_[size_t(r)] = hi_[size_t(r)] * p;
    const void* ends[] = {low_.data(), high_.data()};
    fit_.run(ends, left_);
    for (size_t i = 0; i < fitted_.size(); i++) std::copy_n(fit_.output<float>(i), left_, fitted_[i].data());
    sum(off_, 0, maps_.params);
    for (size_t r = 0; r < size_t(left_); r++)
      if (first)
        least_[r] = sums_[r], best_[r] = sums_[r] * 0 + 1; // NaN where the sum is not finite
      else if (sums_[r] < least_[r])
        least_[r] = sums_[r], best_[r] = p;
  }

  // sums_ of each row of a program's output; it is given x, weights, and fitted_ from `first` on.
  void sum(LaneRunner& runner, size_t first, int count) {
    for (int64_t r = 0; r < left_; r += together_) {
      const int64_t rows = std::min(together_, left_ - r);
      for (int i = 0; i < count; i++) {
        float* to = spread_[size_t(i)].data();
        const int64_t width = std::min(n_, kLanes);
        for (int64_t row = 0; row < rows; row++)
          std::fill_n(to + row * width, width, fitted_[first + size_t(i)][size_t(r + row)]);
        given_[size_t(2 + i)] = to;
      }
      for (int64_t at = 0; at < n_; at += kLanes) {
        const int64_t width = std::min(n_ - at, kLanes);
        given_[0] = &x_[size_t(r * n_ + at)];
        given_[1] = weights_.empty() ? given_[0] : &weights_[size_t(r * n_ + at)];
        runner.run(given_.data(), rows * width);
        const float* terms = runner.output<float>(0);
        if (n_ <= kLanes)
          kernels_.reduce_rows[size_t(Reduction::sum)][0](terms, rows, n_, &sums_[size_t(r)]);
        else
          kernels_.reduce[size_t(Reduction::sum)][0](terms, width, &sums_[size_t(r)], at == 0);
      }
    }
  }

  // Rows that no smaller range can improve leave: what lies beyond the largest value that the codes reach is
  // off by at least the distance, and a smaller range reaches less. (The thousandth covers the rounding of
  // the sums.)
  void leave(float* best) {
    sum(*beyond_, size_t(maps_.params), 1);
    int64_t kept = 0;
    for (int64_t r = 0; r < left_; r++) {
      if (sums_[size_t(r)] * 0.999f > least_[size_t(r)] || least_[size_t(r)] == 0) {
        best[place_[size_t(r)]] = best_[size_t(r)];
        continue;
      }
      if (kept != r) move(r, kept);
      kept++;
    }
    left_ = kept;
  }
  void move(int64_t from, int64_t to) {
    for (auto* each : {&lo_, &hi_, &best_, &least_}) (*each)[size_t(to)] = (*each)[size_t(from)];
    place_[size_t(to)] = place_[size_t(from)];
    for (auto* each : {&x_, &weights_})
      if (!each->empty()) std::copy_n(each->data() + from * n_, n_, each->data() + to * n_);
  }

  const RangeMaps& maps_;
  const int64_t n_;
  int64_t left_, together_; // rows whose search goes on; rows computed at a time
  LaneRunner fit_, off_;
  std::optional<LaneRunner> beyond_;
  const MapKernels& kernels_ = map_kernels();
  std::vector<float> x_, weights_, lo_, hi_, low_, high_, best_, least_, sums_;
  std::vector<int64_t> place_; // where each row came from
  std::vector<std::vector<float>> fitted_, spread_;
  std::vector<const void*> given_;
};

} // namespace

void search_ranges(const RangeMaps& maps, const RangeRows& rows, int64_t tries, int64_t grid, float* best) {
  const auto fit = lower(*maps.fit.program, true), off = lower(*maps.off.program, true);
  const auto beyond = maps.bounded ? lower(*maps.beyond.program, true) : nullptr;
  const int64_t each = std::clamp<int64_t>(kPiece / rows.n, 1, kMostRows);
  parallel_parts((rows.rows + each - 1) / each, [&](int64_t part, int) {
    const int64_t first = part * each, count = std::min(each, rows.rows - first);
    Piece(maps, *fit, *off, beyond.get(), rows, first, count).run(tries, grid, best + first);
  });
}

} // namespace wane::cpu
