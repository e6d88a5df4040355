#include "formats/wandb_summary.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "formats/utf8.h"
#include "record/path.h"
#include "store/row_json.h"

namespace ringlog::formats {

namespace {

std::string text_of(capnp::Text::Reader text) { return {text.begin(), text.size()}; }

std::string dotted(const std::vector<std::string>& keys) {
  std::string name;
  for (const std::string& key : keys) name += (name.empty() ? "" : ".") + key;
  return name;
}

WandbMetric wandb_metric(const store::MetricRule& rule) {
  return {rule.name, rule.step_metric, rule.summary, rule.is_hidden, false};
}

// The leaves of a summary; an empty object is one.
void add_leaves(const store::Tree& tree, std::vector<std::string>& keys,
                std::map<std::vector<std::string>, std::string>& out) {
  const store::Tree::Object* object = tree.object();
  if (object == nullptr || object->empty()) {
    out[keys] = store::to_json(tree);
    return;
  }
  for (const auto& [key, value] : *object) {
    keys.push_back(clean_utf8(key));
    add_leaves(value, keys, out);
    keys.pop_back();
  }
}

// The keys of a metric as W&B shows them.
std::vector<std::string> named(const MergedColumn& column) {
  std::vector<std::string> keys = column.keys;
  keys.front() = column.label + keys.front();
  return keys;
}

struct Aggregates {
  double min = std::numeric_limits<double>::infinity();
  double max = -std::numeric_limits<double>::infinity();
  double sum = 0;
  uint64_t finite = 0;
  double first = 0;
  bool has_points = false;
  double last = 0;
};

Aggregates aggregate(const store::Series& series) {
  Aggregates out;
  for (const store::Point& point : series.points) {
    if (!out.has_points) out.first = point.first;
    out.has_points = true;
    out.last = point.last;
    if (point.finite == 0) continue;
    out.min = std::min(out.min, point.min);
    out.max = std::max(out.max, point.max);
    out.sum += point.mean * static_cast<double>(point.finite);
    out.finite += point.finite;
  }
  return out;
}

double value_of(const Aggregates& from, const std::string& name) {
  if (name == "last") return from.last;
  if (name == "first") return from.first;
  if (from.finite == 0) return std::numeric_limits<double>::quiet_NaN();
  if (name == "min") return from.min;
  if (name == "max") return from.max;
  return from.sum / static_cast<double>(from.finite);
}

// The series of a metric for the rank, or for the lowest.
Result<Aggregates> aggregates_of(store::RunReader& reader, std::optional<int32_t> rank,
                                 const std::string& path) {
  SeriesRequest query;
  query.metric = path;
  if (rank) query.ranks = {*rank};
  query.max_points = 16;  // all extremes are exact, however few points there are
  auto series = reader.series(query);
  if (!series) return series.take_error();
  if (series->empty()) return Aggregates{};
  return aggregate(*std::min_element(series->begin(), series->end(),
                                     [](const auto& a, const auto& b) { return a.rank < b.rank; }));
}

double value_of(const store::Aggregate& from, const std::string& name) {
  if (name == "last") return from.last;
  if (name == "first") return from.first;
  if (from.finite == 0) return std::numeric_limits<double>::quiet_NaN();
  if (name == "min") return from.min;
  if (name == "max") return from.max;
  return from.mean;
}

// One metric of one rank.
void add_rank(const store::MetricRule* rule, std::vector<std::string> keys,
              const store::Aggregate& numbers, bool is_integer, bool is_bool,
              std::vector<WandbItem>& out) {
  const auto add = [&](const std::string& name) {
    WandbItem& item = out.emplace_back(WandbItem{keys, ""});
    const double value = value_of(numbers, name);
    if (is_bool && name != "mean") {
      item.json = value != 0 ? "true" : "false";
    } else if (is_integer && name != "mean" && std::abs(value) < 0x1p63) {
      store::append_json(item.json, static_cast<int64_t>(value));
    } else {
      store::append_json(item.json, value);
    }
  };
  if (rule == nullptr || rule->summary.empty()) return add("last");
  keys.emplace_back();
  for (const std::string& name : rule->summary) {
    if (name == "none") continue;
    keys.back() = name;
    add(name);
  }
}

}  // namespace

std::vector<WandbItem> summary_items_of(const store::SummaryFacts& facts, bool has_ranks) {
  std::map<std::vector<std::string>, std::string> leaves;
  const store::Tree plain = store::summary_of(facts);
  for (const auto& [key, value] : *plain.object()) {
    std::vector<std::string> keys{clean_utf8(key)};
    add_leaves(value, keys, leaves);
  }
  std::vector<WandbItem> out;
  out.reserve(leaves.size());
  for (auto& [keys, json] : leaves) out.push_back({keys, std::move(json)});
  if (!has_ranks) return out;
  for (const auto& [path, metric] : facts.numbers) {
    const store::MetricRule* rule = facts.rules.find(record::display_path(path));
    const auto last = facts.last.find(path);
    if (last == facts.last.end()) continue;
    const store::Tree& value = last->second.value;
    // It became something else than a number, of which only the last one's rank is known.
    if (value.text() != nullptr || value.list() != nullptr || value.object() != nullptr) continue;
    const bool is_bool = std::holds_alternative<bool>(value.value);
    for (const auto& [rank, numbers] : metric.ranks) {
      std::vector<std::string> keys = record::split_path(path);
      keys.front() = "rank" + std::to_string(rank) + "/" + keys.front();
      add_rank(rule, std::move(keys), numbers, metric.is_integer, is_bool, out);
    }
  }
  return out;
}

void WandbSummary::set_explicit(capnp::List<schema::Field>::Reader fields) {
  for (const auto field : fields) explicit_.insert(text_of(field.getKey()));
}

void WandbSummary::add(const MergedRow& row, std::span<const MergedColumn> columns) {
  ++rows_;
  for (const auto& [column, json] : row.cells) {
    Last& last = last_[column];
    if (last.row == 0) last.column = columns[column];
    last.json = json;
    last.row = rows_;
  }
}

void WandbSummary::set_item(const std::vector<std::string>& keys, std::string json, Items& out) {
  std::vector<std::string> outer;
  for (const std::string& key : keys) {
    outer.push_back(key);
    out.erase(outer);
  }
  // What is inside of it stands right behind it.
  const auto begin = out.upper_bound(keys);
  auto end = begin;
  while (end != out.end() && end->first.size() > keys.size() &&
         std::equal(keys.begin(), keys.end(), end->first.begin())) {
    ++end;
  }
  out.erase(begin, end);
  out[keys] = std::move(json);
}

Status WandbSummary::add_aggregates(store::RunReader& reader, std::optional<int32_t> rank,
                                    const Last& last, const store::MetricRule& metric,
                                    Items& out) const {
  const std::vector<std::string_view> path(last.column.keys.begin(), last.column.keys.end());
  auto found = aggregates_of(reader, rank, record::join_path(path));
  if (!found) return found.take_error();
  if (!found->has_points) return Done{};  // it never was a number
  std::vector<std::string> keys = named(last.column);
  out.erase(keys);
  keys.emplace_back();
  for (const std::string& aggregate : metric.summary) {
    if (aggregate == "none") continue;
    keys.back() = aggregate;
    std::string json;
    store::append_json(json, value_of(*found, aggregate));
    set_item(keys, std::move(json), out);
  }
  return Done{};
}

// In the order in which they were met: what is newer stays.
void WandbSummary::add_last(Items& out) const {
  std::vector<const Last*> order;
  for (const auto& [column, last] : last_) order.push_back(&last);
  std::stable_sort(order.begin(), order.end(),
                   [](const Last* a, const Last* b) { return a->row < b->row; });
  for (const Last* last : order) {
    const bool is_plain = last->column.label.empty();
    if (is_plain && explicit_.contains(last->column.keys.front())) continue;
    set_item(named(last->column), last->json, out);
  }
}

Status WandbSummary::items(store::RunReader& reader, std::optional<int32_t> rank,
                           std::vector<WandbItem>& out) const {
  auto summary = reader.summary();
  if (!summary) return summary.take_error();
  Items items;
  for (const auto& [key, value] : *summary->object()) {
    // What the store derives is of the lowest rank, which need not be this one.
    if (rank && !explicit_.contains(key)) continue;
    std::vector<std::string> keys{clean_utf8(key)};
    add_leaves(value, keys, items);
  }
  add_last(items);
  std::set<std::vector<std::string>> plain;
  for (const auto& [column, last] : last_) {
    const store::MetricRule* metric = rules_.find(dotted(last.column.keys));
    if (metric == nullptr || metric->summary.empty()) continue;
    if (!explicit_.contains(last.column.keys.front()) && plain.insert(last.column.keys).second) {
      const Last lowest{{"", last.column.keys}, last.json};
      if (Status s = add_aggregates(reader, rank, lowest, *metric, items); !s) return s;
    }
    if (last.column.label.empty()) continue;
    std::optional<int32_t> of = rank;
    if (last.column.label.starts_with("rank")) of = std::stoi(last.column.label.substr(4));
    if (Status s = add_aggregates(reader, of, last, *metric, items); !s) return s;
  }
  for (auto& [keys, json] : items) out.push_back({keys, std::move(json)});
  return Done{};
}

std::vector<WandbMetric> WandbSummary::metrics() const {
  std::vector<WandbMetric> out;
  for (const store::MetricRule& rule : rules_.all()) out.push_back(wandb_metric(rule));
  for (const auto& [column, last] : last_) {
    const store::MetricRule* metric = rules_.find(dotted(last.column.keys));
    const std::string name = last.column.label + dotted(last.column.keys);
    if (metric == nullptr || metric->name == name) continue;
    out.push_back(wandb_metric(*metric));
    out.back().name = name;
    out.back().is_expanded = true;
    if (!metric->step_metric.empty())
      out.back().step_metric = last.column.label + metric->step_metric;
  }
  return out;
}

}  // namespace ringlog::formats
