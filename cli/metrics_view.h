#pragma once
// The metrics of a run for people and programs: what was logged, how it is defined, and how its
// last values compare over the ranks.
//
// Plain functions of their arguments; safe from any thread.

#include <cstddef>
#include <string>
#include <vector>

#include "cli/json.h"
#include "cli/table.h"
#include "store/reader.h"

namespace ringlog::cli {

Json metrics_json(const std::vector<store::Metric>& metrics, const store::MetricRules& rules,
                  const store::AggregatesByPath& aggregates);

struct MetricsTable {
  std::string title;  // empty: there are none
  Table table;
  size_t left_out = 0;  // metrics above `count_max`, and hidden ones
};
// With more than one rank the last values side by side: mean, lowest and highest and whose.
MetricsTable metrics_table(const std::vector<store::Metric>& metrics,
                           const store::MetricRules& rules,
                           const store::AggregatesByPath& aggregates, bool shows_hidden,
                           size_t count_max);

}  // namespace ringlog::cli
