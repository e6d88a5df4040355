#pragma once
// Cgroup: the limits that the kernel holds a process to, and how close it is to them.
//
// Knows version 2 and version 1.  A limit counts wherever it stands between the process's own group
// and the root that we can see; the tightest one applies.  Where none is set there is nothing to
// say.  One thread.

#include "daemon/monitor/places.h"
#include "daemon/monitor/text_file.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ringlog::service {

struct CgroupReading {
  std::optional<double> cpu_limit_cores;
  std::optional<uint64_t> cpu_throttled_us;  // since the group was made, where the limit stands
  std::optional<uint64_t> memory_limit;      // bytes
  std::optional<uint64_t> memory_used;       // bytes that cannot be given back without effort
  std::optional<uint64_t> oom_kills;         // since the group was made
};

class Cgroup {
 public:
  // The groups of a process; without any when /proc does not tell.
  Cgroup(const MonitorPlaces& places, int32_t pid);

  CgroupReading read();

 private:
  void add_levels(const std::string& base, std::string_view path, std::vector<std::string>& to);
  void read_cpu_v1(const std::string& dir, CgroupReading& reading);
  void read_cpu_v2(const std::string& dir, CgroupReading& reading);
  void read_memory(const std::string& dir, CgroupReading& reading);
  void take_cpu(double cores, std::optional<uint64_t> throttled_us, CgroupReading& reading);

  TextFile file_;
  bool is_v2_ = false;
  // Folders from the process's own group up to the root.
  std::vector<std::string> cpu_;
  std::vector<std::string> memory_;
};

}  // namespace ringlog::service
