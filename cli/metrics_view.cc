#include "cli/metrics_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "cli/format.h"

namespace ringlog::cli {

namespace {

size_t rank_count(const store::AggregatesByPath& aggregates) {
  std::set<int32_t> ranks;
  for (const auto& [path, metric] : aggregates) {
    for (const auto& [rank, aggregate] : metric.ranks) ranks.insert(rank);
  }
  return ranks.size();
}

std::string of_rank(double value, int32_t rank) {
  return fmt::format("{} (r{})", format_number(value), rank);
}

// Empty cells where no rank's last value is a finite number.
std::vector<Table::Cell> across_cells(const store::AggregatesByPath& aggregates,
                                      const std::string& path) {
  const auto found = aggregates.find(path);
  const store::AcrossRanks across =
      found == aggregates.end() ? store::AcrossRanks{} : found->second.across();
  if (across.ranks == 0) return {{""}, {""}, {""}, {""}};
  return {{std::to_string(across.ranks)},
          {format_number(across.mean)},
          {of_rank(across.min, across.min_rank)},
          {of_rank(across.max, across.max_rank)}};
}

}  // namespace

Json metrics_json(const std::vector<store::Metric>& metrics, const store::MetricRules& rules,
                  const store::AggregatesByPath& aggregates) {
  Json out = Json::array();
  for (const store::Metric& metric : metrics) {
    Json entry = {{"name", metric.name}, {"rows", metric.rows}};
    if (const store::MetricRule* rule = rules.find(metric.name)) {
      entry["definition"] = {{"name", rule->name},
                             {"step_metric", rule->step_metric},
                             {"summary", rule->summary},
                             {"hidden", rule->is_hidden}};
    }
    const auto found = aggregates.find(metric.path);
    if (found != aggregates.end()) {
      const store::AcrossRanks across = found->second.across();
      if (across.ranks > 0) entry["ranks"] = json_of(store::tree_of(across));
    }
    out.push_back(std::move(entry));
  }
  return out;
}

MetricsTable metrics_table(const std::vector<store::Metric>& metrics,
                           const store::MetricRules& rules,
                           const store::AggregatesByPath& aggregates, bool shows_hidden,
                           size_t count_max) {
  constexpr auto kRight = Table::Align::kRight;
  const size_t ranks = rank_count(aggregates);
  std::vector<Table::Column> columns{{"NAME", Table::Align::kLeft, 20}, {"ROWS", kRight}};
  if (ranks > 1) {
    for (const char* name : {"RANKS", "MEAN", "MIN", "MAX"}) columns.push_back({name, kRight});
  }
  MetricsTable out{"", Table(std::move(columns)), 0};
  if (metrics.empty()) return out;
  out.title = ranks > 1 ? fmt::format("metrics, last values of {} ranks", ranks) : "metrics";
  size_t shown = 0;
  for (const store::Metric& metric : metrics) {
    const store::MetricRule* rule = rules.find(metric.name);
    const bool is_hidden = rule != nullptr && rule->is_hidden && !shows_hidden;
    if (is_hidden || shown >= count_max) {
      ++out.left_out;
      continue;
    }
    ++shown;
    std::vector<Table::Cell> cells{{printable(metric.name)}, {format_count(metric.rows)}};
    if (ranks > 1) {
      for (Table::Cell& cell : across_cells(aggregates, metric.path)) {
        cells.push_back(std::move(cell));
      }
    }
    out.table.add(std::move(cells));
  }
  return out;
}

}  // namespace ringlog::cli
