#include "store/processes.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "record/limits.h"

namespace ringlog::store {

Result<std::vector<ProcessEntry>> read_processes(RunReader& reader) {
  auto producers = reader.producers();
  if (!producers) return producers.take_error();
  std::map<uint32_t, const ProducerState*> by_id;
  for (const ProducerState& producer : *producers) by_id[producer.producer] = &producer;
  std::vector<ProcessEntry> entries;
  constexpr auto kProcess = static_cast<uint16_t>(schema::Record::PROCESS);
  Status read = reader.for_each_record(kProcess, 0, [&](const RecordView& view) {
    const auto producer = by_id.find(view.producer);
    if (producer != by_id.end()) {
      entries.push_back({*producer->second, record::read_process(view.record.getProcess())});
    }
    return true;
  });
  if (!read) return read.take_error();
  std::stable_sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) {
    const auto order = [](const ProducerState& p) {
      return std::tuple(p.rank, p.attempt, p.worker, p.producer);
    };
    return order(a.producer) < order(b.producer);
  });
  return entries;
}

const ProcessEntry* main_process(const std::vector<ProcessEntry>& processes) {
  const ProcessEntry* best = nullptr;
  const auto order = [](const ProcessEntry& entry) {
    const bool is_exec = entry.producer.worker == record::kExecWorker;
    return std::tuple(is_exec, entry.producer.rank, -int64_t{entry.producer.attempt});
  };
  for (const ProcessEntry& entry : processes) {
    if (best == nullptr || order(entry) < order(*best)) best = &entry;
  }
  return best;
}

}  // namespace ringlog::store
