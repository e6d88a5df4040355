#pragma once
// Sampler: the machine at this moment, once for all runs.
//
// Reads what all runs share; each run then makes its sample of it (run_sampler.h).  One thread.

#include "daemon/monitor/amd_gpus.h"
#include "daemon/monitor/machine.h"
#include "daemon/monitor/nvml_gpus.h"
#include "daemon/monitor/places.h"
#include "daemon/monitor/processes.h"
#include "daemon/monitor/run_sampler.h"

#include <cstdint>

namespace ringlog::service {

class Sampler {
 public:
  explicit Sampler(const MonitorPlaces& places);

  // Valid until the next call.  Waits for GPUs at most a quarter of a second.
  MachineMoment look(int64_t monotonic_ns);
  const NvmlGpus& nvidia() const { return nvidia_; }

 private:
  Machine machine_;
  ProcessTree tree_;
  NvmlGpus nvidia_;
  AmdGpus amd_;
  uint32_t nvidia_count_ = 0;  // seen so far: AMD's indexes begin behind them
  int64_t next_scan_ns_ = 0;
  int64_t next_slow_ns_ = 0;
  MachineCounters counters_;
  GpuReadings gpus_;
};

}  // namespace ringlog::service
