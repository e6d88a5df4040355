// plot: curves of metrics over the step, or over the metric that define_metric() names, a chart
// each, the ranks on top of each other.  Reads as any program can, through the public reader.

#include <fmt/format.h>
#include <ringlog/reader.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "cli/chart.h"
#include "cli/commands.h"
#include "cli/format.h"
#include "cli/metric_axis.h"

namespace ringlog::cli {

namespace {

constexpr size_t kHeightMin = 8;

struct Plot {
  std::string metric;
  std::string x = "step";
  std::vector<Series> series{};     // over the step
  std::vector<AxisCurve> curves{};  // over a metric
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

ChartPoint chart_point(const AxisPoint& point) {
  ChartPoint out;
  out.x_first = point.x_first;
  out.x_last = point.x_last;
  out.has_value = !std::isnan(point.min);
  if (!out.has_value) return out;
  out.last = std::isnan(point.last) ? point.mean : std::clamp(point.last, point.min, point.max);
  out.min = point.min;
  out.max = point.max;
  out.mean = point.mean;
  return out;
}

Chart chart_of(const Plot& plot) {
  const bool is_over_step = plot.curves.empty();
  const std::string title = plot.metric + (is_over_step ? "" : " over " + plot.x);
  Chart chart{printable(title), printable(plot.x), {}};
  for (const AxisCurve& found : plot.curves) {
    ChartCurve curve{fmt::format("rank {}", found.rank), fmt::format("r{}", found.rank), {}};
    for (const AxisPoint& point : found.points) curve.points.push_back(chart_point(point));
    chart.curves.push_back(std::move(curve));
  }
  for (const Series& series : plot.series) {
    ChartCurve curve{fmt::format("rank {}", series.rank), fmt::format("r{}", series.rank), {}};
    for (size_t i = 0; i < series.size(); ++i) curve.points.push_back(chart_point(series, i));
    chart.curves.push_back(std::move(curve));
  }
  return chart;
}

Json curve_json(const Plot& plot, const AxisCurve& curve) {
  Json points = Json::array();
  for (const AxisPoint& point : curve.points) {
    points.push_back({{"x_first", point.x_first},
                      {"x_last", point.x_last},
                      {"rows", point.rows},
                      {"first", point.first},
                      {"last", point.last},
                      {"min", point.min},
                      {"max", point.max},
                      {"mean", point.mean}});
  }
  return {
      {"metric", plot.metric}, {"rank", curve.rank}, {"x", plot.x}, {"points", std::move(points)}};
}

Json document_of_plots(const std::vector<Plot>& plots) {
  Json out = Json::array();
  for (const Plot& plot : plots) {
    for (const AxisCurve& curve : plot.curves) out.push_back(curve_json(plot, curve));
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

// What --x says, else the definition of the metric, else the step.
Result<std::string> x_axis(RunReader& run, const PlotOptions& options, const std::string& metric) {
  if (!options.x.empty()) return options.x;
  auto metrics = run.metrics();
  if (!metrics) return metrics.take_error();
  for (const MetricDescription& known : *metrics) {
    if (known.name != metric && known.path != metric) continue;
    if (known.step_metric.empty() || known.step_metric == known.name) continue;
    // A step metric that nobody logged leaves the step.
    const bool is_logged = std::any_of(metrics->begin(), metrics->end(), [&](const auto& other) {
      return other.name == known.step_metric || other.path == known.step_metric;
    });
    if (is_logged) return known.step_metric;
  }
  return std::string("step");
}

Result<Plot> read_plot(RunReader& run, const PlotOptions& options, const std::string& metric,
                       size_t max_points) {
  auto x = x_axis(run, options, metric);
  if (!x) return x.take_error();
  Plot plot{metric, *std::move(x)};
  if (plot.x == "step") {
    auto series = run.series({.metric = metric,
                              .ranks = options.ranks,
                              .step_begin = options.step_begin,
                              .step_last = options.step_last,
                              .max_points = max_points});
    if (!series) return series.take_error();
    plot.series = *std::move(series);
    return plot;
  }
  auto curves = read_curves(
      run, {metric, plot.x, options.ranks, options.step_begin, options.step_last, max_points});
  if (!curves) return curves.take_error();
  plot.curves = *std::move(curves);
  return plot;
}

}  // namespace

int run_plot(Context& context, const PlotOptions& options) {
  auto run = open_run(context, options.run);
  if (!run) return fail(run.error());
  const size_t said_count = run->damage().size();
  Style style = context.style;
  style.is_ascii = style.is_ascii || options.is_ascii;
  const ChartSize size = size_of(options, style);
  std::vector<Plot> plots;
  for (const std::string& metric : options.metrics) {
    auto plot = read_plot(*run, options, metric, chart_points_max(size, style));
    if (!plot) return fail(plot.error());
    plots.push_back(*std::move(plot));
  }
  say_damage(*run, said_count);
  if (context.is_json) {
    print_json(context, document_of_plots(plots));
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
