#pragma once
// WandbSummary: the summary of a run as W&B's own client would have left it.
//
// A metric's summary is its last value, or what run.define_metric() asked for: an object with its
// min, max, mean, first and last, or nothing.  What run.summary() set stands above all.  In a run
// of several ranks the plain names are those of the lowest rank, as in `ringlog show`, beside
// "rank1/loss" for each of them.
//
// One thread; holds a last value for each metric and rank.

#include <ringlog/result.h>

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "formats/step_merge.h"
#include "formats/wandb_records.h"
#include "schema/record.capnp.h"
#include "store/aggregate.h"
#include "store/metric_rules.h"
#include "store/reader.h"

namespace ringlog::formats {

// The summary from what the store knows of a run's metrics, without looking at its rows: plain
// names, and with `has_ranks` the numbers of each rank beside them.
std::vector<WandbItem> summary_items_of(const store::SummaryFacts& facts, bool has_ranks);

class WandbSummary {
 public:
  // In the order they were stored.
  void define(schema::Metric::Reader metric) { rules_.define(metric); }
  void set_explicit(capnp::List<schema::Field>::Reader fields);
  void add(const MergedRow& row, std::span<const MergedColumn> columns);

  // All of the summary; `rank`: of one rank only.  Errors as the reader.
  Status items(store::RunReader& reader, std::optional<int32_t> rank,
               std::vector<WandbItem>& out) const;
  // The definitions for W&B: as they were made, then one for each metric that a prefix names.
  std::vector<WandbMetric> metrics() const;

 private:
  struct Last {
    MergedColumn column;
    std::string json;
    uint64_t row = 0;  // in which it was met
  };
  // By the keys of nested objects; no entry is inside of another.
  using Items = std::map<std::vector<std::string>, std::string>;
  static void set_item(const std::vector<std::string>& keys, std::string json, Items& out);
  void add_last(Items& out) const;
  Status add_aggregates(store::RunReader& reader, std::optional<int32_t> rank, const Last& last,
                        const store::MetricRule& metric, Items& out) const;

  store::MetricRules rules_;
  std::set<std::string> explicit_;  // names of metrics, joined with dots
  std::map<size_t, Last> last_;     // by column
  uint64_t rows_ = 0;
};

}  // namespace ringlog::formats
