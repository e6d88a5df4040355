#pragma once
// Where the monitor looks: the machine's own places, or a test's.
//
// Values; safe from any thread.

#include <cstddef>
#include <cstdint>
#include <string>

namespace ringlog::service {

struct MonitorPlaces {
  std::string proc = "/proc";
  std::string sys = "/sys";
  std::string nvml = "libnvidia-ml.so.1";  // loaded when the first run starts; empty: never
};

// Time between two samples of a run that asks for nothing else.
inline constexpr int64_t kMonitorIntervalMs = 1000;
// Shortest interval of a burst: 50 samples a second.  A look at a machine with 64 ranks takes some
// milliseconds, and GPUs have no news more often.
inline constexpr int64_t kBurstIntervalMinMs = 20;
// Longest burst: somebody who forgets it costs a core a few percent for so long.
inline constexpr int64_t kBurstTimeMaxMs = 600'000;
// What changes slowly or costs more is looked at this often: which processes there are, GPUs that
// come and go, PCIe.
inline constexpr int64_t kMonitorSlowMs = 10'000;
// Samples are stored together, this much of them: one write, and their names stand there once.
inline constexpr int64_t kMonitorStoreMs = 10'000;
// A run's processes that are looked at, its children included: 64 ranks with 16 workers each.
inline constexpr size_t kMonitorProcessesMax = 2048;
// Ranks that have names of their own; more are only in the sums.
inline constexpr size_t kMonitorRanksMax = 256;
inline constexpr size_t kMonitorDisksMax = 16;
inline constexpr size_t kMonitorGpusMax = 64;

}  // namespace ringlog::service
