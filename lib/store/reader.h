#pragma once
// RunReader: everybody's way to read a run: the command line, the sinks, the Python package.
//
//   auto run = RunReader::open(dir);
//   run->for_each_row({.metrics = {"loss"}}, [](const RowView& row) { …; return true; });
//
// It reads the same whether the run is finished or being written: open() takes a view of the files
// as they are now (snapshot.h), without LevelDB's lock and without changing anything, and every
// method answers from that view until refresh().
//
// A reader belongs to one thread at a time; any number of readers may read one run.

#include <ringlog/reader.h>
#include <ringlog/result.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "record/file_facts.h"
#include "schema/record.capnp.h"
#include "store/aggregate.h"
#include "store/metric_rules.h"
#include "store/model.h"
#include "store/tree.h"

namespace ringlog::store {

struct DecodedChunk;

// One row, valid during the visit.
class RowView {
 public:
  RowView(const ProducerState& producer, const KeySet& keys, const DecodedChunk& chunk,
          const std::vector<size_t>& columns)
      : producer_(producer), keys_(keys), chunk_(chunk), columns_(columns) {}

  // For whoever walks: the row that is looked at from now on.
  void move_to(size_t row) { row_ = row; }

  const ProducerState& producer() const { return producer_; }  // rank, attempt, worker, pid…
  uint16_t ring() const;
  uint64_t seq() const;         // within the lane
  uint64_t public_seq() const;  // `_seq`: unique within rank and attempt
  uint64_t step() const;
  int64_t time_ns() const;
  const KeySet& keys() const { return keys_; }

  // The cells that the filter asked for, in the key set's order.
  size_t size() const { return columns_.size(); }
  const Column& column(size_t i) const { return keys_.columns[columns_[i]]; }
  uint64_t bits(size_t i) const;           // of a number
  double number(size_t i) const;           // of a number, converted to double
  std::string_view bytes(size_t i) const;  // of a kOther cell: a schema Value; see tree_of_value
  // The cell as a value.  kCorrupt: a byte cell that is not a schema Value.
  Result<Tree> value(size_t i) const;

 private:
  const ProducerState& producer_;
  const KeySet& keys_;
  const DecodedChunk& chunk_;
  const std::vector<size_t>& columns_;
  size_t row_ = 0;
};

// Which rows; an empty list means all.
struct RowFilter {
  std::vector<int32_t> ranks{};
  std::vector<int32_t> attempts{};
  std::vector<uint32_t> producers{};
  // Names or paths.  Rows without any of them are skipped; other cells of a row are not read.
  std::vector<std::string> metrics{};
  uint64_t seq_begin = 0;                                   // within each lane
  uint64_t seq_end = std::numeric_limits<uint64_t>::max();  // exclusive
  uint64_t step_begin = 0;
  uint64_t step_last = std::numeric_limits<uint64_t>::max();  // inclusive
  Cursors from{};  // rows before a lane's cursor are skipped; see RunReader::ends()
  // Rows from a lane's cursor on are skipped, and lanes that have none.
  std::optional<Cursors> to{};
  uint64_t rows_of_lane = std::numeric_limits<uint64_t>::max();  // visited of each lane at most
};
// Returns false to stop.
using RowVisitor = std::function<bool(const RowView&)>;

struct Metric {
  std::string path;               // joined keys; unique
  std::string name;               // for people: "a.b"
  std::vector<ColumnType> types;  // usually one; sorted
  uint64_t rows = 0;
  std::map<int32_t, uint64_t> rows_by_rank;
};

// Rows next to each other on the axis.
struct Point {
  uint64_t step_first = 0;  // smallest
  uint64_t step_last = 0;   // largest
  int64_t time_first_ns = 0;
  int64_t time_last_ns = 0;
  uint64_t rows = 0;
  uint64_t finite = 0;  // rows with a finite value; min, max and mean are over these
  double first = 0;
  double last = 0;
  double min = 0;  // NaN when finite is 0; likewise max and mean
  double max = 0;
  double mean = 0;
};

struct Series {
  int32_t rank = 0;
  int32_t attempt = 0;  // with all_attempts: of these points; else the newest one in it
  std::vector<Point> points;
};

// The loss ledger of one producer, from reading every sequence number in the store.
struct LedgerEntry {
  ProducerState producer;
  uint64_t attempted = 0;
  uint64_t stored = 0;      // distinct rows found
  uint64_t dropped = 0;     // counted by the producer's full-ring policy
  uint64_t missing = 0;     // neither found nor counted
  uint64_t duplicated = 0;  // found more than once
  // Also every ring was read to its end: behind a place that was not, nobody knows what was lost.
  bool ok() const {
    return missing == 0 && duplicated == 0 && !producer.is_poisoned() && !producer.is_end_unread;
  }
};

// A record of the run that is not a row.
struct RecordView {
  uint64_t lsn = 0;
  uint32_t producer = 0;
  uint64_t seq = 0;
  const schema::Record::Reader& record;  // valid during the visit
};
using RecordVisitor = std::function<bool(const RecordView&)>;

// A file of the run as its last record says.
struct RunFile {
  uint32_t producer = 0;
  int64_t time_ns = 0;  // of that record
  record::FileFacts facts;
};

using StatsVisitor = std::function<bool(const Stats&)>;

class RunReader {
 public:
  // Opens the run in `dir` (the folder that holds store/).
  //   kNotFound    there is no run
  //   kIo, kPermission  it cannot be read
  //   kCorrupt     it cannot be read even after leaving out what is damaged
  //   kVersion     it is of another format version
  // Replays at most the service's log: some milliseconds.
  static Result<std::unique_ptr<RunReader>> open(const std::string& dir);
  ~RunReader();
  RunReader(const RunReader&) = delete;
  RunReader& operator=(const RunReader&) = delete;

