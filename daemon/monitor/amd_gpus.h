#pragma once
// AmdGpus: what the kernel's amdgpu driver says of its cards in /sys/class/drm.
//
// Nothing is loaded and no program is run.  A card that sleeps is not asked, because that would
// wake it.  One thread.

#include "daemon/monitor/gpu.h"
#include "daemon/monitor/places.h"
#include "daemon/monitor/text_file.h"

#include <string>
#include <vector>

namespace ringlog::service {

class AmdGpus {
 public:
  explicit AmdGpus(const MonitorPlaces& places) : places_(places) {}

  // Looks which cards there are.
  void find();
  // In the order of their card numbers.
  std::vector<GpuReading> read();

 private:
  struct Card {
    std::string dir;    // …/device
    std::string hwmon;  // below it; empty: there is none
    std::string uuid;
    std::string name;
  };
  std::string text_of(const std::string& path);
  void read_sensors(const Card& card, GpuReading& reading);

  const MonitorPlaces places_;
  TextFile file_;
  std::vector<Card> cards_;
};

}  // namespace ringlog::service
