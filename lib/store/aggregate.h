#pragma once
// Aggregate: what a summary says of one metric of one rank, and of all ranks together.
//
// Over every row that the rank logged, those of its forked workers and of earlier attempts too: a
// minimum that was reached stays reached.  `first` and `last` are by attempt, then by time.
//
// Values; no thread of their own.

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "store/column.h"
#include "store/metric_rules.h"
#include "store/tree.h"

namespace ringlog::store {

struct Aggregate {
  uint64_t rows = 0;
  uint64_t finite = 0;  // rows with a finite value; min, max and mean are over these
  double first = 0;
  double last = 0;
  double min = 0;  // of no meaning while finite is 0; likewise max and mean
  double max = 0;
  double mean = 0;
  std::pair<int32_t, int64_t> first_at{};  // attempt and time
  std::pair<int32_t, int64_t> last_at{};

  // Adds the rows of `other`, wherever they lie.
  void add(const Aggregate& other);
};

// Of `rows` rows of one attempt that lie between two times.
Aggregate aggregate_of(const ColumnStatistics& statistics, uint64_t rows, int32_t attempt,
                       int64_t min_time_ns, int64_t max_time_ns);

// The last values of a metric side by side: which rank is behind, or off.
struct AcrossRanks {
  size_t ranks = 0;  // whose last value is finite; 0: the rest has no meaning
  double mean = 0;
  double min = 0;
  double max = 0;
  int32_t min_rank = 0;  // the lowest one that has it
  int32_t max_rank = 0;
};

// One metric that was logged as a number.
struct MetricAggregates {
  bool is_integer = true;  // always: its minimum is shown without a point
  std::map<int32_t, Aggregate> ranks;

  AcrossRanks across() const;
};
using AggregatesByPath = std::map<std::string, MetricAggregates>;

// The view over ranks as an object: ranks, mean, min, min_rank, max, max_rank.
Tree tree_of(const AcrossRanks& across);

// The last cell of a metric, with its type and all its bits: of the lowest rank that has it, there
// of the newest attempt, there the latest one.
struct LastCell {
  int32_t rank = 0;
  std::pair<int32_t, int64_t> at{};  // attempt and time
  Tree value{};

  // Whether a cell of `other_rank` takes its place.
  bool is_older(int32_t other_rank, const std::pair<int32_t, int64_t>& other_at) const {
    return std::pair(-int64_t{rank}, at) <= std::pair(-int64_t{other_rank}, other_at);
  }
};

// Everything that a summary is made of.
struct SummaryFacts {
  uint64_t rows = 0;
  AggregatesByPath numbers{};
  std::map<std::string, LastCell> last{};  // by path
  MetricRules rules{};
  Tree explicit_values{Tree::Object()};  // of summary(); they stand above the derived ones
};
Tree summary_of(const SummaryFacts& facts);

}  // namespace ringlog::store