  // Looks at the files again.  Errors as open(); the old view stays then.
  Status refresh();

  const std::string& dir() const;
  // What of the files could not be read and was left out, a line each; usually empty.
  const std::vector<std::string>& damage() const;

  // All below: kIo, kCorrupt when the files cannot be read, kNotFound as said.
  Result<RunMeta> meta();  // kNotFound: the run was created but never described
  Result<std::vector<ProducerState>> producers();
  Result<std::vector<KeySet>> key_sets();
  Result<std::vector<Metric>> metrics();  // by name
  Result<std::map<std::string, SinkState>> sinks();
  Result<uint64_t> row_count();  // by chunk headers, nothing is decompressed

  Result<Tree> config();  // objects merged in the order they were logged
  // Of the lowest rank, as define_metric() asked, then what summary() set explicitly.
  Result<Tree> summary();
  // What it is made of, with the numbers of every metric.
  Result<SummaryFacts> summary_facts();
  Result<MetricRules> rules();
  // Of every metric that was ever a number; nothing is decompressed but the chunks' directories.
  Result<AggregatesByPath> aggregates();

  // Visits rows lane by lane (rank, attempt, worker, ring) in rising seq; memory is bounded by the
  // chunks that overlap at one seq.  Returns the number of rows visited.
  //   kNotFound  a metric of the filter that no row has
  Result<uint64_t> for_each_row(const RowFilter& filter, const RowVisitor& visitor);
  // The cursors after the last stored row of each lane: pass them as RowFilter::from after a
  // refresh() to see only newer rows.
  Result<Cursors> ends();

  // The highest ids that rows name, also rows of which a repair lost what the ids stand for.
  Result<LastIds> last_ids();

  // kNotFound: no row has this metric.
  Result<std::vector<Series>> series(const SeriesRequest& query);

  // Visits records with lsn >= from_lsn in the order they were stored.  `kind` is a
  // schema::Record::Which, or nothing for all.
  Status for_each_record(std::optional<uint16_t> kind, uint64_t from_lsn,
                         const RecordVisitor& visitor);

  // Files that were saved, each name of a producer once, by name.
  Result<std::vector<RunFile>> files();

  // Visits the samples of the machine, oldest first, from the value on that may hold
  // `time_begin_ns`.
  Status for_each_stats(int64_t time_begin_ns, const StatsVisitor& visitor);
  // The last ones, with the GPUs of the run; empty: there are none.
  Result<Stats> last_stats();

  Result<std::vector<LedgerEntry>> ledger();  // by producer id

 private:
  struct Impl;
  explicit RunReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace ringlog::store
