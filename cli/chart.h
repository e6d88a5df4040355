#pragma once
// Charts: curves over one x axis, drawn with characters.
//
//   loss                                              last 1.93  min 1.9  max 4.6
//    4 ┤⡇
//      │⠘⢄
//    2 ┤  ⠑⠤⠤⠤⢄⣀⣀
//      └┬──────────┬
//       0         500
//
// A curve is the mean of each point.  A point that spreads much further than the others of its
// curve is drawn from its minimum to its maximum, so that a spike of one row among a million stays
// visible. Where there is one curve and Braille to draw it, dots above and below say how far every
// point spreads.  Values of one thread.

#include <cstddef>
#include <string>
#include <vector>

#include "cli/style.h"

namespace ringlog::cli {

// What lies between two places on the x axis.
struct ChartPoint {
  double x_first = 0;
  double x_last = 0;
  bool has_value = false;  // false: a gap (NaN)
  double last = 0;
  double min = 0;
  double max = 0;
  double mean = 0;
};

struct ChartCurve {
  std::string label;        // "rank 3"
  std::string short_label;  // "r3": stands at the curve's end where there are no colours
  std::vector<ChartPoint> points;
};

struct Chart {
  std::string title;
  std::string x_label;  // "step"
  std::vector<ChartCurve> curves;
};

// Lines of exactly the asked size or less: at most `width` columns, and `height` lines as long as
// that leaves the plot itself three.  Empty when no curve has a value.
struct ChartSize {
  size_t width = 80;
  size_t height = 23;
};
std::string render_chart(const Chart& chart, ChartSize size, const Style& style);

// Columns and so points that a chart of this width can tell apart: what to ask the store for.
size_t chart_points_max(ChartSize size, const Style& style);

}  // namespace ringlog::cli
