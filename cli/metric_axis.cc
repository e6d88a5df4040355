#include "cli/metric_axis.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <optional>
#include <utility>

namespace ringlog::cli {

namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// A row of one rank that has one of the two metrics, or both.
struct Sample {
  int64_t time_ns;
  std::optional<double> x;
  std::optional<double> y;
};

struct Place {
  double x;
  double y;
};

std::optional<double> cell(const TableColumn& column, size_t row) {
  if (column.has_value[row] == 0) return std::nullopt;
  switch (column.kind) {
    case ColumnKind::kFloat64:
      return column.float64[row];
    case ColumnKind::kInt64:
      return static_cast<double>(column.int64[row]);
    case ColumnKind::kUint64:
    case ColumnKind::kBool:
      return static_cast<double>(column.uint64[row]);
    case ColumnKind::kText:
      return std::nullopt;
  }
  return std::nullopt;
}

// The first step of each attempt of each rank: where it takes over from older ones.
using FirstSteps = std::map<std::pair<int32_t, int32_t>, uint64_t>;

FirstSteps first_steps(const ringlog::Table& table) {
  FirstSteps first;
  for (size_t row = 0; row < table.size(); ++row) {
    const auto [at, is_new] =
        first.try_emplace({table.rank[row], table.attempt[row]}, table.step[row]);
    if (!is_new) at->second = std::min(at->second, table.step[row]);
  }
  return first;
}

bool was_done_again(const FirstSteps& first, const ringlog::Table& table, size_t row) {
  auto newer = first.upper_bound({table.rank[row], table.attempt[row]});
  for (; newer != first.end() && newer->first.first == table.rank[row]; ++newer) {
    if (table.step[row] >= newer->second) return true;
  }
  return false;
}

// Rows of each rank in the order of time: the two metrics may come from different threads.
std::map<int32_t, std::vector<Sample>> samples_of(const ringlog::Table& table, const TableColumn& x,
                                                  const TableColumn& y) {
  const FirstSteps first = first_steps(table);
  std::map<int32_t, std::vector<Sample>> ranks;
  for (size_t row = 0; row < table.size(); ++row) {
    if (was_done_again(first, table, row)) continue;
    ranks[table.rank[row]].push_back({table.time_ns[row], cell(x, row), cell(y, row)});
  }
  for (auto& [rank, samples] : ranks) {
    std::stable_sort(samples.begin(), samples.end(),
                     [](const Sample& a, const Sample& b) { return a.time_ns < b.time_ns; });
  }
  return ranks;
}

std::vector<Place> places_of(const std::vector<Sample>& samples) {
  std::vector<Place> places;
  std::optional<double> x;
  for (const Sample& sample : samples) {
    if (sample.x && std::isfinite(*sample.x)) x = sample.x;
    if (sample.y && x) places.push_back({*x, *sample.y});
  }
  std::stable_sort(places.begin(), places.end(),
                   [](const Place& a, const Place& b) { return a.x < b.x; });
  return places;
}

void add(AxisPoint& point, const Place& place, uint64_t& finite) {
  if (point.rows++ == 0) {
    point = {place.x, place.x, 1, place.y, place.y, kNan, kNan, kNan};
    finite = 0;
  }
  point.x_last = place.x;
  point.last = place.y;
  if (!std::isfinite(place.y)) return;
  if (finite++ == 0) point.min = point.max = point.mean = place.y;
  point.min = std::min(point.min, place.y);
  point.max = std::max(point.max, place.y);
  point.mean += (place.y - point.mean) / static_cast<double>(finite);
}

// At most `max_points`, of equal width on the axis; those without a row are left out.
std::vector<AxisPoint> points_of(const std::vector<Place>& places, size_t max_points) {
  std::vector<AxisPoint> points;
  if (places.empty()) return points;
  const double low = places.front().x;
  const double width = places.back().x - low;
  size_t current = SIZE_MAX;
  uint64_t finite = 0;
  for (const Place& place : places) {
    const double part = width > 0 ? (place.x - low) / width : 0;
    const auto last = static_cast<double>(std::max<size_t>(max_points, 1) - 1);
    const auto bucket = static_cast<size_t>(part * last);
    if (bucket != current) points.emplace_back();
    current = bucket;
    add(points.back(), place, finite);
  }
  return points;
}

}  // namespace

Result<std::vector<AxisCurve>> read_curves(RunReader& run, const AxisRequest& request) {
  auto table = run.table({.metrics = {request.metric, request.x_metric},
                          .ranks = request.ranks,
                          .step_begin = request.step_begin,
                          .step_last = request.step_last});
  if (!table) return table.take_error();
  const TableColumn* y = table->find(request.metric);
  const TableColumn* x = table->find(request.x_metric);
  for (const auto& [column, name] : {std::pair(y, request.metric), {x, request.x_metric}}) {
    if (column != nullptr) continue;
    return Error{Code::kNotFound, "no row has the metric " + name};
  }
  std::vector<AxisCurve> curves;
  for (const auto& [rank, samples] : samples_of(*table, *x, *y)) {
    AxisCurve curve{rank, points_of(places_of(samples), request.max_points)};
    if (!curve.points.empty()) curves.push_back(std::move(curve));
  }
  return curves;
}

}  // namespace ringlog::cli
