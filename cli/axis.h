#pragma once
// Axes: which values get a tick and how it is labelled.
//
// Plain functions of their arguments; safe from any thread.

#include <cstddef>
#include <string>
#include <vector>

namespace ringlog::cli {

// From the lowest to the highest value an axis shows; always finite and high > low.
struct Range {
  double low = 0;
  double high = 1;
};

// The range of [low, high], widened where they are too close to tell apart and cut where doubles
// end.
Range make_range(double low, double high);

struct Tick {
  double value = 0;
  std::string label;
};
// As many ticks as fit up to `count_max`, at multiples of 1, 2 or 5 × 10^n, with labels that differ
// from each other: "0.05", "1.5", "20k", "3M", "1.2e-07".  At least one where three are allowed, at
// least two where five are.
std::vector<Tick> make_ticks(const Range& range, size_t count_max);

}  // namespace ringlog::cli
