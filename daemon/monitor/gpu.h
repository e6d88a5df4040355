#pragma once
// GpuReading: what one GPU said, whoever made it, and the names that people see.
//
// Values; safe from any thread.

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace ringlog::service {

// In the order of kGpuNames.
enum class GpuMetric : uint8_t {
  kUtilization,      // percent of the time in which a kernel ran
  kMemoryActivity,   // percent of the time in which memory was read or written
  kMemoryPercent,    // that is allocated
  kMemoryBytes,      // that are allocated
  kTemperature,      // degrees Celsius
  kPower,            // watts
  kPowerLimit,       // watts
  kPowerPercent,     // of the limit
  kEnergy,           // joules
  kSmClock,          // MHz
  kMemoryClock,      // MHz
  kGraphicsClock,    // MHz
  kFanSpeed,         // percent
  kCorrectedErrors,  // ECC, since the driver was loaded
  kUncorrectedErrors,
  kThrottleReasons,  // bits, as the driver gives them
  kThrottleThermal,  // 1: slowed down by heat
  kThrottlePower,    // 1: slowed down by its power limit or its supply
  kPcieLinkGen,
  kPcieLinkWidth,
  kPcieTx,  // bytes per second
  kPcieRx,
  kCount,
};
inline constexpr size_t kGpuMetrics = static_cast<size_t>(GpuMetric::kCount);

// Behind `gpu.N.`: those of W&B, and what it lacks in the same manner.
inline constexpr std::array<const char*, kGpuMetrics> kGpuNames = {
    "gpu",
    "memory",
    "memoryAllocated",
    "memoryAllocatedBytes",
    "temp",
    "powerWatts",
    "enforcedPowerLimitWatts",
    "powerPercent",
    "energyJoules",
    "smClock",
    "memoryClock",
    "graphicsClock",
    "fanSpeed",
    "correctedMemoryErrors",
    "uncorrectedMemoryErrors",
    "throttleReasons",
    "throttleThermal",
    "throttlePower",
    "pcieLinkGen",
    "pcieLinkWidth",
    "pcieTxBytes",
    "pcieRxBytes",
};

// A process that has memory of a GPU.
struct GpuProcess {
  int32_t pid = 0;
  uint64_t bytes = 0;  // 0: not known
};

struct GpuReading {
  GpuReading() { values.fill(std::numeric_limits<double>::quiet_NaN()); }

  double& operator[](GpuMetric metric) { return values[static_cast<size_t>(metric)]; }
  double operator[](GpuMetric metric) const { return values[static_cast<size_t>(metric)]; }
  bool has(GpuMetric metric) const { return !std::isnan((*this)[metric]); }
  // Percentages that follow from other values.
  void derive(uint64_t memory_total);

  std::string uuid;  // empty: not known
  std::string name;
  std::array<double, kGpuMetrics> values;  // NaN: not known
  std::vector<GpuProcess> processes;
  uint64_t memory_total = 0;  // bytes; 0: not known
};

inline void GpuReading::derive(uint64_t total) {
  memory_total = total;
  if (total > 0 && has(GpuMetric::kMemoryBytes)) {
    (*this)[GpuMetric::kMemoryPercent] =
        100 * (*this)[GpuMetric::kMemoryBytes] / static_cast<double>(total);
  }
  if (has(GpuMetric::kPower) && (*this)[GpuMetric::kPowerLimit] > 0) {
    (*this)[GpuMetric::kPowerPercent] =
        100 * (*this)[GpuMetric::kPower] / (*this)[GpuMetric::kPowerLimit];
  }
}

}  // namespace ringlog::service
