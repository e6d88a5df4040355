#include "daemon/monitor/machine.h"

#include <unistd.h>

namespace ringlog::service {

MachineCounters Machine::read(int64_t monotonic_ns) {
  MachineCounters counters;
  counters.monotonic_ns = monotonic_ns;
  read_cpu(counters);
  read_memory(counters);
  read_disks(counters);
  read_network(counters);
  read_stalls(counters);
  return counters;
}

void Machine::read_cpu(MachineCounters& counters) {
  auto text = file_.read(places_.proc + "/stat");
  if (!text) return;
  CpuTicks ticks;
  while (!text->empty()) {
    std::string_view line = take_line(*text);
    const std::string_view word = take_word(line);
    if (!word.starts_with("cpu")) break;
    if (word != "cpu") {
      ++ticks.cpus;
      continue;
    }
    // user nice system idle iowait irq softirq steal; what guests take is in user already.
    for (size_t field = 0; field < 8; ++field) {
      const uint64_t value = to_number(take_word(line)).value_or(0);
      ticks.total += value;
      if (field != 3 && field != 4) ticks.busy += value;
    }
  }
  if (ticks.total > 0) counters.cpu = ticks;
}

void Machine::read_memory(MachineCounters& counters) {
  const auto text = file_.read(places_.proc + "/meminfo");
  if (!text) return;
  const auto total = number_of(*text, "MemTotal");
  const auto available = number_of(*text, "MemAvailable");
  if (!total || !available || *total == 0 || *available > *total) return;
  counters.memory = MachineMemory{*total * 1024, *available * 1024};
}

// A partition's bytes are its device's too; loops and RAM disks are no disks.
bool Machine::is_whole_disk(const std::string& name) {
  const auto known = is_whole_disk_.find(name);
  if (known != is_whole_disk_.end()) return known->second;
  const bool is_memory =
      name.starts_with("loop") || name.starts_with("ram") || name.starts_with("zram");
  const bool is_whole = !is_memory && ::access((places_.sys + "/block/" + name).c_str(), F_OK) == 0;
  is_whole_disk_[name] = is_whole;
  return is_whole;
}

void Machine::read_disks(MachineCounters& counters) {
  constexpr uint64_t kSectorBytes = 512;  // whatever the device's own are
  auto text = file_.read(places_.proc + "/diskstats");
  while (text && !text->empty() && counters.disks.size() < kMonitorDisksMax) {
    std::string_view line = take_line(*text);
    take_word(line);  // major
    take_word(line);  // minor
    const std::string name(take_word(line));
    if (name.empty() || !is_whole_disk(name)) continue;
    // reads, reads merged, sectors read, ms, writes, writes merged, sectors written
    std::array<uint64_t, 7> fields{};
    for (uint64_t& field : fields) field = to_number(take_word(line)).value_or(0);
    counters.disks[name] = {fields[2] * kSectorBytes, fields[6] * kSectorBytes};
  }
}

void Machine::read_network(MachineCounters& counters) {
  auto text = file_.read(places_.proc + "/net/dev");
  if (!text) return;
  NetworkBytes bytes;
  bool has_any = false;
  while (!text->empty()) {
    std::string_view line = take_line(*text);
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;  // the two lines of titles
    std::string_view name = line.substr(0, colon);
    name = take_word(name);
    if (name == "lo") continue;
    line.remove_prefix(colon + 1);
    for (size_t field = 0; field < 9; ++field) {
      const uint64_t value = to_number(take_word(line)).value_or(0);
      if (field == 0) bytes.received += value;
      if (field == 8) bytes.sent += value;
    }
    has_any = true;
  }
  if (has_any) counters.network = bytes;
}

void Machine::read_stalls(MachineCounters& counters) {
  constexpr std::array<const char*, 3> kFiles = {"cpu", "memory", "io"};
  for (size_t file = 0; file < kFiles.size(); ++file) {
    auto text = file_.read(places_.proc + "/pressure/" + kFiles[file]);
    while (text && !text->empty()) {
      const std::string_view line = take_line(*text);
      const size_t total = line.find("total=");
      if (total == std::string_view::npos) continue;
      const size_t index = 2 * file + (line.starts_with("full") ? 1 : 0);
      counters.stalls_us[index] = to_number(line.substr(total + 6));
    }
  }
}

}  // namespace ringlog::service
