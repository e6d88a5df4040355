#include "daemon/monitor/cgroup.h"

#include <unistd.h>

namespace ringlog::service {

namespace {

// Version 1 says "no limit" with the largest multiple of a page.
constexpr uint64_t kCgroupBytesMax = uint64_t{1} << 60;
// Groups within groups that are looked at.
constexpr size_t kCgroupLevelsMax = 32;

bool has_word(std::string_view list, std::string_view wanted) {
  while (!list.empty()) {
    const size_t end = std::min(list.find(','), list.size());
    if (list.substr(0, end) == wanted) return true;
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return false;
}

}  // namespace

Cgroup::Cgroup(const MonitorPlaces& places, int32_t pid) {
  const auto read = file_.read(places.proc + "/" + std::to_string(pid) + "/cgroup");
  if (!read) return;
  const std::string kept(*read);
  const std::string root = places.sys + "/fs/cgroup";
  std::string_view text = kept;
  while (!text.empty()) {
    // hierarchy:controllers:path
    std::string_view line = take_line(text);
    line.remove_prefix(std::min(line.find(':') + 1, line.size()));
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(0, colon);
    const std::string_view path = line.substr(colon + 1);
    if (controllers.empty()) {
      if (!cpu_.empty() || !memory_.empty()) continue;
      // Where version 1 is used as well, this one has no controllers.
      if (::access((root + "/cgroup.controllers").c_str(), F_OK) != 0) continue;
      is_v2_ = true;
      add_levels(root, path, cpu_);
      memory_ = cpu_;
    } else if (has_word(controllers, "memory")) {
      add_levels(root + "/memory", path, memory_);
    } else if (has_word(controllers, "cpu")) {
      add_levels(root + "/cpu", path, cpu_);
    }
  }
}

// In a container the path may be one that only the host has; then the root is the container's own.
void Cgroup::add_levels(const std::string& base, std::string_view path,
                        std::vector<std::string>& to) {
  if (path.find("..") != std::string_view::npos) path = "";
  while (!path.empty() && to.size() < kCgroupLevelsMax) {
    while (path.ends_with('/')) path.remove_suffix(1);
    if (path.empty()) break;
    std::string dir = base + std::string(path);
    if (::access(dir.c_str(), F_OK) == 0) to.push_back(std::move(dir));
    path = path.substr(0, path.rfind('/'));
  }
  to.push_back(base);
}

CgroupReading Cgroup::read() {
  CgroupReading reading;
  for (const std::string& dir : cpu_) {
    if (is_v2_) {
      read_cpu_v2(dir, reading);
    } else {
      read_cpu_v1(dir, reading);
    }
  }
  for (const std::string& dir : memory_) read_memory(dir, reading);
  return reading;
}

void Cgroup::take_cpu(double cores, std::optional<uint64_t> throttled_us, CgroupReading& reading) {
  if (reading.cpu_limit_cores && *reading.cpu_limit_cores <= cores) return;
  reading.cpu_limit_cores = cores;
  reading.cpu_throttled_us = throttled_us;
}

void Cgroup::read_cpu_v2(const std::string& dir, CgroupReading& reading) {
  auto text = file_.read(dir + "/cpu.max");
  if (!text) return;
  const auto quota = to_number(take_word(*text));  // or "max"
  const auto period = to_number(take_word(*text));
  if (!quota || !period || *period == 0) return;
  const auto stat = file_.read(dir + "/cpu.stat");
  take_cpu(static_cast<double>(*quota) / static_cast<double>(*period),
           stat ? number_of(*stat, "throttled_usec") : std::nullopt, reading);
}

void Cgroup::read_cpu_v1(const std::string& dir, CgroupReading& reading) {
  const auto quota = file_.read_number(dir + "/cpu.cfs_quota_us");  // or -1
  const auto period = file_.read_number(dir + "/cpu.cfs_period_us");
  if (!quota || !period || *quota <= 0 || *period <= 0) return;
  const auto stat = file_.read(dir + "/cpu.stat");
  auto throttled = stat ? number_of(*stat, "throttled_time") : std::nullopt;
  if (throttled) *throttled /= 1000;
  take_cpu(*quota / *period, throttled, reading);
}

void Cgroup::read_memory(const std::string& dir, CgroupReading& reading) {
  const auto limit_text = file_.read(dir + (is_v2_ ? "/memory.max" : "/memory.limit_in_bytes"));
  const auto limit = limit_text ? to_number(*limit_text) : std::nullopt;  // or "max"
  if (!limit || *limit >= kCgroupBytesMax || *limit == 0) return;
  if (reading.memory_limit && *reading.memory_limit <= *limit) return;
  const auto used_text = file_.read(dir + (is_v2_ ? "/memory.current" : "/memory.usage_in_bytes"));
  auto used = used_text ? to_number(*used_text) : std::nullopt;
  const auto stat = file_.read(dir + "/memory.stat");
  const auto cache =
      stat ? number_of(*stat, is_v2_ ? "inactive_file" : "total_inactive_file") : std::nullopt;
  // Cached files that nobody uses are dropped before anybody is killed.
  if (used && cache) *used -= std::min(*used, *cache);
  const auto events = file_.read(dir + (is_v2_ ? "/memory.events" : "/memory.oom_control"));
  reading.memory_limit = limit;
  reading.memory_used = used;
  reading.oom_kills = events ? number_of(*events, "oom_kill") : std::nullopt;
}

}  // namespace ringlog::service
