#include "store/reader.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "store/keys.h"
#include "store/limits.h"
#include "store/row_walk.h"
#include "store/run_facts.h"
#include "store/run_index.h"
#include "store/scan.h"
#include "store/series.h"
#include "store/snapshot.h"

namespace ringlog::store {

struct RunReader::Impl {
  explicit Impl(std::string run_dir) : dir(std::move(run_dir)) {}

  std::string store_dir() const { return dir + "/store"; }
  std::string where() const { return "run " + dir; }
  leveldb::DB& db() const { return snapshot->db(); }
  // The index, read when it is first needed.
  Status load();
  // Runs `body`, which needs the index, and names the run in what it answers.
  template <typename T, typename Body>
  Result<T> with_index(Body body);

  const std::string dir;
  std::unique_ptr<Snapshot> snapshot;
  std::unique_ptr<RunIndex> index;
  std::unique_ptr<RunIndex> previous_index;  // of the view before, until the next one is read
  std::vector<std::string> damage;
  ValueSource source = [this](const std::string& key) { return get_value(db(), key); };
};

Status RunReader::Impl::load() {
  if (index != nullptr) return Done{};
  auto loaded = std::make_unique<RunIndex>();
  Status read = loaded->load(db(), std::move(previous_index));
  if (!read) return read.take_error().in(where());
  damage.insert(damage.end(), loaded->damage.begin(), loaded->damage.end());
  index = std::move(loaded);
  return Done{};
}

template <typename T, typename Body>
Result<T> RunReader::Impl::with_index(Body body) {
  if (Status loaded = load(); !loaded) return loaded.take_error();
  Result<T> result = body(*index);
  if (!result) return result.take_error().in(where());
  return result;
}

RunReader::RunReader(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
RunReader::~RunReader() = default;

Result<std::unique_ptr<RunReader>> RunReader::open(const std::string& dir) {
  std::unique_ptr<RunReader> reader(new RunReader(std::make_unique<Impl>(dir)));
  if (Status opened = reader->refresh(); !opened) return opened.take_error();
  return reader;
}

Status RunReader::refresh() {
  Result<std::unique_ptr<Snapshot>> taken =
      Snapshot::take(impl_->store_dir(), impl_->snapshot.get());
  if (!taken) return taken.take_error().in(impl_->where());
  if (impl_->index != nullptr) impl_->previous_index = std::move(impl_->index);
  // Of a repaired view nothing is known for sure.
  const bool is_damaged = !(*taken)->damage().empty() || !impl_->damage.empty();
  if (is_damaged) impl_->previous_index.reset();
  impl_->snapshot = std::move(*taken);
  impl_->damage = impl_->snapshot->damage();
  return Done{};
}

const std::string& RunReader::dir() const { return impl_->dir; }
const std::vector<std::string>& RunReader::damage() const { return impl_->damage; }

Result<RunMeta> RunReader::meta() {
  Result<std::string> bytes = get_newest(impl_->db(), key::meta());
  if (!bytes) return bytes.take_error().in(impl_->where() + ": description");
  Result<RunMeta> meta = from_bytes<RunMeta>(*bytes);
  if (!meta) return meta.take_error().in(impl_->where());
  return meta;
}

Result<std::vector<ProducerState>> RunReader::producers() {
  Result<std::vector<ProducerState>> read = read_producers(impl_->db());
  if (!read) return read.take_error().in(impl_->where());
  return read;
}

Result<std::vector<KeySet>> RunReader::key_sets() {
  Result<std::vector<KeySet>> read = read_key_sets(impl_->db());
  if (!read) return read.take_error().in(impl_->where());
  return read;
}

Result<std::vector<Metric>> RunReader::metrics() {
  return impl_->with_index<std::vector<Metric>>(
      [](const RunIndex& index) { return Result<std::vector<Metric>>(list_metrics(index)); });
}

Result<std::map<std::string, SinkState>> RunReader::sinks() {
  std::map<std::string, SinkState> out;
  const std::string prefix{tag::kState, tag::kSink};
  Status read = scan_prefix(impl_->db(), prefix,
                            [&](std::string_view key, std::string_view value) -> Result<bool> {
                              Result<SinkState> state = from_bytes<SinkState>(value);
                              if (!state) return state.take_error();
                              out[std::string(key.substr(prefix.size()))] = std::move(*state);
                              return true;
                            });
  if (!read) return read.take_error().in(impl_->where());
  return out;
}

Result<uint64_t> RunReader::row_count() {
  return impl_->with_index<uint64_t>([](const RunIndex& index) {
    uint64_t rows = 0;
    for (const Lane& lane : index.lanes) {
      for (const ChunkInfo& chunk : lane.chunks) rows += chunk.rows;
    }
    return Result<uint64_t>(rows);
  });
}

Result<Tree> RunReader::config() {
  Result<Tree> config = read_config(impl_->db());
  if (!config) return config.take_error().in(impl_->where());
  return config;
}

Result<Tree> RunReader::summary() {
  return impl_->with_index<Tree>([this](const RunIndex& index) -> Result<Tree> {
    Result<SummaryFacts> facts = read_summary_facts(impl_->db(), index, impl_->source, false);
    if (!facts) return facts.take_error();
    return summary_of(*facts);
  });
}

Result<SummaryFacts> RunReader::summary_facts() {
  return impl_->with_index<SummaryFacts>([this](const RunIndex& index) {
    return read_summary_facts(impl_->db(), index, impl_->source, true);
  });
}

Result<MetricRules> RunReader::rules() {
  Result<MetricRules> rules = read_rules(impl_->db());
  if (!rules) return rules.take_error().in(impl_->where());
  return rules;
}

Result<AggregatesByPath> RunReader::aggregates() {
  return impl_->with_index<AggregatesByPath>(
      [this](const RunIndex& index) { return read_aggregates(index, impl_->source); });
}

Result<uint64_t> RunReader::for_each_row(const RowFilter& filter, const RowVisitor& visitor) {
  return impl_->with_index<uint64_t>([&](const RunIndex& index) {
    RowWalk walk(index, impl_->source, filter);
    return walk.run(visitor);
  });
}

Result<Cursors> RunReader::ends() {
  return impl_->with_index<Cursors>([](const RunIndex& index) {
    Cursors ends;
    for (const Lane& lane : index.lanes) {
      uint64_t& end = ends[lane.id];
      for (const ChunkInfo& chunk : lane.chunks) end = std::max(end, chunk.last_seq + 1);
    }
    return Result<Cursors>(std::move(ends));
  });
}

Result<LastIds> RunReader::last_ids() {
  return impl_->with_index<LastIds>(
      [](const RunIndex& index) { return Result<LastIds>(index.last_ids); });
}

Result<std::vector<Series>> RunReader::series(const SeriesRequest& query) {
  return impl_->with_index<std::vector<Series>>(
      [&](const RunIndex& index) { return read_series(index, impl_->source, query); });
}

Status RunReader::for_each_record(std::optional<uint16_t> kind, uint64_t from_lsn,
                                  const RecordVisitor& visitor) {
  Status read = visit_records(impl_->db(), kind, from_lsn, visitor);
  if (!read) return read.take_error().in(impl_->where());
  return read;
}

Result<std::vector<RunFile>> RunReader::files() {
  std::map<std::pair<std::string, uint32_t>, RunFile> newest;
  constexpr auto kFile = static_cast<uint16_t>(schema::Record::FILE);
  Status read = for_each_record(kFile, 0, [&](const RecordView& view) {
    record::FileFacts facts = record::read_file(view.record.getFile());
    RunFile& file = newest[{facts.name, view.producer}];
    file = {view.producer, view.record.getTimeNs(), std::move(facts)};
    return true;
  });
  if (!read) return read.take_error();
  std::vector<RunFile> files;
  files.reserve(newest.size());
  for (auto& [key, file] : newest) files.push_back(std::move(file));
  return files;
}

Status RunReader::for_each_stats(int64_t time_begin_ns, const StatsVisitor& visitor) {
  const int64_t begin = std::max(time_begin_ns, kStatsSpanMaxNs) - kStatsSpanMaxNs;
  Status read = scan_prefix(
      impl_->db(), {tag::kStats},
      [&](std::string_view, std::string_view value) -> Result<bool> {
        Result<Stats> stats = from_bytes<Stats>(value);
        if (!stats) return stats.take_error();
        return visitor(*stats);
      },
      key::stats(begin));
  if (!read) return read.take_error().in(impl_->where());
  return read;
}

Result<Stats> RunReader::last_stats() {
  Result<std::optional<std::string>> bytes = last_value(impl_->db(), tag::kStats);
  if (!bytes) return bytes.take_error().in(impl_->where());
  if (!*bytes) return Stats{};
  Result<Stats> stats = from_bytes<Stats>(**bytes);
  if (!stats) return stats.take_error().in(impl_->where());
  return stats;
}

Result<std::vector<LedgerEntry>> RunReader::ledger() {
  return impl_->with_index<std::vector<LedgerEntry>>(
      [this](const RunIndex& index) { return read_ledger(index, impl_->source); });
}

}  // namespace ringlog::store
