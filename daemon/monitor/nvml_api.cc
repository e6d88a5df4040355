#include "daemon/monitor/nvml_api.h"

#include <dlfcn.h>

namespace ringlog::service {

namespace {

template <typename Function>
void look_up(void* library, Function& function, const char* name, const char* older = nullptr) {
  void* found = ::dlsym(library, name);
  if (found == nullptr && older != nullptr) found = ::dlsym(library, older);
  function = reinterpret_cast<Function>(found);
}

}  // namespace

Result<NvmlApi> NvmlApi::load(const std::string& library) {
  void* const handle = ::dlopen(library.c_str(), RTLD_LAZY | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* const why = ::dlerror();
    return Error{Code::kNotFound, why != nullptr ? why : library + " cannot be loaded"};
  }
  NvmlApi api;
  look_up(handle, api.init, "nvmlInit_v2", "nvmlInit");
  look_up(handle, api.shutdown, "nvmlShutdown");
  look_up(handle, api.error_string, "nvmlErrorString");
  look_up(handle, api.device_count, "nvmlDeviceGetCount_v2", "nvmlDeviceGetCount");
  look_up(handle, api.device_by_index, "nvmlDeviceGetHandleByIndex_v2",
          "nvmlDeviceGetHandleByIndex");
  look_up(handle, api.uuid, "nvmlDeviceGetUUID");
  look_up(handle, api.name, "nvmlDeviceGetName");
  look_up(handle, api.utilization, "nvmlDeviceGetUtilizationRates");
  look_up(handle, api.memory, "nvmlDeviceGetMemoryInfo");
  look_up(handle, api.memory_v2, "nvmlDeviceGetMemoryInfo_v2");
  look_up(handle, api.power, "nvmlDeviceGetPowerUsage");
  look_up(handle, api.power_limit, "nvmlDeviceGetEnforcedPowerLimit");
  look_up(handle, api.energy, "nvmlDeviceGetTotalEnergyConsumption");
  look_up(handle, api.temperature, "nvmlDeviceGetTemperature");
  look_up(handle, api.temperature_v, "nvmlDeviceGetTemperatureV");
  look_up(handle, api.clock, "nvmlDeviceGetClockInfo");
  look_up(handle, api.fan_speed, "nvmlDeviceGetFanSpeed");
  look_up(handle, api.clock_reasons, "nvmlDeviceGetCurrentClocksEventReasons",
          "nvmlDeviceGetCurrentClocksThrottleReasons");
  look_up(handle, api.ecc_errors, "nvmlDeviceGetTotalEccErrors");
  look_up(handle, api.pcie_link_gen, "nvmlDeviceGetCurrPcieLinkGeneration");
  look_up(handle, api.pcie_link_width, "nvmlDeviceGetCurrPcieLinkWidth");
  look_up(handle, api.pcie_throughput, "nvmlDeviceGetPcieThroughput");
  look_up(handle, api.processes, "nvmlDeviceGetComputeRunningProcesses_v3");
  if (api.init == nullptr || api.device_count == nullptr || api.device_by_index == nullptr) {
    return Error{Code::kNotFound, library +
                                      " has no nvmlInit_v2, nvmlDeviceGetCount_v2 or "
                                      "nvmlDeviceGetHandleByIndex_v2"};
  }
  return api;
}

std::string NvmlApi::text_of(nvml::Return error) const {
  const char* const text = error_string == nullptr ? nullptr : error_string(error);
  std::string out = "NVML error " + std::to_string(error);
  if (text != nullptr) out.append(" (").append(text).append(")");
  return out;
}

}  // namespace ringlog::service
