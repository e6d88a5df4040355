#include "store/aggregate.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <utility>

#include "record/path.h"

namespace ringlog::store {

namespace {

// Integers of a double that are exact.
constexpr double kExactMax = 9007199254740992.0;  // 2^53

Tree number(double value, bool is_integer) {
  if (is_integer && std::abs(value) <= kExactMax) return Tree(static_cast<int64_t>(value));
  return Tree(value);
}

Tree value_of(const Aggregate& from, bool is_integer, const std::string& name, const Tree& last) {
  if (name == "last") return last;
  if (name == "first") return number(from.first, is_integer);
  if (from.finite == 0) return Tree(std::numeric_limits<double>::quiet_NaN());
  if (name == "min") return number(from.min, is_integer);
  if (name == "max") return number(from.max, is_integer);
  return Tree(from.mean);
}

// Sets what the summary is to hold of one metric: `last`, or, where a rule asks for it, an object
// of aggregates, or nothing.  `numbers`: nullptr when it never was a number.
void set_summary(Tree& summary, const std::string& path, const MetricRule* rule, const Tree& last,
                 const MetricAggregates* numbers) {
  if (rule == nullptr || rule->summary.empty()) return set_path(summary, path, last);
  if (rule->is_left_out()) return;
  if (numbers == nullptr || numbers->ranks.empty()) return set_path(summary, path, last);
  Tree::Object object;
  for (const std::string& name : rule->summary) {
    object[name] = value_of(numbers->ranks.begin()->second, numbers->is_integer, name, last);
  }
  set_path(summary, path, Tree(std::move(object)));
}

}  // namespace

void Aggregate::add(const Aggregate& other) {
  if (other.rows == 0) return;
  if (rows == 0) {
    *this = other;
    return;
  }
  if (other.first_at < first_at) std::tie(first, first_at) = std::tie(other.first, other.first_at);
  if (other.last_at >= last_at) std::tie(last, last_at) = std::tie(other.last, other.last_at);
  rows += other.rows;
  if (other.finite == 0) return;
  if (finite == 0) {
    std::tie(min, max, mean) = std::tie(other.min, other.max, other.mean);
  } else {
    min = std::min(min, other.min);
    max = std::max(max, other.max);
    // Not through the sum, which may overflow where the mean does not.
    const double all = static_cast<double>(finite) + static_cast<double>(other.finite);
    mean += (other.mean - mean) * (static_cast<double>(other.finite) / all);
  }
  finite += other.finite;
}

Aggregate aggregate_of(const ColumnStatistics& statistics, uint64_t rows, int32_t attempt,
                       int64_t min_time_ns, int64_t max_time_ns) {
  Aggregate out;
  out.rows = rows;
  out.finite = rows - std::min<uint64_t>(rows, statistics.non_finite);
  out.first = statistics.first;
  out.last = statistics.last;
  out.min = statistics.min;
  out.max = statistics.max;
  out.mean = statistics.mean;
  out.first_at = {attempt, min_time_ns};
  out.last_at = {attempt, max_time_ns};
  return out;
}

AcrossRanks MetricAggregates::across() const {
  AcrossRanks out;
  for (const auto& [rank, aggregate] : ranks) {
    const double last = aggregate.last;
    if (!std::isfinite(last)) continue;
    if (out.ranks == 0 || last < out.min) std::tie(out.min, out.min_rank) = std::tie(last, rank);
    if (out.ranks == 0 || last > out.max) std::tie(out.max, out.max_rank) = std::tie(last, rank);
    ++out.ranks;
    out.mean += (last - out.mean) / static_cast<double>(out.ranks);
  }
  return out;
}

Tree tree_of(const AcrossRanks& across) {
  Tree::Object object;
  object["ranks"] = Tree(static_cast<int64_t>(across.ranks));
  object["mean"] = Tree(across.mean);
  object["min"] = Tree(across.min);
  object["min_rank"] = Tree(int64_t{across.min_rank});
  object["max"] = Tree(across.max);
  object["max_rank"] = Tree(int64_t{across.max_rank});
  return Tree(std::move(object));
}

Tree summary_of(const SummaryFacts& facts) {
  Tree summary{Tree::Object()};
  for (const auto& [path, cell] : facts.last) {
    const auto numbers = facts.numbers.find(path);
    set_summary(summary, path, facts.rules.find(record::display_path(path)), cell.value,
                numbers == facts.numbers.end() ? nullptr : &numbers->second);
  }
  merge(summary, facts.explicit_values);
  return summary;
}

}  // namespace ringlog::store
