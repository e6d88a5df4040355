#include "cli/chart.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <vector>

#include "cli/axis.h"
#include "cli/format.h"
#include "cli/plot_canvas.h"

namespace ringlog::cli {

namespace {

constexpr size_t kPlotLinesMin = 3;
constexpr size_t kPlotColumnsMin = 16;
constexpr size_t kLegendLinesMax = 3;
constexpr std::array<Ink, 12> kInks = {Ink::kCyan,        Ink::kYellow,       Ink::kMagenta,
                                       Ink::kGreen,       Ink::kBlue,         Ink::kRed,
                                       Ink::kBrightCyan,  Ink::kBrightYellow, Ink::kBrightMagenta,
                                       Ink::kBrightGreen, Ink::kBrightBlue,   Ink::kBrightRed};

Ink ink_of(size_t curve) { return kInks[curve % kInks.size()]; }

struct Extent {
  double low = std::numeric_limits<double>::infinity();
  double high = -std::numeric_limits<double>::infinity();
  bool is_empty() const { return !(low <= high); }
  void include(double value) {
    low = std::min(low, value);
    high = std::max(high, value);
  }
};

// Above this many times the usual spread of its curve a point is a spike.
double spike_span(const ChartCurve& curve) {
  constexpr double kSpike = 3;
  std::vector<double> spans;
  for (const ChartPoint& point : curve.points) {
    if (point.has_value) spans.push_back(point.max - point.min);
  }
  if (spans.empty()) return 0;
  const auto middle = spans.begin() + static_cast<std::ptrdiff_t>(spans.size() / 2);
  std::nth_element(spans.begin(), middle, spans.end());
  return kSpike * *middle;
}

// The last point that has a value, or nullptr.
const ChartPoint* last_point(const ChartCurve& curve) {
  for (auto point = curve.points.rbegin(); point != curve.points.rend(); ++point) {
    if (point->has_value) return &*point;
  }
  return nullptr;
}

// The characters axes are made of.
struct Glyphs {
  std::string_view y_line, y_tick, corner, x_line, x_tick, sample;
};
Glyphs glyphs_of(const Style& style) {
  if (style.is_ascii) return {"|", "+", "+", "-", "+", "-"};
  return {"│", "┤", "└", "─", "┬", "━"};
}

class ChartDrawing {
 public:
  ChartDrawing(const Chart& chart, ChartSize size, const Style& style)
      : chart_(chart), size_(size), style_(style), glyphs_(glyphs_of(style)) {}
  std::string draw();

 private:
  bool labels_curves() const { return chart_.curves.size() > 1 && !style_.has_colour; }
  size_t label_columns() const;
  // Whether the spread of every point is shown, not only of spikes: between several curves, and
  // among the coarse dots of ASCII, nobody could tell it from them.
  bool shows_spread() const { return chart_.curves.size() == 1 && !style_.is_ascii; }
  void choose_ranges();
  std::string title() const;
  std::vector<std::string> legend() const;
  PlotCanvas::Dot dot(const ChartPoint& point, double y, const PlotCanvas& canvas) const;
  void draw_spread(PlotCanvas& canvas, const ChartCurve& curve) const;
  void draw_curve(PlotCanvas& canvas, const ChartCurve& curve, Ink ink) const;
  static int64_t dot_of(double value, const Range& range, size_t dots);
  size_t line_of(double value, const PlotCanvas& canvas) const;
  std::vector<std::string> end_labels(const PlotCanvas& canvas) const;
  std::string x_axis(const std::string& margin, const PlotCanvas& canvas) const;

