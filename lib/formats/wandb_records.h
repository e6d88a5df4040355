#pragma once
// WandbRecords: what ringlog knows of a run, as the records of W&B's own client.
//
//   WandbRecords records;
//   records.begin(run, out);   // the header and the run; must come first
//   records.history(row, columns, out);
//   records.exit(0, 12, out);
//
// W&B's reader replays a file without thinking: summary, expanded metrics and a row's _step,
// _timestamp and _runtime have to stand in it.  Each function appends one or more framed records to
// a string of the caller.  A value of one thread.

#include <ringlog/result.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "formats/step_merge.h"
#include "formats/wandb_log.h"
#include "formats/wandb_rows.h"
#include "formats/wandb_run.h"
#include "schema/record.capnp.h"

namespace ringlog::formats {

namespace wandb {
class Record;
}

// How a metric is shown and summarised there: run.define_metric().
struct WandbMetric {
  std::string name{};         // of the metric, or a prefix and "*"
  std::string step_metric{};  // empty: the step
  std::vector<std::string> summary{};
  bool is_hidden = false;
  bool is_expanded = false;  // stands for one metric that a prefix names
};

class WandbRecords {
 public:
  WandbRecords();
  ~WandbRecords();
  WandbRecords(const WandbRecords&) = delete;
  WandbRecords& operator=(const WandbRecords&) = delete;

  void begin(const WandbRun& run, std::string& out);
  void metric(const WandbMetric& metric, std::string& out);
  // Text must be UTF-8; it may end within a line.
  void console(std::string_view text, bool is_stderr, int64_t time_ns, std::string& out);
  // Files to upload from the folder files/ beside the file: their paths below it.
  void files(std::span<const std::string> names, std::string& out);
  void alert(schema::Alert::Reader alert, std::string& out);
  // One sample of the machine; values that are not known or not finite are left out.
  void stats(std::span<const std::string> names, std::span<const double> values, int64_t time_ns,
             std::string& out);
  // Requires row.step <= kStepMax.
  void history(const MergedRow& row, std::span<const MergedColumn> columns, std::string& out);
  // Adds what W&B's own client keeps there: of the last row, and how long the run took.
  void summary(std::span<const WandbItem> items, const MergedRow& last, int64_t ended_ns,
               std::string& out);
  // The end of the run, and of the file.
  void exit(int32_t code, int64_t ended_ns, std::string& out);

 private:
  void append(std::string& out);
  void append_environment(const WandbRun& run, std::string& out);

  WandbLog log_;
  int64_t count_ = 0;  // records so far
  int64_t started_ns_ = 0;
  std::unique_ptr<wandb::Record> record_;  // kept for its memory
  std::string bytes_;                      // likewise
};

}  // namespace ringlog::formats
