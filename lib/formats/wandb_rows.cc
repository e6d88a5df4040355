#include "formats/wandb_rows.h"

#include <time.h>  // NOLINT(modernize-deprecated-headers): gmtime_r

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>
#include <map>
#include <utility>

#include "formats/utf8.h"
#include "store/row_json.h"

namespace ringlog::formats {

namespace {

constexpr int64_t kNsOfSecond = 1'000'000'000;

// A name that W&B gives a row itself is not a metric's.
std::string metric_key(const std::string& label, const std::string& key) {
  constexpr std::string_view kOwn[] = {"_step", "_timestamp", "_runtime", "_wandb"};
  const bool is_own =
      label.empty() && std::find(std::begin(kOwn), std::end(kOwn), key) != std::end(kOwn);
  return is_own ? "_" + key : label + key;
}

std::string seconds_json(int64_t ns) {
  std::string json;
  store::append_json_seconds(json, ns);
  return json;
}

}  // namespace

std::vector<WandbItem> history_items(const MergedRow& row, std::span<const MergedColumn> columns,
                                     int64_t started_ns) {
  std::vector<WandbItem> items;
  for (const auto& [column, json] : row.cells) {
    WandbItem& item = items.emplace_back(WandbItem{columns[column].keys, json});
    item.keys.front() = metric_key(columns[column].label, item.keys.front());
  }
  items.push_back({{"_timestamp"}, seconds_json(row.time_ns)});
  items.push_back({{"_runtime"}, seconds_json(row.time_ns - started_ns)});
  items.push_back({{"_step"}, std::to_string(row.step)});
  return items;
}

std::vector<WandbItem> summary_items(std::vector<WandbItem> items, const MergedRow& last,
                                     int64_t started_ns, int64_t ended_ns) {
  for (WandbItem& item : items) item.keys.front() = metric_key("", item.keys.front());
  if (!last.cells.empty()) {
    items.push_back({{"_timestamp"}, seconds_json(last.time_ns)});
    items.push_back({{"_step"}, std::to_string(last.step)});
  }
  items.push_back({{"_runtime"}, seconds_json(ended_ns - started_ns)});
  items.push_back({{"_wandb", "runtime"}, std::to_string(runtime_s(started_ns, ended_ns))});
  return items;
}

std::vector<WandbItem> stats_items(std::span<const std::string> names,
                                   std::span<const double> values) {
  std::vector<WandbItem> items;
  for (size_t i = 0; i < names.size(); ++i) {
    if (!std::isfinite(values[i])) continue;
    WandbItem& item = items.emplace_back(WandbItem{{clean_utf8(names[i])}, ""});
    store::append_json(item.json, store::Tree(values[i]));
  }
  return items;
}

std::string event_json(std::span<const std::string> names, std::span<const double> values,
                       int64_t time_ns, int64_t started_ns) {
  std::vector<WandbItem> items = stats_items(names, values);
  for (WandbItem& item : items) item.keys.front() = "system." + item.keys.front();
  items.push_back({{"_wandb"}, "true"});
  items.push_back({{"_timestamp"}, seconds_json(time_ns)});
  items.push_back({{"_runtime"}, seconds_json(time_ns - started_ns)});
  return json_of(items);
}

std::string utc_text(int64_t time_ns) {
  const time_t seconds = time_ns / kNsOfSecond;
  tm utc{};
  ::gmtime_r(&seconds, &utc);
  std::array<char, 64> text{};
  const size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%S.", &utc);
  std::string micros = std::to_string(time_ns % kNsOfSecond / 1000);
  micros.insert(0, 6 - micros.size(), '0');
  return std::string(text.data(), size) + micros;
}

int64_t runtime_s(int64_t started_ns, int64_t ended_ns) {
  return (ended_ns - started_ns) / kNsOfSecond;
}

std::string json_of(std::span<const WandbItem> items) {
  std::map<std::vector<std::string>, std::string_view> sorted;
  for (const WandbItem& item : items) sorted[item.keys] = item.json;
  // Sorted by their keys, what is inside of one object stands together.
  std::string out = "{";
  std::vector<std::string> open;  // objects around the place
  for (const auto& [keys, json] : sorted) {
    size_t common = 0;
    while (common < open.size() && common + 1 < keys.size() && open[common] == keys[common]) {
      ++common;
    }
    for (; open.size() > common; open.pop_back()) out += '}';
    if (out.back() != '{') out += ',';
    for (size_t i = common; i < keys.size(); ++i) {
      store::append_json(out, std::string_view(keys[i]));
      out += ':';
      if (i + 1 == keys.size()) break;
      out += '{';
      open.push_back(keys[i]);
    }
    out += json;
  }
  out.append(open.size() + 1, '}');
  return out;
}

}  // namespace ringlog::formats
