#include "daemon/monitor/nvml_device.h"

#include <vector>

namespace ringlog::service {

namespace {

// What no GPU reaches; a driver that says more says nothing.
constexpr double kNvmlWattsMax = 1e5;
constexpr double kNvmlMhzMax = 1e5;
constexpr double kNvmlCelsiusMax = 300;
constexpr double kNvmlJoulesMax = 1e15;
constexpr double kNvmlErrorsMax = 1e15;
constexpr unsigned long long kNvmlBytesMax = 1ULL << 50;
// Processes on one GPU that are looked at.
constexpr unsigned kNvmlProcessesMax = 512;

// A text of the driver, which may forget the zero at its end.
template <typename Function>
std::string nvml_text(Function function, nvml::Device device) {
  std::array<char, 97> text{};
  if (function == nullptr) return "";
  if (function(device, text.data(), text.size() - 1) != nvml::kSuccess) return "";
  std::string clean;
  for (const char c : std::string(text.data())) clean += c >= ' ' && c < 0x7f ? c : '?';
  return clean;
}

}  // namespace

NvmlDevice::NvmlDevice(const NvmlApi& api, nvml::Device device)
    : api_(api),
      device_(device),
      uuid_(nvml_text(api.uuid, device)),
      name_(nvml_text(api.name, device)) {}

template <typename Function, typename... Arguments>
bool NvmlDevice::ask(Call call, Function function, Arguments... arguments) {
  if (function == nullptr || is_refused_[call] || fatal_) return false;
  const nvml::Return code = function(device_, arguments...);
  switch (code) {
    case nvml::kSuccess:
      return true;
    case nvml::kNotSupported:
    case nvml::kNoPermission:
    case nvml::kFunctionNotFound:
      is_refused_[call] = true;
      return false;
    case nvml::kGpuIsLost:
    case nvml::kResetRequired:
    case nvml::kUninitialized:
    case nvml::kDriverNotLoaded:
      fatal_ = code;
      return false;
    default:
      return false;
  }
}

template <typename Number, typename Function>
void NvmlDevice::ask_number(Call call, Function function, GpuReading& reading, GpuMetric metric,
                            double scale, double highest) {
  Number number = 0;
  if (!ask(call, function, &number)) return;
  const double value = static_cast<double>(number) * scale;
  if (value <= highest) reading[metric] = value;
}

std::optional<nvml::Return> NvmlDevice::read(GpuReading& reading) {
  fatal_.reset();
  reading.uuid = uuid_;
  reading.name = name_;
  read_load(reading);
  read_memory(reading);
  read_temperature(reading);
  read_clocks(reading);
  read_health(reading);
  read_processes(reading);
  return fatal_;
}

void NvmlDevice::read_load(GpuReading& reading) {
  nvml::Utilization use{};
  if (ask(kUtilizationCall, api_.utilization, &use)) {
    if (use.gpu <= 100) reading[GpuMetric::kUtilization] = use.gpu;
    if (use.memory <= 100) reading[GpuMetric::kMemoryActivity] = use.memory;
  }
  ask_number<unsigned>(kPowerCall, api_.power, reading, GpuMetric::kPower, 1e-3, kNvmlWattsMax);
  ask_number<unsigned>(kPowerLimitCall, api_.power_limit, reading, GpuMetric::kPowerLimit, 1e-3,
                       kNvmlWattsMax);
  ask_number<unsigned long long>(kEnergyCall, api_.energy, reading, GpuMetric::kEnergy, 1e-3,
                                 kNvmlJoulesMax);
  ask_number<unsigned>(kFanCall, api_.fan_speed, reading, GpuMetric::kFanSpeed, 1, 200);
}

void NvmlDevice::read_memory(GpuReading& reading) {
  unsigned long long total = 0;
  unsigned long long used = 0;
  nvml::MemoryV2 newer{};
  newer.version = nvml::kMemoryV2;
  nvml::Memory older{};
  if (ask(kMemoryV2Call, api_.memory_v2, &newer)) {
    total = newer.total;
    used = newer.used;
  } else if (ask(kMemoryCall, api_.memory, &older)) {
    total = older.total;
    used = older.used;
  }
  if (total == 0 || total > kNvmlBytesMax || used > total) total = 0;
  if (total > 0) reading[GpuMetric::kMemoryBytes] = static_cast<double>(used);
  reading.derive(total);
}

void NvmlDevice::read_temperature(GpuReading& reading) {
  nvml::Temperature newer{};
  newer.version = nvml::kTemperatureV1;
  unsigned older = 0;
  double celsius = -1;
  if (ask(kTemperatureVCall, api_.temperature_v, &newer)) {
    celsius = newer.celsius;
  } else if (ask(kTemperatureCall, api_.temperature, 0, &older)) {
    celsius = older;
  }
  if (celsius >= 0 && celsius <= kNvmlCelsiusMax) reading[GpuMetric::kTemperature] = celsius;
}

void NvmlDevice::read_clocks(GpuReading& reading) {
  const auto take = [&](Call call, nvml::Clock clock, GpuMetric metric) {
    unsigned mhz = 0;
    if (ask(call, api_.clock, static_cast<int>(clock), &mhz) && mhz <= kNvmlMhzMax) {
      reading[metric] = mhz;
    }
  };
  take(kSmClockCall, nvml::kSmClock, GpuMetric::kSmClock);
  take(kMemoryClockCall, nvml::kMemoryClock, GpuMetric::kMemoryClock);
  take(kGraphicsClockCall, nvml::kGraphicsClock, GpuMetric::kGraphicsClock);
  unsigned long long reasons = 0;
  if (!ask(kReasonsCall, api_.clock_reasons, &reasons) || reasons >> 32 != 0) return;
  reading[GpuMetric::kThrottleReasons] = static_cast<double>(reasons);
  reading[GpuMetric::kThrottleThermal] = (reasons & nvml::kThermalReasons) != 0 ? 1 : 0;
  reading[GpuMetric::kThrottlePower] = (reasons & nvml::kPowerReasons) != 0 ? 1 : 0;
}

void NvmlDevice::read_health(GpuReading& reading) {
  const auto take = [&](Call call, nvml::EccError kind, GpuMetric metric) {
    unsigned long long count = 0;
    if (!ask(call, api_.ecc_errors, static_cast<int>(kind), nvml::kVolatileEcc, &count)) return;
    if (static_cast<double>(count) <= kNvmlErrorsMax) reading[metric] = static_cast<double>(count);
  };
  take(kCorrectedCall, nvml::kCorrected, GpuMetric::kCorrectedErrors);
  take(kUncorrectedCall, nvml::kUncorrected, GpuMetric::kUncorrectedErrors);
  ask_number<unsigned>(kLinkGenCall, api_.pcie_link_gen, reading, GpuMetric::kPcieLinkGen, 1, 100);
  ask_number<unsigned>(kLinkWidthCall, api_.pcie_link_width, reading, GpuMetric::kPcieLinkWidth, 1,
                       1024);
}

void NvmlDevice::read_processes(GpuReading& reading) {
  std::vector<nvml::ProcessInfo> infos(kNvmlProcessesMax);
  unsigned count = kNvmlProcessesMax;
  if (!ask(kProcessesCall, api_.processes, &count, infos.data())) return;
  if (count > kNvmlProcessesMax) return;
  for (unsigned i = 0; i < count; ++i) {
    if (infos[i].pid == 0 || infos[i].pid > INT32_MAX) continue;
    const bool is_known = infos[i].used <= kNvmlBytesMax;
    reading.processes.push_back({static_cast<int32_t>(infos[i].pid), is_known ? infos[i].used : 0});
  }
}

PcieReading NvmlDevice::read_pcie() const {
  constexpr double kKilobyte = 1024;
  constexpr unsigned kKilobytesMax = 1U << 30;
  const auto take = [&](nvml::PcieCounter counter) {
    unsigned kilobytes = 0;
    const bool is_known =
        api_.pcie_throughput != nullptr &&
        api_.pcie_throughput(device_, static_cast<int>(counter), &kilobytes) == nvml::kSuccess &&
        kilobytes <= kKilobytesMax;
    return is_known ? kilobytes * kKilobyte : std::numeric_limits<double>::quiet_NaN();
  };
  return {take(nvml::kPcieTx), take(nvml::kPcieRx)};
}

}  // namespace ringlog::service
