#include "store/metric_rules.h"

#include <algorithm>

namespace ringlog::store {

namespace {

std::string text_of(capnp::Text::Reader text) { return {text.begin(), text.size()}; }

bool does_match(std::string_view pattern, std::string_view name) {
  if (!pattern.ends_with('*')) return pattern == name;
  pattern.remove_suffix(1);
  return name.starts_with(pattern);
}

// `none` stands alone: the last definition that says something about the summary decides.
void merge_summary(std::vector<std::string>& into, const std::vector<std::string>& from) {
  if (from.empty()) return;
  const auto is_none = [](const std::string& name) { return name == "none"; };
  if (std::all_of(from.begin(), from.end(), is_none)) {
    into = {"none"};
    return;
  }
  std::erase_if(into, is_none);
  for (const std::string& name : from) {
    const bool is_known = std::find(into.begin(), into.end(), name) != into.end();
    if (!is_none(name) && !is_known) into.push_back(name);
  }
}

}  // namespace

bool MetricRule::asks_for(std::string_view aggregate) const {
  return std::find(summary.begin(), summary.end(), aggregate) != summary.end();
}

void MetricRules::define(schema::Metric::Reader metric) {
  const std::string name = text_of(metric.getName());
  auto rule = std::find_if(rules_.begin(), rules_.end(),
                           [&](const MetricRule& other) { return other.name == name; });
  if (rule == rules_.end()) {
    rules_.push_back({.name = name});
    rule = rules_.end() - 1;
  }
  if (metric.getStepMetric().size() > 0) rule->step_metric = text_of(metric.getStepMetric());
  std::vector<std::string> summary;
  for (const auto aggregate : metric.getSummary()) summary.push_back(text_of(aggregate));
  merge_summary(rule->summary, summary);
  rule->is_hidden |= metric.getHidden();
}

const MetricRule* MetricRules::find(std::string_view name) const {
  const MetricRule* best = nullptr;
  for (const MetricRule& rule : rules_) {
    if (rule.name == name) return &rule;
    if (!does_match(rule.name, name)) continue;
    if (best == nullptr || rule.name.size() > best->name.size()) best = &rule;
  }
  return best;
}

bool MetricRules::has_aggregates() const {
  return std::any_of(rules_.begin(), rules_.end(),
                     [](const MetricRule& rule) { return !rule.summary.empty(); });
}

}  // namespace ringlog::store
