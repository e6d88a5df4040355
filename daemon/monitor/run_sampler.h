#pragma once
// RunSampler: what one run's samples say, from what the machine, its GPUs and its processes say now
// and said at the run's sample before.
//
// docs/system_metrics.md lists the names.  Rates are over the time since the sample before, never
// since the start; counters of bytes and joules begin with the run's first sample.  What is not
// known has no name in a sample.  One thread.

#include "daemon/monitor/cgroup.h"
#include "daemon/monitor/gpu.h"
#include "daemon/monitor/machine.h"
#include "daemon/monitor/places.h"
#include "daemon/monitor/processes.h"
#include "store/stats.h"

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ringlog::service {

// GPUs of the machine by the index that names have.
using GpuReadings = std::map<uint32_t, GpuReading>;

// What all runs' samples of one moment are made from.
struct MachineMoment {
  const MachineCounters& machine;
  const GpuReadings& gpus;
  const ProcessTree& tree;
};

struct RunSample {
  std::vector<std::string> names;
  std::vector<double> values;
  std::vector<store::StatsGpu> gpus;

  bool empty() const { return names.empty(); }
  void add(std::string name, double value) {
    names.push_back(std::move(name));
    values.push_back(value);
  }
  // Unless it is not known.
  void add_known(const std::string& name, double value);
};

class RunSampler {
 public:
  // `dir`: the run's directory, whose file system is watched.
  RunSampler(const MonitorPlaces& places, std::string dir);

  // Requires a moment later than the last one.  Empty: there is nothing to compare with yet.
  RunSample take(const MachineMoment& now, const std::vector<RunProcess>& attached);

 private:
  void add_processes(const MachineMoment& now, const std::vector<RunProcess>& attached,
                     RunSample& sample);
  void add_use(const std::string& prefix, const ProcessUse& use, RunSample& sample) const;
  void add_machine(const MachineCounters& now, RunSample& sample) const;
  void add_memory(const MachineCounters& now, RunSample& sample) const;
  void add_disk_space(RunSample& sample) const;
  void add_cgroup(RunSample& sample) const;
  void add_gpus(const MachineMoment& now, RunSample& sample);
  void add_gpu_use(uint32_t index, const GpuReading& gpu, RunSample& sample);
  void find_gpus(const MachineMoment& now, const std::vector<RunProcess>& attached);
  void add_visible(const RunProcess& process, const GpuReadings& gpus);
  double elapsed_s(const MachineCounters& now) const;

  const MonitorPlaces places_;
  const std::string dir_;
  const std::string mount_;
  TextFile file_;
  RunProcesses processes_;
  std::vector<RunProcess> attached_;
  std::optional<Cgroup> cgroup_;
  CgroupReading cgroup_before_;
  CgroupReading cgroup_now_;
  std::optional<MachineCounters> first_;
  MachineCounters before_;
  std::map<uint32_t, double> first_joules_;           // by GPU
  std::map<uint32_t, std::vector<int32_t>> visible_;  // GPU → ranks, of their environment
  size_t gpus_looked_for_ = 0;
};

}  // namespace ringlog::service
