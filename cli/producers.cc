#include "cli/producers.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <tuple>

#include "cli/format.h"
#include "client/run_core.h"

namespace ringlog::cli {

using store::ProducerState;

std::string producer_label(const ProducerState& producer) {
  if (producer.worker == client::kExecWorker) return "exec";
  if (producer.worker == 0) return std::to_string(producer.rank);
  return fmt::format("{} w{}", producer.rank, producer.worker);
}

std::string producer_state(const ProducerState& producer) {
  std::string state = printable(producer.state);
  if (producer.signal != 0) return fmt::format("{} ({})", state, signal_name(producer.signal));
  if (producer.exit_code != 0) return fmt::format("{} ({})", state, producer.exit_code);
  return state;
}

Ink state_ink(const std::string& state) {
  if (state == "finished") return Ink::kGreen;
  if (state == "running") return Ink::kCyan;
  if (state == "stopped" || state == "killed") return Ink::kYellow;
  return Ink::kRed;
}

uint64_t stored_rows(const ProducerState& producer) {
  uint64_t rows = 0;
  for (const store::RingState& ring : producer.rings) rows += ring.stored;
  return rows;
}

uint64_t dropped_rows(const ProducerState& producer) {
  uint64_t rows = 0;
  for (const store::RingState& ring : producer.rings) rows += ring.dropped;
  return rows;
}

std::vector<std::string> poison_notes(const ProducerState& producer) {
  std::vector<std::string> notes;
  for (size_t i = 0; i < producer.rings.size(); ++i) {
    if (producer.rings[i].poisoned.empty()) continue;
    notes.push_back(fmt::format("rank {} attempt {}: ring {} is not read any more: {}",
                                producer_label(producer), producer.attempt, i,
                                printable(producer.rings[i].poisoned)));
  }
  return notes;
}

uint64_t rank_count(const std::vector<ProducerState>& producers) {
  std::set<int32_t> ranks;
  for (const ProducerState& producer : producers) {
    if (producer.worker != client::kExecWorker) ranks.insert(producer.rank);
  }
  return ranks.size();
}

void sort_producers(std::vector<ProducerState>& producers) {
  std::sort(producers.begin(), producers.end(), [](const auto& a, const auto& b) {
    return std::tie(a.rank, a.attempt, a.worker, a.producer) <
           std::tie(b.rank, b.attempt, b.worker, b.producer);
  });
}

Json json_of(const ProducerState& producer) {
  Json json = {{"rank", producer.rank},
               {"attempt", producer.attempt},
               {"worker", producer.worker},
               {"pid", producer.pid},
               {"host", producer.host},
               {"state", producer.state},
               {"exit_code", producer.exit_code},
               {"signal", producer.signal},
               {"cause", producer.cause},
               {"rows", stored_rows(producer)},
               {"dropped", dropped_rows(producer)}};
  json["started"] = json_seconds(producer.started_ns);
  json["ended"] = json_seconds(producer.ended_ns);
  json["local_rank"] = producer.local_rank;
  json["world_size"] = producer.world_size;
  json["poisoned"] = poison_notes(producer);
  return json;
}

}  // namespace ringlog::cli
