#include "daemon/footer.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "daemon/limits.h"
#include "record/message.h"
#include "record/path.h"
#include "schema/reply.capnp.h"
#include "shm/posix.h"
#include "store/row_json.h"

namespace ringlog::service {

namespace {

struct FooterLine {
  std::string name;
  std::string value;           // JSON, or "max 7, min 1"
  std::vector<double> points;  // means, in order of the step
};

bool is_number(const store::Metric& metric) {
  return std::find(metric.types.begin(), metric.types.end(), store::ColumnType::kOther) ==
         metric.types.end();
}

// As the client shows numbers: whole ones whole, others short.
std::string short_text(const Tree& value) {
  const double* const number = std::get_if<double>(&value.value);
  return number == nullptr ? store::to_json(value) : fmt::format("{:.6g}", *number);
}

// What the summary has of a metric: one value, or what define_metric() asked for by name; nothing
// where it asked for none.
std::string summary_text(const Tree& summary, const std::string& path) {
  const Tree* value = &summary;
  for (const std::string& key : record::split_path(path)) {
    value = value == nullptr ? nullptr : value->find(key);
  }
  if (value == nullptr) return "";
  if (value->object() == nullptr) return store::to_json(*value);
  std::string text;
  for (const auto& [kind, of_kind] : *value->object()) {
    text += (text.empty() ? "" : ", ") + kind + " " + short_text(of_kind);
  }
  return text;
}

// The curve of the lowest rank that has the metric; without points when the time is over.
FooterLine line_of(store::RunReader& reader, const store::Metric& metric, const Tree& summary,
                   int64_t deadline_ns) {
  FooterLine line{metric.name, summary_text(summary, metric.path), {}};
  if (metric.rows_by_rank.empty() || shm::monotonic_ns() > deadline_ns) return line;
  auto series = reader.series({.metric = metric.path,
                               .ranks = {metric.rows_by_rank.begin()->first},
                               .max_points = kFooterPointsMax});
  if (!series || series->empty() || series->front().points.empty()) return line;
  for (const store::Point& point : series->front().points) line.points.push_back(point.mean);
  return line;
}

bool is_hidden(const store::MetricRules& rules, const std::string& name) {
  const store::MetricRule* const rule = rules.find(name);
  return rule != nullptr && rule->is_hidden;
}

// Single values besides: of metrics that are no numbers, and what the program set itself.
void add_set_values(const Tree& summary, const store::MetricRules& rules,
                    std::vector<FooterLine>& lines) {
  if (summary.object() == nullptr) return;
  for (const auto& entry : *summary.object()) {
    const std::string& name = entry.first;
    const bool is_there = std::any_of(lines.begin(), lines.end(),
                                      [&](const FooterLine& line) { return line.name == name; });
    if (is_there || entry.second.object() != nullptr || is_hidden(rules, name)) continue;
    lines.push_back({name, store::to_json(entry.second), {}});
  }
}

std::vector<FooterLine> read_lines(store::RunReader& reader) {
  const int64_t deadline_ns = shm::monotonic_ns() + kFooterTimeMs * 1'000'000;
  std::vector<FooterLine> lines;
  auto metrics = reader.metrics();
  auto rules = reader.rules();
  auto summary = reader.summary();
  if (!metrics || !rules || !summary) return lines;
  for (const store::Metric& metric : *metrics) {
    if (!is_number(metric) || is_hidden(*rules, metric.name)) continue;
    // Only those that are shown are read; the others count.
    const bool is_shown = lines.size() < kFooterLinesMax;
    lines.push_back(is_shown ? line_of(reader, metric, *summary, deadline_ns)
                             : FooterLine{metric.name, "", {}});
  }
  add_set_values(*summary, *rules, lines);
  return lines;
}

}  // namespace

std::string footer_reply(store::RunReader& reader) {
  const std::vector<FooterLine> lines = read_lines(reader);
  const size_t shown = std::min(lines.size(), kFooterLinesMax);
  capnp::MallocMessageBuilder message;
  auto footer = message.initRoot<schema::Reply>().initFooter();
  footer.setLeftOut(static_cast<uint32_t>(lines.size() - shown));
  auto out = footer.initLines(static_cast<capnp::uint>(shown));
  for (capnp::uint i = 0; i < shown; ++i) {
    out[i].setName(lines[i].name.c_str());
    out[i].setValue(lines[i].value.c_str());
    auto points = out[i].initPoints(static_cast<capnp::uint>(lines[i].points.size()));
    for (capnp::uint k = 0; k < points.size(); ++k) points.set(k, lines[i].points[k]);
  }
  const record::Words words = record::to_words(message);
  return {reinterpret_cast<const char*>(words.data()), words.size() * 8};
}

}  // namespace ringlog::service
