#include "daemon/monitor/run_sampler.h"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

namespace ringlog::service {

namespace {

constexpr double kMegabyte = 1024.0 * 1024;
constexpr double kGigabyte = 1024.0 * kMegabyte;
constexpr double kMicrosPerSecond = 1e6;

double as_double(uint64_t value) { return static_cast<double>(value); }

// Of a counter that may have begun anew.
double increase(uint64_t from, uint64_t to) { return to > from ? as_double(to - from) : 0; }

double ticks_per_second() {
  static const double kTicks = static_cast<double>(::sysconf(_SC_CLK_TCK));
  return kTicks;
}

double page_bytes() {
  static const double kBytes = static_cast<double>(::sysconf(_SC_PAGESIZE));
  return kBytes;
}

// The highest folder above `dir` that is on the same device.
std::string mount_point_of(const std::string& dir) {
  struct stat here {};
  if (::stat(dir.c_str(), &here) != 0) return "/";
  std::string mount = dir;
  while (mount.size() > 1) {
    const size_t slash = mount.rfind('/');
    if (slash == std::string::npos) return "/";
    const std::string parent = slash == 0 ? "/" : mount.substr(0, slash);
    struct stat above {};
    if (::stat(parent.c_str(), &above) != 0 || above.st_dev != here.st_dev) break;
    mount = parent;
  }
  return mount;
}

// The elements of a variable in the text of /proc/PID/environ; nothing: it is not set.
std::optional<std::vector<std::string>> variable_list(std::string_view environ_text,
                                                      std::string_view name) {
  while (!environ_text.empty()) {
    const size_t end = std::min(environ_text.find('\0'), environ_text.size());
    std::string_view entry = environ_text.substr(0, end);
    environ_text.remove_prefix(std::min(end + 1, environ_text.size()));
    if (!entry.starts_with(name) || entry.substr(name.size(), 1) != "=") continue;
    entry.remove_prefix(name.size() + 1);
    std::vector<std::string> elements;
    while (!entry.empty()) {
      const size_t comma = std::min(entry.find(','), entry.size());
      elements.emplace_back(entry.substr(0, comma));
      entry.remove_prefix(std::min(comma + 1, entry.size()));
    }
    return elements;
  }
  return std::nullopt;
}

// The GPU that an element of CUDA_VISIBLE_DEVICES names: an index, or the beginning of a UUID.
std::optional<uint32_t> gpu_named(const std::string& element, const GpuReadings& gpus) {
  if (element.starts_with("GPU-")) {
    for (const auto& [index, gpu] : gpus) {
      if (gpu.uuid.starts_with(element)) return index;
    }
    return std::nullopt;
  }
  const auto number = to_number(element);
  if (!number || *number > kMonitorGpusMax) return std::nullopt;
  const auto index = static_cast<uint32_t>(*number);
  return gpus.contains(index) ? std::optional(index) : std::nullopt;
}

}  // namespace

void RunSample::add_known(const std::string& name, double value) {
  if (!std::isnan(value)) add(name, value);
}

RunSampler::RunSampler(const MonitorPlaces& places, std::string dir)
    : places_(places), dir_(std::move(dir)), mount_(mount_point_of(dir_)), processes_(places) {}

double RunSampler::elapsed_s(const MachineCounters& now) const {
  return static_cast<double>(now.monotonic_ns - before_.monotonic_ns) / 1e9;
}

RunSample RunSampler::take(const MachineMoment& now, const std::vector<RunProcess>& attached) {
  if (attached != attached_) {
    attached_ = attached;
    cgroup_.reset();
    gpus_looked_for_ = 0;
    if (!attached.empty()) cgroup_.emplace(places_, attached.front().pid);
  }
  cgroup_now_ = cgroup_ ? cgroup_->read() : CgroupReading{};
  find_gpus(now, attached);
  RunSample sample;
  add_processes(now, attached, sample);
  if (first_) {
    add_memory(now.machine, sample);
    add_cgroup(sample);
    add_machine(now.machine, sample);
    add_disk_space(sample);
  }
  add_gpus(now, sample);
  const bool is_first = !std::exchange(first_, first_ ? first_ : now.machine);
  before_ = now.machine;
  cgroup_before_ = cgroup_now_;
  return is_first ? RunSample{} : sample;
}

void RunSampler::add_processes(const MachineMoment& now, const std::vector<RunProcess>& attached,
                               RunSample& sample) {
  const double last_s = static_cast<double>(before_.monotonic_ns) / 1e9;
  // A process's start is counted from the machine's boot, as the monotonic clock is but for sleep.
  const auto last_ticks = first_ ? static_cast<uint64_t>(last_s * ticks_per_second()) : 0;
  const auto uses = processes_.measure(attached, now.tree, last_ticks);
  ProcessUse all;
  for (const auto& [rank, use] : uses) {
    all.cpu_ticks += use.cpu_ticks;
    all.rss_pages += use.rss_pages;
    all.threads += use.threads;
    all.processes += use.processes;
  }
  if (!first_ || all.processes == 0) return;
  const double cpus = now.machine.cpu ? as_double(now.machine.cpu->cpus) : 0;
  const double cores = cgroup_now_.cpu_limit_cores ? *cgroup_now_.cpu_limit_cores : cpus;
  const double seconds = elapsed_s(now.machine);
  if (cores > 0 && seconds > 0) {
    sample.add("cpu", 100 * all.cpu_ticks / ticks_per_second() / seconds / cores);
  }
  sample.add("proc.count", as_double(all.processes));
  sample.add("proc.cpu.threads", as_double(all.threads));
  const double rss = as_double(all.rss_pages) * page_bytes();
  sample.add("proc.memory.rssMB", rss / kMegabyte);
  const uint64_t machine_total = now.machine.memory ? now.machine.memory->total : 0;
  const uint64_t total = std::min(machine_total, cgroup_now_.memory_limit.value_or(machine_total));
  if (total > 0) sample.add("proc.memory.percent", 100 * rss / as_double(total));
  size_t named = 0;
  for (const auto& [rank, use] : uses) {
    if (rank < 0 || ++named > kMonitorRanksMax) continue;
    const std::string prefix = "proc.rank." + std::to_string(rank) + ".";
    if (seconds > 0) sample.add(prefix + "cpu", 100 * use.cpu_ticks / ticks_per_second() / seconds);
    add_use(prefix, use, sample);
  }
}

void RunSampler::add_use(const std::string& prefix, const ProcessUse& use,
                         RunSample& sample) const {
  sample.add(prefix + "memory.rssMB", as_double(use.rss_pages) * page_bytes() / kMegabyte);
  sample.add(prefix + "cpu.threads", as_double(use.threads));
}

void RunSampler::add_memory(const MachineCounters& now, RunSample& sample) const {
  if (!now.memory) return;
  double total = as_double(now.memory->total);
  double available = as_double(now.memory->available);
  const auto& limit = cgroup_now_.memory_limit;
  if (limit && cgroup_now_.memory_used && as_double(*limit) < total) {
    total = as_double(*limit);
    available = std::min(available, increase(*cgroup_now_.memory_used, *limit));
  }
  sample.add("memory_percent", 100 * (total - available) / total);
  sample.add("proc.memory.availableMB", available / kMegabyte);
}

void RunSampler::add_cgroup(RunSample& sample) const {
  const CgroupReading& now = cgroup_now_;
  if (now.cpu_limit_cores) sample.add("cgroup.cpu.limitCores", *now.cpu_limit_cores);
  if (now.cpu_throttled_us && cgroup_before_.cpu_throttled_us) {
    sample.add(
        "cgroup.cpu.throttledSeconds",
        increase(*cgroup_before_.cpu_throttled_us, *now.cpu_throttled_us) / kMicrosPerSecond);
  }
  if (now.memory_limit) {
    sample.add("cgroup.memory.limitMB", as_double(*now.memory_limit) / kMegabyte);
    if (now.memory_used) {
      sample.add("cgroup.memory.usedMB", as_double(*now.memory_used) / kMegabyte);
    }
  }
  if (now.oom_kills) sample.add("cgroup.memory.oomKills", as_double(*now.oom_kills));
}

void RunSampler::add_machine(const MachineCounters& now, RunSample& sample) const {
  const double micros = elapsed_s(now) * kMicrosPerSecond;
  if (now.cpu && before_.cpu && now.cpu->total > before_.cpu->total) {
    sample.add("machine.cpu", 100 * increase(before_.cpu->busy, now.cpu->busy) /
                                  increase(before_.cpu->total, now.cpu->total));
  }
  for (size_t i = 0; i < kStallNames.size() && micros > 0; ++i) {
    if (!now.stalls_us[i] || !before_.stalls_us[i]) continue;
    const double stalled = increase(*before_.stalls_us[i], *now.stalls_us[i]);
    sample.add(kStallNames[i], std::min(100.0, 100 * stalled / micros));
  }
  if (now.network && first_->network) {
    sample.add("network.sent", increase(first_->network->sent, now.network->sent));
    sample.add("network.recv", increase(first_->network->received, now.network->received));
  }
  for (const auto& [name, bytes] : now.disks) {
    const auto first = first_->disks.find(name);
    const DiskBytes from = first == first_->disks.end() ? DiskBytes{} : first->second;
    sample.add("disk." + name + ".in", increase(from.read, bytes.read) / kMegabyte);
    sample.add("disk." + name + ".out", increase(from.written, bytes.written) / kMegabyte);
  }
}

void RunSampler::add_disk_space(RunSample& sample) const {
  struct statvfs space {};
  if (::statvfs(dir_.c_str(), &space) != 0 || space.f_blocks == 0) return;
  const double used = increase(space.f_bfree, space.f_blocks) * as_double(space.f_frsize);
  // As df does: of what is used and what is left for everybody.
  const double usable = used + as_double(space.f_bavail) * as_double(space.f_frsize);
  sample.add("disk." + mount_ + ".usagePercent", usable > 0 ? 100 * used / usable : 0);
  sample.add("disk." + mount_ + ".usageGB", used / kGigabyte);
}

// Ranks by what their environment lets them see; what the driver says of processes comes on top.
void RunSampler::find_gpus(const MachineMoment& now, const std::vector<RunProcess>& attached) {
  if (now.gpus.size() == gpus_looked_for_) return;
  gpus_looked_for_ = now.gpus.size();
  visible_.clear();
  for (const RunProcess& process : attached) add_visible(process, now.gpus);
}

void RunSampler::add_visible(const RunProcess& process, const GpuReadings& gpus) {
  const auto text = file_.read(places_.proc + "/" + std::to_string(process.pid) + "/environ");
  if (!text) return;
  auto list = variable_list(*text, "CUDA_VISIBLE_DEVICES");
  if (!list) list = variable_list(*text, "ROCR_VISIBLE_DEVICES");
  const auto local = static_cast<size_t>(std::max(process.local_rank, 0));
  std::optional<uint32_t> found;
  if (!list) {
    if (process.local_rank >= 0) found = gpu_named(std::to_string(process.local_rank), gpus);
  } else if (list->size() == 1) {
    found = gpu_named(list->front(), gpus);
  } else if (process.local_rank >= 0 && local < list->size()) {
    found = gpu_named((*list)[local], gpus);
  }
  if (!found) return;
  std::vector<int32_t>& ranks = visible_[*found];
  if (std::find(ranks.begin(), ranks.end(), process.rank) == ranks.end()) {
    ranks.push_back(process.rank);
  }
}

void RunSampler::add_gpus(const MachineMoment& now, RunSample& sample) {
  // What the driver says is right; what the environment lets one guess is for ranks it lacks.
  std::map<uint32_t, std::set<int32_t>> ranks;
  std::set<int32_t> known;
  for (const auto& [index, gpu] : now.gpus) {
    for (const GpuProcess& process : gpu.processes) {
      const auto rank = processes_.rank_of(process.pid);
      if (!rank) continue;
      ranks[index].insert(*rank);
      known.insert(*rank);
    }
  }
  for (const auto& [index, guessed] : visible_) {
    for (const int32_t rank : guessed) {
      if (!known.contains(rank)) ranks[index].insert(rank);
    }
  }
  for (const auto& [index, gpu] : now.gpus) {
    add_gpu_use(index, gpu, sample);
    sample.gpus.push_back({index, gpu.uuid, gpu.name, {ranks[index].begin(), ranks[index].end()}});
  }
}

void RunSampler::add_gpu_use(uint32_t index, const GpuReading& gpu, RunSample& sample) {
  const std::string prefix = "gpu." + std::to_string(index) + ".";
  for (size_t metric = 0; metric < kGpuMetrics; ++metric) {
    double value = gpu.values[metric];
    if (metric == static_cast<size_t>(GpuMetric::kEnergy) && !std::isnan(value)) {
      double& first = first_joules_.try_emplace(index, value).first->second;
      first = std::min(first, value);  // the counter began anew with the driver
      value -= first;
    }
    sample.add_known(prefix + kGpuNames[metric], value);
  }
  uint64_t bytes = 0;
  bool is_used = false;
  for (const GpuProcess& process : gpu.processes) {
    if (!processes_.rank_of(process.pid)) continue;
    is_used = true;
    bytes += process.bytes;
  }
  if (!is_used) return;
  const std::string own = "gpu.process." + std::to_string(index) + ".";
  sample.add(own + "memoryAllocatedBytes", as_double(bytes));
  if (gpu.memory_total > 0) {
    sample.add(own + "memoryAllocated", 100 * as_double(bytes) / as_double(gpu.memory_total));
  }
}

}  // namespace ringlog::service
