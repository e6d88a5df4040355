#pragma once
// Reading runs: what was logged, as plain columns, of a finished run or one that is being written.
//
//   auto run = ringlog::open("latest");
//   for (const auto& series : *(*run).series({.metric = "loss"}))
//     std::printf("rank %d: %zu points\n", series.rank, series.size());
//
// Reading goes through a view of the run's files as they were at open() or the last refresh().  It
// takes no lock, changes nothing and costs the programs that log nothing.  Link ringlog::reader;
// programs that only log load none of this.
//
// A RunReader belongs to one thread at a time; any number of them may read one run.  Spans stay
// valid as long as the object that holds them, or a copy of it.  Steps are those of a rank; times
// are nanoseconds since the Unix epoch.

#include <ringlog/export.h>
#include <ringlog/result.h>
#include <ringlog/tree.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ringlog {

struct OpenOptions {
  std::string root{};  // folder of the runs; default: the setting `dir` (RINGLOG_DIR, ./ringlog)
  // Asks the running service, for at most half a second, to store first what is committed; a view
  // is otherwise up to 50 ms behind.  No service is started.
  bool asks_service = true;
};

// Where the service sends a run to.
struct SinkDescription {
  std::string url;
  uint64_t sent_rows = 0;      // acknowledged
  uint64_t left_out_rows = 0;  // that it has no place for
};

// The run's description: of `ringlog show`.
struct RunDescription {
  std::string id, project, dir;
  std::string state;  // empty: the run was created and never described
  std::string name, group, notes, host;
  std::string version;  // of the service that created it
  std::vector<std::string> tags, command;
  std::vector<SinkDescription> sinks;
  int64_t created_ns = 0;
  int64_t ended_ns = 0;  // 0: it goes on
  // The service that was asked at open() or refresh() has the run open, or was too busy to say so.
  // False although the state is running: it died, and what its processes log is stored when the
  // next one starts.
  bool is_live = false;
  // It was too busy: what was committed last may not be in the store yet.
  bool is_behind = false;
};

// One process that logged, or attached to log.
struct ProcessDescription {
  int32_t rank = 0;
  int32_t attempt = 0;
  uint32_t worker = 0;  // 0: the rank's own process, else a forked child of it
  int32_t pid = 0;
  int32_t local_rank = -1;  // -1: not known; likewise world_size
  int32_t world_size = -1;
  std::string host, state;
  std::string cause;      // why it ended so, where that is known
  int32_t exit_code = 0;  // when state is finished or failed
  int32_t signal = 0;     // when one ended it
  int64_t started_ns = 0;
  int64_t ended_ns = 0;  // 0: it goes on
  uint64_t rows = 0;     // stored
  uint64_t dropped = 0;  // refused and counted by its full-ring policy
  uint64_t missing = 0;  // neither of them, as far as the service noticed; ledger() looks itself
  // Rings of it that are no longer read, because what it wrote into them is none: a clause each.
  std::vector<std::string> broken_rings;
  // Why rows that it committed may be neither stored nor counted, a clause: nobody read its end, or
  // it is running and the service that was asked does not have the run open.  Empty: all is read.
  std::string unread;
  // Config, alerts, console and others that are no rows and that found no room in its ring.
  uint64_t lost_records = 0;
};

// The loss ledger of one process, from reading every sequence number in the store.
struct LedgerEntry {
  ProcessDescription process;
  uint64_t attempted = 0;
  uint64_t stored = 0;      // distinct rows found
  uint64_t dropped = 0;     // counted by its full-ring policy
  uint64_t missing = 0;     // neither found nor counted
  uint64_t duplicated = 0;  // found more than once
  // Also every ring was read to its end: behind a place that was not, nobody knows what was lost.
  bool ok() const {
    return missing == 0 && duplicated == 0 && process.broken_rings.empty() &&
           process.unread.empty();
  }
};

enum class ColumnKind : uint8_t { kFloat64, kInt64, kUint64, kBool, kText };

struct MetricDescription {
  std::string name;                        // keys of nested objects joined with dots
  std::string path;                        // the same joined with U+001F; unique
  ColumnKind kind = ColumnKind::kFloat64;  // of its column in a table
  uint64_t rows = 0;
  std::vector<int32_t> ranks;  // that have it, rising
  // As run.define_metric() said, for it or for names that begin like it.
  std::string step_metric;           // its x axis; empty: the step
  std::vector<std::string> summary;  // empty: its last value
  bool hidden = false;
};

