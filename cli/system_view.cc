#include "cli/system_view.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string_view>

#include "cli/format.h"
#include "cli/table.h"

namespace ringlog::cli {

namespace {

constexpr double kMegabyte = 1024.0 * 1024;

// The last sample by name; what is not known is not in it.
class LastSample {
 public:
  explicit LastSample(const store::Stats& stats) {
    const auto values = stats.sample(stats.samples() - 1);
    for (size_t i = 0; i < stats.names.size(); ++i) {
      if (!std::isnan(values[i])) values_[stats.names[i]] = values[i];
    }
  }

  std::optional<double> get(const std::string& name) const {
    const auto found = values_.find(name);
    return found == values_.end() ? std::nullopt : std::optional(found->second);
  }
  // Names that begin with `prefix`.
  std::vector<std::string> names(std::string_view prefix) const {
    std::vector<std::string> out;
    for (auto at = values_.lower_bound(prefix); at != values_.end(); ++at) {
      if (!std::string_view(at->first).starts_with(prefix)) break;
      out.push_back(at->first);
    }
    return out;
  }

 private:
  std::map<std::string, double, std::less<>> values_;
};

std::string percent(std::optional<double> value) {
  return value ? fmt::format("{:.0f} %", *value) : "";
}

std::string bytes_text(std::optional<double> value, double unit) {
  if (!value || *value < 0) return "";
  return format_bytes(static_cast<uint64_t>(*value * unit));
}

// One line: a subject, and what is known of it.
class SubjectLine {
 public:
  explicit SubjectLine(std::string_view subject) : text_(fmt::format("  {:<10}", subject)) {}
  void add(const std::string& value, std::string_view what) {
    if (value.empty()) return;
    text_ += fmt::format("{}{} {}", is_empty_ ? "" : ", ", value, what);
    is_empty_ = false;
  }
  void give(std::vector<std::string>& lines) const {
    if (!is_empty_) lines.push_back(text_);
  }

 private:
  std::string text_;
  bool is_empty_ = true;
};

std::string whole(std::optional<double> value) {
  return value ? fmt::format("{:.0f}", *value) : "";
}

void add_processor(const LastSample& last, std::vector<std::string>& lines) {
  SubjectLine line("processor");
  line.add(percent(last.get("cpu")), "by the run");
  line.add(percent(last.get("machine.cpu")), "by all");
  if (const auto cores = last.get("cgroup.cpu.limitCores")) {
    line.add(format_number(*cores), "cores allowed");
  }
  line.add(percent(last.get("pressure.cpu.some")), "stalled");
  line.give(lines);
}

void add_memory(const LastSample& last, std::vector<std::string>& lines) {
  SubjectLine line("memory");
  line.add(bytes_text(last.get("proc.memory.rssMB"), kMegabyte), "of the run");
  line.add(percent(last.get("memory_percent")), "in use");
  line.add(bytes_text(last.get("proc.memory.availableMB"), kMegabyte), "available");
  line.add(percent(last.get("pressure.memory.some")), "stalled");
  line.give(lines);
}

void add_processes(const LastSample& last, std::vector<std::string>& lines) {
  SubjectLine line("processes");
  line.add(whole(last.get("proc.count")), "of the run");
  line.add(whole(last.get("proc.cpu.threads")), "threads");
  line.give(lines);
}

void add_disks(const LastSample& last, std::vector<std::string>& lines) {
  for (const std::string& name : last.names("disk.")) {
    constexpr std::string_view kUsage = ".usagePercent";
    if (!name.ends_with(kUsage)) continue;
    SubjectLine line("disk");
    line.add(percent(last.get(name)),
             "of " + printable(name.substr(5, name.size() - 5 - kUsage.size())));
    line.add(percent(last.get("pressure.io.some")), "stalled");
    line.give(lines);
  }
  SubjectLine line("network");
  line.add(bytes_text(last.get("network.sent"), 1), "sent");
  line.add(bytes_text(last.get("network.recv"), 1), "received");
  line.give(lines);
}

std::vector<Table::Cell> gpu_row(const store::StatsGpu& gpu, const LastSample& last) {
  const std::string prefix = fmt::format("gpu.{}.", gpu.index);
  const auto with_unit = [&](const char* name, std::string_view unit) {
    const auto value = last.get(prefix + name);
    return value ? fmt::format("{:.0f} {}", *value, unit) : std::string();
  };
  std::string slowed;
  if (last.get(prefix + "throttleThermal").value_or(0) > 0) slowed = "heat";
  if (last.get(prefix + "throttlePower").value_or(0) > 0) {
    slowed += slowed.empty() ? "power" : ", power";
  }
  const double errors = last.get(prefix + "uncorrectedMemoryErrors").value_or(0);
  return {{std::to_string(gpu.index)},
          {fmt::format("{}", fmt::join(gpu.ranks, ","))},
          {percent(last.get(prefix + "gpu"))},
          {bytes_text(last.get(prefix + "memoryAllocatedBytes"), 1)},
          {with_unit("powerWatts", "W")},
          {with_unit("temp", "°C")},
          {with_unit("smClock", "MHz")},
          {slowed, Ink::kYellow},
          {errors > 0 ? whole(errors) : "", Ink::kRed},
          {printable(gpu.name)}};
}

void add_gpus(const store::Stats& stats, const LastSample& last, const Style& style,
              std::vector<std::string>& lines) {
  if (stats.gpus.empty()) return;
  constexpr auto kRight = Table::Align::kRight;
  Table table({{"GPU", kRight},
               {"RANK"},
               {"BUSY", kRight},
               {"MEMORY", kRight},
               {"POWER", kRight},
               {"TEMP", kRight},
               {"CLOCK", kRight},
               {"SLOWED BY"},
               {"ECC ERRORS", kRight},
               {"NAME", Table::Align::kLeft, 8}});
  for (const store::StatsGpu& gpu : stats.gpus) table.add(gpu_row(gpu, last));
  const std::string text = table.render(style, 2);
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    lines.push_back(text.substr(at, end - at));
    at = end + 1;
  }
}

}  // namespace

Json system_json(const store::Stats& stats) {
  if (stats.empty()) return nullptr;
  Json json = {{"time", json_seconds(stats.times_ns.back())}};
  const auto values = stats.sample(stats.samples() - 1);
  Json named = Json::object();
  for (size_t i = 0; i < stats.names.size(); ++i) {
    if (!std::isnan(values[i])) named[stats.names[i]] = values[i];
  }
  json["values"] = std::move(named);
  Json gpus = Json::array();
  for (const store::StatsGpu& gpu : stats.gpus) {
    gpus.push_back(
        {{"index", gpu.index}, {"uuid", gpu.uuid}, {"name", gpu.name}, {"ranks", gpu.ranks}});
  }
  json["gpus"] = std::move(gpus);
  return json;
}

std::vector<std::string> system_lines(const store::Stats& stats, const Style& style) {
  const LastSample last(stats);
  std::vector<std::string> lines;
  add_processor(last, lines);
  add_memory(last, lines);
  add_processes(last, lines);
  add_disks(last, lines);
  add_gpus(stats, last, style, lines);
  return lines;
}

}  // namespace ringlog::cli
