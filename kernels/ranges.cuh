// The template of the search for ranges: 16 lanes take a row and try p * (lo, hi) for every p, with the
// quantizer's maps built in. Sums have the order of the row template. A row's least error decides; which rows
// could stop early shows in no bit, so here none does.
#pragma once

// x and weights (or null): [rows][n]; shares: the p of each try, the whole range first. inputs and constants:
// those of the fit, then those of an element's error.
template <int inputs_, int constants_> struct WaneRanges {
  long long rows, n, tries;
  const float *x, *weights, *lo, *hi, *shares;
  float* best; // [rows]
  WaneInput inputs[inputs_];
  WaneNumber constants[constants_];
};

// Whether a try wins, and what is kept of it. NaN where the whole range gives an error that is not finite.
WANE_FN void wane_try(float& least, float& best, float sum, float share, bool first) {
  if (first) {
    least = sum, best = sum * 0.0f + 1.0f;
  } else if (sum < least) {
    least = sum, best = share;
  }
}
