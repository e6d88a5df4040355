#pragma once
// Histogram: the distribution of many durations, in ticks, in constant memory.
//
// Exact up to 2,047 ticks, then in steps of less than 0.1 %.  Memory is taken and touched by the
// constructor; add() neither allocates nor branches on anything but the size of the value.  One
// thread at a time.
//
// Some processors count ticks in steps (Zen: 10 ns at a time), so that a call of 44 ns is seen as
// 40 or as 50.  quantile() spreads each value evenly over one step, which finds the 44 again.

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

namespace ringlog::bench {

class Histogram {
 public:
  Histogram() : buckets_(kExact + (64 - kBits) * kExact / 2, 0) {}

  void add(uint64_t ticks) {
    ++buckets_[index(ticks)];
    ++count_;
    sum_ += ticks;
    max_ = std::max(max_, ticks);
  }

  void merge(const Histogram& other) {
    for (size_t i = 0; i < buckets_.size(); ++i) buckets_[i] += other.buckets_[i];
    count_ += other.count_;
    sum_ += other.sum_;
    max_ = std::max(max_, other.max_);
  }

  uint64_t count() const { return count_; }
  uint64_t max() const { return max_; }
  double mean() const { return count_ == 0 ? 0 : double(sum_) / double(count_); }

  // Where the fraction `q` of all values is reached; `step` in ticks, 1 where every tick counts.
  double quantile(double q, uint64_t step = 1) const {
    const double wanted = q * static_cast<double>(count_);
    double seen = 0;
    for (size_t i = 0; i < buckets_.size(); ++i) {
      if (buckets_[i] == 0) continue;
      const auto here = static_cast<double>(buckets_[i]);
      if (seen + here >= wanted) {
        const double into = (wanted - seen) / here - 0.5;
        const double found = static_cast<double>(value(i)) + into * static_cast<double>(step);
        return std::clamp(found, 0.0, static_cast<double>(max_));
      }
      seen += here;
    }
    return static_cast<double>(max_);
  }

  // The largest step that all values below 2,048 ticks are multiples of; 0: no values.
  uint64_t step() const {
    uint64_t step = 0;
    for (size_t i = 1; i < kExact; ++i) {
      if (buckets_[i] != 0) step = std::gcd(step, i);
    }
    return step;
  }

 private:
  static constexpr int kBits = 11;
  static constexpr size_t kExact = size_t{1} << kBits;

  static size_t index(uint64_t value) {
    if (value < kExact) return value;
    const int shift = static_cast<int>(std::bit_width(value)) - kBits;
    return kExact + size_t(shift - 1) * (kExact / 2) + (value >> shift) - kExact / 2;
  }
  // The largest value of a bucket.
  static uint64_t value(size_t index) {
    if (index < kExact) return index;
    const size_t shift = (index - kExact) / (kExact / 2) + 1;
    const uint64_t top = (index - kExact) % (kExact / 2) + kExact / 2;
    return ((top + 1) << shift) - 1;
  }

  std::vector<uint64_t> buckets_;
  uint64_t count_ = 0;
  uint64_t sum_ = 0;
  uint64_t max_ = 0;
};

}  // namespace ringlog::bench
