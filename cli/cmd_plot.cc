// plot: curves of metrics over the step, a chart each, the ranks on top of each other.  Reads as
// any program can, through the public reader.

#include <fmt/format.h>
#include <ringlog/reader.h>

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
  std::vector<Series> series;
};

// NaN and infinities have no place on the axis: the nearest value that has one.
double finite_in(double value, const Series& series, size_t i) {
  if (std::isnan(value)) return series.mean[i];
  return std::clamp(value, series.min[i], series.max[i]);
}

ChartPoint chart_point(const Series& series, size_t i) {
  ChartPoint out;
  out.x_first = static_cast<double>(series.step_first[i]);
  out.x_last = static_cast<double>(series.step_last[i]);
  out.has_value = !std::isnan(series.min[i]);
  if (!out.has_value) return out;
  out.last = finite_in(series.last[i], series, i);
  out.min = series.min[i];
  out.max = series.max[i];
  out.mean = series.mean[i];
  return out;
}

Chart chart_of(const Plot& plot) {
  Chart chart{printable(plot.metric), "step", {}};
  for (const Series& series : plot.series) {
    ChartCurve curve{fmt::format("rank {}", series.rank), fmt::format("r{}", series.rank), {}};
    for (size_t i = 0; i < series.size(); ++i) curve.points.push_back(chart_point(series, i));
    chart.curves.push_back(std::move(curve));
  }
  return chart;
}

Json document_of(const std::vector<Plot>& plots) {
  Json out = Json::array();
  for (const Plot& plot : plots) {
    for (const Series& series : plot.series) {
      Json points = Json::array();
      for (size_t i = 0; i < series.size(); ++i) {
        points.push_back({{"step_first", series.step_first[i]},
                          {"step_last", series.step_last[i]},
                          {"rows", series.rows[i]},
                          {"first", series.first[i]},
                          {"last", series.last[i]},
                          {"min", series.min[i]},
                          {"max", series.max[i]},
                          {"mean", series.mean[i]}});
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
  auto run = open(options.run, {.root = context.root});
  if (!run) return fail(run.error());
  for (const std::string& line : run->damage()) say("warning: " + line);
  Style style = context.style;
  style.is_ascii = style.is_ascii || options.is_ascii;
  const ChartSize size = size_of(options, style);
  std::vector<Plot> plots;
  for (const std::string& metric : options.metrics) {
    auto series = run->series({.metric = metric,
                               .ranks = options.ranks,
                               .step_begin = options.step_begin,
                               .step_last = options.step_last,
                               .max_points = chart_points_max(size, style)});
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
