#include <ringlog/reader.h>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>
#include <tuple>
#include <utility>

#include "client/settings_layers.h"
#include "reader/csv.h"
#include "reader/impl.h"
#include "reader/live.h"
#include "store/row_json.h"
#include "store/runs.h"

namespace ringlog {

namespace {

// Points as columns.
Series columns_of(const store::Series& from) {
  struct Memory {
    std::vector<uint64_t> step_first, step_last, rows;
    std::vector<int64_t> time_first_ns, time_last_ns;
    std::vector<double> first, last, min, max, mean;
  };
  auto memory = std::make_shared<Memory>();
  for (const store::Point& point : from.points) {
    memory->step_first.push_back(point.step_first);
    memory->step_last.push_back(point.step_last);
    memory->rows.push_back(point.rows);
    memory->time_first_ns.push_back(point.time_first_ns);
    memory->time_last_ns.push_back(point.time_last_ns);
    memory->first.push_back(point.first);
    memory->last.push_back(point.last);
    memory->min.push_back(point.min);
    memory->max.push_back(point.max);
    memory->mean.push_back(point.mean);
  }
  Series to;
  to.rank = from.rank;
  to.attempt = from.attempt;
  to.step_first = memory->step_first;
  to.step_last = memory->step_last;
  to.rows = memory->rows;
  to.time_first_ns = memory->time_first_ns;
  to.time_last_ns = memory->time_last_ns;
  to.first = memory->first;
  to.last = memory->last;
  to.min = memory->min;
  to.max = memory->max;
  to.mean = memory->mean;
  to.memory = std::move(memory);
  return to;
}

}  // namespace

namespace reader {

namespace {

constexpr const char* kEndUnread =
    "the end was never read: the shared memory was gone, or of before the machine restarted, and "
    "with it what was committed and not yet stored";
constexpr const char* kUnserved =
    "no service has the run open, and what was committed last is not in the store: ringlog service "
    "start stores it, if the shared memory is still there";

// The service of another machine, or of another container, cannot be asked from here.
std::string unserved_note(const std::string& host) {
  std::array<char, 256> here{};
  ::gethostname(here.data(), here.size() - 1);
  if (host.empty() || host == here.data()) return kUnserved;
  return "it is logged to on " + host +
         ", whose service cannot be asked from here: what was committed last may not be in the "
         "store";
}

}  // namespace

ProcessDescription description_of(const store::ProducerState& from, bool is_unserved) {
  ProcessDescription to;
  to.rank = from.rank;
  to.attempt = from.attempt;
  to.worker = from.worker;
  to.pid = from.pid;
  to.local_rank = from.local_rank;
  to.world_size = from.world_size;
  to.host = from.host;
  to.state = from.state;
  to.cause = from.cause;
  to.exit_code = from.exit_code;
  to.signal = from.signal;
  to.started_ns = from.started_ns;
  to.ended_ns = from.ended_ns;
  to.lost_records = from.lost_records;
  for (size_t i = 0; i < from.rings.size(); ++i) {
    const store::RingState& ring = from.rings[i];
    to.rows += ring.stored;
    to.dropped += ring.dropped;
    to.missing += ring.missing;
    if (!ring.poisoned.empty()) {
      to.broken_rings.push_back("ring " + std::to_string(i) +
                                " is not read any more: " + ring.poisoned);
    }
  }
  if (is_unserved && from.state == "running") to.unread = unserved_note(from.host);
  if (from.is_end_unread) to.unread = kEndUnread;
  return to;
}

ColumnKind kind_of(const store::Metric& metric) {
  if (metric.types.empty()) return ColumnKind::kText;
  const store::ColumnType last = metric.types.back();
  if (last == store::ColumnType::kOther) return ColumnKind::kText;
  return metric.types.size() > 1 ? ColumnKind::kFloat64 : static_cast<ColumnKind>(last);
}

}  // namespace reader

RunReader::RunReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RunReader::RunReader(RunReader&&) noexcept = default;
RunReader& RunReader::operator=(RunReader&&) noexcept = default;
RunReader::~RunReader() = default;

Result<RunReader> open(const std::string& run, const OpenOptions& options) {
  std::string root = options.root;
  if (root.empty()) {
    auto settings = client::resolve_settings(client::SettingFields{});
    if (!settings) return settings.take_error();
    root = settings->dir;
  }
  auto place = store::resolve_run(root, run);
  if (!place) return place.take_error();
  auto impl = std::make_unique<RunReader::Impl>();
  impl->run_id = place->run_id;
  impl->project = place->project;
  impl->asks_service = options.asks_service;
  if (options.asks_service) impl->served = reader::ask_to_store(place->dir);
  auto store = store::RunReader::open(place->dir);
  if (!store) return store.take_error();
  impl->store = *std::move(store);
  return RunReader(std::move(impl));
}

Status RunReader::refresh() {
  if (impl_->asks_service) impl_->served = reader::ask_to_store(impl_->store->dir());
  return impl_->store->refresh();
}

Result<RunDescription> RunReader::description() {
  RunDescription to;
  to.id = impl_->run_id;
  to.project = impl_->project;
  to.dir = impl_->store->dir();
  to.is_live = impl_->served != reader::Served::kNot;
  to.is_behind = impl_->served == reader::Served::kLate;
  auto meta = impl_->store->meta();
  if (!meta) {
    // A run that was created and not yet described has no more than its place.
    if (meta.error().code == Code::kNotFound) return to;
    return meta.take_error();
  }
  to.id = meta->run_id;
  to.project = meta->project;
  to.name = meta->name;
  to.group = meta->group;
  to.notes = meta->notes;
  to.host = meta->host;
  to.version = meta->version;
  to.state = meta->state;
  to.tags = meta->tags;
  to.command = meta->command;
  to.created_ns = meta->created_ns;
  to.ended_ns = meta->ended_ns;
  auto sent = impl_->store->sinks();
  if (!sent) return sent.take_error();
  for (const std::string& url : meta->sinks) sent->try_emplace(url);
  for (const auto& [url, sink] : *sent) to.sinks.push_back({url, sink.rows, sink.left_out});
  return to;
}

Result<std::vector<ProcessDescription>> RunReader::processes() {
  auto producers = impl_->store->producers();
  if (!producers) return producers.take_error();
  std::vector<ProcessDescription> to;
  for (const store::ProducerState& producer : *producers) {
    to.push_back(reader::description_of(producer, impl_->is_unserved()));
  }
  std::stable_sort(to.begin(), to.end(), [](const auto& a, const auto& b) {
    return std::tie(a.rank, a.attempt, a.worker) < std::tie(b.rank, b.attempt, b.worker);
  });
  return to;
}

Result<std::vector<LedgerEntry>> RunReader::ledger() {
  auto entries = impl_->store->ledger();
  if (!entries) return entries.take_error();
  std::vector<LedgerEntry> to;
  for (const store::LedgerEntry& entry : *entries) {
    to.push_back({reader::description_of(entry.producer, impl_->is_unserved()), entry.attempted,
                  entry.stored, entry.dropped, entry.missing, entry.duplicated});
  }
  std::stable_sort(to.begin(), to.end(), [](const auto& a, const auto& b) {
    return std::tie(a.process.rank, a.process.attempt, a.process.worker) <
           std::tie(b.process.rank, b.process.attempt, b.process.worker);
  });
  return to;
}

Result<std::vector<MetricDescription>> RunReader::metrics() {
  auto metrics = impl_->store->metrics();
  if (!metrics) return metrics.take_error();
  auto rules = impl_->store->rules();
  if (!rules) return rules.take_error();
  std::vector<MetricDescription> to;
  for (const store::Metric& metric : *metrics) {
    MetricDescription one;
    one.name = metric.name;
    one.path = metric.path;
    one.kind = reader::kind_of(metric);
    one.rows = metric.rows;
    for (const auto& [rank, rows] : metric.rows_by_rank) one.ranks.push_back(rank);
    if (const store::MetricRule* rule = rules->find(metric.name)) {
      one.step_metric = rule->step_metric;
      one.summary = rule->summary;
      one.hidden = rule->is_hidden;
    }
    to.push_back(std::move(one));
  }
  return to;
}

Result<uint64_t> RunReader::row_count() { return impl_->store->row_count(); }

Result<Tree> RunReader::config() { return impl_->store->config(); }
Result<Tree> RunReader::summary() { return impl_->store->summary(); }

Result<std::string> RunReader::config_json() {
  auto config = impl_->store->config();
  if (!config) return config.take_error();
  return store::to_json(*config);
}

Result<std::string> RunReader::summary_json() {
  auto summary = impl_->store->summary();
  if (!summary) return summary.take_error();
  return store::to_json(*summary);
}

Result<std::vector<Series>> RunReader::series(const SeriesRequest& request) {
  auto found = impl_->store->series(request);
  if (!found) return found.take_error();
  std::vector<Series> to;
  for (const store::Series& series : *found) to.push_back(columns_of(series));
  return to;
}

Result<ReadPosition> RunReader::end(uint64_t rows_before) {
  auto ends = impl_->store->ends();
  if (!ends) return ends.take_error();
  for (auto& [lane, end] : *ends) end -= std::min(end, rows_before);
  auto position = std::make_shared<ReadPosition::Impl>();
  position->cursors = *std::move(ends);
  ReadPosition to;
  to.impl_ = std::move(position);
  return to;
}

Result<Table> RunReader::table(const TableRequest& request) {
  auto position = std::make_shared<ReadPosition::Impl>();
  if (request.after.impl_ != nullptr) position->cursors = request.after.impl_->cursors;
  auto table = reader::read_table(*impl_->store, request, position->cursors);
  if (!table) return table.take_error();
  table->end.impl_ = std::move(position);
  return table;
}

namespace {

// What turns rows of one format into text.
template <typename Writer>
Result<uint64_t> visit_rows(store::RunReader& store, const store::RowFilter& filter,
                            size_t max_rows, Writer& writer, const RowVisitor& visitor) {
  std::string text;
  uint64_t count = 0;
  Status written = Done{};
  auto visited = store.for_each_row(filter, [&](const store::RowView& row) {
    if (count == max_rows) return false;
    text.clear();
    written = writer.append(row, text);
    if (!written) return false;
    ++count;
    const store::ProducerState& producer = row.producer();
    return visitor({producer.rank, producer.attempt, row.step(), row.time_ns(), text});
  });
  if (!written) return written.take_error();
  if (!visited) return visited.take_error();
  return count;
}

}  // namespace

Result<uint64_t> RunReader::for_each_row(RowFormat format, const TableRequest& request,
                                         const RowVisitor& visitor) {
  static const store::Cursors kBeginning;
  const store::RowFilter filter = reader::filter_of(
      request, request.after.impl_ == nullptr ? kBeginning : request.after.impl_->cursors);
  if (format == RowFormat::kJson) {
    store::RowJson json;
    return visit_rows(*impl_->store, filter, request.max_rows, json, visitor);
  }
  auto csv = reader::CsvWriter::create(*impl_->store, request.metrics);
  if (!csv) return csv.take_error();
  return visit_rows(*impl_->store, filter, request.max_rows, *csv, visitor);
}

Result<std::string> RunReader::csv_header(const TableRequest& request) {
  auto csv = reader::CsvWriter::create(*impl_->store, request.metrics);
  if (!csv) return csv.take_error();
  return csv->header();
}

const std::vector<std::string>& RunReader::damage() const { return impl_->store->damage(); }

}  // namespace ringlog
