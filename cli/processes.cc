#include "cli/processes.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "cli/format.h"
#include "client/run_core.h"

namespace ringlog::cli {

std::string process_label(const ProcessDescription& process) {
  if (process.worker == client::kExecWorker) return "exec";
  if (process.worker == 0) return std::to_string(process.rank);
  return fmt::format("{} w{}", process.rank, process.worker);
}

std::string process_state(const ProcessDescription& process) {
  std::string state = printable(process.state);
  if (process.signal != 0) return fmt::format("{} ({})", state, signal_name(process.signal));
  if (process.exit_code != 0) return fmt::format("{} ({})", state, process.exit_code);
  return state;
}

Ink state_ink(const std::string& state) {
  if (state == "finished") return Ink::kGreen;
  if (state == "running") return Ink::kCyan;
  if (state == "stopped" || state == "killed") return Ink::kYellow;
  return Ink::kRed;
}

std::vector<std::string> poison_notes(const ProcessDescription& process) {
  std::vector<std::string> notes;
  for (const std::string& ring : process.broken_rings) {
    notes.push_back(fmt::format("rank {} attempt {}: {}", process_label(process), process.attempt,
                                printable(ring)));
  }
  return notes;
}

std::vector<std::string> lost_record_notes(const std::vector<ProcessDescription>& processes) {
  std::vector<std::string> notes;
  for (const ProcessDescription& process : processes) {
    if (process.lost_records == 0) continue;
    notes.push_back(fmt::format(
        "rank {} attempt {}: {} other than rows lost for want of room: config, alerts, console or "
        "the like",
        process_label(process), process.attempt, format_plural(process.lost_records, "record")));
  }
  return notes;
}

std::vector<std::string> unread_notes(const std::vector<ProcessDescription>& processes) {
  std::map<std::string, std::vector<const ProcessDescription*>> by_reason;
  for (const ProcessDescription& process : processes) {
    if (!process.unread.empty()) by_reason[process.unread].push_back(&process);
  }
  std::vector<std::string> notes;
  for (const auto& [reason, those] : by_reason) {
    const size_t others = those.size() - 1;
    const std::string more = others == 0 ? "" : fmt::format(" and {} more", format_count(others));
    notes.push_back(fmt::format("rank {} attempt {}{}: {}", process_label(*those[0]),
                                those[0]->attempt, more, reason));
  }
  return notes;
}

std::vector<std::string> unread_end_notes(std::vector<ProcessDescription> processes) {
  std::erase_if(processes, [](const auto& process) { return process.state == "running"; });
  return unread_notes(processes);
}

uint64_t rank_count(const std::vector<ProcessDescription>& processes) {
  std::set<int32_t> ranks;
  for (const ProcessDescription& process : processes) {
    if (process.worker != client::kExecWorker) ranks.insert(process.rank);
  }
  return ranks.size();
}

std::vector<int32_t> absent_ranks(const std::vector<ProcessDescription>& processes) {
  std::set<int32_t> present;
  int32_t world_size = 0;
  for (const ProcessDescription& process : processes) {
    present.insert(process.rank);
    world_size = std::max(world_size, process.world_size);
  }
  std::vector<int32_t> absent;
  for (int32_t rank = 0; rank < world_size && absent.size() < kAbsentRanksMax; ++rank) {
    if (!present.contains(rank)) absent.push_back(rank);
  }
  return absent;
}

Json json_of(const ProcessDescription& process) {
  Json json = {{"rank", process.rank},           {"attempt", process.attempt},
               {"worker", process.worker},       {"pid", process.pid},
               {"host", process.host},           {"state", process.state},
               {"exit_code", process.exit_code}, {"signal", process.signal},
               {"cause", process.cause},         {"rows", process.rows},
               {"dropped", process.dropped}};
  json["started"] = json_seconds(process.started_ns);
  json["ended"] = json_seconds(process.ended_ns);
  json["local_rank"] = process.local_rank;
  json["world_size"] = process.world_size;
  json["poisoned"] = poison_notes(process);
  json["unread"] = process.unread;
  json["lost_records"] = process.lost_records;
  return json;
}

}  // namespace ringlog::cli
