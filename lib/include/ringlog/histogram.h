#pragma once
// Histogram: how values spread, as something to log.
//
//   const ringlog::Histogram spread(gradients);
//   run.log({{"grad", spread}});
//
// Logged it is the object W&B keeps for its own histograms: {"_type": "histogram", "values": [count
// of each bin], "bins": [edges, one more]}.  A value of one thread; it must stay alive until the
// call that takes it returns.

#include <ringlog/value.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace ringlog {

class Histogram {
 public:
  static constexpr size_t kBinsMax = 512;

  // Bins of equal width from the lowest to the highest finite value; a value on an edge counts in
  // the bin above it, the highest one in the last.  NaN and infinities are counted in left_out().
  // `bins` is kept within 1 and kBinsMax.
  explicit Histogram(std::span<const double> values, size_t bins = 64) {
    bins = std::clamp<size_t>(bins, 1, kBinsMax);
    double low = 0;
    double high = 0;
    size_t finite = 0;
    for (const double value : values) {
      if (!std::isfinite(value)) continue;
      low = finite == 0 ? value : std::min(low, value);
      high = finite == 0 ? value : std::max(high, value);
      ++finite;
    }
    left_out_ = values.size() - finite;
    // As NumPy: values that are all the same stand in the middle of a range of width 1.
    if (low == high) {
      low -= 0.5;
      high += 0.5;
    }
    counts_.resize(bins);
    for (size_t i = 0; i <= bins; ++i) {
      const double part = static_cast<double>(i) / static_cast<double>(bins);
      edges_.push_back(low * (1 - part) + high * part);
    }
    for (const double value : values) {
      if (std::isfinite(value)) ++counts_[bin_of(value)];
    }
    name_parts();
  }
  // Counts that were made elsewhere; `edges` has one more.
  Histogram(std::vector<int64_t> counts, std::vector<double> edges)
      : counts_(std::move(counts)), edges_(std::move(edges)) {
    name_parts();
  }
  Histogram(const Histogram&) = delete;
  Histogram& operator=(const Histogram&) = delete;

  operator Value() const { return Value(std::span<const Item>(items_)); }  // NOLINT
  const std::vector<int64_t>& counts() const { return counts_; }
  const std::vector<double>& edges() const { return edges_; }
  size_t left_out() const { return left_out_; }

 private:
  size_t bin_of(double value) const {
    const auto above = std::upper_bound(edges_.begin(), edges_.end(), value);
    const auto index = static_cast<size_t>(std::max<ptrdiff_t>(above - edges_.begin(), 1)) - 1;
    return std::min(index, counts_.size() - 1);
  }
  void name_parts() { items_ = {{{"_type", "histogram"}, {"values", counts_}, {"bins", edges_}}}; }

  std::vector<int64_t> counts_;
  std::vector<double> edges_;
  size_t left_out_ = 0;
  std::array<Item, 3> items_{};
};

}  // namespace ringlog
