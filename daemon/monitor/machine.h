#pragma once
// What the kernel counts for the whole machine, as it counts it: rates are differences of two.
//
// Everything is optional: a kernel without pressure stalls or a container without /proc/diskstats
// has fewer names, never wrong ones.  One thread.

#include "daemon/monitor/places.h"
#include "daemon/monitor/text_file.h"

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>

namespace ringlog::service {

struct CpuTicks {
  uint64_t busy = 0;
  uint64_t total = 0;
  uint32_t cpus = 0;  // that are online
};

struct MachineMemory {
  uint64_t total = 0;      // bytes
  uint64_t available = 0;  // bytes that could be used without swapping
};

struct DiskBytes {
  uint64_t read = 0;
  uint64_t written = 0;
};

struct NetworkBytes {
  uint64_t sent = 0;  // of all interfaces but the loopback
  uint64_t received = 0;
};

// Names of the pressure stalls, in the order of MachineCounters::stalls_us.
inline constexpr std::array<const char*, 6> kStallNames = {
    "pressure.cpu.some",    "pressure.cpu.full", "pressure.memory.some",
    "pressure.memory.full", "pressure.io.some",  "pressure.io.full"};

struct MachineCounters {
  int64_t monotonic_ns = 0;
  std::optional<CpuTicks> cpu;
  std::optional<MachineMemory> memory;
  std::optional<NetworkBytes> network;
  std::map<std::string, DiskBytes> disks;  // whole devices, by name
  // Microseconds in which some, or all, tasks waited.
  std::array<std::optional<uint64_t>, kStallNames.size()> stalls_us;
};

class Machine {
 public:
  explicit Machine(const MonitorPlaces& places) : places_(places) {}

  // Some ten files: 0.1 ms on a small machine.
  MachineCounters read(int64_t monotonic_ns);

 private:
  void read_cpu(MachineCounters& counters);
  void read_memory(MachineCounters& counters);
  void read_disks(MachineCounters& counters);
  void read_network(MachineCounters& counters);
  void read_stalls(MachineCounters& counters);
  bool is_whole_disk(const std::string& name);

  const MonitorPlaces places_;
  TextFile file_;
  std::map<std::string, bool> is_whole_disk_;
};

}  // namespace ringlog::service
