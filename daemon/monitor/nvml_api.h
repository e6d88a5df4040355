#pragma once
// The part of NVIDIA's management library that is used: its types as its documentation gives them
// (their ABI has not changed since 2011, new versions of a function get new names), and a table of
// functions that are looked up when the program runs.
//
// The library is thread safe.  Any call may block for as long as the driver likes.

#include <ringlog/result.h>

#include <cstdint>
#include <memory>
#include <string>

namespace ringlog::service {

namespace nvml {

using Return = int;
inline constexpr Return kSuccess = 0;
inline constexpr Return kUninitialized = 1;
inline constexpr Return kNotSupported = 3;
inline constexpr Return kNoPermission = 4;
inline constexpr Return kInsufficientSize = 7;
inline constexpr Return kDriverNotLoaded = 9;
inline constexpr Return kFunctionNotFound = 13;
inline constexpr Return kGpuIsLost = 15;
inline constexpr Return kResetRequired = 16;
inline constexpr Return kLibraryMismatch = 18;

using Device = struct DeviceStruct*;

struct Utilization {
  unsigned gpu;     // percent
  unsigned memory;  // percent
};
struct Memory {
  unsigned long long total;  // bytes
  unsigned long long free;
  unsigned long long used;  // what the driver keeps for itself included
};
struct MemoryV2 {
  unsigned version;
  unsigned long long total;
  unsigned long long reserved;
  unsigned long long free;
  unsigned long long used;
};
inline constexpr unsigned kMemoryV2 = sizeof(MemoryV2) | 2U << 24;
struct Temperature {
  unsigned version;
  int sensor;  // 0: the GPU's
  int celsius;
};
inline constexpr unsigned kTemperatureV1 = sizeof(Temperature) | 1U << 24;
struct ProcessInfo {
  unsigned pid;
  unsigned long long used;  // bytes; all ones: not known
  unsigned gpu_instance;
  unsigned compute_instance;
};

enum Clock : int { kGraphicsClock = 0, kSmClock = 1, kMemoryClock = 2 };
enum PcieCounter : int { kPcieTx = 0, kPcieRx = 1 };
enum EccError : int { kCorrected = 0, kUncorrected = 1 };
inline constexpr int kVolatileEcc = 0;

// Why clocks are low.
inline constexpr unsigned long long kPowerReasons = 0x04 | 0x80;    // its cap; the supply
inline constexpr unsigned long long kThermalReasons = 0x20 | 0x40;  // by software; by hardware

}  // namespace nvml

// Pointers are nullptr where the library has no such function.
struct NvmlApi {
  nvml::Return (*init)() = nullptr;
  nvml::Return (*shutdown)() = nullptr;
  const char* (*error_string)(nvml::Return) = nullptr;
  nvml::Return (*device_count)(unsigned*) = nullptr;
  nvml::Return (*device_by_index)(unsigned, nvml::Device*) = nullptr;
  nvml::Return (*uuid)(nvml::Device, char*, unsigned) = nullptr;
  nvml::Return (*name)(nvml::Device, char*, unsigned) = nullptr;
  nvml::Return (*utilization)(nvml::Device, nvml::Utilization*) = nullptr;
  nvml::Return (*memory)(nvml::Device, nvml::Memory*) = nullptr;
  nvml::Return (*memory_v2)(nvml::Device, nvml::MemoryV2*) = nullptr;
  nvml::Return (*power)(nvml::Device, unsigned*) = nullptr;
  nvml::Return (*power_limit)(nvml::Device, unsigned*) = nullptr;
  nvml::Return (*energy)(nvml::Device, unsigned long long*) = nullptr;
  nvml::Return (*temperature)(nvml::Device, int, unsigned*) = nullptr;
  nvml::Return (*temperature_v)(nvml::Device, nvml::Temperature*) = nullptr;
  nvml::Return (*clock)(nvml::Device, int, unsigned*) = nullptr;
  nvml::Return (*fan_speed)(nvml::Device, unsigned*) = nullptr;
  nvml::Return (*clock_reasons)(nvml::Device, unsigned long long*) = nullptr;
  nvml::Return (*ecc_errors)(nvml::Device, int, int, unsigned long long*) = nullptr;
  nvml::Return (*pcie_link_gen)(nvml::Device, unsigned*) = nullptr;
  nvml::Return (*pcie_link_width)(nvml::Device, unsigned*) = nullptr;
  nvml::Return (*pcie_throughput)(nvml::Device, int, unsigned*) = nullptr;
  nvml::Return (*processes)(nvml::Device, unsigned*, nvml::ProcessInfo*) = nullptr;

  // Loads the library; it stays loaded for good, because a thread may be stuck in it.
  //   kNotFound  there is no such library, or it is none of NVIDIA's; the message says what lacks
  static Result<NvmlApi> load(const std::string& library);
  // What the library calls an error.
  std::string text_of(nvml::Return error) const;
};

}  // namespace ringlog::service
