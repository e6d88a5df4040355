#pragma once
// NvmlDevice: one GPU as NVML gives it, call by call.
//
// A call that the driver does not support, does not allow or does not have is not made again; any
// other failure only costs the value this time.  Values that no GPU can have are left out.
//
// One thread, but read_pcie() may run on another one at the same time.

#include "daemon/monitor/gpu.h"
#include "daemon/monitor/nvml_api.h"

#include <array>
#include <cstdint>
#include <optional>
#include <string>

namespace ringlog::service {

struct PcieReading {
  double tx = 0;  // bytes per second; NaN: not known
  double rx = 0;
};

class NvmlDevice {
 public:
  NvmlDevice(const NvmlApi& api, nvml::Device device);

  const std::string& uuid() const { return uuid_; }
  // Fills the reading as far as the driver answers.  The error that ended it early: the device is
  // lost, or the driver is.
  std::optional<nvml::Return> read(GpuReading& reading);
  // Blocks for 20 ms each way.
  PcieReading read_pcie() const;

 private:
  enum Call : uint8_t {
    kUtilizationCall,
    kMemoryCall,
    kMemoryV2Call,
    kPowerCall,
    kPowerLimitCall,
    kEnergyCall,
    kTemperatureCall,
    kTemperatureVCall,
    kSmClockCall,
    kMemoryClockCall,
    kGraphicsClockCall,
    kFanCall,
    kReasonsCall,
    kCorrectedCall,
    kUncorrectedCall,
    kLinkGenCall,
    kLinkWidthCall,
    kProcessesCall,
    kCalls,
  };
  template <typename Function, typename... Arguments>
  bool ask(Call call, Function function, Arguments... arguments);
  template <typename Number, typename Function>
  void ask_number(Call call, Function function, GpuReading& reading, GpuMetric metric, double scale,
                  double highest);
  void read_load(GpuReading& reading);
  void read_memory(GpuReading& reading);
  void read_temperature(GpuReading& reading);
  void read_clocks(GpuReading& reading);
  void read_health(GpuReading& reading);
  void read_processes(GpuReading& reading);

  const NvmlApi& api_;
  const nvml::Device device_;
  std::string uuid_;
  std::string name_;
  std::array<bool, kCalls> is_refused_{};  // for good
  std::optional<nvml::Return> fatal_;      // of this read()
};

}  // namespace ringlog::service
