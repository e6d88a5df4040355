#pragma once
// LiveSummary: what a run comes to so far, kept up to date row by row and published where any
// process reads it without a request (shm/live_page.h).
//
//   {"rows": 48000, "metrics_left_out": 0, "summary": {…}, "ranks": {"loss": {"ranks": 4, "mean":
//   …}}}
//
// `summary` is what `ringlog show` says; `ranks` compares the last values over the ranks.  Costs a
// look at every number that comes in; it follows kLiveMetricsMax metrics.
//
// Belongs to the drain thread; nothing blocks.

#include "shm/live_page.h"
#include "store/aggregate.h"
#include "store/model.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace ringlog::service {

class LiveSummary {
 public:
  LiveSummary() = default;
  // A service that ends takes the page away; one that is killed leaves it to the next one.
  ~LiveSummary() { remove(); }
  LiveSummary(const LiveSummary&) = delete;
  LiveSummary& operator=(const LiveSummary&) = delete;

  // `path`: of the page; nothing is kept and published until it is given.
  // `facts`: what the store held when the service opened the run.
  void start(std::string path, store::SummaryFacts facts);
  bool is_on() const { return !path_.empty(); }

  // Rows that were handled, of one producer.
  void add(const store::RowBlock& block, const store::KeySet& keys,
           const store::ProducerState& producer);
  // A record that is kept: definitions of metrics and what summary() set.
  void add(const store::RecordEntry& entry);
  // Publishes what has changed, unless it did so a moment ago.
  void publish_due(int64_t now_ms, int64_t time_ns);
  void publish_now(int64_t now_ms, int64_t time_ns);
  // When publish_due() has something to do; INT64_MAX: nothing.
  int64_t due_ms() const;
  // The run is closed: takes the page away.
  void remove();

  std::string json() const;

 private:
  // Where the cells of one column go; nullptr: the metric is above the limit.
  struct Target {
    store::MetricAggregates* numbers = nullptr;
    store::LastCell* last = nullptr;
  };
  const std::vector<Target>& targets_of(const store::KeySet& keys);
  void take_last(const store::RowBlock& block, const store::KeySet& keys,
                 const store::ProducerState& producer, const std::vector<Target>& targets,
                 int64_t time_ns);

  std::string path_;
  std::unique_ptr<shm::LivePageWriter> page_;
  bool has_failed_ = false;  // said once in the log
  store::SummaryFacts facts_;
  std::map<uint32_t, std::vector<Target>> targets_;  // by key set, in the order of its columns
  size_t entries_ = 0;                               // metrics that are followed
  uint64_t left_out_ = 0;
  bool is_changed_ = false;
  int64_t next_ms_ = 0;
  std::vector<uint64_t> column_;  // scratch
};

}  // namespace ringlog::service
