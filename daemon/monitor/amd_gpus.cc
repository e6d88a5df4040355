#include "daemon/monitor/amd_gpus.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <system_error>

namespace ringlog::service {

namespace {

constexpr const char* kAmdVendor = "0x1002";

// Of a value that a driver may get wrong: within limits or not at all.
void set_within(GpuReading& reading, GpuMetric metric, std::optional<double> value, double scale,
                double highest) {
  if (value && *value * scale >= 0 && *value * scale <= highest) reading[metric] = *value * scale;
}

}  // namespace

std::string AmdGpus::text_of(const std::string& path) {
  auto text = file_.read(path);
  return text ? std::string(take_line(*text)) : "";
}

void AmdGpus::find() {
  cards_.clear();
  std::map<uint64_t, std::string> found;  // by number: card10 comes after card9
  std::error_code error;
  const std::string root = places_.sys + "/class/drm";
  for (std::filesystem::directory_iterator at(root, error), end; !error && at != end;
       at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (!name.starts_with("card") || name.find('-') != std::string::npos) continue;
    const auto number = to_number(std::string_view(name).substr(4));
    if (number && text_of(root + "/" + name + "/device/vendor") == kAmdVendor) {
      found[*number] = root + "/" + name + "/device";
    }
  }
  for (const auto& [number, dir] : found) {
    if (cards_.size() >= kMonitorGpusMax) break;
    Card card{dir, "", text_of(dir + "/unique_id"), text_of(dir + "/product_name")};
    if (!card.uuid.empty()) card.uuid = "GPU-" + card.uuid;
    for (std::filesystem::directory_iterator at(dir + "/hwmon", error), end; !error && at != end;
         at.increment(error)) {
      card.hwmon = at->path().string();
    }
    cards_.push_back(std::move(card));
  }
}

std::vector<GpuReading> AmdGpus::read() {
  std::vector<GpuReading> readings;
  for (const Card& card : cards_) {
    GpuReading reading;
    reading.uuid = card.uuid;
    reading.name = card.name;
    if (text_of(card.dir + "/power/runtime_status") != "suspended") read_sensors(card, reading);
    readings.push_back(std::move(reading));
  }
  return readings;
}

void AmdGpus::read_sensors(const Card& card, GpuReading& reading) {
  constexpr double kWattsMax = 1e5;
  constexpr double kMhzMax = 1e5;
  constexpr double kBytesMax = 1e15;
  const auto number = [&](const std::string& path) { return file_.read_number(path); };
  set_within(reading, GpuMetric::kUtilization, number(card.dir + "/gpu_busy_percent"), 1, 100);
  set_within(reading, GpuMetric::kMemoryActivity, number(card.dir + "/mem_busy_percent"), 1, 100);
  const auto total = number(card.dir + "/mem_info_vram_total");
  const double bytes_max = total ? *total : kBytesMax;
  set_within(reading, GpuMetric::kMemoryBytes, number(card.dir + "/mem_info_vram_used"), 1,
             std::min(bytes_max, kBytesMax));
  if (!card.hwmon.empty()) {
    auto power = number(card.hwmon + "/power1_average");
    if (!power) power = number(card.hwmon + "/power1_input");
    set_within(reading, GpuMetric::kPower, power, 1e-6, kWattsMax);
    set_within(reading, GpuMetric::kPowerLimit, number(card.hwmon + "/power1_cap"), 1e-6,
               kWattsMax);
    set_within(reading, GpuMetric::kTemperature, number(card.hwmon + "/temp1_input"), 1e-3, 300);
    set_within(reading, GpuMetric::kSmClock, number(card.hwmon + "/freq1_input"), 1e-6, kMhzMax);
    set_within(reading, GpuMetric::kMemoryClock, number(card.hwmon + "/freq2_input"), 1e-6,
               kMhzMax);
  }
  reading.derive(total && *total > 0 && *total <= kBytesMax ? static_cast<uint64_t>(*total) : 0);
}

}  // namespace ringlog::service