enum class SeriesAxis : uint8_t { kStep, kTime };

struct SeriesRequest {
  std::string metric;            // name or path
  std::vector<int32_t> ranks{};  // empty: all
  SeriesAxis axis = SeriesAxis::kStep;
  uint64_t step_begin = 0;
  uint64_t step_last = std::numeric_limits<uint64_t>::max();  // inclusive
  int64_t time_begin_ns = std::numeric_limits<int64_t>::min();
  int64_t time_last_ns = std::numeric_limits<int64_t>::max();  // inclusive
  // 0: a point for every row.  Else at most about this many for a rank; each then stands for rows
  // next to each other, and its min and max are exact: no spike disappears.
  size_t max_points = 0;
  // A newer attempt of a rank normally hides the steps that it did again.
  bool all_attempts = false;
};

// One metric of one rank: columns of size() points, in order of the axis.
struct Series {
  int32_t rank = 0;
  int32_t attempt = 0;  // with all_attempts: of these points; else the newest in it
  std::span<const uint64_t> step_first, step_last;       // of the point's rows
  std::span<const int64_t> time_first_ns, time_last_ns;  // likewise
  std::span<const uint64_t> rows;                        // that the point stands for
  std::span<const double> first, last;                   // of them, NaN and infinities included
  std::span<const double> min, max, mean;                // of the finite ones; NaN: there is none
  std::shared_ptr<const void> memory;                    // of the columns

  size_t size() const { return rows.size(); }
  // The columns of an exact series, which has a row for each point.
  std::span<const uint64_t> step() const { return step_last; }
  std::span<const double> value() const { return last; }
};

// Where reading stopped: the next table goes on behind it.  A value; default: the beginning.
class ReadPosition {
 public:
  struct Impl;

 private:
  friend class RunReader;
  std::shared_ptr<const Impl> impl_;
};

struct TableRequest {
  std::vector<std::string> metrics{};  // names or paths; empty: all.  Rows with none are left out
  std::vector<int32_t> ranks{};        // empty: all
  std::vector<int32_t> attempts{};     // empty: all
  uint64_t step_begin = 0;
  uint64_t step_last = std::numeric_limits<uint64_t>::max();  // inclusive
  size_t max_rows = std::numeric_limits<size_t>::max();  // memory is about rows × columns × 9 B
  ReadPosition after{};                                  // only rows behind it
};

// One metric of a table.  The span of its kind has a cell for every row, zero where has_value is.
struct TableColumn {
  std::string name, path;
  // A metric logged with several types of numbers is float64 (above 2^53 not exact); one that is
  // not always a number is text: numbers, lists and objects as JSON.
  ColumnKind kind = ColumnKind::kFloat64;
  std::span<const uint8_t> has_value;      // 1: the row has the metric
  std::span<const double> float64;         // kFloat64, every bit as logged
  std::span<const int64_t> int64;          // kInt64
  std::span<const uint64_t> uint64;        // kUint64, and kBool as 0 and 1
  std::span<const std::string_view> text;  // kText, UTF-8
};

// Rows, ordered by rank, attempt, worker, thread and sequence number.
struct Table {
  std::span<const int32_t> rank, attempt;
  std::span<const uint32_t> worker;
  std::span<const uint64_t> seq;  // rising and unique within rank and attempt
  std::span<const uint64_t> step;
  std::span<const int64_t> time_ns;
  std::vector<TableColumn> columns;  // those asked for; all: in order of name
  ReadPosition end;                  // behind the last row
  std::shared_ptr<const void> memory;

  size_t size() const { return step.size(); }
  // The column of a name or path; nullptr: the table has none.
  const TableColumn* find(std::string_view metric) const {
    for (const TableColumn& column : columns) {
      if (column.name == metric || column.path == metric) return &column;
    }
    return nullptr;
  }
};

// The lines of `ringlog export --format jsonl` and csv, without the line's end; docs/cli.md.
enum class RowFormat : uint8_t { kJson, kCsv };

// One row, valid during the visit.
struct RowText {
  int32_t rank = 0;
  int32_t attempt = 0;
  uint64_t step = 0;
  int64_t time_ns = 0;
  std::string_view text;
};
// Returns false to stop.
using RowVisitor = std::function<bool(const RowText& row)>;

