// plot: curves of metrics over the step, a chart each, the ranks on top of each other.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "cli/chart.h"
#include "cli/commands.h"
#include "cli/format.h"

namespace ringlog::cli {

namespace {

constexpr size_t kHeightMin = 8;

struct Plot {
  std::string metric;
  std::vector<store::Series> series;
};

// NaN and infinities have no place on the axis: the nearest value that has one.
double finite_in(double value, const store::Point& point) {
  if (std::isnan(value)) return point.mean;
  return std::clamp(value, point.min, point.max);
}

ChartPoint chart_point(const store::Point& point) {
  ChartPoint out;
  out.x_first = static_cast<double>(point.step_first);
  out.x_last = static_cast<double>(point.step_last);
  out.has_value = point.finite > 0;
  if (!out.has_value) return out;
  out.last = finite_in(point.last, point);
  out.min = point.min;
  out.max = point.max;
  out.mean = point.mean;
  return out;
}

Chart chart_of(const Plot& plot) {
  Chart chart{printable(plot.metric), "step", {}};
  for (const store::Series& series : plot.series) {
    ChartCurve curve{fmt::format("rank {}", series.rank), fmt::format("r{}", series.rank), {}};
    for (const store::Point& point : series.points) curve.points.push_back(chart_point(point));
    chart.curves.push_back(std::move(curve));
  }
  return chart;
}

Json document_of(const std::vector<Plot>& plots) {
  Json out = Json::array();
  for (const Plot& plot : plots) {
    for (const store::Series& series : plot.series) {
      Json points = Json::array();
      for (const store::Point& point : series.points) {
        points.push_back({{"step_first", point.step_first},
                          {"step_last", point.step_last},
                          {"rows", point.rows},
                          {"first", point.first},
                          {"last", point.last},
                          {"min", point.min},
                          {"max", point.max},
                          {"mean", point.mean}});
      }
      out.push_back(
          {{"metric", plot.metric}, {"rank", series.rank}, {"points", std::move(points)}});
    }
  }
  return out;
}

ChartSize size_of(const PlotOptions& options, const Style& style) {
  ChartSize size{options.width, options.height};
  if (size.width == 0) size.width = std::min<size_t>(style.width, 160);
  // One line stays for the prompt, or between two plots.
  const size_t share = std::min<size_t>(style.height, 48) / options.metrics.size();
  if (size.height == 0) size.height = std::max(share, kHeightMin + 1) - 1;
  size.height = std::max(size.height, kHeightMin);
  return size;
}

}  // namespace

int run_plot(Context& context, const PlotOptions& options) {
  auto run = open_run(context, options.run);
  if (!run) return fail(run.error());
  Style style = context.style;
  style.is_ascii = style.is_ascii || options.is_ascii;
  const ChartSize size = size_of(options, style);
  std::vector<Plot> plots;
  for (const std::string& metric : options.metrics) {
    store::SeriesQuery query;
    query.metric = metric;
    query.ranks = options.ranks;
    query.step_begin = options.step_begin;
    query.step_last = options.step_last;
    query.max_points = chart_points_max(size, style);
    auto series = run->reader->series(query);
    if (!series) return fail(series.error());
    plots.push_back({metric, *std::move(series)});
  }
  if (context.is_json) {
    print_json(context, document_of(plots));
    return kExitOk;
  }
  bool is_first = true;
  for (const Plot& plot : plots) {
    const std::string chart = render_chart(chart_of(plot), size, style);
    if (chart.empty()) {
      say(fmt::format("{}: no value to plot in this range", printable(plot.metric)));
      continue;
    }
    context.out.write((is_first ? "" : "\n") + chart);
    is_first = false;
  }
  return is_first ? kExitFailed : kExitOk;
}

}  // namespace ringlog::cli
