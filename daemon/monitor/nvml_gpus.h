#pragma once
// NvmlGpus: all NVIDIA GPUs, read by threads that may hang without anybody waiting for them.
//
// Two threads call the driver: one for everything that answers at once, one for PCIe, whose calls
// block for their sampling time.  A call into a sick driver can block for ever, so nobody ever
// waits for one longer than his patience: whoever asks gets what there is, and an empty answer as
// long as the driver is busy with the question before.  A thread that hangs when this object goes
// is left behind.
//
// Where there is no library there are no threads.  The first thread initialises it.  When that
// fails (no driver, or one of another version than the library) it is said once and tried again
// each minute; GPUs that come, go or are lost are noticed within kMonitorSlowMs.
//
// Public functions: one thread.

#include "daemon/monitor/gpu.h"
#include "daemon/monitor/places.h"

#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace ringlog::service {

class NvmlGpus {
 public:
  explicit NvmlGpus(const std::string& library);
  ~NvmlGpus();
  NvmlGpus(const NvmlGpus&) = delete;
  NvmlGpus& operator=(const NvmlGpus&) = delete;

  // Asks the driver, and waits for its answer at most so long.  `is_slow`: also looks which GPUs
  // there are, and starts a measurement of PCIe, which later answers have.
  std::vector<GpuReading> read(std::chrono::milliseconds patience, bool is_slow);
  // What is wrong with the driver now; empty: nothing that is known.
  std::string problem() const;
  // Answers of the PCIe thread so far.
  uint64_t pcie_rounds() const;

  struct State;

 private:
  const std::shared_ptr<State> state_;
};

}  // namespace ringlog::service
