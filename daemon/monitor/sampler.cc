#include "daemon/monitor/sampler.h"

#include <algorithm>
#include <utility>

#include "shm/posix.h"

namespace ringlog::service {

namespace {

constexpr std::chrono::milliseconds kGpuPatience{250};
// Looking through /proc takes at most this part of a core: a machine with 100,000 processes is
// looked through less often.
constexpr int64_t kScanCostPart = 1000;
constexpr int64_t kSlowNs = kMonitorSlowMs * 1'000'000;

}  // namespace

Sampler::Sampler(const MonitorPlaces& places)
    : machine_(places), tree_(places), nvidia_(places.nvml), amd_(places) {}

MachineMoment Sampler::look(int64_t monotonic_ns) {
  const bool is_slow = monotonic_ns >= next_slow_ns_;
  if (is_slow) {
    next_slow_ns_ = monotonic_ns + kSlowNs;
    amd_.find();
  }
  if (monotonic_ns >= next_scan_ns_) {
    const int64_t start = shm::monotonic_ns();
    tree_.scan();
    const int64_t took = shm::monotonic_ns() - start;
    next_scan_ns_ = monotonic_ns + std::max(kSlowNs, took * kScanCostPart);
  }
  gpus_.clear();
  uint32_t index = 0;
  for (GpuReading& reading : nvidia_.read(kGpuPatience, is_slow)) {
    gpus_.emplace(index++, std::move(reading));
  }
  nvidia_count_ = std::max(nvidia_count_, index);
  index = nvidia_count_;
  for (GpuReading& reading : amd_.read()) gpus_.emplace(index++, std::move(reading));
  counters_ = machine_.read(monotonic_ns);
  return {counters_, gpus_, tree_};
}

}  // namespace ringlog::service