enum class EventKind : uint8_t {
  kConfig,
  kSummary,
  kMetric,
  kAlert,
  kConsole,
  kFile,
  kFinish,
  kProcess
};

// What was logged and is no row.
struct Event {
  uint64_t id = 0;  // rises in the order of storing
  EventKind kind = EventKind::kConfig;
  int64_t time_ns = 0;
  int32_t rank = 0;
  int32_t attempt = 0;
  // alert: title; file: name; metric: name; console: stdout or stderr; process: its program
  std::string name;
  // config, summary, metric: JSON; alert: text; console: bytes; file: where it came from; finish:
  // the exit code; process: what surrounds it, as JSON: what `ringlog show --json` has of it.
  std::string text;
};

struct SystemRequest {
  std::vector<std::string> names{};  // of docs/system_metrics.md; empty: all
  int64_t time_begin_ns = std::numeric_limits<int64_t>::min();
  int64_t time_last_ns = std::numeric_limits<int64_t>::max();  // inclusive
};

// One system metric of the run's machine, oldest sample first.
struct SystemSeries {
  std::string name;
  std::vector<int64_t> time_ns;
  std::vector<double> value;
};

struct ReaderAccess;  // for what is built with ringlog itself

class RINGLOG_API RunReader {
 public:
  RunReader(RunReader&&) noexcept;
  RunReader& operator=(RunReader&&) noexcept;
  ~RunReader();

  // Looks at the files again; as open() it asks the service first.  Errors as open(); the old view
  // stays then.
  Status refresh();

  // All below: kIo, kCorrupt when files cannot be read.  Source: lib/reader/.
  Result<RunDescription> description();
  Result<std::vector<ProcessDescription>> processes();  // by rank, attempt, worker
  Result<std::vector<MetricDescription>> metrics();     // by name
  Result<uint64_t> row_count();
  Result<Tree> config();  // an object, as is the summary
  // Of the lowest rank that has the metric, as define_metric() asked, then what summary() set.
  Result<Tree> summary();
  // The same as JSON; NaN and infinities are bare words.
  Result<std::string> config_json();
  Result<std::string> summary_json();
  Result<std::vector<LedgerEntry>> ledger();  // by rank, attempt, worker; reads all numbers

  // One for each rank that has the metric in the range, rising; with all_attempts one for each
  // attempt.  Text has no series.  kNotFound: no row has the metric.
  Result<std::vector<Series>> series(const SeriesRequest& request);
  // kNotFound: no row has a metric of the request.
  Result<Table> table(const TableRequest& request = {});
  // Visits rows as text, in the order of a table, in memory that does not grow with them.  The
  // number visited; kNotFound as table().
  Result<uint64_t> for_each_row(RowFormat format, const TableRequest& request,
                                const RowVisitor& visitor);
  // The line in front of the rows of that request.
  Result<std::string> csv_header(const TableRequest& request = {});
  // Behind the last row that is stored, or so many rows before the end of each thread's.
  Result<ReadPosition> end(uint64_t rows_before = 0);
  // What the service sampled of the machine, by name; a name that no sample has is left out.
  Result<std::vector<SystemSeries>> system_series(const SystemRequest& request = {});
  // Those with an id above `after_id`, at most `max_count`.
  Result<std::vector<Event>> events(uint64_t after_id = 0,
                                    size_t max_count = std::numeric_limits<size_t>::max());
  // What of the files could not be read and was left out, a line each; usually empty.
  const std::vector<std::string>& damage() const;

 private:
  struct Impl;
  friend struct ReaderAccess;
  friend RINGLOG_API Result<RunReader> open(const std::string& run, const OpenOptions& options);
  explicit RunReader(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Opens a run: a run id, the beginning of exactly one, a run's directory, or `latest`.
//   kNotFound         there is no such run; the message names the folder and the nearest
//   kInvalidArgument  several match, or a setting cannot be used
//   kVersion          its store is of another format version
//   kIo, kPermission, kCorrupt  it cannot be read
// Some milliseconds; at most half a second more while the service stores.
RINGLOG_API Result<RunReader> open(const std::string& run, const OpenOptions& options = {});

}  // namespace ringlog
