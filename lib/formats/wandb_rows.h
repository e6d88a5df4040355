#pragma once
// Rows, summary and samples as W&B wants them, whether they are exported or sent.
//
// Plain functions; safe from any thread.

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "formats/step_merge.h"

namespace ringlog::formats {

// A value under the keys of nested objects.
struct WandbItem {
  std::vector<std::string> keys;
  std::string json;
};

// A row with what W&B's own client adds: _timestamp, _runtime (both in seconds) and _step.
std::vector<WandbItem> history_items(const MergedRow& row, std::span<const MergedColumn> columns,
                                     int64_t started_ns);
// A summary with the same of its last row (without cells: there was none), and how long the run
// took.
std::vector<WandbItem> summary_items(std::vector<WandbItem> items, const MergedRow& last,
                                     int64_t started_ns, int64_t ended_ns);
// One sample of the machine; values that are not known or not finite are left out.
std::vector<WandbItem> stats_items(std::span<const std::string> names,
                                   std::span<const double> values);
// The same as a line of system metrics.
std::string event_json(std::span<const std::string> names, std::span<const double> values,
                       int64_t time_ns, int64_t started_ns);
// "2026-11-22T22:08:39.846061", in UTC.
std::string utc_text(int64_t time_ns);
// Whole seconds, of the run and of its end.
int64_t runtime_s(int64_t started_ns, int64_t ended_ns);

// The items as one JSON object, objects inside it where keys are nested.  NaN, Infinity and
// -Infinity are bare words, which W&B takes.  Of two items with the same keys the last stays.
std::string json_of(std::span<const WandbItem> items);

}  // namespace ringlog::formats
