#include "cli/alerts_view.h"

#include <deque>
#include <iterator>
#include <map>

#include "cli/format.h"

namespace ringlog::cli {

namespace {

const char* level_name(uint8_t level) {
  constexpr const char* kNames[] = {"info", "warn", "error"};
  return level < std::size(kNames) ? kNames[level] : "unknown";
}

}  // namespace

Result<Alerts> read_alerts(store::RunReader& reader, size_t count_max) {
  auto producers = reader.producers();
  if (!producers) return producers.take_error();
  std::map<uint32_t, const store::ProducerState*> by_id;
  for (const store::ProducerState& producer : *producers) by_id[producer.producer] = &producer;
  std::deque<AlertEntry> last;
  Alerts alerts;
  constexpr auto kAlert = static_cast<uint16_t>(schema::Record::ALERT);
  Status read = reader.for_each_record(kAlert, 0, [&](const store::RecordView& view) {
    const auto from = view.record.getAlert();
    AlertEntry entry;
    entry.time_ns = view.record.getTimeNs();
    entry.level = level_name(static_cast<uint8_t>(from.getLevel()));
    entry.title.assign(from.getTitle().begin(), from.getTitle().size());
    entry.text.assign(from.getText().begin(), from.getText().size());
    if (const auto producer = by_id.find(view.producer); producer != by_id.end()) {
      entry.rank = producer->second->rank;
      entry.attempt = producer->second->attempt;
    }
    ++alerts.count;
    last.push_back(std::move(entry));
    if (last.size() > count_max) last.pop_front();
    return true;
  });
  if (!read) return read.take_error();
  alerts.last.assign(std::make_move_iterator(last.begin()), std::make_move_iterator(last.end()));
  return alerts;
}

Table alerts_table(const Alerts& alerts) {
  Table table({{"TIME"},
               {"RANK"},
               {"LEVEL"},
               {"TITLE", Table::Align::kLeft, 20},
               {"TEXT", Table::Align::kLeft, 20}});
  for (const AlertEntry& alert : alerts.last) {
    const Ink ink = alert.level == "info"   ? Ink::kPlain
                    : alert.level == "warn" ? Ink::kYellow
                                            : Ink::kRed;
    table.add({{format_time(alert.time_ns)},
               {std::to_string(alert.rank)},
               {alert.level, ink},
               {printable(alert.title)},
               {printable(alert.text)}});
  }
  return table;
}

Json json_of(const AlertEntry& alert) {
  return {{"time", json_seconds(alert.time_ns)},
          {"rank", alert.rank},
          {"attempt", alert.attempt},
          {"level", alert.level},
          {"title", alert.title},
          {"text", alert.text}};
}

}  // namespace ringlog::cli
