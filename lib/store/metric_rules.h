#pragma once
// MetricRules: what run.define_metric() asked for, and which of it a metric follows.
//
// A rule names a metric, or the beginnings of names with a `*` at the end.  A metric follows the
// rule of its own name; without one, that of the longest beginning.  Rules of the same name are
// merged, as in W&B: what a later one leaves out stays.
//
// Values; one thread at a time.

#include <string>
#include <string_view>
#include <vector>

#include "schema/record.capnp.h"

namespace ringlog::store {

struct MetricRule {
  std::string name{};                  // of the metric, or a prefix and "*"
  std::string step_metric{};           // its x axis; empty: the step
  std::vector<std::string> summary{};  // of: last, first, min, max, mean, none; empty: last
  bool is_hidden = false;

  bool asks_for(std::string_view aggregate) const;
  // The summary is to hold nothing of the metric.
  bool is_left_out() const { return summary.size() == 1 && summary.front() == "none"; }
};

class MetricRules {
 public:
  // In the order they were stored.  Throws kj::Exception for a malformed message.
  void define(schema::Metric::Reader metric);
  // `name` is for people: keys of nested objects joined with dots.  nullptr: no rule.
  const MetricRule* find(std::string_view name) const;
  const std::vector<MetricRule>& all() const { return rules_; }
  // Some rule asks for more than the last value.
  bool has_aggregates() const;

 private:
  std::vector<MetricRule> rules_;  // by time of the first definition
};

}  // namespace ringlog::store
