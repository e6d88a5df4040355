#pragma once
// Samples of the machine that a run's store keeps, as plain values.
//
// The service measures (daemon/monitor/), the store keeps them beside the rows, and nobody's ring
// holds any.  Values; safe from any thread.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace ringlog::store {

// A GPU that names speak of.
struct StatsGpu {
  uint32_t index = 0;  // the N of gpu.N
  std::string uuid{};  // empty: not known
  std::string name{};
  std::vector<int32_t> ranks{};  // of the run, that use it
  bool operator==(const StatsGpu&) const = default;
};

// Some samples of the same names.  Requires names.size() * times_ns.size() == values.size().
struct Stats {
  std::vector<std::string> names{};
  std::vector<int64_t> times_ns{};  // nanoseconds since the Unix epoch
  std::vector<double> values{};     // sample by sample; NaN: not known at that time
  std::vector<StatsGpu> gpus{};     // those that the names speak of

  size_t samples() const { return times_ns.size(); }
  bool empty() const { return times_ns.empty(); }
  std::span<const double> sample(size_t index) const {
    return {values.data() + index * names.size(), names.size()};
  }
  // Bytes in memory, roughly.
  size_t bytes() const;
  bool operator==(const Stats& other) const;  // of every bit, so that NaN is NaN
};

}  // namespace ringlog::store