  const Chart& chart_;
  const ChartSize size_;
  const Style& style_;
  const Glyphs glyphs_;
  Extent values_;  // of all points
  Range x_;
  Range y_;
};

size_t ChartDrawing::label_columns() const {
  size_t columns = 0;
  for (const ChartCurve& curve : chart_.curves) {
    columns = std::max(columns, display_width(curve.short_label) + 1);
  }
  return labels_curves() ? columns : 0;
}

void ChartDrawing::choose_ranges() {
  Extent x;
  Extent y;
  for (const ChartCurve& curve : chart_.curves) {
    const double spike = shows_spread() ? -1 : spike_span(curve);
    for (const ChartPoint& point : curve.points) {
      x.include(point.x_first);
      x.include(point.x_last);
      if (!point.has_value) continue;
      values_.include(point.min);
      values_.include(point.max);
      const bool is_whole = point.max - point.min > spike;
      y.include(is_whole ? point.min : point.mean);
      y.include(is_whole ? point.max : point.mean);
    }
  }
  if (values_.is_empty()) return;
  x_ = make_range(x.low, x.high);
  y_ = make_range(y.low, y.high);
}

std::string ChartDrawing::title() const {
  std::string facts = "min " + format_number(values_.low) + "  max " + format_number(values_.high);
  if (chart_.curves.size() == 1) {
    const ChartPoint* last = last_point(chart_.curves[0]);
    facts = "last " + format_number(last->last) + "  " + facts;
  }
  const size_t room = size_.width > facts.size() + 2 ? size_.width - facts.size() - 2 : 8;
  const std::string name = shorten(chart_.title, room, style_.is_ascii);
  const size_t gap = std::max<size_t>(room + 2 - std::min(room, display_width(name)), 2);
  return paint(style_, Ink::kBold, name) + std::string(gap, ' ') + paint(style_, Ink::kDim, facts);
}

// One entry for each curve, as many lines as they need and are allowed.
std::vector<std::string> ChartDrawing::legend() const {
  std::vector<std::string> lines;
  if (chart_.curves.size() < 2) return lines;
  size_t width = 0;
  for (size_t i = 0; i < chart_.curves.size(); ++i) {
    const ChartPoint* last = last_point(chart_.curves[i]);
    const std::string text =
        chart_.curves[i].label + " " + (last != nullptr ? format_number(last->last) : "-");
    const std::string sample = style_.has_colour ? paint(style_, ink_of(i), glyphs_.sample) : "";
    const size_t entry = display_width(text) + (style_.has_colour ? 2 : 0);
    const bool fits = !lines.empty() && width + 2 + entry <= size_.width;
    if (!fits && lines.size() == kLegendLinesMax) {
      lines.push_back("and " + std::to_string(chart_.curves.size() - i) + " more");
      break;
    }
    if (!fits) lines.emplace_back();
    width = (fits ? width + 2 : 0) + entry;
    lines.back().append(fits ? "  " : "").append(sample);
    lines.back().append(style_.has_colour ? " " : "").append(text);
  }
  return lines;
}

int64_t ChartDrawing::dot_of(double value, const Range& range, size_t dots) {
  const double part = (value - range.low) / (range.high - range.low);
  return std::llround(std::clamp(part, 0.0, 1.0) * static_cast<double>(dots - 1));
}

// The line, from the top, that holds the value's dot.
size_t ChartDrawing::line_of(double value, const PlotCanvas& canvas) const {
  const auto dot = static_cast<size_t>(dot_of(value, y_, canvas.dots_y()));
  return (canvas.dots_y() - 1 - dot) * canvas.lines() / canvas.dots_y();
}

PlotCanvas::Dot ChartDrawing::dot(const ChartPoint& point, double y,
                                  const PlotCanvas& canvas) const {
  return {dot_of((point.x_first + point.x_last) / 2, x_, canvas.dots_x()),
          dot_of(y, y_, canvas.dots_y())};
}

void ChartDrawing::draw_spread(PlotCanvas& canvas, const ChartCurve& curve) const {
  for (const ChartPoint& point : curve.points) {
    if (!point.has_value) continue;
    canvas.set(dot(point, point.min, canvas), Ink::kGrey);
    canvas.set(dot(point, point.max, canvas), Ink::kGrey);
  }
}

void ChartDrawing::draw_curve(PlotCanvas& canvas, const ChartCurve& curve, Ink ink) const {
  const double spike = spike_span(curve);
  std::optional<PlotCanvas::Dot> previous;
  for (const ChartPoint& point : curve.points) {
    if (!point.has_value) {
      previous.reset();
      continue;
    }
    if (point.max - point.min > spike) {
      canvas.line(dot(point, point.min, canvas), dot(point, point.max, canvas), ink);
    }
    const PlotCanvas::Dot here = dot(point, point.mean, canvas);
    canvas.line(previous.value_or(here), here, ink);
    previous = here;
  }
}

// What stands right of each line: the short labels of the curves that end there, each as near to
// its end as the ones before left room for.
std::vector<std::string> ChartDrawing::end_labels(const PlotCanvas& canvas) const {
  const size_t lines = canvas.lines();
  std::vector<std::string> labels(lines);
  if (!labels_curves()) return labels;
  for (const ChartCurve& curve : chart_.curves) {
    const ChartPoint* last = last_point(curve);
    if (last == nullptr) continue;
    const size_t wanted = line_of(last->mean, canvas);
    for (size_t distance = 0; distance < 2 * lines; ++distance) {
      // 0, 1 up, 1 down, 2 up…
      const size_t away = (distance + 1) / 2;
      const bool is_up = distance % 2 == 1;
      if (is_up ? away > wanted : wanted + away >= lines) continue;
      std::string& label = labels[is_up ? wanted - away : wanted + away];
      if (!label.empty()) continue;
      label = curve.short_label;
      break;
    }
  }
  return labels;
}

std::string ChartDrawing::x_axis(const std::string& margin, const PlotCanvas& canvas) const {
  const size_t columns = canvas.columns();
  // A tick for every 12 columns leaves room for its label.
  const std::vector<Tick> ticks = make_ticks(x_, columns / 12 + 1);
  std::vector<std::string_view> line(columns, glyphs_.x_line);
  std::string labels(margin.size() + 1 + columns, ' ');
  size_t free_from = 0;
  for (const Tick& tick : ticks) {
    const auto dot = static_cast<size_t>(dot_of(tick.value, x_, canvas.dots_x()));
    const size_t column = dot * columns / canvas.dots_x();
    line[column] = glyphs_.x_tick;
    const size_t centre = margin.size() + 1 + column;
    size_t begin = centre - std::min(centre, tick.label.size() / 2);
    begin = std::min(begin, labels.size() - std::min(labels.size(), tick.label.size()));
    if (begin < free_from || tick.label.size() > labels.size()) continue;
    labels.replace(begin, tick.label.size(), tick.label);
    free_from = begin + tick.label.size() + 2;
  }
  labels.erase(labels.find_last_not_of(' ') + 1);
  if (labels.size() + 2 + chart_.x_label.size() <= size_.width) labels += "  " + chart_.x_label;
  std::string text = margin + std::string(glyphs_.corner);
  for (const std::string_view glyph : line) text += glyph;
  return paint(style_, Ink::kDim, text) + "\n" + paint(style_, Ink::kDim, labels) + "\n";
}

std::string ChartDrawing::draw() {
  choose_ranges();
  if (values_.is_empty()) return "";
  const std::vector<std::string> legend = this->legend();
  const size_t around = 3 + legend.size();  // title, axis, its labels
  const size_t lines = std::max(size_.height, around + kPlotLinesMin) - around;

  const std::vector<Tick> ticks =
      make_ticks(y_, std::max(lines / 3 + 1, std::min<size_t>(lines, 4)));
  size_t margin = 0;
  for (const Tick& tick : ticks) margin = std::max(margin, tick.label.size());
  ++margin;
  const size_t taken = margin + 1 + label_columns();
  const size_t columns = std::max(size_.width, taken + kPlotColumnsMin) - taken;

  PlotCanvas canvas(columns, lines, style_.is_ascii);
  // The first curve is drawn last: where curves cover each other it is rank 0 that shows.
  if (shows_spread()) draw_spread(canvas, chart_.curves[0]);
  for (size_t i = chart_.curves.size(); i > 0; --i) {
    draw_curve(canvas, chart_.curves[i - 1], ink_of(i - 1));
  }
  std::vector<std::string> left(lines, std::string(margin, ' ') + std::string(glyphs_.y_line));
  for (const Tick& tick : ticks) {
    left[line_of(tick.value, canvas)] = std::string(margin - 1 - tick.label.size(), ' ') +
                                        tick.label + " " + std::string(glyphs_.y_tick);
  }
  const std::vector<std::string> right = end_labels(canvas);
  std::string text = title() + "\n";
  for (size_t i = 0; i < lines; ++i) {
    std::string curves = canvas.text(i, style_);
    if (!right[i].empty()) {
      curves += std::string(columns + 1 - std::min(columns, display_width(curves)), ' ') + right[i];
    }
    text += paint(style_, Ink::kDim, left[i]) + curves + "\n";
  }
  text += x_axis(std::string(margin, ' '), canvas);
  for (const std::string& line : legend) text += line + "\n";
  return text;
}

}  // namespace

std::string render_chart(const Chart& chart, ChartSize size, const Style& style) {
  return ChartDrawing(chart, size, style).draw();
}

size_t chart_points_max(ChartSize size, const Style& style) {
  return std::max(size.width, kPlotColumnsMin) * (style.is_ascii ? 1 : 2);
}

}  // namespace ringlog::cli
